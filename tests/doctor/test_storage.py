import errno
import fcntl
import os
import shutil
from collections import namedtuple

import h5py
import pytest

from lensvit.doctor import storage


def locks(case):
    (answer,) = storage.locks(case)
    return answer


def test_locks_of_a_good_disk(case, tmp_path):
    assert locks(case()).verdict == "right"
    assert not (tmp_path / "results").exists()


def test_results_that_were_there_stay(case, tmp_path):
    (tmp_path / "results").mkdir()
    assert locks(case()).verdict == "right"
    assert list((tmp_path / "results").iterdir()) == []


def test_results_in_which_somebody_else_begins_to_write_stay(tmp_path):
    with storage.scratch(tmp_path / "far/results"):
        (tmp_path / "far/results/run").mkdir()
    assert list((tmp_path / "far/results").iterdir()) == [tmp_path / "far/results/run"]
    with storage.scratch(tmp_path / "other/results"):
        pass
    assert not (tmp_path / "other").exists()


def test_a_disk_that_lets_two_have_a_lock(case, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    answer = locks(case())
    assert answer.verdict == "wrong" and "two have the same lock" in answer.said and not answer.stops


def test_a_disk_without_locks(case, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    answer = locks(case())
    assert "gives no locks (" in answer.said and not answer.stops


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BlockingIOError(errno.EAGAIN, "unable to lock file"), "HDF5_USE_FILE_LOCKING=FALSE"),
        (OSError("unable to lock file"), "export HDF5_USE_FILE_LOCKING=FALSE"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full"),
    ],
)
def test_hdf5_that_cannot_be_written_stops_the_run(case, monkeypatch, error, said):
    def file(*_):
        raise error

    monkeypatch.setattr(h5py, "File", file)
    answer = locks(case())
    assert answer.stops and said in answer.said


def test_results_that_cannot_be_written(case, tmp_path):
    (tmp_path / "results").write_text("a file")
    answer = locks(case())
    assert answer.stops and "cannot be written" in answer.said


USAGE = namedtuple("usage", "total used free")


def space(case, monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: USAGE(100e9, 0, free))
    (answer,) = storage.space(case)
    return answer


def test_space(case, monkeypatch, tmp_path):
    asked = case(shift={"enabled": False})
    assert space(asked, monkeypatch, 50e9).verdict == "unknown"  # no checkpoint was measured
    asked.written["vit"] = 1.5e9
    answer = space(asked, monkeypatch, 50e9)
    # 15,600 images of 120 x 120 and of 300 x 300, 2 x 2 checkpoints of 1.5 GB
    assert answer.verdict == "right" and "images 6.5, draws 0.1, checkpoints 6.0" in answer.said
    answer = space(asked, monkeypatch, 12e9)
    assert answer.stops and "free some space" in answer.said
    there = tmp_path / "results/paper/images"
    there.mkdir(parents=True)
    with open(there / "a.h5", "wb") as file:
        file.truncate(2_000_000_000)
    answer = space(asked, monkeypatch, 12e9)
    assert answer.verdict == "right" and "2.0 of it are there" in answer.said


def test_the_training_without_a_psf_counts_as_a_third(case, monkeypatch):
    asked = case(shift={"enabled": True})
    asked.written["vit"] = 1e9
    assert "checkpoints 6.0" in space(asked, monkeypatch, 50e9).said  # vit, resnet, and resnet without a PSF
