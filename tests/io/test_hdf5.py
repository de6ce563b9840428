"""HDF5 files are read whole, or an error names them."""

import h5py
import numpy as np
import pytest

from lensvit.errors import LensvitError
from lensvit.io.hdf5 import find_systems, open_hdf5, read_datasets


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "draws.h5"
    with h5py.File(path, "w") as file:
        file["id"], file["draws"] = ["a", "b", "c"], np.arange(3000.0).reshape(1000, 3)
    return path


def test_datasets_with_text_as_text(path):
    ids, draws = read_datasets(path, "id", "draws")
    assert list(ids) == ["a", "b", "c"] and draws.shape == (1000, 3)


def test_an_absent_file_is_named_by_its_kind(tmp_path):
    with (
        pytest.raises(LensvitError, match=r"there is no image file .*x\.h5: run snakemake again"),
        open_hdf5(tmp_path / "x.h5", "image file"),
    ):
        pass


def test_a_truncated_file_and_what_it_lacks_are_named(path):
    with pytest.raises(LensvitError, match=r"draws\.h5 is truncated or broken: delete it .*'mean'"):
        read_datasets(path, "mean")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LensvitError, match=r"draws\.h5 is truncated or broken: delete it"):
        read_datasets(path, "draws")


def test_an_error_of_ones_own_passes_as_it_is(path):
    with pytest.raises(LensvitError, match=r"^mine$"), open_hdf5(path):
        raise LensvitError("mine")


def test_rows_of_systems(path):
    assert find_systems(path, ["a", "b", "c"], ["c", "a"]) == [2, 0]
    with pytest.raises(LensvitError, match=r"draws\.h5 has nothing of the system d: delete it"):
        find_systems(path, ["a", "b", "c"], ["c", "d"])
