"""Tables that are of no use without rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lensvit.io.files import reading
from lensvit.io.tables import read_csv


def read_rows(path: Path, *names: str, columns: Sequence[str]) -> pd.DataFrame:
    """The table in a CSV file, which must have a row; see :func:`lensvit.io.tables.read_csv`.

    Parameters
    ----------
    path
        The file.
    names
        Columns of text.
    columns
        Further columns that it must have.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is broken, lacks a column or has no rows.
    """
    table = read_csv(path, *names, columns=columns)
    with reading(path):
        if table.empty:
            raise ValueError("it has no rows")
    return table
