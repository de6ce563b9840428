"""What each part of a recipe brings: the overall errors of networks with and without it, over several seeds.

Recipes are chosen by this table, so that it holds errors on the validation systems: the test systems stay unseen by any
choice.
"""

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
from lensvit.jobs.seeds import derive
from lensvit.statistics.compare import relative_scatter
from lensvit.statistics.metrics import bootstrap_weights, roots

SAMPLING = "sampling_error"
GROUP = ("model", "model_label", "variant", "label", "recipe")
MEASURES = ("seeds", "rmse", "sd", "error", "difference", "difference_error", SAMPLING)
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
        Folder with {network}.parquet, of the validation systems.
    output
        CSV, one row a model and variant: model, model_label, variant, label, recipe, seeds; rmse, the mean over seeds
        of the overall error on the validation split, its standard deviation sd, and its standard error from the scatter
        between trainings; difference to the model as it is, difference_error, and the part of it that the finite set
        of systems makes, sampling_error, which is paired; images that one training has seen and its seconds, means over
        seeds. Errors are absent where nothing was trained twice, but for the sampling error.
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
    scores = _overall([Path(predictions) / f"{name}.parquet" for name in sorted(networks)])
    rows = []
    for _, group in groups.groupby("model", sort=False):
        rows.append(_compared(group, [np.array([scores[name] for name in names]) for names in group["networks"]]))
    table = pd.concat(rows)
    costs = [pd.DataFrame([_cost(Path(models) / name) for name in names]).mean() for names in table["networks"]]
    table = table[[*GROUP, *MEASURES]].assign(**{name: [cost[name] for cost in costs] for name in costs[0].index})
    write_text(output, table.to_csv(index=False, float_format="%.6g"))
    origin = _origin([Path(models) / name / "provenance.json" for name in networks])
    made = {"run": choice.run, "data": choice.data.model_dump(), "split": "validation", "passes": choice.passes}
    content = made | dict(origin)
    write_text(provenance, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _overall(paths: list[Path]) -> dict[str, np.ndarray]:
    """Network to its overall error, and behind it those of the resampled sets of systems, the same for all networks."""
    found = tables.read_predictions(paths, tables.PREDICTED)
    weights = bootstrap_weights(len(next(iter(found.values()))), derive("bootstrap"))
    scores = {}
    for name, table in found.items():
        square = np.square(tables.prediction_errors(table))
        scores[name] = roots(np.concatenate([square.mean(0)[None], weights @ square]))[:, 0]
    return scores


def _compared(group: pd.DataFrame, scores: list[np.ndarray]) -> pd.DataFrame:
    """The rows of one model and its variants, the model as it is first, with what follows from their scores.

    Parameters
    ----------
    group
        One row of the settings for each.
    scores
        For each its overall errors (S, 1 + B), one row a seed: of all systems, then of resampled sets of them.
    """
    whole = [values[:, 0] for values in scores]
    count = np.array([len(values) for values in whole])
    mean = np.array([values.mean() for values in whole])
    error = mean * relative_scatter(whole) / np.sqrt(count)
    again = np.array([values[:, 1:].mean(0) for values in scores])  # (variants, B)
    sampling = np.std(again - again[0], axis=1, ddof=1)
    difference, both = mean - mean[0], np.sqrt(error**2 + error[0] ** 2 + sampling**2)
    difference[0] = both[0] = sampling[0] = np.nan
    columns = {
        "seeds": count,
        "rmse": mean,
        "sd": [values.std(ddof=1) if len(values) > 1 else np.nan for values in whole],
        "error": error,
        "difference": difference,
        "difference_error": both,
        SAMPLING: sampling,
    }
    return group.assign(**columns)


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
