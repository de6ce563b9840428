"""Snakemake's records of how each file was made, one JSON file an output, under results/.metadata.

Layout and content are Snakemake's (snakemake.persistence.file): the file's name is the
output's path in URL-safe base64, cut into folders where it is too long.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lensvit.io.files import sha256, write_text

FOLDER = ".metadata"
LONGEST = 254  # characters of a file's name, as Snakemake cuts it on the usual file systems


def read_records(results: Path, run: str) -> dict[str, dict[str, Any]]:
    """The records of a run's files: path of the output -> record."""
    found = {}
    for path, output in _paths(results).items():
        if output.startswith(f"results/{run}/"):
            found[output] = json.loads(path.read_text(encoding="utf-8"))
    return found


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

    A file without a record is compared by its date alone, so that a result of other code is
    taken as it is. Outputs whose path begins with ``always`` keep their records: they are
    cheap, and made again.

    Parameters
    ----------
    known : path of the output -> record.
    always : beginning of a path.
    root : the clone, with src/ and rules/.
    """
    rules = "\n".join(path.read_text(encoding="utf-8") for path in sorted(root.glob("rules/*.smk")))
    shells = re.sub(r'"\s*"', "", rules)  # strings over several lines, joined as Python joins them
    kept, changed = {}, set()
    for output, record in known.items():
        different = {
            path
            for path, checksum in (record.get("input_checksums") or {}).items()
            if path.startswith("src/") and checksum != _checksum(root / path)
        }
        if record.get("code") and record["code"] not in shells:
            different.add(f"rule {record['rule']}")
        if not different or output.startswith(always):
            kept[output] = record
        else:
            changed |= different
    return kept, sorted(changed)


def _checksum(path: Path) -> str | None:
    return f"sha256:{sha256(path)}" if path.is_file() else None
