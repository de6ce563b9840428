"""Table 1: root mean squared errors of models, their ensemble, posteriors and the prior, at the limit, as published.

All standard errors come from the same resampled sets of test systems, so that differences of columns are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.accuracy.published import PUBLISHED
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import read_limits
from lensvit.io.scaler import Scaler, read_scaler
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.compare import Measure, Scores, compared, of_rows, relative_scatter, scored
from lensvit.statistics.ensemble import least_square_weights
from lensvit.statistics.metrics import bootstrap_weights, roots, standardised

STANDARDISED, MASS = "standardised", "mass"
# the targets that the mass has, some with the light; the others are the light's alone
MASS_TARGETS = ("theta_E", "gamma", "center_x", "center_y", "e1", "e2")
SUMMARIES = ("overall", STANDARDISED, MASS)  # rows of several targets together
ROWS = (*SUMMARIES, *TARGET_NAMES)
SYSTEMS, TRAININGS, SCATTER = "systems", "trainings", "scatter"  # rows of the errors that are no errors
PRIOR, ENSEMBLE = "prior", "ensemble"


def table(
    predictions: list[Path],
    catalog: Path,
    scaler: Path,
    output: Path,
    errors: Path,
    differences: Path,
    trainings: list[str] | None = None,
    limit: Path | None = None,
    amplitudes: str = "known",
    refined: Path | None = None,
    importance: Path | None = None,
    validation: list[Path] | None = None,
    ensemble: Path | None = None,
) -> None:
    """Write Table 1, the standard errors of this run's entries, and how its models differ.

    Parameters
    ----------
    predictions
        predictions/{model}.parquet of every model; the file's stem is the name of the column.
    catalog
        catalog.parquet, for the truths that the prior's mean is held against.
    scaler
        scaler.json; the prior's mean is that of the training split, and so is the scatter of each target.
    output
        table1.csv. Its rows are "overall", the root of the sum over targets of the mean squared errors;
        "standardised", the root of their mean in units of the targets' scatter; "mass", the same of the targets that
        the mass has; and each target in its unit. Its columns are the models, ``ensemble`` if ``validation`` is given,
        then ``refined`` if a fit has converged, ``importance`` if an exact posterior is certified, ``prior``, ``limit``
        if it is given, ``bayes`` as ``importance``, ``published_vit`` and ``published_resnet``. Of exact posteriors
        ``importance`` has the errors of the means, and ``bayes`` the roots of the mean variances.
    errors
        CSV of the same rows with the standard errors of this run's columns: by a bootstrap over systems, and for models
        and their ensemble with the relative scatter between a model's trainings where there are several. Below them
        stand a row "systems" with the number of systems of each column, "trainings" with the number of trainings of
        each model, and "scatter" with the relative standard deviation of a model's overall error between trainings.
    differences
        CSV, one row a pair of models, or of a model and the ensemble or the prior, and row of the table: first, second,
        target, difference (first minus second), difference_error, ratio (first over second) and ratio_error. The
        standard errors are paired: both see the same resampled sets of systems. Trainings count as independent, so
        that those of a model and its ensemble are upper limits where there are several trainings.
    trainings
        MODEL=PATH for each further training of a model, which differs from it in its seed alone: the predictions of
        the same systems.
    limit
        limit.parquet, if there is one.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".
    refined
        refined/{model}.parquet, if there is one; the fits that have converged count.
    importance
        importance.parquet, if there is one; the posteriors that are certified count.
    validation
        predictions/validation/{model}.parquet of the same models, two or more, for their ensemble: the weighted mean of
        what they predict, by the weights that fit the validation systems best (:mod:`lensvit.statistics.ensemble`).
    ensemble
        CSV of these weights, one row a target; its columns are the models, then ``{model}:views``: what each predicts
        in the mean over the views of an image, where its predictions have that.

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, the models predict different systems, or the validation
        systems are among these.
    """
    models = [Path(path).stem for path in predictions]
    further = _further(trainings or [], models)
    read = tables.read_predictions(list(dict.fromkeys(map(Path, [*predictions, *(path for _, path in further)]))))
    truths, scale = tables.read_catalog(catalog), read_scaler(scaler)
    columns = {name: _errors(read[name]) for name in models}
    if validation:
        columns[ENSEMBLE], given = _ensemble(list(map(Path, predictions)), list(map(Path, validation)))
        if ensemble is not None:
            write_text(ensemble, given.T.to_csv(index_label="target", float_format="%.4g"))
    if refined is not None:
        fits = tables.read_refined(refined)
        columns["refined"] = _errors(fits[fits["converged"]])
    exact = None if importance is None else tables.certified(tables.read_importance(importance))
    if exact is not None:
        columns["importance"] = _errors(exact)
    columns[PRIOR] = prior_errors(truths, scale)
    if limit is not None:
        columns["limit"] = read_limits(limit, amplitudes)[list(TARGET_NAMES)]
    if exact is not None:
        columns["bayes"] = pd.DataFrame(tables.target_values(exact, "sigma"), exact.index, TARGET_NAMES)
    columns = {name: error for name, error in columns.items() if len(error)}
    measure = summaries(scale)
    groups = [[name, *(path.stem for model, path in further if model == name)] for name in models]
    scatter = relative_scatter(
        [np.array([measure(np.square(_errors(read[name])).mean(0).to_numpy()) for name in group]) for group in groups]
    )
    scores = resampled(columns, measure, dict.fromkeys([*models, ENSEMBLE], scatter))
    index = pd.Index(ROWS, name="target")
    published = {name: measure_published(column, measure) for name, column in PUBLISHED.items()}
    values = {name: score.values for name, score in scores.items()}
    write_text(output, pd.DataFrame({**values, **published}, index).to_csv(float_format="%.6g"))
    uncertain = pd.DataFrame({name: score.errors for name, score in scores.items()}, index)
    uncertain.loc[SYSTEMS] = [len(columns[name]) for name in scores]
    counts = {group[0]: len(group) for group in groups}
    uncertain.loc[TRAININGS] = [counts.get(name, np.nan) for name in scores]
    uncertain.loc[SCATTER] = [scatter[0] if name in counts else np.nan for name in scores]
    write_text(errors, uncertain.to_csv(float_format="%.4g"))
    pairs = pd.DataFrame(_pairs(scores, models))
    write_text(differences, pairs.to_csv(index=False, float_format="%.6g"))


def _further(given: Sequence[str], models: Sequence[str]) -> list[tuple[str, Path]]:
    """Model and predictions of each further training."""
    found: list[tuple[str, Path]] = []
    for entry in given:
        model, _, path = entry.partition("=")
        if model not in models or not path:
            raise LensvitError(f"--trainings {entry}: give MODEL=PATH, where MODEL is one of {', '.join(models)}")
        if Path(path).stem in (model, *(known.stem for name, known in found if name == model)):
            raise LensvitError(f"--trainings {entry}: {Path(path).stem} counts already; give another training")
        found.append((model, Path(path)))
    return found


def _ensemble(predictions: list[Path], validation: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors of the ensemble of several models, and the weights in it for each target (columns).

    Each model counts twice, if the predictions of all have it: with its mean, and with that over the views of an image
    that the symmetries of its training allow.
    """
    models = [path.stem for path in predictions]
    if sorted(path.stem for path in validation) != sorted(models) or len(models) < 2:
        raise LensvitError(f"--validation: give predictions of {', '.join(models)}, and of two models or more")
    views = [f"{name}_views" for name in TARGET_NAMES]
    viewed = all(tables.has_columns(path, *views) for path in predictions + validation)
    kinds = ("mean", "views") if viewed else ("mean",)
    columns = ("id", *(f"{name}_{kind}" for name in TARGET_NAMES for kind in ("truth", *kinds)))
    tested, fitted = (tables.read_predictions(paths, columns) for paths in (predictions, validation))
    first = tested[models[0]]
    if first.index.isin(fitted[models[0]].index).any():
        raise LensvitError(f"{validation[0].parent} has systems that are tested: give predictions of the others")

    def errors(read: Mapping[str, pd.DataFrame]) -> np.ndarray:
        truth = tables.target_values(read[models[0]], "truth")
        return np.array([tables.target_values(read[model], kind) - truth for kind in kinds for model in models])

    weights = least_square_weights(errors(fitted))
    names = [model if kind == "mean" else f"{model}:{kind}" for kind in kinds for model in models]
    together = np.einsum("mk,mnk->nk", weights, errors(tested))
    return (
        pd.DataFrame(together, first.index, list(TARGET_NAMES)),
        pd.DataFrame(weights, names, list(TARGET_NAMES)),
    )


def _errors(table: pd.DataFrame) -> pd.DataFrame:
    """Errors of all targets by the ids of the systems."""
    return pd.DataFrame(tables.prediction_errors(table), table.index, TARGET_NAMES)


def summaries(scaler: Scaler) -> Measure:
    """The rows of the table (..., R) as a function of mean squared errors (..., K)."""
    scatter = np.array([scaler.sd[name] for name in TARGET_NAMES])
    mass = [TARGET_NAMES.index(name) for name in MASS_TARGETS]

    def rows(square: np.ndarray) -> np.ndarray:
        both = [standardised(square, scatter), standardised(square[..., mass], scatter[mass])]
        errors = roots(square)
        return np.concatenate([errors[..., :1], np.stack(both, axis=-1), errors[..., 1:]], axis=-1)

    return rows


def measure_published(column: Mapping[str, float], measure: Measure) -> np.ndarray:
    """The rows of a published column: what is printed, and what follows from it in units of this run's scatters."""
    found = dict(zip(ROWS, measure(np.square([column[name] for name in TARGET_NAMES])), strict=True))
    return np.array([column.get(row, found[row]) for row in ROWS])


def resampled(
    columns: Mapping[str, pd.DataFrame], measure: Measure, scatter: Mapping[str, np.ndarray]
) -> dict[str, Scores]:
    """The scores of all columns on the same resampled sets of systems.

    Parameters
    ----------
    columns
        Column to errors (n, K) by the ids of its systems, which may be some of those of others.
    measure
        The rows of mean squared errors.
    scatter
        Column to the relative scatter of its rows between trainings, NaN where it is not known.
    """
    systems = pd.Index(dict.fromkeys(name for error in columns.values() for name in error.index))
    weights = bootstrap_weights(len(systems), derive("bootstrap"))
    return {
        name: scored(
            np.square(error.to_numpy()),
            of_rows(weights, systems.get_indexer(error.index)),
            measure,
            np.nan_to_num(scatter.get(name, 0.0)),
        )
        for name, error in columns.items()
    }


def _pairs(scores: Mapping[str, Scores], models: Sequence[str]) -> Iterator[dict[str, object]]:
    """How the models differ from each other, from their ensemble and from the prior."""
    others = [name for name in (ENSEMBLE, PRIOR) if name in scores]
    for first, second in [*combinations(models, 2), *((name, other) for other in others for name in models)]:
        found = compared(scores[first], scores[second])
        for number, row in enumerate(ROWS):
            yield {
                "first": first,
                "second": second,
                "target": row,
                "difference": found.difference[number],
                "difference_error": found.error[number],
                "ratio": found.ratio[number],
                "ratio_error": found.ratio_error[number],
            }


def prior_errors(systems: pd.DataFrame, scaler: Scaler) -> pd.DataFrame:
    """Errors (n, K) of the prior's mean over the test split, by the ids of the systems.

    Parameters
    ----------
    systems
        The catalogue.
    scaler
        Mean of each target over the training split, which stands for the prior's.
    """
    test = systems[systems["split"] == "test"].set_index("id")
    return pd.Series(scaler.mean)[list(TARGET_NAMES)] - test[list(TARGET_NAMES)]
