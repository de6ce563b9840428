"""The files from which the page is put together: its template, its script, its style, and the libraries that it has.

The libraries lie under ``assets/vendor``, as their packages on npm have them, each with its licence.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "assets"
DIGITS = 16  # of a digest


class Library(NamedTuple):
    """A library of others that the page has in it.

    Parameters
    ----------
    key
        Name of its files under ``assets/vendor``.
    name
        Its name on npm.
    version
        Its version there.
    licence
        Name of its licence.
    what
        What it does here.
    """

    key: str
    name: str
    version: str
    licence: str
    what: str

    @property
    def licence_text(self) -> str:
        """The whole licence."""
        return read(f"vendor/{self.key}.LICENSE.txt")


LIBRARIES = (
    Library("datatables", "datatables.net", "3.1.5", "MIT", "the table of systems"),
    Library("uplot", "uplot", "1.6.32", "MIT", "curves of trainings and of calibration"),
)


def read(name: str) -> str:
    """The text of a file under ``assets``."""
    return (FOLDER / name).read_text(encoding="utf-8")


def digest(folder: Path = FOLDER) -> str:
    """A digest of all files, by which Snakemake knows that the page is to be made again; the code is not in it."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return f"assets {found.hexdigest()[:DIGITS]}"
