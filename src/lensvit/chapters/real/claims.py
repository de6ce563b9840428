"""What the paper prints and claims of real lenses: computed from the tables, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.chapters.quoting import Context, Measured, number
from lensvit.chapters.real.numbers import Part, RealLens, RealNetwork, RealNumbers, RealPopulation, RealRow, RealValue
from lensvit.chapters.real.table import FIT, LABELS, LEAST, PUBLISHED, WRONG
from lensvit.io.tables import read_csv
from lensvit.parameters import TABLE


def numbers(tables: Sequence[Path], context: Context) -> Part:
    """The chapter's part of numbers.json.

    Parameters
    ----------
    tables
        real.csv and population.csv.
    context
        The run.

    Raises
    ------
    LensvitError
        If a table is absent or empty.
    """
    path, summary = tables
    table = read_csv(path, "lens", "method", "reference", "verdict")
    labels = LABELS | context.labels
    fits = table[table["method"] == FIT]
    populations = read_csv(summary, "parameter")
    networks = [name for name in dict.fromkeys(table["method"]) if name not in LABELS]
    return Part(
        real=RealNumbers(
            lenses=[_lens(str(name), rows, labels) for name, rows in table.groupby("lens", sort=False)],
            trusted=int(fits["trusted"].map(_flag).sum()),
            certified=int(fits["certified"].map(_flag).sum()),
            wrong=WRONG,
            networks=[_network(labels.get(name, name), table[table["method"] == name]) for name in networks],
            population=[_population(row) for _, row in populations.iterrows() if row["lenses"] >= LEAST],
            least=LEAST,
        )
    )


def _lens(name: str, rows: pd.DataFrame, labels: Mapping[str, str]) -> RealLens:
    fit, published = rows[rows["method"] == FIT], rows[rows["method"] == PUBLISHED]
    return RealLens(
        name=name,
        verdict="" if fit.empty else str(fit["verdict"].iloc[0]),
        reference=None if published.empty else str(published["reference"].iloc[0]),
        rows=[_row(row, labels) for _, row in rows.iterrows()],
    )


def _row(row: pd.Series, labels: Mapping[str, str]) -> RealRow:
    return RealRow(
        method=row["method"],
        label=labels.get(row["method"], row["method"]),
        theta_E=_value(row, "theta_E"),
        gamma=_value(row, "gamma"),
        certified=_known(row["certified"]),
        trusted=_known(row["trusted"]),
        warned=_known(row["warned"]),
        distance=number(row["distance"]),
        off=number(row["off"]),
        wrong=_known(row["wrong"]),
    )


def _value(row: pd.Series, name: str) -> RealValue | None:
    value = number(row[name])
    return None if value is None else RealValue(value=value, sigma=number(row[f"{name}_sigma"]))


def _flag(value: Any) -> bool:
    """Whether a cell of a column with gaps says true."""
    return str(value) in ("True", "1.0", "1")


def _known(value: Any) -> bool | None:
    return None if pd.isna(value) else _flag(value)


def _network(label: str, rows: pd.DataFrame) -> RealNetwork:
    wrong = rows[rows["wrong"].map(_flag)]
    return RealNetwork(
        label=label,
        warned=rows["lens"][rows["warned"].map(_flag)].tolist(),
        judged=int(rows["off"].notna().sum()),
        wrong=wrong["lens"].tolist(),
        unwarned=wrong["lens"][~wrong["warned"].map(_flag)].tolist(),
    )


def _population(row: pd.Series) -> RealPopulation:
    parameter = TABLE[row["parameter"]]
    return RealPopulation(
        label=parameter.label,
        unit=parameter.unit,
        mean=Measured(value=float(row["mean"]), error=float(row["mean_error"])),
        scatter=float(row["scatter"]),
        scatter_low=float(row["scatter_low"]),
        scatter_high=float(row["scatter_high"]),
        lenses=int(row["lenses"]),
        certified=_flag(row["certified"]),
        resolved=_flag(row["resolved"]),
        prior_mean=float(row["prior_mean"]),
        prior_sd=float(row["prior_sd"]),
    )
