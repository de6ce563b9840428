"""Table 1: root mean squared errors of each model, of posteriors, of the prior's mean, at the limit, as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.accuracy.published import PUBLISHED
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import read_limits, refined_errors
from lensvit.io.scaler import Scaler, read_scaler
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.metrics import standard_errors, with_overall

ROWS = ("overall", *TARGET_NAMES)
SYSTEMS = "systems"  # the row of the errors that counts the systems of each column


def table(
    predictions: list[Path],
    catalog: Path,
    scaler: Path,
    output: Path,
    errors: Path,
    limit: Path | None = None,
    amplitudes: str = "known",
    refined: Path | None = None,
    importance: Path | None = None,
) -> None:
    """Write Table 1 and the standard errors of this run's entries.

    Parameters
    ----------
    predictions
        predictions/{model}.parquet of every model; the file's stem is the name of the column.
    catalog
        catalog.parquet, for the truths that the prior's mean is held against.
    scaler
        scaler.json; the prior's mean is that of the training split.
    output
        table1.csv, one row for "overall" and each target, in the targets' units. Its columns are the models, then
        ``refined`` if a fit has converged, ``importance`` if an exact posterior is certified, ``prior``, ``limit`` if
        it is given, ``bayes`` as ``importance``, ``published_vit`` and ``published_resnet``. Of exact posteriors
        ``importance`` has the errors of the means, and ``bayes`` the roots of the mean variances.
    errors
        CSV of the same rows with the bootstrap standard errors of the models, of ``refined``, ``importance``,
        ``prior`` and ``bayes``, and a row "systems" with the number of systems of each of these columns.
    limit
        limit.parquet, if there is one.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".
    refined
        refined/{model}.parquet, if there is one; the fits that have converged count.
    importance
        importance.parquet, if there is one; the posteriors that are certified count.

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, or the models predict different systems.
    """
    deviations = {name: tables.prediction_errors(frame) for name, frame in tables.read_predictions(predictions).items()}
    if refined is not None and len(fitted := refined_errors(tables.read_refined(refined))):
        deviations["refined"] = fitted
    exact = None if importance is None else tables.certified(tables.read_importance(importance))
    if exact is not None and len(exact):
        deviations["importance"] = tables.prediction_errors(exact)
    deviations["prior"] = prior_errors(tables.read_catalog(catalog), read_scaler(scaler))
    index = pd.Index(ROWS, name="target")
    columns = {name: with_overall(error) for name, error in deviations.items()}
    if limit is not None:
        columns["limit"] = with_overall(read_limits(limit, amplitudes)[list(TARGET_NAMES)].to_numpy())
    if exact is not None and len(exact):
        deviations["bayes"] = tables.target_values(exact, "sigma")
        columns["bayes"] = with_overall(deviations["bayes"])
    published = {name: [column[row] for row in ROWS] for name, column in PUBLISHED.items()}
    uncertain = {name: standard_errors(error, derive("bootstrap", name)) for name, error in deviations.items()}
    write_text(output, pd.DataFrame({**columns, **published}, index).to_csv(float_format="%.6g"))
    counts = ",".join([SYSTEMS, *(str(len(error)) for error in deviations.values())])
    write_text(errors, f"{pd.DataFrame(uncertain, index).to_csv(float_format='%.4g')}{counts}\n")


def prior_errors(systems: pd.DataFrame, scaler: Scaler) -> np.ndarray:
    """Errors (n, K) of the prior's mean over the test split.

    Parameters
    ----------
    systems
        The catalogue.
    scaler
        Mean of each target over the training split, which stands for the prior's.
    """
    test = systems[systems["split"] == "test"]
    return np.array([scaler.mean[name] for name in TARGET_NAMES]) - test[list(TARGET_NAMES)].to_numpy()
