"""Tables of a run: the catalogue, the predictions of the models, and the CSV files of the paper's tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from lensvit.errors import LensvitError
from lensvit.io.files import reading
from lensvit.parameters import FURTHER, NAMES, TARGET_NAMES

CATALOG = ("id", "split", "psf", "chunk", "row", *NAMES, "n_images", "sigma_bkg", "seed", "redraws")
# columns that the catalogue of free scenes has beside these, some or all: shapes, amplitudes, fluxes of the quasar, and
# the exposure time
FURTHER_COLUMNS = (
    *(row.name for row in FURTHER),
    *("lens_amp", "source_amp", "bulge_amp"),
    *(f"flux_{number}" for number in range(1, 6)),
    "exposure",
)
PREDICTED = ("id", *(f"{name}_{kind}" for name in TARGET_NAMES for kind in ("truth", "mean", "sigma")))
PREDICTIONS = ("psf", *PREDICTED, *(f"{name}_{kind}" for name in TARGET_NAMES for kind in ("aleatoric", "epistemic")))
# columns of Parquet files with text, and with true and false; all others hold numbers
TEXT = ("id", "split", "psf", "chunk", "instrument", "start", "reason", "method", "treatment")
FLAGS = ("converged", "cut", "used", "at_maximum", "explained", "certified", "valid_known", "valid_marginalised")
HISTORY = ("epoch", "train_loss", "validation_loss", "seconds", "images_per_second")
LIGHTS = ("image", "host", "lens", "quasar")  # whose signal to noise the limit measures: all together, and each in it
REFINED = ("instrument", "converged", "cut", "seconds", *PREDICTED, *(f"{name}_limit" for name in TARGET_NAMES))
IMPORTANCE = ("instrument", "certified", "reason", "ess", "calls", "seconds", *PREDICTED)
# why an exact posterior has no certificate
REASONS = NO_FIT, NO_DENSITY, UNEXPLAINED, HEAVY, FEW, UNSTEADY, MORE, CURVED = (
    "no fit", "no density", "unexplained", "heavy tail", "few", "unsteady", "more mass", "curved",
)  # fmt: skip


def read_parquet(path: Path, *columns: str) -> pd.DataFrame:
    """Columns of the table in a Parquet file.

    Nobody can use a column without asking for it: what is not asked for is left out.

    Parameters
    ----------
    path
        The file.
    columns
        The columns, which the file must have; the result has them in the file's order.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is broken, lacks a column, or has no rows.
    """
    with reading(path):
        return _typed(_columns_of(pd.read_parquet(path), columns))


def has_columns(path: Path, *columns: str) -> bool:
    """Whether the table in a Parquet file has some columns, which those of earlier versions may lack.

    Parameters
    ----------
    path
        The file.
    columns
        Names of the columns.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read or is broken.
    """
    with reading(path):
        return set(columns) <= set(pq.read_schema(path).names)


def read_shard(path: Path) -> pd.DataFrame:
    """All columns of a shard of a table, which may have no rows; see :func:`read_parquet`."""
    with reading(path):
        table = pd.read_parquet(path)
        if "id" not in table:
            raise ValueError("it lacks the column id")
        return table if table.empty else _typed(table)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """The table, or ValueError if one of its columns holds what its name does not say."""
    for name, column in table.items():
        if name in FLAGS and not is_bool_dtype(column):
            raise ValueError(f"its column {name} holds more than true and false")
        if name not in TEXT and not is_numeric_dtype(column):
            raise ValueError(f"its column {name} holds no numbers")
    return table


def read_catalog(path: Path) -> pd.DataFrame:
    """The catalogue of a run; see :func:`read_parquet`."""
    with reading(path):
        names = set(pq.read_schema(path).names)
    return read_parquet(path, *CATALOG, *(name for name in FURTHER_COLUMNS if name in names))


def by_id(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from a file, by the ids of its systems.

    Raises
    ------
    LensvitError
        If a system stands in it twice.
    """
    with reading(path):
        return _indexed(table, "id")


def read_limits(path: Path, amplitudes: str, suffix: str | None = None) -> pd.DataFrame:
    """The limits of information of a run by id, for one treatment of the amplitudes; see :func:`read_parquet`.

    ``suffix`` is what the columns of the targets end with, the treatment itself unless it is given.
    """
    columns = [f"valid_{amplitudes}", *(f"{name}_{suffix or amplitudes}" for name in TARGET_NAMES)]
    return by_id(path, read_parquet(path, "id", "instrument", *columns))


def read_limit_systems(path: Path, amplitudes: str) -> pd.DataFrame:
    """Instrument, PSF, noise and signals of the systems that have a limit, by id; see :func:`read_parquet`."""
    columns = ("id", "instrument", "psf", "sigma_bkg", f"valid_{amplitudes}", *(f"signal_{light}" for light in LIGHTS))
    table = by_id(path, read_parquet(path, *columns))
    return table[table[f"valid_{amplitudes}"]]


def read_refined(path: Path) -> pd.DataFrame:
    """Refined estimates by id; see :func:`read_parquet`. Those that have converged have widths."""
    table = by_id(path, read_parquet(path, *REFINED))
    with reading(path):
        check_widths(table[table["converged"]])
    return table


def read_history(path: Path, kept: int) -> pd.DataFrame:
    """The epochs of a training, from history.csv; see :func:`read_csv`. All they hold are finite numbers.

    Parameters
    ----------
    path
        The file.
    kept
        The epoch whose weights are kept, which the file must have.
    """
    table = read_csv(path, columns=HISTORY)
    with reading(path):
        _check_finite(_typed(table))
        if (table["epoch"] == kept).sum() != 1:
            raise ValueError(f"epoch {kept}, whose weights are kept, does not stand there once")
    return table


def _check_finite(table: pd.DataFrame) -> None:
    """Raise a ValueError if a column of numbers has one that is not finite."""
    for name, column in table.items():
        if name not in TEXT and not np.isfinite(column).all():
            raise ValueError(f"its column {name} holds what is no finite number")


def read_importance(path: Path) -> pd.DataFrame:
    """Exact posteriors by id; see :func:`read_parquet`.

    All that are not certified say why not, by one of :data:`REASONS`, and those that are have widths.
    """
    table = by_id(path, read_parquet(path, *IMPORTANCE))
    with reading(path):
        check_reasons(table, "certified", REASONS)
        check_widths(certified(table))
    return table


def certified(posteriors: pd.DataFrame) -> pd.DataFrame:
    """The exact posteriors that count."""
    return posteriors[posteriors["certified"]]


def check_reasons(table: pd.DataFrame, flag: str, reasons: Sequence[str]) -> None:
    """Raise a ValueError if a table does not say by one of some reasons why a row does not count, and only then.

    Parameters
    ----------
    table
        Its rows.
    flag
        The column that says whether a row counts.
    reasons
        What may stand in the column ``reason`` of a row that does not; in that of one that does, nothing.
    """
    for good, reason in table[[flag, "reason"]].drop_duplicates().itertuples(index=False):
        if (reason != "") if good else (reason not in reasons):
            raise ValueError(f"its column reason holds {reason!r} where {flag} is {str(good).lower()}")


def check_widths(table: pd.DataFrame) -> None:
    """Raise a ValueError if a mean of a posterior that counts is not finite, or a width not finite and above 0."""
    for name in TARGET_NAMES:
        mean, sigma = table[f"{name}_mean"], table[f"{name}_sigma"]
        wrong = table.index[~(np.isfinite(mean) & np.isfinite(sigma) & (sigma > 0))]
        if len(wrong):
            raise ValueError(f"{wrong[0]} counts and has no mean or no width of {name}")


def check_truths(path: Path, table: pd.DataFrame, systems: pd.DataFrame) -> None:
    """Raise a LensvitError if a table is of other systems than the catalogue.

    Parameters
    ----------
    path
        The file of the table.
    table
        Systems by id, with their truths.
    systems
        Rows of the catalogue, all of which the table has.
    """
    known = target_values(table.loc[systems["id"]], "truth")
    if not np.array_equal(known, systems[list(TARGET_NAMES)].to_numpy(dtype=float)):
        raise LensvitError(f"{path} is of other systems than the catalogue: delete it and run snakemake again")


def _indexed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table by one of its columns, or ValueError if a value stands in it twice."""
    twice = table[name][table[name].duplicated()]
    if len(twice):
        raise ValueError(f"{twice.iloc[0]} stands in its column {name} twice")
    return table.set_index(name)


def _columns_of(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """These columns in the table's order, or ValueError if it lacks one or has no rows."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"it lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    if table.empty:
        raise ValueError("it has no rows")
    return table[[name for name in table.columns if name in columns]]


def read_csv(path: Path, *names: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table in a CSV file.

    Parameters
    ----------
    path
        The file.
    names
        Columns of text, which the file must have. They are kept as written, also where they look like a number or
        are empty.
    columns
        The other columns, which the file must have, as in :func:`read_parquet`; None for all that are there.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is empty or broken, lacks a column, or has no rows.
    """
    with reading(path):
        content = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values="")
        content = _columns_of(content, [*names, *(content.columns if columns is None else columns)])
    return content.fillna(dict.fromkeys(names, ""))


def read_benchmark(path: Path, *columns: str) -> dict[str, float]:
    """What a job took, from the benchmark that Snakemake has written of it.

    Parameters
    ----------
    path
        Snakemake's table, whose last row counts.
    columns
        Snakemake's names of what is asked for.

    Returns
    -------
    dict[str, float]
        Column to its value; NaN where it was not measured.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is empty or broken, lacks a column, or has no rows.
    """
    with reading(path):
        last = _columns_of(pd.read_csv(path, sep="\t", na_values=["-", "NA"]), columns).iloc[-1]
        return {name: float(last[name]) for name in columns}


def read_seconds(path: Path) -> float:
    """The time that a job took [s], from its benchmark; see :func:`read_benchmark`. It must be there."""
    seconds = read_benchmark(path, "s")["s"]
    with reading(path):
        if not np.isfinite(seconds):
            raise ValueError("it has no time in its column s")
    return seconds


def read_by_target(path: Path) -> pd.DataFrame:
    """A CSV file of numbers with a row for "overall" and each target, by target; see :func:`read_csv`."""
    table = read_csv(path, "target")
    with reading(path):
        table = _indexed(table, "target")
        for row in ("overall", *TARGET_NAMES):
            if row not in table.index:
                raise ValueError(f"it lacks the row {row}")
        return table.astype(float)


def read_predictions(paths: list[Path], columns: Sequence[str] = PREDICTIONS) -> dict[str, pd.DataFrame]:
    """The predictions of several models, with their rows in the same order.

    Parameters
    ----------
    paths
        Parquet files, one a model, each with the model's name.
    columns
        The columns that are read.

    Returns
    -------
    dict[str, pd.DataFrame]
        Model to its predictions, in the order of ``paths``; the index are the systems' ids.

    Raises
    ------
    LensvitError
        If a file is absent or broken, holds a number that is not finite, or the models predict different systems.
    """
    tables = {}
    for path in paths:
        tables[Path(path).stem] = table = by_id(path, read_parquet(path, *columns))
        with reading(path):
            _check_finite(table)
    first, *others = tables
    ids = tables[first].index
    for name in others:
        if set(tables[name].index) != set(ids):
            raise LensvitError(
                f"the predictions of {first} and {name} are of different systems: delete both and run snakemake again"
            )
        tables[name] = tables[name].loc[ids]
    return tables


def target_values(table: pd.DataFrame, kind: str) -> np.ndarray:
    """Values of all targets, (n, K), from the columns ``{target}_{kind}`` of a table with one row a system."""
    return table[[f"{name}_{kind}" for name in TARGET_NAMES]].to_numpy(dtype=float)


def prediction_errors(table: pd.DataFrame) -> np.ndarray:
    """Predicted mean minus truth of all targets, (n, K), of a table of predictions."""
    return target_values(table, "mean") - target_values(table, "truth")
