"""What the paper prints of the data: computed from the catalogue and the kernels, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.data.numbers import Dataset, Instrument, Multiplicity, Part, PrintedPrior, PrintedPsf
from lensvit.chapters.quoting import Context
from lensvit.io.files import read_json
from lensvit.parameters import PARAMETERS, priors

RARE = 0.005  # a share of systems that is not worth a word
PSF_SETTINGS = {
    "hst_acs": ("spectral_index", "despace_um"),
    "keck_ao": ("r0", "residual_nm", "jitter_mas"),
    "fits": (),
}
SPLITS = ("train", "validation", "test")


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        psf/{name}.json, of one kernel each.
    context
        The run.
    """
    config, systems = context.config, context.systems
    kernels = [_psf(path, config, systems) for path in tables]
    return Part(
        dataset=_dataset(config, systems),
        priors=_priors(config, systems),
        instruments=[Instrument(name=name, **entry) for name, entry in config["instruments"].items()],
        psf_radii=kernels[0].radii,
        psfs=kernels,
    )


def _dataset(config: Mapping[str, Any], systems: pd.DataFrame) -> Dataset:
    shares = systems["n_images"].value_counts(normalize=True).sort_index()
    return Dataset(
        total=len(systems),
        **{split: int((systems["split"] == split).sum()) for split in SPLITS},
        redraws=int(systems["redraws"].sum()),
        external_shear=config["simulation"]["external_shear"],
        streamed=config["training"]["stream"],
        engine=config["simulation"]["engine"],
        supersampling=config["simulation"]["supersampling"],
        multiplicity=[
            Multiplicity(images=int(str(images)), fraction=float(share))
            for images, share in shares.items()
            if share >= RARE
        ],
        **config["scene"],
    )


def _priors(config: Mapping[str, Any], systems: pd.DataFrame) -> list[PrintedPrior]:
    changes = {
        name: {key: value for key, value in change.items() if value is not None}
        for name, change in config["priors"].items()
    }
    full = priors(changes)
    return [
        PrintedPrior(
            name=parameter.name,
            label=parameter.label,
            unit=parameter.unit,
            description=parameter.description,
            target=parameter.target,
            **vars(full[parameter.name]),
            sample_mean=float(systems[parameter.name].mean()),
            sample_sd=float(systems[parameter.name].std(ddof=0)),
            at_low=float((systems[parameter.name] == full[parameter.name].low).mean()),
            at_high=float((systems[parameter.name] == full[parameter.name].high).mean()),
        )
        for parameter in PARAMETERS
    ]


def _psf(path: Path, config: Mapping[str, Any], systems: pd.DataFrame) -> PrintedPsf:
    name = path.stem
    entry = config["psfs"][name]
    counts = systems.loc[systems["psf"] == name, "split"].value_counts()
    return PrintedPsf(
        name=name,
        instrument=entry["instrument"],
        kind=entry["kind"],
        settings={key: entry[key] for key in PSF_SETTINGS[entry["kind"]]},
        **read_json(path),
        **{split: int(counts.get(split, 0)) for split in SPLITS},
    )
