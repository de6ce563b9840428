"""Files that are whole or absent, because they are written beside their place and then renamed; manifests of files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lensvit.errors import LensvitError

Model = TypeVar("Model", bound=BaseModel)

AGAIN = "delete it and run snakemake again"  # what mends a broken file that a stage has made
FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM)
LOCKED = (errno.ENOLCK, errno.EAGAIN, errno.EDEADLK)
TROUBLES = {  # what the machine says of a path, and what to do; the file itself may be whole
    **dict.fromkeys(DENIED, "permission denied: let the user who runs this use it and its folder (chmod, chown)"),
    **dict.fromkeys(FULL, "the disk is full: free some space there and start the same command again"),
    **dict.fromkeys(
        LOCKED,
        "no lock on it: another process writes it, which has to end first, or its file system gives no locks: "
        "set HDF5_USE_FILE_LOCKING=FALSE and start the same command again",
    ),
    errno.EROFS: "the disk is read-only: move results/ to a disk that can be written, or mount this one so",
    errno.EISDIR: "it is a folder and should be a file: move it away and run snakemake again",
    errno.ENOTDIR: "a part of its path is a file and should be a folder: move that file away",
    errno.ELOOP: "its symbolic links lead in a circle: remove them",
    errno.ENAMETOOLONG: "its path is too long for this file system: work in a folder with a shorter name",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many files are open: raise `ulimit -n`"),
    **dict.fromkeys(
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EIO), errno.EHOSTDOWN),
        "its disk does not answer: start the same command again when it does",
    ),
}

PUBLICATION_DATE = 1665273600  # 2022-10-09, the day after the original appeared: the one date in PDF and archive


def trouble(error: BaseException) -> str | None:
    """What the machine has to say by an error, and what to do; None where the error says nothing of the machine.

    Parameters
    ----------
    error
        An error of any of the libraries that read and write. Its causes are asked too.
    """
    return next((TROUBLES[number] for number in map(_error_number, _with_causes(error)) if number in TROUBLES), None)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _error_number(error: BaseException) -> int | None:
    """The number of the operating system's error, which some libraries only write in their text."""
    text = str(error)
    if isinstance(error, OSError):
        if error.errno:
            return error.errno
        # HDF5 reports a failed write as OSError without errno; astropy compares the space that is left by itself
        named = re.search(r"errno[ =]+(\d+)", text, re.IGNORECASE)
        if named:
            return int(named[1])
        if "Not enough space on disk" in text:
            return errno.ENOSPC
    # safetensors has a class of its own
    for number in (*FULL, *DENIED, errno.EROFS, errno.EISDIR):
        if os.strerror(number) in text:
            return number
    return None


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut to a readable length."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    line = next(iter(str(said).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= 160 else f"{line[:160]} ..."


@contextmanager
def reading(path: Path, kind: str = "file", remedy: str = AGAIN) -> Iterator[None]:
    """Turn every error of the block, which reads one file, into one line that says what is so.

    Parameters
    ----------
    path
        The file.
    kind
        What an error calls it, for example ``image file``.
    remedy
        What mends a file that is broken.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is broken, or lacks what the block takes from it.
    """
    try:
        yield
    except LensvitError:
        raise
    except FileNotFoundError as error:
        if remedy != AGAIN:
            raise LensvitError(f"there is no {kind} {path}") from error
        raise LensvitError(f"there is no {kind} {path}: run snakemake again, which makes it") from error
    except Exception as error:  # each library reports a broken file with classes of its own
        reason = trouble(error)
        if reason is not None:
            raise LensvitError(f"{path}: {reason}") from error
        raise LensvitError(f"{path} is truncated or broken: {remedy} ({first_line(error)})") from error


def read_text(path: Path, kind: str = "file", remedy: str = AGAIN) -> str:
    """The text of a file in UTF-8; see :func:`reading`."""
    with reading(path, kind, remedy):
        return Path(path).read_text(encoding="utf-8")


def read_bytes(path: Path, kind: str = "file") -> bytes:
    """The bytes of a file; see :func:`reading`."""
    with reading(path, kind):
        return Path(path).read_bytes()


def read_json(path: Path, *keys: str, kind: str = "file", remedy: str = AGAIN) -> dict[str, Any]:
    """The mapping in a JSON file, which has all of ``keys``; see :func:`reading`."""
    text = read_text(path, kind, remedy)
    with reading(path, kind, remedy):
        return _mapping(json.loads(text), keys)


def read_yaml(path: Path, *keys: str, kind: str = "file", remedy: str = AGAIN) -> dict[str, Any]:
    """The mapping in a YAML file, which has all of ``keys``; see :func:`reading`."""
    text = read_text(path, kind, remedy)
    with reading(path, kind, remedy):
        return _mapping(yaml.safe_load(text), keys)


def _mapping(content: object, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError("it holds no mapping")
    for key in keys:
        if key not in content:
            raise ValueError(f"it lacks {key!r}")
    return content


def read_model(path: Path, kind: type[Model]) -> Model:
    """A model from a JSON file.

    Parameters
    ----------
    path
        The file.
    kind
        The model.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is broken, or is not what the model says.
    """
    text = read_text(path)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise LensvitError(f"{path} is truncated or broken: {AGAIN} ({reason})") from error


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
        If the disk or the quota is full, or the place cannot be written.
    """
    path = Path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.name, dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with _writing(path):
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the machine says against writing a file into one line; other errors pass as they are."""
    try:
        yield
    except LensvitError:
        raise
    except FileExistsError as error:  # of mkdir: where the folder should be there is a file
        raise LensvitError(f"cannot write {path}: {TROUBLES[errno.ENOTDIR]}") from error
    except Exception as error:
        reason = TROUBLES[errno.ENOSPC] if _torch_failed(error) else trouble(error)
        if reason == TROUBLES[errno.ENOSPC]:
            raise LensvitError(
                f"the disk is full while writing {path}: free some space there "
                "(or move results/ to another disk) and start the same command again"
            ) from error
        if reason is not None:
            raise LensvitError(f"cannot write {path}: {reason}") from error
        raise


def _torch_failed(error: BaseException) -> bool:
    """Whether torch's writer has failed, of which it says no more: a full disk is the common reason."""
    return any(
        isinstance(seen, RuntimeError) and ("PytorchStreamWriter" in str(seen) or "inline_container" in str(seen))
        for seen in _with_causes(error)
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with reading(path), open(path, "rb") as stream:
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
