"""What stages hand on to several chapters."""

import h5py
import numpy as np
import pytest

from lensvit.errors import LensvitError
from lensvit.io.hdf5 import of_rows
from lensvit.io.products import read_draws, read_laplace, read_samples
from lensvit.parameters import TARGET_COLUMNS


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


def write_fits(folder, **changes):
    """Fits of four systems, of which the last one is nothing."""
    random = np.random.default_rng(1)
    root = random.normal(size=(4, 14, 14))
    content = {"id": list("abcd"), "coordinates": random.normal(size=(4, 14)), "covariance": root @ root.mT}
    content["covariance"][3] = np.nan
    with h5py.File(folder / "vit.h5", "w") as file:
        for name, values in (content | changes).items():
            file[name] = values
    return content


def test_the_fits_of_some_systems_in_any_order(tmp_path):
    content = write_fits(tmp_path)
    found = read_laplace(tmp_path / "vit.parquet", ["c", "a"])
    np.testing.assert_array_equal(found.mean, content["coordinates"][[2, 0]])
    np.testing.assert_array_equal(found.covariance, content["covariance"][[2, 0]])
    targets = found.of_targets()
    np.testing.assert_array_equal(targets.mean, found.mean[:, TARGET_COLUMNS])
    np.testing.assert_array_equal(targets.covariance[1], found.covariance[1][np.ix_(TARGET_COLUMNS, TARGET_COLUMNS)])
    assert read_laplace(tmp_path / "vit.parquet", []).covariance.shape == (0, 14, 14)


def stained(shape, value, row=0):
    made = np.tile(np.eye(14), (4, 1, 1)) if len(shape) == 3 else np.ones(shape)
    made[(row, *[1] * (len(shape) - 1))] = value
    return made


def lopsided():
    """Covariances of which the upper triangle of the first says something else."""
    made = np.tile(np.eye(14), (4, 1, 1))
    made[0, 0, 5] = 0.5
    return made


FITS, SPREADS = (4, 14), (4, 14, 14)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"coordinates": np.ones((4, 13))}, r"its coordinates are float64 \(4, 13\) in place of numbers \(4, 14\)"),
        ({"coordinates": np.ones((3, 14))}, r"in place of numbers \(4, 14\)"),
        ({"coordinates": np.ones(FITS, int)}, r"its coordinates are int64"),
        ({"covariance": np.ones((4, 14))}, r"in place of numbers \(4, 14, 14\)"),
        ({"covariance": np.ones((4, 14, 13))}, r"in place of numbers \(4, 14, 14\)"),
        ({"covariance": np.full(SPREADS, "x", "S1")}, r"its covariance are"),
        ({"coordinates": stained(FITS, np.nan)}, "the fit of a has converged and is not finite"),
        ({"covariance": stained(SPREADS, np.inf)}, "the fit of a has converged and is not finite"),
        ({"covariance": stained(SPREADS, -1.0)}, "the covariance of a is none: it is not symmetric or has no"),
        ({"covariance": lopsided()}, "the covariance of a is none: it is not symmetric or has no Cholesky factor"),
    ],
)
def test_fits_that_are_no_normal_distributions_are_refused(tmp_path, changes, why):
    write_fits(tmp_path, **changes)
    with pytest.raises(LensvitError, match=rf"vit\.h5 is truncated or broken: delete it .*{why}") as error:
        read_laplace(tmp_path / "vit.parquet", ["b", "a"])
    assert "\n" not in str(error.value)


def write_samples(folder, samples, ids=("a", "b", "b")):
    with h5py.File(folder / "exact.h5", "w") as file:
        file["id"], file["samples"] = list(ids), samples


def test_the_samples_of_some_systems_or_rows(tmp_path):
    samples = np.random.default_rng(1).normal(size=(3, 5, 14)).astype("f4")
    samples[0] = np.nan
    write_samples(tmp_path, samples)
    found = read_samples(tmp_path / "exact.parquet", ["b"], [2])
    assert found.dtype == float
    np.testing.assert_array_equal(found, samples[[2]])
    np.testing.assert_array_equal(read_samples(tmp_path / "exact.parquet", ["b", "b"], [2, 1]), samples[[2, 1]])
    for options, why in (
        ({"ids": ["a"], "rows": [0]}, "the samples of a count and are not finite"),
        ({"ids": ["b"], "rows": [0]}, "it has other systems than the table beside it"),
        ({"ids": ["a"]}, "exact.h5 has the system b twice"),
    ):
        with pytest.raises(LensvitError, match=why):
            read_samples(tmp_path / "exact.parquet", **options)
    write_samples(tmp_path, samples, "abc")
    np.testing.assert_array_equal(read_samples(tmp_path / "exact.parquet", ["c"]), samples[[2]])
    assert read_samples(tmp_path / "exact.parquet", []).shape == (0, 5, 14)
    for name, why in (
        ("a", "the samples of a count and are not finite"),
        ("d", "exact.h5 has nothing of the system d"),
    ):
        with pytest.raises(LensvitError, match=why):
            read_samples(tmp_path / "exact.parquet", [name])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_samples_are_refused(tmp_path, count):
    write_samples(tmp_path, np.ones((3, count, 14)), "abc")
    with pytest.raises(LensvitError, match=r"exact\.h5 is truncated or broken: .*it has less than 4 samples"):
        read_samples(tmp_path / "exact.parquet", ["a"])


@pytest.mark.parametrize("shape", [(5, 2, 3), (5, 2, 8, 3), (5, 3, 8), (5, 2)])
def test_what_are_no_draws_is_refused(tmp_path, shape):
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["id"], file["draws"] = ["a", "b"], np.ones(shape, "f4")
    with pytest.raises(LensvitError, match=r"net\.h5 is truncated or broken: .*its draws are .* in place of numbers"):
        read_draws(tmp_path / "net.h5", ["a"])


@pytest.mark.parametrize(
    "samples", [np.ones((3, 14)), np.ones((3, 5, 8)), np.ones((2, 5, 14)), np.ones((3, 5, 14), int)]
)
def test_what_is_no_array_of_samples_is_refused(tmp_path, samples):
    write_samples(tmp_path, samples)
    with pytest.raises(
        LensvitError, match=r"exact\.h5 is truncated or broken: .*its samples are .* in place of numbers"
    ):
        read_samples(tmp_path / "exact.parquet", ["a"])


@pytest.mark.parametrize("axis", [0, 1])
def test_no_more_of_a_file_is_read_than_the_rows_lie_in(axis):
    class Dataset:
        """Keeps what it is asked for."""

        def __getitem__(self, key):
            self.asked = key
            return np.arange(100).reshape((10, 10))[key]

    dataset = Dataset()
    found = of_rows(dataset, [7, 4, 5], axis)
    np.testing.assert_array_equal(found, np.arange(100).reshape((10, 10)).take([7, 4, 5], axis))
    assert dataset.asked[-1] == slice(4, 8) and len(dataset.asked) == axis + 1
