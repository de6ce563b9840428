"""The table that a benchmark prints, and its CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lensvit.io.files import write_text


def publish(rows: list[dict[str, object]], output: Path | None) -> None:
    """Print a table, and write it as CSV if asked for.

    Parameters
    ----------
    rows
        Rows of the same keys.
    output
        The CSV file; nothing is written without it.
    """
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))
    if output is not None:
        write_text(output, table.to_csv(index=False, float_format="%.6g"))
