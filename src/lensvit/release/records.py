"""Snakemake's records of how each file was made, one JSON file an output, under results/.metadata.

Layout and content are Snakemake's (snakemake.persistence.file): the file's name is the
output's path in URL-safe base64, cut into folders where it is too long.
"""

from __future__ import annotations

import ast
import binascii
import json
import re
import tokenize
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lensvit.io.files import read_json, write_text
from lensvit.jobs.sources import code

FOLDER = ".metadata"
CODE = re.compile(r"'(?P<modules>lensvit\.[\w.]+( lensvit\.[\w.]+)*) [0-9a-f]+'")  # a parameter of most rules
LONGEST = 254  # characters of a file's name, as Snakemake cuts it on the usual file systems


def read_records(results: Path, run: str) -> dict[str, dict[str, Any]]:
    """The records of a run's files: path of the output -> record."""
    found = {}
    for path, output in _paths(results).items():
        if output.startswith(f"results/{run}/"):
            found[output] = read_json(path)
    return found


def read_record(results: Path, output: str) -> dict[str, Any] | None:
    """The record of one file; None where Snakemake has none of it.

    Parameters
    ----------
    results
        The folder of all runs.
    output
        Path of the file, as Snakemake knows it.

    Raises
    ------
    LensvitError
        If the record is broken.
    """
    path = Path(results) / FOLDER / _name(output)
    return read_json(path, "rule") if path.is_file() else None


def write_records(results: Path, run: str, known: Mapping[str, Mapping[str, Any]]) -> None:
    """Make ``known`` the records of a run, in place of any that are there."""
    for path, output in _paths(results).items():
        if output.startswith(f"results/{run}/") and output not in known:
            path.unlink()
    for output, record in known.items():
        write_text(Path(results) / FOLDER / _name(output), json.dumps(record))


def _name(output: str) -> Path:
    text = urlsafe_b64encode(output.encode()).decode()
    pieces = [text[start : start + LONGEST] for start in range(0, len(text), LONGEST)]
    return Path(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])


def _paths(results: Path) -> dict[Path, str]:
    """File of each record -> the output that it is about."""
    folder = Path(results) / FOLDER
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            try:
                text = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
                found[path] = urlsafe_b64decode(text).decode()
            except (binascii.Error, UnicodeDecodeError):  # a file that is being written
                continue
    return found


def still_valid(
    known: Mapping[str, Mapping[str, Any]], always: str, root: Path = Path()
) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Records of outputs that the present code would make in the same way; names of what has changed.

    Snakemake compares a file without a record by its date alone, so that a result of other code is taken as it is.
    Outputs whose path begins with ``always`` keep their records even so: they are cheap, and made again. Records of
    workflows in which rules did not name the code of their stage are dropped in any case.

    Parameters
    ----------
    known
        Path of the output to its record.
    always
        Beginning of a path.
    root
        The clone, with src/ and rules/.

    Returns
    -------
    kept : dict
        Records that still hold.
    changed : list of str
        Modules and rules, sorted.
    """
    shells = {text for path in root.glob("rules/*.smk") for text in _strings(path)}
    kept, changed = {}, set()
    for output, record in known.items():
        if any(path.startswith("src/") for path in record.get("input") or ()):
            changed.add("src/lensvit")  # as of when rules had the source files among their inputs
            continue
        different = set(_other_modules(record, root / "src" / "lensvit"))
        if record.get("code") and record["code"] not in shells:
            different.add(f"rule {record['rule']}")
        if not different or output.startswith(always):
            kept[output] = record
        else:
            changed |= different
    return kept, sorted(changed)


def _other_modules(record: Mapping[str, Any], source: Path) -> Iterator[str]:
    """The stage's module, where its code is not what the record says of it, see :func:`lensvit.jobs.sources.code`."""
    for parameter in record.get("params") or ():  # as Snakemake writes them: by repr
        if named := CODE.fullmatch(parameter):
            modules = named["modules"].split()
            try:
                same = code(*modules, source=source) == parameter.strip("'")
            except ModuleNotFoundError:
                same = False
            if not same:
                yield modules[0]


def _strings(path: Path) -> Iterator[str]:
    """The plain strings of a file of rules, neighbouring ones joined as Python joins them: its shell commands too."""
    pieces: list[str] = []
    with tokenize.open(path) as stream:
        for token in tokenize.generate_tokens(stream.readline):
            if token.type == tokenize.STRING and token.string[0] not in "fF":
                pieces.append(ast.literal_eval(token.string))
            elif token.type not in (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT):
                yield "".join(pieces)
                pieces = []
