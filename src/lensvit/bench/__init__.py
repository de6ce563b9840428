"""``lensvit bench``: this package against the original's way of doing the same, on this machine."""

from __future__ import annotations

import importlib
from pathlib import Path

from lensvit.errors import LensvitError

# name -> the module whose `run(images, output)` measures it
BENCHMARKS = {
    "simulate": "lensvit.bench.simulation",
    "train": "lensvit.bench.train",
    "evaluate": "lensvit.bench.evaluate",
}


def main(what: str = "simulate", images: int = 40, output: Path | None = None) -> None:
    """Measure one stage side by side with the original's way; print a table, write a CSV.

    Parameters
    ----------
    what : which stage.
    images : how many images each way handles.
    output : the CSV file; nothing is written without it.

    Raises
    ------
    LensvitError
        If there is no benchmark of this name, or too few images to measure.
    """
    if what not in BENCHMARKS:
        raise LensvitError(f"no benchmark {what!r}; there are: {', '.join(BENCHMARKS)}")
    if images < 2:
        raise LensvitError(f"--images {images}: 2 is the least")
    importlib.import_module(BENCHMARKS[what]).run(images, output)
