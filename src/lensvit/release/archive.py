"""Archives of files with a manifest of their hashes: written, and unpacked with a check of every hash."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lensvit.errors import LensvitError
from lensvit.io.files import PUBLICATION_DATE, atomic, sha256

MANIFEST, RECORDS = "MANIFEST.json", "records.json"
FORMAT = 1
KINDS = ("results", "weights", "network")
HASH = 10  # digits of the manifest's hash in an archive's name


def hashes(parts: Mapping[str, Path], texts: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Name in the archive to the SHA-256 and the size [byte] of each file and of each text."""
    found = {name: (sha256(path), path.stat().st_size) for name, path in parts.items()}
    found |= {name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in texts.items()}
    return {name: {"sha256": digest, "size": size} for name, (digest, size) in found.items()}


def dump(content: Mapping[str, Any]) -> bytes:
    """A manifest as it is written."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def short(manifest: bytes) -> str:
    """The hash of a manifest in an archive's name."""
    return hashlib.sha256(manifest).hexdigest()[:HASH]


def pack(archive: Path, texts: Mapping[str, bytes], parts: Mapping[str, Path], level: int) -> None:
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
        right = manifest["format"] == FORMAT and manifest["kind"] in KINDS
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
    if named and manifest["kind"] != "weights" and named[1] != short(data):
        raise LensvitError(f"{file}: wrong hash: its manifest has {short(data)}, its name says {named[1]}")


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
