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
from lensvit.io.hdf5 import find_systems, read_datasets
from lensvit.io.products import AMPLITUDE_TREATMENTS, read_limits
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES
from lensvit.statistics.metrics import with_overall

LEAST_OF_CLASS = 5  # systems of a class of the bound of van Trees, where a PSF has so many
INPUT = "input"  # the limit from what is left in a model's input


def limit_table(limit: Path, predictions: list[Path], amplitudes: str, inputs: list[str], output: Path) -> None:
    """Write each model's errors and the limit for the same systems, from the image and from the model's input.

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
        limit_input over the limit, which is what the resize loses, and rmse over limit_input, what the network does.
        pooled and sorted are the bound of van Trees with the chosen amplitudes, see :func:`van_trees`, over all
        systems together and over classes of the same PSF and much the same noise, of which there are ``classes``.

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
    bound = _bounds(limit, amplitudes, instruments)
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
    limits = [f"limit_{kind}" for kind in (*AMPLITUDE_TREATMENTS, INPUT)]
    order = [
        "model",
        "instrument",
        "target",
        "systems",
        "rmse",
        *limits,
        "ratio",
        "lost",
        "gap",
        "pooled",
        "sorted",
        "classes",
    ]
    write_text(output, pd.concat(rows)[order].to_csv(index=False, float_format="%.6g"))


def _rows(table: pd.DataFrame, bounds: Mapping[str, pd.DataFrame], amplitudes: str) -> pd.DataFrame:
    """One row a target, of one model and instrument."""
    systems = table.loc[bounds[amplitudes].index]
    error = tables.prediction_errors(systems)
    result = pd.DataFrame({"target": ["overall", *TARGET_NAMES], "systems": len(systems), "rmse": with_overall(error)})
    for treatment, values in bounds.items():
        result[f"limit_{treatment}"] = with_overall(values[list(TARGET_NAMES)].to_numpy())
    chosen, left = result[f"limit_{amplitudes}"], result[f"limit_{INPUT}"]
    return result.assign(ratio=result["rmse"] / chosen, lost=left / chosen, gap=result["rmse"] / left)


def _bounds(limit: Path, amplitudes: str, instruments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The bound of van Trees for each instrument, as columns of its rows."""
    table = tables.read_limit_systems(limit, amplitudes)
    ids, covariance = read_datasets(Path(limit).with_suffix(".h5"), "id", amplitudes)
    found = find_systems(Path(limit).with_suffix(".h5"), ids, list(table.index))
    information = np.linalg.inv(covariance[found])
    kinds = _classes(table)
    result: dict[str, dict[str, Any]] = {}
    for instrument in instruments:
        rows = table.index.get_indexer(of_group(table, "instrument", instrument).index)
        result[instrument] = {
            "pooled": van_trees(information[rows], np.zeros(len(rows), dtype=int)),
            "sorted": van_trees(information[rows], kinds[rows]),
            "classes": len(np.unique(kinds[rows])),
        }
    return result


def _classes(table: pd.DataFrame) -> np.ndarray:
    """The class (n,) of each system: its PSF, and its place in the order of noise among the PSF's systems."""
    by_psf = table.groupby("psf")["sigma_bkg"]
    rank = by_psf.rank(method="first") - 1
    most = np.maximum(by_psf.transform("size") // LEAST_OF_CLASS, 1)
    return table.groupby(["psf", (rank * most // by_psf.transform("size")).clip(upper=most - 1)]).ngroup().to_numpy()


def van_trees(information: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The bound of van Trees on root mean squared errors (Gill & Levit 1995, Bernoulli 1, 59).

    No estimator that knows the class of each system has a smaller mean squared error over systems like these: in each
    class the mean of the information is inverted. It is below the mean of the inverses, which is the limit, the more so
    the more systems of one class differ.

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
