"""What stages hand on to several chapters."""

import h5py
import numpy as np
import pytest

from lensvit.errors import LensvitError
from lensvit.io.products import read_draws


def test_draws_that_are_not_there(tmp_path):
    with pytest.raises(LensvitError, match="no file"):
        read_draws(tmp_path / "vit.h5", ["a"])
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["id"], file["draws"] = ["b", "c"], np.zeros((5, 2, 8))
    assert read_draws(tmp_path / "net.h5", ["c"]).shape == (5, 1, 8)
    with pytest.raises(LensvitError, match="nothing of the system a"):
        read_draws(tmp_path / "net.h5", ["a"])
    (tmp_path / "vit.h5").write_bytes(b"no HDF5")
    with pytest.raises(LensvitError, match="broken"):
        read_draws(tmp_path / "vit.h5", ["a"])
