"""Files are whole or absent, also on a full disk."""

import errno
import hashlib

import h5py
import numpy as np
import pytest
from safetensors import SafetensorError

from lensvit.errors import LensvitError
from lensvit.io.files import atomic, manifest_path, read_json, reading, sha256, write_manifest, write_text


def test_atomic_renames_a_whole_file(tmp_path):
    target = tmp_path / "deep" / "file.h5"
    with atomic(target) as path:
        assert path.parent == target.parent and path.suffix == ".h5" and not target.exists()
        path.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(target) as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said(tmp_path, number):
    with pytest.raises(LensvitError, match=r"disk is full while writing .*file\.txt"), atomic(tmp_path / "file.txt"):
        raise OSError(number, "no space")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_under_hdf5_is_said(tmp_path):
    """/dev/full refuses every write as a full disk does."""
    with (
        pytest.raises(LensvitError, match="disk is full"),
        atomic(tmp_path / "images.h5"),
        h5py.File("/dev/full", "w") as file,
    ):
        file["image"] = np.zeros((1000, 1000))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "permission denied"), (errno.EROFS, "read-only"), (errno.ENOLCK, "HDF5_USE_FILE_LOCKING"),
        (errno.EAGAIN, "HDF5_USE_FILE_LOCKING"), (errno.EIO, "does not answer"), (errno.EMFILE, "ulimit"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("block", [atomic, reading])
def test_what_the_machine_says_is_one_line_that_never_advises_to_delete(tmp_path, number, said, block):
    for error in (OSError(number, "no"), OSError(f"Unable to open (errno = {number}, error message = 'no')")):
        with pytest.raises(LensvitError, match=said) as caught, block(tmp_path / "file.txt"):
            raise error
        assert "file.txt" in str(caught.value) and "delete" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_a_full_disk_under_fits_is_said(tmp_path):
    """As astropy reports it, which compares the space by itself."""
    with pytest.raises(LensvitError, match="disk is full"), atomic(tmp_path / "psf.fits"):
        raise OSError("Not enough space on disk: requested 100, available 10. Fully written 0.")


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(LensvitError, match="should be a folder"), atomic(tmp_path / "results/file.txt"):
        pass


def test_a_broken_file_is_one_line(tmp_path):
    path = tmp_path / "x.json"
    for content in (b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 1}'):
        path.write_bytes(content)
        with pytest.raises(LensvitError, match=r"x\.json is truncated or broken: delete it"):
            read_json(path, "b")


def test_other_errors_pass_as_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "file.txt"):
        raise ZeroDivisionError


def test_the_manifest_is_that_of_sha256sum(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"abc" * 1000)
    write_manifest(path)
    expected = hashlib.sha256(b"abc" * 1000).hexdigest()
    assert sha256(path) == expected
    assert manifest_path(path).read_text() == f"{expected}  data.bin\n"


def test_text_is_utf8(tmp_path):
    write_text(tmp_path / "x.txt", "sérsic γ")
    assert (tmp_path / "x.txt").read_bytes().decode("utf-8") == "sérsic γ"


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:719] . invalid file name: .partial-checkpoint.pt"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_under_weights_and_checkpoints_is_said(tmp_path, error):
    """As safetensors and torch report a file system of 1 MB."""
    with pytest.raises(LensvitError, match="disk is full"), atomic(tmp_path / "weights"):
        raise error


def test_a_broken_checkpoint_is_no_full_disk(tmp_path):
    """As torch reports one that is cut off."""
    error = RuntimeError("[enforce fail at inline_container.cc:320] . PytorchStreamReader failed reading zip archive")
    with pytest.raises(LensvitError, match="checkpoint is truncated or broken"), reading(tmp_path / "checkpoint"):
        raise error


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="NaN"), atomic(tmp_path / "weights"):
        raise RuntimeError("NaN")
