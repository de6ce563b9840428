"""A network's model card: what it is, how good it is, and what it must not be used for, from the run that made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from pydantic import Field

from lensvit.io import files, tables
from lensvit.io.settings import Seeded, read_settings
from lensvit.lensing.settings import LabelledCamera, Population, Scene, full_priors
from lensvit.parameters import NAMES, TABLE, TARGET_NAMES, Prior
from lensvit.prediction.reference import REFERENCE, SCORES, Reference

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
TABLES = ("table1", "table1_errors", "calibration")  # of the run


class CardSettings(Population, Seeded):
    """Settings of the stage ``model_card``."""

    run: str = Field(description="name of the run")
    name: str = Field(description="key of the model in the config")
    label: str = Field(description="the model's name as printed")
    data: dict[str, int] = Field(description="split to its number of images")
    scene: Scene = Field(description="what is the same in all systems")
    cameras: dict[str, LabelledCamera] = Field(description="PSF to the camera that it belongs to")


def model_card(settings: Path, model: Path, table: Path, errors: Path, calibration: Path, output: Path) -> None:
    """Write the model card of a network, in the form of Hugging Face's model cards.

    Parameters
    ----------
    settings
        YAML, see :class:`CardSettings`.
    model
        The network's folder, with its reference.
    table, errors
        table1.csv and table1_errors.csv of the run.
    calibration
        calibration.csv of the run.
    output
        README.md.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    choice, folder = read_settings(settings, CardSettings), Path(model)
    config = files.read_json(folder / "config.json", "network", "recipe", "parameters", "best_epoch")
    provenance = files.read_json(folder / "provenance.json", "versions", "hardware", "device", "cores", "commit")
    reference = files.read_model(folder / REFERENCE, Reference)
    history = tables.read_csv(folder / "history.csv", columns=tables.HISTORY)
    weights = str(config["network"]["weights"])
    pretrained = weights == "pretrained"
    content = {
        "settings": choice,
        "name": f"lensvit-{choice.run}-{choice.name}",
        "folder": str(folder),
        "config": config,
        "base": str(config["network"]["architecture"]) if pretrained else None,
        "provenance": provenance,
        "reference": reference,
        "warnings": SCORES,
        "history": {"epochs": len(history), "minutes": round(float(history["seconds"].sum()) / 60)},
        "cameras": _cameras(choice),
        "priors": [
            {"name": name, "unit": TABLE[name].unit, "prior": _words(prior)} for name, prior in _priors(choice).items()
        ],
        "scores": _scores(choice.name, table, errors, calibration),
        "limit": "limit" in tables.read_by_target(table),
    }
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    files.write_text(Path(output), environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(content))


def _cameras(choice: CardSettings) -> list[dict[str, Any]]:
    """Each camera with the names of its PSFs."""
    found = dict[str, dict[str, Any]]()
    for psf, camera in choice.cameras.items():
        found.setdefault(camera.label, {**camera.model_dump(), "psfs": []})["psfs"].append(psf)
    return list(found.values())


def _priors(choice: CardSettings) -> Mapping[str, Prior]:
    """The priors of all parameters of the scene."""
    names = choice.scene.structure.names if choice.scene.is_free else NAMES
    known = full_priors(choice.priors, names)
    return known if choice.external_shear else known | {"gamma_ext": Prior("uniform", low=0.0, high=0.0)}


def _words(prior: Prior) -> str:
    """A prior in a few words."""
    if prior.kind == "uniform":
        return f"{prior.low:g}" if prior.low == prior.high else f"uniform, {prior.low:g} to {prior.high:g}"
    if prior.kind == "rayleigh":
        return f"Rayleigh, scale {prior.sd:g}"
    if prior.kind == "lognormal":
        text = f"lognormal, median {prior.mean:g}, {prior.sd:g} in the natural logarithm"
    else:
        text = f"normal, mean {prior.mean:g}, sd {prior.sd:g}"
    ends = (("below", prior.low), ("above", prior.high))
    return ", ".join([text, *(f"not {word} {value:g}" for word, value in ends if value is not None)])


def _scores(model: str, table: Path, errors: Path, calibration: Path) -> list[dict[str, Any]]:
    """A row for each target, and one for all."""
    values, spread = tables.read_by_target(table), tables.read_by_target(errors)
    known = tables.read_csv(calibration, "model", "state", "target", "verdict")
    known = known[(known["model"] == model) & (known["state"] == "recalibrated")].set_index("target")
    cover = {name: known[name].astype(float).to_dict() for name in ("coverage_68", "coverage_95")}
    errors_of = spread[model].astype(float).to_dict()
    rows = []
    for target in ("overall", *TARGET_NAMES):
        row = {"target": target, "unit": TABLE[target].unit if target in TABLE else ""}
        row |= {"rmse": _short(values.loc[target, model]), "error": f"{errors_of[target]:.1g}"}
        row |= {"prior": _short(values.loc[target, "prior"])}
        row |= {"limit": _short(values.loc[target, "limit"]) if "limit" in values else ""}
        row |= {name: f"{values_of[target]:.3f}" for name, values_of in cover.items()}
        rows.append(row)
    return rows


def _short(value: Any) -> str:
    """A number to three digits; a dash for none."""
    return "--" if pd.isna(value) else f"{float(value):.3g}"
