"""How the numbers of Table 1 were made: the jobs behind each, from Snakemake's records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lensvit.io.files import manifest_path, read_text
from lensvit.release.records import CODE, read_record

DIGITS = 16  # of a hash that is shown
MANIFEST = ".sha256"
# kind of a column to the files of which it is made, below the folder of the run; "{key}" is the column's key
SOURCES = {
    "model": ("predictions/{key}.parquet",),
    "ensemble": (r"predictions/[^/]+\.parquet", r"predictions/validation/[^/]+\.parquet"),
    "refined": (r"refined/[^/]+\.parquet",),
    "exact": (r"importance\.parquet",),
    "bayes": (r"importance\.parquet",),
    "baseline": (r"catalog\.parquet", r"scaler\.json"),
    "limit": (r"limit\.parquet",),
}


@dataclass
class Job:
    """One job of Snakemake.

    Parameters
    ----------
    rule
        Name of its rule.
    command
        What it ran, as one can paste it into a terminal.
    inputs
        Files that it read, but for manifests.
    code
        Its module and the digest of all code that this imports; "" where the record has none.
    began
        When it began, UTC.
    seconds
        How long it took [s]; None where the record does not say.
    outputs
        Files that it made, but for manifests.
    hashes
        Output to the first digits of its SHA-256, where a manifest has it.
    """

    rule: str
    command: str
    inputs: list[str]
    code: str
    began: str
    seconds: float | None
    outputs: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)


def trace(runs: Path, outputs: Iterable[str]) -> list[Job]:
    """The jobs that made some files, and all that these were made from, the last ones first.

    A file of which there is no record, such as a file of the repository, has no job.

    Parameters
    ----------
    runs
        The folder of all runs, with Snakemake's records.
    outputs
        Paths of files, as Snakemake knows them.

    Raises
    ------
    LensvitError
        If a record or a manifest is broken.
    """
    found: dict[tuple[str, str], Job] = {}
    waiting, seen = list(dict.fromkeys(outputs)), set()
    for path in waiting:  # which grows meanwhile
        if path in seen or path.endswith(MANIFEST):
            continue
        seen.add(path)
        record = read_record(runs, path)
        if record is None:
            continue
        key = (str(record["rule"]), str(record.get("shellcmd") or ""))
        if key not in found:
            found[key] = _job(record)
            waiting.extend(found[key].inputs)
        found[key].outputs.append(path)
        manifest = manifest_path(Path(runs).parent / path)
        if manifest.is_file():
            found[key].hashes[path] = (read_text(manifest).split() or [""])[0][:DIGITS]
    return sorted(found.values(), key=lambda job: job.began, reverse=True)


def _job(record: Mapping[str, Any]) -> Job:
    start, end = record.get("starttime"), record.get("endtime")
    codes = [named[0].strip("'") for named in map(CODE.fullmatch, record.get("params") or ()) if named]
    return Job(
        rule=str(record["rule"]),
        command=str(record.get("shellcmd") or "").strip(),
        inputs=[path for path in record.get("input") or () if not path.endswith(MANIFEST)],
        code=codes[0] if codes else "",
        began="" if start is None else datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds"),
        seconds=None if start is None or end is None else round(end - start, 1),
    )


def sources(column: Mapping[str, Any], table: Job) -> list[str]:
    """The files that a column of Table 1 is made of; none for what was published.

    Parameters
    ----------
    column
        Its entry in numbers.json.
    table
        The job that made the table.
    """
    patterns = [pattern.replace("{key}", re.escape(column["key"])) for pattern in SOURCES.get(column["kind"], ())]
    found = [path for path in table.inputs for pattern in patterns if re.search(rf"(^|/){pattern}$", path)]
    if column["kind"] == "model":  # its further trainings, whose scatter is in its standard errors
        found += re.findall(rf"(?<=\s){re.escape(column['key'])}=(\S+)", table.command)
    return list(dict.fromkeys(found))


def behind(files: Iterable[str], jobs: list[Job]) -> list[int]:
    """The places of the jobs that made some files and all that these were made from, the last ones first.

    Parameters
    ----------
    files
        Paths.
    jobs
        See :func:`trace`.
    """
    makers = {path: place for place, job in enumerate(jobs) for path in job.outputs}
    found: set[int] = set()
    waiting = list(files)
    for path in waiting:  # which grows meanwhile
        place = makers.get(path)
        if place is not None and place not in found:
            found.add(place)
            waiting.extend(jobs[place].inputs)
    return sorted(found)
