"""Tables as pages for a browser: Snakemake's report shows pages, but offers CSV files for download only."""

from __future__ import annotations

import html
from pathlib import Path

import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text

DIGITS = 4  # of a number that is not whole
PAGE = """<!DOCTYPE html>
<html lang="en-GB">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1em; color: #111; background: #fff; }}
table {{ border-collapse: collapse; width: max-content; border-top: 2px solid; border-bottom: 2px solid; }}
th {{ border-bottom: 1px solid; vertical-align: bottom; }}
th, td {{ padding: 0.15em 0.7em; max-width: 26em; text-align: left; font-variant-numeric: tabular-nums; }}
td {{ vertical-align: top; }}
tbody tr:nth-child(even) {{ background: #f3f3f3; }}
</style>
<h1>{title}</h1>
{table}
</html>
"""


def show_tables(table: list[Path], output: list[Path]) -> None:
    """Write each table as a page of its own, with numbers of four digits; the same table gives the same bytes.

    Parameters
    ----------
    table
        CSV files.
    output
        An HTML file for each of them, in the same order.

    Raises
    ------
    LensvitError
        If a table is absent or broken, or their number is not that of the outputs.
    """
    if len(table) != len(output):
        raise LensvitError(f"{len(table)} tables and {len(output)} outputs: give one output for each table")
    for source, target in zip(table, output, strict=True):
        write_text(target, page(Path(source).stem, tables.read_csv(source)))


def page(title: str, table: pd.DataFrame) -> str:
    """The page.

    Parameters
    ----------
    title
        Its title.
    table
        What it shows, without the index.
    """
    shown = table.to_html(index=False, float_format=f"{{:.{DIGITS}g}}".format, na_rep="", border=0)
    return PAGE.format(title=html.escape(title), table=shown)
