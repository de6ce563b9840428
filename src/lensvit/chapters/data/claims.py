"""What the paper prints of the data: computed from the catalogue and the kernels, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.data.numbers import (
    AttentionNumbers,
    Dataset,
    Instrument,
    Multiplicity,
    Part,
    PrintedPrior,
    PrintedPsf,
    Spread,
)
from lensvit.chapters.data.settings import COLLAPSED
from lensvit.chapters.quoting import Context
from lensvit.io.files import read_json, reading
from lensvit.io.tables import read_csv
from lensvit.lensing.settings import Scene
from lensvit.parameters import TABLE, priors

RARE = 0.005  # a share of systems that is not worth a word
PSF_SETTINGS = {
    "hst_acs": ("spectral_index", "despace_um"),
    "keck_ao": ("r0", "residual_nm", "jitter_mas", "zenith_angle_deg", "outer_scale"),
    "fits": (),
    "library": (),
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


def attention(table: Path, layer: int) -> AttentionNumbers | None:
    """What the attention does that figure 1 shows; None if the network has none to show.

    Parameters
    ----------
    table
        attention.csv, see :func:`lensvit.chapters.data.attention.table`; its map is "none" if there is none to show.
    layer
        Index of the layer that is shown; -1 is the last.
    """
    measures = ("strongest", "entropy", "effective")
    counts = ("layer", "systems", "patches")
    rows = read_csv(table, "map", columns=(*counts, *measures, "same"))
    if rows["map"].iloc[0] == "none":
        return None
    rollout, mean = (rows[rows["map"] == name] for name in ("rollout", "mean"))
    single = rows.drop(index=[*rollout.index, *mean.index])
    with reading(table):
        numbers = rows[[*counts, *measures, "same"]].to_numpy(float)
        if not (np.isfinite(numbers).all() and len(rollout) == 1 and single["map"].str.isdecimal().all()):
            raise ValueError("its rows are not those of an attention map")
        layers = int(rows["layer"].max())
        number = layer % layers + 1
        shown, mean = single[single["layer"] == number], mean[mean["layer"] == number]
        if shown.empty or len(mean) != 1:
            raise ValueError(f"it lacks layer {number}")
    collapsed = shown[shown["effective"] < COLLAPSED]

    def spread(part: pd.DataFrame) -> Spread:
        return Spread(**{name: float(part[name].mean()) for name in measures})

    return AttentionNumbers(
        systems=int(shown["systems"].iloc[0]),
        patches=int(shown["patches"].iloc[0]),
        layers=layers,
        layer=number,
        heads=len(shown),
        single=spread(shown),
        mean=spread(mean),
        rollout=spread(rollout),
        threshold=COLLAPSED,
        collapsed=[int(head) for head in collapsed["map"]],
        share=None if collapsed.empty else float(collapsed["strongest"].min()),
        same=None if collapsed.empty else float(collapsed["same"].min()),
        collapsed_everywhere=int((single["effective"] < COLLAPSED).sum()),
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
        light_samples=config["simulation"].get("light_samples", 1),
        free=Scene(**config["scene"]).is_free,
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
    names = Scene(**config["scene"]).structure.names
    full = priors(changes, names)
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
        for parameter in (TABLE[name] for name in names)
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
