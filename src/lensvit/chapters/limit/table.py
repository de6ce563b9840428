"""The models' errors beside the limit of information: tables/limit.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.products import AMPLITUDE_TREATMENTS, read_limit_covariances, read_limits
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES
from lensvit.statistics.compare import compared, scored
from lensvit.statistics.metrics import bootstrap_weights

# systems of a class of the bound of van Trees, where a PSF has so many: the mean of few takes them for all of their
# class, and errs towards the limit; that of many says less
COARSE, FINE = 25, 5
KNOWN = AMPLITUDE_TREATMENTS[0]
INPUT = "input"  # the limit from what is left in a model's input


def limit_table(limit: Path, predictions: list[Path], amplitudes: str, inputs: list[str], output: Path) -> None:
    """Write each model's errors and the limit, from the image and from the model's input.

    Parameters
    ----------
    limit
        limit.parquet.
    predictions
        predictions/{model}.parquet of every model.
    amplitudes
        Which limit the models are held against: that with the amplitudes "known" or "marginalised".
    inputs
        The input of each model, in the order of ``predictions``, as the columns of limit.parquet name it.
    output
        CSV, one row a model, instrument ("all", then each if there are several) and target ("overall" first):
        systems, rmse, limit_known, limit_marginalised, and ratio, that of rmse to the limit chosen by ``amplitudes``;
        limit_input, that limit from what is left in the model's input; and lost and gap, the two factors of ratio:
        limit_input over the limit, which is what the resize loses, and rmse over limit_input, what the network does;
        each of these with the bootstrap standard error ``{column}_error`` behind it, which is paired for the ratios.
        pooled, coarse and fine are estimates of the bound of van Trees with known amplitudes, see :func:`van_trees`:
        all systems in one class, and sorted by PSF and noise into ``coarse_classes`` and ``fine_classes``.
        signal_image, signal_host, signal_lens and signal_quasar are the medians of the ratios of signal to noise.

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, or predictions are of other systems.
    """
    if len(inputs) != len(predictions):
        raise LensvitError(f"--inputs has {len(inputs)} names for {len(predictions)} predictions: give one for each")
    bounds = {treatment: read_limits(limit, treatment) for treatment in AMPLITUDE_TREATMENTS}
    models = tables.read_predictions(predictions)
    valid = bounds[amplitudes]
    instruments = with_all(valid["instrument"].unique())
    bound = _of_systems(limit, instruments)
    seen = {name: read_limits(limit, amplitudes, name) for name in dict.fromkeys(inputs)}
    rows = []
    for (model, table), name in zip(models.items(), inputs, strict=True):
        if not valid.index.isin(table.index).all():
            raise LensvitError(f"{limit} and the predictions of {model} are of different systems: delete {limit}")
        for instrument in instruments:
            part = {treatment: of_group(values, "instrument", instrument) for treatment, values in bounds.items()}
            part[INPUT] = of_group(seen[name], "instrument", instrument)
            some = _rows(table, part, amplitudes).assign(model=model, instrument=instrument, **bound[instrument])
            rows.append(some)
    measured = ["rmse", *(f"limit_{kind}" for kind in (*AMPLITUDE_TREATMENTS, INPUT)), "ratio", "lost", "gap"]
    order = [
        "model",
        "instrument",
        "target",
        "systems",
        *(f"{name}{end}" for name in measured for end in ("", "_error")),
        *("pooled", "coarse", "coarse_classes", "fine", "fine_classes"),
        *(f"signal_{light}" for light in tables.LIGHTS),
    ]
    write_text(output, pd.concat(rows)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, bounds: Mapping[str, pd.DataFrame], amplitudes: str) -> pd.DataFrame:
    """One row a target, of one model and instrument."""
    systems = table.loc[bounds[amplitudes].index]
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(systems)})
    squares = {"rmse": tables.prediction_errors(systems)}
    squares |= {f"limit_{kind}": values[list(TARGET_NAMES)].to_numpy() for kind, values in bounds.items()}
    scores = {
        name: scored(np.square(values), bootstrap_weights(len(values), derive("bootstrap")))
        for name, values in squares.items()
    }
    for name, score in scores.items():
        result[name], result[f"{name}_error"] = score.values, score.errors
    chosen, left = scores[f"limit_{amplitudes}"], scores[f"limit_{INPUT}"]
    pairs = {"ratio": (scores["rmse"], chosen), "lost": (left, chosen), "gap": (scores["rmse"], left)}
    for name, pair in pairs.items():
        found = compared(*pair)
        result[name], result[f"{name}_error"] = found.ratio, found.ratio_error
    return result


def _of_systems(limit: Path, instruments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The bound of van Trees and the medians of the signals for each instrument, as columns of its rows."""
    table = tables.read_limit_systems(limit, KNOWN)
    information = np.linalg.inv(read_limit_covariances(limit, KNOWN, table.index))
    result: dict[str, dict[str, Any]] = {}
    for instrument in instruments:
        rows = table.index.get_indexer(of_group(table, "instrument", instrument).index)
        some, inside = table.iloc[rows], information[rows]
        result[instrument] = {"pooled": van_trees(inside, np.zeros(len(rows), dtype=int))}
        for name, size in (("coarse", COARSE), ("fine", FINE)):
            kinds = _classes(some, size)
            result[instrument] |= {name: van_trees(inside, kinds), f"{name}_classes": len(np.unique(kinds))}
        result[instrument] |= {f"signal_{light}": some[f"signal_{light}"].median() for light in tables.LIGHTS}
    return result


def _classes(table: pd.DataFrame, least: int) -> np.ndarray:
    """The class (n,) of each system, by PSF and then by noise; each has ``least`` systems or more."""
    by_psf = table.groupby("psf")["sigma_bkg"]
    size, rank = by_psf.transform("size"), by_psf.rank(method="first") - 1
    place = rank * np.maximum(size // least, 1) // size
    return table.groupby(["psf", place]).ngroup().to_numpy()


def van_trees(information: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The bound of van Trees on root mean squared errors (Gill & Levit 1995, Bernoulli 1, 59).

    No estimator that knows the class of each system has a smaller mean squared error over a population: in each class
    the expected information is inverted, for which that of these systems stands. It is below the mean of the inverses,
    which is the limit, the more so the more systems of one class differ. With known amplitudes it holds for unknown
    ones too.

    Parameters
    ----------
    information
        (n, P, P) of image and prior together, by the coordinates of :mod:`lensvit.inference.coordinates`.
    classes
        (n,).

    Returns
    -------
    (1 + K,)
        The overall error, then that of each target.
    """
    mean_squares = np.zeros(len(TARGET_NAMES))
    for kind in np.unique(classes):
        rows = classes == kind
        inverse = np.linalg.inv(information[rows].mean(0))
        mean_squares += rows.mean() * np.diag(inverse)[list(TARGET_COLUMNS)]
    return np.concatenate([[np.sqrt(mean_squares.sum())], np.sqrt(mean_squares)])
