"""What is said at the end of a run or of a job that failed: the paper, its Table 1, and the one line that counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lensvit.errors import LensvitError

SAID = re.compile(r"lensvit \w+: ")  # how the line of an error begins that a user can mend
LONGEST = 300  # characters of a line that is shown


def useful_line(log: Path) -> str:
    """The one line of a failed job's log that says what went wrong: the last of lensvit's own, else the last of all.

    Parameters
    ----------
    log
        The log of the job, which may be absent.
    """
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it has left no log"
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        return "its log is empty: it was killed, by the memory that it took or by somebody"
    line = next((line for line in reversed(lines) if SAID.match(line)), lines[-1])
    return shortened(line)


def shortened(line: str) -> str:
    """The line, cut to a length that a terminal shows."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ..."


def table1(path: Path) -> list[str]:
    """Table 1 as lines of text, or none where the run has no such table.

    Parameters
    ----------
    path
        tables/table1.csv.
    """
    from lensvit.io import tables  # pandas takes a second to import, and every start of snakemake imports this module

    try:
        table = tables.read_by_target(path)
    except LensvitError:
        return []
    text = table.to_string(float_format=lambda value: f"{value:.3g}", na_rep="", index_names=False)
    return ["Table 1, root mean squared errors:", *(f"  {line}" for line in text.splitlines())]


def finished(outputs: Iterable[Path], table: Path) -> list[str]:
    """What is said when all jobs are done.

    Parameters
    ----------
    outputs
        What the run was for, as the PDF; what is not there is left out.
    table
        tables/table1.csv.
    """
    there = [path for path in map(Path, outputs) if path.is_file()]
    return [*(table1(table) if there else []), *(f"done: {path}" for path in there)]
