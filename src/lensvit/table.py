"""Table 1: root-mean-square errors of all models, beside the prior and the published values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.files import write_text
from lensvit.metrics import ROWS, prior_mean, scores, standard_errors
from lensvit.parameters import TARGET_NAMES
from lensvit.predictions import columns, read
from lensvit.published import PUBLISHED


def table(predictions: list[Path], catalog: Path, scaler: Path, output: Path, errors: Path) -> None:
    """Score all models on the test split, and predicting the training set's mean beside them.

    Parameters
    ----------
    predictions : one predictions/{model}.parquet a model.
    catalog : catalog.parquet, for the truths of the test split.
    scaler : scaler.json, for the mean of the training split.
    output : CSV, one row for the overall error and one a target: columns ``target``, one a
        model, ``prior``, ``published_vit``, ``published_resnet``; in the target's unit.
    errors : CSV with the same rows: bootstrap standard errors of the models' and the prior's
        columns.

    Raises
    ------
    LensvitError
        If a file is broken, the predictions are of another test set, or a model is called
        like another column.
    """
    models = read(predictions)
    truth = _truths(Path(catalog), models)
    compared = {key: columns(model, "mean") for key, model in models.items()}
    compared["prior"] = prior_mean(json.loads(Path(scaler).read_text(encoding="utf-8")), len(truth))
    published = {f"published_{key}": [values[row] for row in ROWS] for key, values in PUBLISHED.items()}
    _check_names(models, ("target", "prior", *published))
    _write({key: scores(mean, truth) for key, mean in compared.items()} | published, output)
    _write({key: standard_errors(mean, truth) for key, mean in compared.items()}, errors)


def _truths(catalog: Path, models: dict[str, pd.DataFrame]) -> np.ndarray:
    """(n, 8) of the test split, in the order of the predictions."""
    rows = pd.read_parquet(catalog, columns=["id", "split", *TARGET_NAMES])
    test = rows[rows["split"] == "test"].set_index("id")
    ids = next(iter(models.values()))["id"]
    if len(ids) != len(test) or not ids.isin(test.index).all():
        raise LensvitError(f"the predictions are not of the test split of {catalog}: run snakemake again")
    return test.loc[ids, list(TARGET_NAMES)].to_numpy(float)


def _check_names(models: dict[str, pd.DataFrame], taken: tuple[str, ...]) -> None:
    for key in models:
        if key in taken:
            raise LensvitError(f"a model cannot be called {key!r}, a column of Table 1: rename it in the config")


def _write(content: dict[str, object], path: Path) -> None:
    frame = pd.DataFrame({"target": ROWS, **content})
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
