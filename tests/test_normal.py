"""Normal numbers: NumPy's, bit for bit."""

import numpy as np
import pytest

from lensvit import normal


def numpys(seed, shape):
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_they_are_numpys_bit_for_bit(seed):
    """A million numbers go through each branch of the ziggurat: 270 of them through the tail."""
    found = normal.standard_normal(seed, (1000, 1000))
    assert found.dtype == np.float32 and (abs(found) > normal.TAIL).sum() > 200
    np.testing.assert_array_equal(found.view(np.uint32), numpys(seed, (1000, 1000)).view(np.uint32))


@pytest.mark.parametrize("shape", [(1,), (3, 5), (120, 120), (300, 300)])
def test_any_shape(shape):
    np.testing.assert_array_equal(normal.standard_normal(11, shape), numpys(11, shape))


def test_too_few_words_are_noticed(monkeypatch):
    monkeypatch.setattr(normal, "WORDS", 0.9)
    np.testing.assert_array_equal(normal.standard_normal(5, (200, 200)), numpys(5, (200, 200)))
