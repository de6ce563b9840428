"""Releases: a run in one small archive that another clone adopts without computing anything.

An archive holds MANIFEST.json first (size and SHA-256 of every file, provenance), then records.json (what Snakemake
knows of how each file was made), then ro-crate-metadata.json (the same in terms that others read) with the workflow's
files, then the run's files. The same results give the same bytes. Which files of a chapter
are packed stands in its ``chapter.py``.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lensvit.chapters.registry import CHAPTERS, can_be_off
from lensvit.errors import LensvitError
from lensvit.io.files import PUBLICATION_DATE, atomic, manifest_path, read_json, read_text, read_yaml, sha256, trouble
from lensvit.io.tables import read_seconds
from lensvit.release import crate, records

MANIFEST, RECORDS = "MANIFEST.json", "records.json"
FORMAT = 1
BUDGET = 6_000_000  # bytes that the optional files may add to the small archive, compressed
HASH = 10  # digits of the manifest's hash in an archive's name

SMALL = (
    "settings/**/*.yaml", "**/*.sha256", "scaler.json", "models/*/config.json", "models/*/history.csv",
    "models/*/provenance.json", "psf/*.json", "predictions/**/*.parquet", "tables/*", "figures/*", "numbers.json",
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
    texts |= _crate(run, content, _hashes(parts, {}), known)
    manifest = _dump({**content, "kind": "results", "files": _hashes(parts, texts)})
    name = f"{run}-{_short(manifest)}"
    _pack(Path(output) / f"{name}.tar.gz", {MANIFEST: manifest, **texts}, parts, level=9)

    parts = {f"{run}/{path.relative_to(folder).as_posix()}": path for path in large}
    content = {"format": FORMAT, "run": run, "kind": "weights", "release": name, "files": _hashes(parts, {})}
    _pack(Path(output) / f"{name}-weights.tar.gz", {MANIFEST: _dump(content)}, parts, level=1)

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
    inside = {name.removeprefix(f"{run}/"): said for name, said in {**files, **_hashes({}, workflow)}.items()}
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


def _hashes(parts: Mapping[str, Path], texts: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Name in the archive to the SHA-256 and the size [byte] of each file and of each text."""
    found = {name: (sha256(path), path.stat().st_size) for name, path in parts.items()}
    found |= {name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in texts.items()}
    return {name: {"sha256": digest, "size": size} for name, (digest, size) in found.items()}


def _dump(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _short(manifest: bytes) -> str:
    return hashlib.sha256(manifest).hexdigest()[:HASH]


def _pack(archive: Path, texts: Mapping[str, bytes], parts: Mapping[str, Path], level: int) -> None:
    """Write an archive with the texts first, in their order, and the files behind them, sorted by name."""
    with (
        atomic(archive) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile("", "wb", level, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in texts.items():
            tar.addfile(_entry(name, len(data)), io.BytesIO(data))
        for name, path in sorted(parts.items()):
            with open(path, "rb") as stream:
                tar.addfile(_entry(name, path.stat().st_size), stream)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, PUBLICATION_DATE, 0o644
    return entry


# ---------------------------------------------------------------- adopt


def adopt(file: Path, results: Path = Path("results"), replace: bool = False) -> None:
    """Install a release, or its weights, after a check of every hash; on any error nothing is installed.

    Snakemake then takes the run as up to date. Files whose code has changed since the release are taken as they are,
    and the modules of that code are printed.

    Parameters
    ----------
    file
        An archive made by ``release``.
    results
        The folder of all runs.
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


# ---------------------------------------------------------------- a checked archive


def unpack(file: Path, folder: Path) -> dict[str, Any]:
    """Write an archive's files into a folder, each of them checked on the way.

    Parameters
    ----------
    file
        The archive.
    folder
        An empty folder; after an error its content is of no use.

    Returns
    -------
    dict
        The archive's manifest.

    Raises
    ------
    LensvitError
        If the archive is absent, truncated or damaged, has no manifest, or holds anything that its manifest does not.
    """
    file = Path(file)
    try:
        with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            members = iter(tar)
            manifest = _read_manifest(file, tar, next(members, None))
            found = {_extract(file, tar, member, manifest, folder) for member in members}
            for _ in _blocks(stream):  # to the end, where gzip's own checksum stands
                pass
    except FileNotFoundError as error:
        raise LensvitError(f"no archive {file}") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LensvitError(f"{file} is truncated or damaged ({error}): fetch it again") from error
    missing = sorted(set(manifest["files"]) - found)
    if missing:
        raise LensvitError(f"{file} is truncated or damaged, {missing[0]} is not in it: fetch it again")
    return manifest


def _read_manifest(file: Path, tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> dict[str, Any]:
    if member is None or member.name != MANIFEST or not member.isfile():
        raise LensvitError(f"{file} is no release: {MANIFEST} is not its first file; make release packs one")
    data = _content(tar, member).read()
    if len(data) != member.size:
        raise EOFError(f"{MANIFEST} ends early")
    try:
        manifest = json.loads(data)
        right = manifest["format"] == FORMAT and manifest["kind"] in ("results", "weights")
        names, run = list(manifest["files"].keys()), str(manifest["run"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LensvitError(f"{file}: {MANIFEST} is broken: fetch the archive again") from error
    if not right:
        raise LensvitError(f"{file} has a format that this lensvit does not know: use the one that made it")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", run):
        raise LensvitError(f"{file}: {run!r} is no name of a run")
    unsafe = [name for name in names if name != RECORDS and not _safe(name, run)]
    if unsafe:
        raise LensvitError(f"{file} is not to be trusted: {unsafe[0]!r} would lie outside results/{run}")
    _check_name(file, manifest, data)
    return manifest


def _safe(name: str, run: str) -> bool:
    parts = name.split("/")
    return len(parts) > 1 and parts[0] == run and not {"", ".", ".."} & set(parts) and "\\" not in name


def _check_name(file: Path, manifest: Mapping[str, Any], data: bytes) -> None:
    """Raise a LensvitError if the archive's name has the hash of another manifest."""
    named = re.search(rf"-([0-9a-f]{{{HASH}}})(-weights)?\.tar\.gz$", file.name)
    if named and manifest["kind"] == "results" and named[1] != _short(data):
        raise LensvitError(f"{file}: wrong hash: its manifest has {_short(data)}, its name says {named[1]}")


def _extract(
    file: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, manifest: Mapping[str, Any], folder: Path
) -> str:
    """Write one member, if it is what the manifest says, and return its name."""
    expected = manifest["files"].get(member.name)
    if expected is None or not member.isfile():
        raise LensvitError(f"{file} is not to be trusted: {member.name!r} is not in its manifest, or is no plain file")
    path = folder / member.name
    if path.exists():
        raise LensvitError(f"{file} is not to be trusted: it holds {member.name} twice")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as output:
        digest = _copy(_content(tar, member), output)
    if member.size != expected["size"] or digest != expected["sha256"]:
        raise LensvitError(f"{file}: wrong hash: {member.name} is not the file that {MANIFEST} describes")
    return member.name


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """The bytes of a member that is a plain file."""
    content = tar.extractfile(member)
    if content is None:
        raise tarfile.TarError(f"{member.name} is no plain file")
    return content


def _copy(source: IO[bytes], output: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for block in _blocks(source):
        digest.update(block)
        output.write(block)
    return digest.hexdigest()


def _blocks(source: IO[bytes] | gzip.GzipFile, size: int = 1 << 20) -> Iterator[bytes]:
    while block := source.read(size):
        yield block
