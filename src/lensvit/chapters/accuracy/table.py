"""Table 1: root mean squared errors of each model, of the prior's mean, at the limit, and as published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.accuracy.published import PUBLISHED
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import read_limits, refined_errors
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.metrics import standard_errors, with_overall

ROWS = ("overall", *TARGET_NAMES)


def table(
    predictions: list[Path],
    catalog: Path,
    scaler: Path,
    output: Path,
    errors: Path,
    limit: Path | None = None,
    amplitudes: str = "known",
    refined: Path | None = None,
) -> None:
    """Write Table 1 and the standard errors of this run's entries.

    Parameters
    ----------
    predictions : predictions/{model}.parquet, one a model; the file's stem is the column's name.
    catalog : catalog.parquet, for the truths that the prior's mean is held against.
    scaler : scaler.json: the prior's mean is that of the training split.
    output : table1.csv; rows ``overall`` and the targets, columns the models, ``refined`` (if a fit has
        converged), ``prior``, ``limit`` where these are given, ``published_vit``, ``published_resnet``; units of the targets.
    errors : CSV of the same rows with the bootstrap standard errors of the models and the prior.
    limit : limit.parquet. amplitudes : "known" or "marginalised", which limit.
    refined : refined/{model}.parquet, of the fits of some systems that converged.

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, or the models predict different systems.
    """
    deviations = {name: tables.prediction_errors(frame) for name, frame in tables.read_predictions(predictions).items()}
    if refined is not None and len(fitted := refined_errors(tables.read_parquet(refined))):
        deviations["refined"] = fitted
    deviations["prior"] = prior_errors(tables.read_parquet(catalog), json.loads(Path(scaler).read_text()))
    index = pd.Index(ROWS, name="target")
    columns = {name: with_overall(error) for name, error in deviations.items()}
    if limit is not None:
        columns["limit"] = with_overall(read_limits(limit, amplitudes)[list(TARGET_NAMES)].to_numpy())
    published = {name: [column[row] for row in ROWS] for name, column in PUBLISHED.items()}
    uncertain = {name: standard_errors(error, derive("bootstrap", name)) for name, error in deviations.items()}
    write_text(output, pd.DataFrame({**columns, **published}, index).to_csv(float_format="%.6g"))
    write_text(errors, pd.DataFrame(uncertain, index).to_csv(float_format="%.4g"))


def prior_errors(systems: pd.DataFrame, scaler: dict) -> np.ndarray:
    """(n, K) mean of the training split minus truth, over the test split."""
    test = systems[systems["split"] == "test"]
    return np.array([scaler["mean"][name] for name in TARGET_NAMES]) - test[list(TARGET_NAMES)].to_numpy()
