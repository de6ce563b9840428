"""Files that are whole or absent, because they are written beside their place and then renamed; manifests of files."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lensvit.errors import LensvitError

PUBLICATION_DATE = 1665273600  # 2022-10-09, the day after the original appeared: the one date in PDF and archive


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which is renamed to ``path`` when the block succeeds.

    The temporary name ends like ``path``, for libraries that look at the suffix. A block that fails leaves no
    temporary file, and what was at ``path`` before it.

    Parameters
    ----------
    path
        Where the file shall be; its folder is made.

    Raises
    ------
    LensvitError
        If the disk or the quota is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.name, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except Exception as error:
        if _disk_full(error):
            raise LensvitError(
                f"the disk is full while writing {path}: free some space there "
                "(or move results/ to another disk) and start the same command again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _disk_full(error: BaseException) -> bool:
    """Whether an error of any of the libraries that write says that the disk or the quota is full."""
    full, text = (errno.ENOSPC, errno.EDQUOT), str(error)
    if isinstance(error, OSError):
        # HDF5 reports a failed write as OSError without errno; the number stands in its text
        return error.errno in full or any(f"errno = {number}," in text for number in full)
    # safetensors has a class of its own; torch says no more than that its writer has failed
    return any(os.strerror(number) in text for number in full) or (
        isinstance(error, RuntimeError) and ("PytorchStreamWriter" in text or "inline_container" in text)
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest_path(path: Path) -> Path:
    """The path of the manifest of a file: the file's own path with ``.sha256`` added."""
    path = Path(path)
    return path.with_name(path.name + ".sha256")


def write_manifest(path: Path) -> None:
    """Write the manifest of a large file, in the format of ``sha256sum``.

    Snakemake compares files of more than 1 MB by their time alone. Rules depend on this small file instead, so that
    a copy or a touch of the large one re-runs nothing.
    """
    write_text(manifest_path(path), f"{sha256(path)}  {Path(path).name}\n")
