"""The disk under results/: its locks, and its space."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from lensvit.config.schema import SPLITS, systems_of
from lensvit.doctor.answers import Answer, Case, right, unknown, wrong
from lensvit.io.files import first_line, trouble
from lensvit.parameters import TARGET_NAMES

BYTES = 4  # of a number in float32
OTHER = 0.2e9  # tables, figures, logs, small arrays [byte]


def locks(case: Case) -> Iterator[Answer]:
    """Whether files can be written and locked under results/."""
    what = f"locks in {case.results}/"
    try:
        with scratch(case.results) as name:
            flock = _flock(Path(name) / "lock")
            hdf5 = _hdf5(Path(name) / "file.h5")
    except OSError as error:
        said = trouble(error) or first_line(error)
        yield wrong(what, f"{case.results.absolute()} cannot be written: {said}")
        return
    if hdf5 is not None:
        yield wrong(what, hdf5)
    elif flock is not None:
        yield wrong(what, f"flock: {flock}; HDF5 writes all the same: never start two runs at a time", stops=False)
    else:
        yield right(what, "flock keeps a second one out, an HDF5 file is written and read")


@contextmanager
def scratch(results: Path) -> Iterator[str]:
    """A folder on the disk of the results; it, and what was made around it, is removed when it is left."""
    absent = [folder for folder in (results, *results.parents) if not folder.exists()]
    results.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=results, ignore_cleanup_errors=True) as name:
            yield name
    finally:
        with suppress(OSError):  # somebody else has begun to write there
            for folder in absent:
                folder.rmdir()


def _flock(path: Path) -> str | None:
    """What is wrong with locks of this disk; None for nothing."""
    try:
        with open(path, "w") as first, open(path, "w") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return "this disk lets two have the same lock"
    except OSError as error:
        return f"this disk gives no locks ({first_line(error)})"


def _hdf5(path: Path) -> str | None:
    """What is wrong with HDF5 on this disk; None for nothing."""
    try:
        with h5py.File(path, "w") as file:
            file["image"] = [1.0, 2.0]
        with h5py.File(path, "r") as file:
            if list(file["image"]) != [1.0, 2.0]:
                return "an HDF5 file reads differently from how it was written"
    except OSError as error:
        remedy = "export HDF5_USE_FILE_LOCKING=FALSE, or move results/ to a disk that gives locks"
        return f"an HDF5 file cannot be written or read ({first_line(error)}): {trouble(error) or remedy}"
    return None


def space(case: Case) -> Iterator[Answer]:
    """Whether the disk has room for what the run is going to write."""
    what = f"disk of {case.results}/"
    place = next(folder for folder in (case.results, *case.results.absolute().parents) if folder.is_dir())
    usage = shutil.disk_usage(place)
    images, draws, checkpoints = _images(case), _draws(case), _checkpoints(case)
    need = images + draws + checkpoints + OTHER
    there = sum(path.stat().st_size for path in _files(case.results / case.run.run))
    said = (
        f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} (a quota is not seen); the run needs about "
        f"{need / 1e9:.1f}: images {images / 1e9:.1f}, draws {draws / 1e9:.1f}, checkpoints {checkpoints / 1e9:.1f}"
    )
    if there:
        said = f"{said}; {there / 1e9:.1f} of it are there"
    if usage.free < need - there:
        yield wrong(what, f"{said}: free some space, or move results/ to another disk (a symbolic link will do)")
    elif checkpoints == 0:
        yield unknown(what, f"{said} as no network could be tried")
    else:
        yield right(what, said)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _images(case: Case) -> int:
    """Size of all images, those of the systems beyond the three splits at the mean of the others [byte]."""
    run = case.run
    sizes = {psf: BYTES * run.instruments[entry.instrument].pixels ** 2 for psf, entry in run.psfs.items()}
    own = sum(systems_of(run, psf, split) * size for psf, size in sizes.items() for split in SPLITS)
    more = {sample.key: sample.images for sample in run.given_images() if not sample.key.startswith("data.")}
    return own + round(sum(more.values()) * sum(sizes.values()) / len(sizes))


def _draws(case: Case) -> int:
    """Size of all draws [byte]."""
    evaluation, found = case.run.evaluation, 0
    for sample in case.run.given_images():
        passes = evaluation.validation_passes if sample.key == "data.validation" else evaluation.passes
        found += 0 if sample.is_trained_on else sample.images * passes * len(TARGET_NAMES) * BYTES
    return found


def _checkpoints(case: Case) -> int:
    """Size of the files of all trainings: the checkpoint, the one that is being written, and the weights [byte]."""
    largest = max(case.written.values(), default=0)
    trained = (sample.network for sample in case.run.given_images() if sample.is_trained_on)
    return 2 * sum(case.written.get(name, largest) for name in trained)
