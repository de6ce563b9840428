"""Releases: a run in one small archive that another clone adopts without computing anything.

An archive holds MANIFEST.json first (size and SHA-256 of every file, provenance), then records.json (what Snakemake
knows of how each file was made), then ro-crate-metadata.json (the same in terms that others read) with the workflow's
files, then the run's files. The same results give the same bytes. Which files of a chapter
are packed stands in its ``chapter.py``.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lensvit.chapters.registry import CHAPTERS, can_be_off
from lensvit.errors import LensvitError
from lensvit.io.files import PUBLICATION_DATE, manifest_path, read_json, read_text, read_yaml, sha256, trouble
from lensvit.io.tables import read_seconds
from lensvit.release import crate, records
from lensvit.release.archive import FORMAT, MANIFEST, RECORDS, dump, hashes, pack, short, unpack
from lensvit.release.network import install_network

BUDGET = 6_000_000  # bytes that the optional files may add to the small archive, compressed

SMALL = (
    "settings/**/*.yaml", "**/*.sha256", "scaler.json", "models/*/config.json", "models/*/history.csv",
    "models/*/provenance.json", "models/*/README.md", "models/*/reference.json", "models/*/features.safetensors",
    "psf/*.json", "predictions/**/*.parquet", "tables/*", "figures/*", "numbers.json",
    "paper/paper.tex", "paper/paper.pdf", "paper/paper-source.tar.gz", "benchmarks/**/*.tsv",
    *(pattern for chapter in CHAPTERS.values() for pattern in chapter.released),
)  # fmt: skip
# in this order while the budget lasts
OPTIONAL = (
    "catalog.parquet", *(pattern for chapter in CHAPTERS.values() for pattern in chapter.released_if_small),
    "predictions/**/*.h5", "psf/*.fits",
)  # fmt: skip
LARGE = "models/*/weights.safetensors"
PAGE = "index.html"  # with the weights; the figures in it are in the small archive already
# a run without them is not finished
REQUIRED = (
    "settings/numbers.yaml", "catalog.parquet", "catalog.parquet.sha256", "scaler.json", "models/*/config.json",
    "models/*/history.csv", "models/*/provenance.json", LARGE, "predictions/*.parquet",
    *(pattern for name, chapter in CHAPTERS.items() if not can_be_off(name) for pattern in chapter.released),
    "figures/*.pdf", "numbers.json", "paper/paper.tex", "paper/paper.pdf", "paper/paper-source.tar.gz",
)  # fmt: skip
REBUILT = "paper/paper.tex"  # made anew after adopting where the templates have changed


# ---------------------------------------------------------------- release


def release(run: str, results: Path = Path("results"), output: Path = Path("releases")) -> None:
    """Pack a finished run: ``{run}-{hash}.tar.gz``, of a few MB, and ``{run}-{hash}-weights.tar.gz``.

    The catalogue, the draws and the PSFs go into the first while they add no more than 6 MB,
    else into the second, where the page of results is too. Images go into neither: the same settings give them again.

    Parameters
    ----------
    run
        The run's name.
    results
        The folder of all runs.
    output
        The folder for the archives.

    Raises
    ------
    LensvitError
        If the run is not finished, or a file is not what its manifest says.
    """
    folder = Path(results) / run
    _check_finished(folder, run)
    small, large = _select(folder)
    for path in (*small, *large):
        _check_manifest(path)
    parts = {f"{run}/{path.relative_to(folder).as_posix()}": path for path in small}
    known = records.read_records(results, run)
    texts = {RECORDS: json.dumps(known, indent=1, sort_keys=True).encode()}
    content = _provenance(folder, run)
    texts |= _crate(run, content, hashes(parts, {}), known)
    manifest = dump({**content, "kind": "results", "files": hashes(parts, texts)})
    name = f"{run}-{short(manifest)}"
    pack(Path(output) / f"{name}.tar.gz", {MANIFEST: manifest, **texts}, parts, level=9)

    parts = {f"{run}/{path.relative_to(folder).as_posix()}": path for path in large}
    content = {"format": FORMAT, "run": run, "kind": "weights", "release": name, "files": hashes(parts, {})}
    pack(Path(output) / f"{name}-weights.tar.gz", {MANIFEST: dump(content)}, parts, level=1)

    for archive in (f"{name}.tar.gz", f"{name}-weights.tar.gz"):
        print(f"{Path(output) / archive}: {(Path(output) / archive).stat().st_size / 1e6:.1f} MB")
    moved = [path.relative_to(folder).as_posix() for path in large if path.suffix != ".safetensors"]
    if moved:
        print(f"with the weights, because they are large: {', '.join(moved)}")


def _crate(
    run: str, content: Mapping[str, Any], files: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]
) -> dict[str, bytes]:
    """The metadata of the run's folder as an RO-Crate, and the workflow, which it describes too."""
    workflow = {f"{run}/{name}": text for name, text in crate.workflow_files().items()}
    inside = {name.removeprefix(f"{run}/"): said for name, said in {**files, **hashes({}, workflow)}.items()}
    versions = [model["versions"] for model in content["models"].values() if isinstance(model.get("versions"), dict)]
    text = crate.describe(run, str(content["scale"]), inside, known, content["sha256_of_files_left_out"], versions)
    return {f"{run}/{crate.NAME}": text, **workflow}


def _check_finished(folder: Path, run: str) -> None:
    missing = [pattern for pattern in REQUIRED if not any(folder.glob(pattern))]
    if missing:
        raise LensvitError(
            f"{folder} is not a finished run, it lacks {', '.join(missing)}: make paper RUN={run} ends it"
        )


def _select(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of the small and of the large archive, each sorted."""
    small = _found(folder, SMALL)
    large = _found(folder, [LARGE, PAGE])
    left = BUDGET
    for path in (path for pattern in OPTIONAL for path in _found(folder, [pattern])):
        size = _compressed_size(path)
        if size <= left:
            left -= size
            small.append(path)
        else:
            large.append(path)
    return sorted(small), sorted(large)


def _found(folder: Path, patterns: Iterable[str]) -> list[Path]:
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in paths if path.is_file() and path.name[0] != ".")


def _compressed_size(path: Path) -> int:
    """The size after compression [byte]; that of the file itself where it is far above the budget anyway."""
    if path.stat().st_size > 4 * BUDGET:
        return path.stat().st_size
    return len(gzip.compress(path.read_bytes(), 6))


def _check_manifest(path: Path) -> None:
    """Raise a LensvitError if a file has a manifest that describes another one."""
    manifest = manifest_path(path)
    if manifest.exists() and read_text(manifest).split()[:1] != [sha256(path)]:
        raise LensvitError(
            f"{path} is not the file that {manifest.name} describes: delete both and run snakemake again"
        )


def _provenance(folder: Path, run: str) -> dict[str, Any]:
    """What a reader wants to know of how the results came about."""
    config = read_yaml(folder / "settings/numbers.yaml")
    models = {path.parent.name: read_json(path) for path in folder.glob("models/*/provenance.json")}
    durations = {
        path.relative_to(folder / "benchmarks").with_suffix("").as_posix(): read_seconds(path)
        for path in _found(folder, ["benchmarks/**/*.tsv"])
    }
    absent = {
        path.relative_to(folder).with_suffix("").as_posix(): read_text(path)[:64].strip()
        for path in _found(folder, ["images/**/*.sha256", "models/*/*.sha256"])
    }
    return {
        "format": FORMAT,
        "run": run,
        "scale": config["scale"],
        "seed": config["config"]["seed"],
        "models": models,  # versions, hardware, commit, seconds
        "seconds": durations,  # wall-clock of every job
        "sha256_of_files_left_out": absent,
    }


# ---------------------------------------------------------------- adopt


def adopt(
    file: Path, results: Path = Path("results"), networks: Path = Path("networks"), replace: bool = False
) -> None:
    """Install a release, its weights, or a network, after a check of every hash; on any error nothing is installed.

    Snakemake then takes the run as up to date. Files whose code has changed since the release are taken as they are,
    and the modules of that code are printed.

    Parameters
    ----------
    file
        An archive made by ``release``.
    results
        The folder of all runs.
    networks
        The folder of networks that come without their run.
    replace
        Move a run of the same name aside instead of refusing.

    Raises
    ------
    LensvitError
        If the archive is truncated or damaged, has no manifest, holds anything that its manifest
        does not, if a run of this name is there, or if weights are those of another run.
    """
    results = Path(results)
    results.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".adopt-", dir=results))
    try:
        manifest = unpack(file, staging)
        if manifest["kind"] == "weights":
            _install_weights(file, manifest, staging, results)
        elif manifest["kind"] == "network":
            install_network(manifest["run"], staging, networks)
        else:
            _install(manifest, staging, results, replace)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            if trouble(error) is None:
                raise
            raise LensvitError(f"{error.filename or file}: {trouble(error)}") from error
        raise LensvitError(f"the disk is full while adopting {file}: free some space in {results}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _install(manifest: Mapping[str, Any], staging: Path, results: Path, replace: bool) -> None:
    run = manifest["run"]
    target = results / run
    known = read_json(staging / RECORDS, kind="file of the archive", remedy="copy the archive again")
    kept, changed = records.still_valid(known, f"results/{run}/{PurePosixPath(REBUILT).parent}/")
    latex = f"results/{run}/{REBUILT}"
    _date(staging / run, rebuilt=latex in kept or latex not in known)
    if target.exists():
        if not replace:
            raise LensvitError(
                f"{target} is there already: move it away, or adopt with --replace (make adopt REPLACE=1), "
                "which moves it aside"
            )
        aside = _aside(target)
        os.replace(target, aside)
        print(f"moved {target} to {aside}")
    os.replace(staging / run, target)
    records.write_records(results, run, kept)
    print(f"adopted {target}: {len(manifest['files'])} files, every hash right")
    if changed:
        print(f"made by other versions of {', '.join(changed)}: the results are taken as they are")


def _install_weights(file: Path, manifest: Mapping[str, Any], staging: Path, results: Path) -> None:
    run = manifest["run"]
    if not (results / run).is_dir():
        raise LensvitError(f"no {results / run}: adopt {manifest['release']}.tar.gz first, then its weights")
    names = [name for name in manifest["files"] if name.startswith(f"{run}/")]
    for name in names:
        beside, digest = manifest_path(results / name), manifest["files"][name]["sha256"]
        if not beside.exists() or beside.read_text(encoding="utf-8").split()[:1] != [digest]:
            raise LensvitError(
                f"{name} in {file} is not that of the run in {results / run}: these are the weights of "
                f"{manifest['release']}"
            )
    for name in names:
        stamp = manifest_path(results / name).stat().st_mtime_ns
        os.utime(staging / name, ns=(stamp, stamp))
        os.replace(staging / name, results / name)
    print(f"adopted {len(names)} large files of {results / run}, every hash right")


def _date(folder: Path, rebuilt: bool) -> None:
    """Give all files one date, so that none is newer than what was made from it.

    With ``rebuilt`` REBUILT gets an old date, so that Snakemake compares the templates with those of its record. It
    does not where the record was dropped: then it would be made again in any case, from numbers that may lack what
    the present templates print.
    """
    now = (folder / "numbers.json").stat().st_mtime_ns
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(now, now))
    if rebuilt:
        os.utime(folder / REBUILT, (PUBLICATION_DATE, PUBLICATION_DATE))


def _aside(target: Path) -> Path:
    number = 1
    while (aside := target.with_name(f"{target.name}.replaced-{number}")).exists():
        number += 1
    return aside
