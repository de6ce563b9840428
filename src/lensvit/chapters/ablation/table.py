"""What each part of a recipe brings: the overall errors of networks with and without it, over several seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.ablation.settings import AblationSettings
from lensvit.io import tables
from lensvit.io.files import read_json, write_text
from lensvit.io.settings import read_settings
from lensvit.statistics.metrics import with_overall

GROUP = ("model", "model_label", "variant", "label", "recipe")
MEASURES = ("seeds", "rmse", "sd", "error", "difference", "difference_error")
ORIGIN = ("cores", "hardware", "platform", "python", "versions")


def ablation_table(settings: Path, models: Path, predictions: Path, output: Path, provenance: Path) -> None:
    """Write the table of the ablation, and beside it what made it.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.ablation.settings.AblationSettings`.
    models
        Folder with {network}/config.json, history.csv and provenance.json.
    predictions
        Folder with {network}.parquet.
    output
        CSV, one row a model and variant: model, model_label, variant, label, recipe, seeds; rmse, the mean over seeds
        of the overall error on the test split, its standard deviation sd and its standard error; difference to the
        model as it is, and difference_error; images that one training has seen and its seconds, means over seeds.
        Errors are absent where nothing was trained twice.
    provenance
        JSON: run, data, passes, and date, commit and machine of the latest training.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    choice = read_settings(settings, AblationSettings)
    groups = pd.DataFrame([group.model_dump() for group in choice.groups])
    networks = {name for group in choice.groups for name in group.networks}
    scores = {name: _overall(Path(predictions) / f"{name}.parquet") for name in networks}
    rows = []
    for _, group in groups.groupby("model", sort=False):
        rows.append(_compared(group, [np.array([scores[name] for name in names]) for names in group["networks"]]))
    table = pd.concat(rows)
    costs = [pd.DataFrame([_cost(Path(models) / name) for name in names]).mean() for names in table["networks"]]
    table = table[[*GROUP, *MEASURES]].assign(**{name: [cost[name] for cost in costs] for name in costs[0].index})
    write_text(output, table.to_csv(index=False, float_format="%.6g"))
    origin = _origin([Path(models) / name / "provenance.json" for name in networks])
    content = {"run": choice.run, "data": choice.data.model_dump(), "passes": choice.passes, **origin}
    write_text(provenance, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _overall(path: Path) -> float:
    """The overall error of the predictions in a file."""
    return float(with_overall(tables.prediction_errors(tables.read_parquet(path, *tables.PREDICTED)))[0])


def _compared(group: pd.DataFrame, scores: list[np.ndarray]) -> pd.DataFrame:
    """The rows of one model and its variants, the model as it is first, with what follows from their scores.

    Parameters
    ----------
    group
        One row of the settings for each.
    scores
        For each its overall errors, one a seed.
    """
    count = np.array([len(values) for values in scores])
    mean = np.array([values.mean() for values in scores])
    error = mean * relative_scatter(scores) / np.sqrt(count)
    difference, both = mean - mean[0], np.hypot(error, error[0])
    difference[0], both[0] = np.nan, np.nan
    spread = [values.std(ddof=1) if len(values) > 1 else np.nan for values in scores]
    return group.assign(seeds=count, rmse=mean, sd=spread, error=error, difference=difference, difference_error=both)


def relative_scatter(scores: list[np.ndarray]) -> float:
    """The relative standard deviation between seeds, from all variants together, as the few seeds of each say little.

    Parameters
    ----------
    scores
        For each variant its overall errors, one a seed.

    Returns
    -------
    NaN where no variant has two seeds.
    """
    logarithms = [np.log(values) for values in scores]
    freedom = sum(len(values) - 1 for values in logarithms)
    return float(np.sqrt(sum(np.var(values) * len(values) for values in logarithms) / freedom)) if freedom else np.nan


def _cost(folder: Path) -> dict[str, float]:
    """Images that one training has seen, and its seconds."""
    history = tables.read_csv(folder / "history.csv", columns=("images_per_second", "seconds"))
    return {
        "images": float(np.round((history["images_per_second"] * history["seconds"]).sum())),
        "seconds": float(history["seconds"].sum()),
    }


def _origin(paths: list[Path]) -> Mapping[str, Any]:
    """Date, commit and machine of the latest of several trainings, by their provenance.json."""
    latest = max((read_json(path, "date", "commit", *ORIGIN) for path in paths), key=lambda origin: origin["date"])
    return {"date": latest["date"][:10], "commit": latest["commit"], **{key: latest[key] for key in ORIGIN}}
