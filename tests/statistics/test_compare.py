"""When a difference is clear."""

import numpy as np
import pytest

from lensvit.statistics.compare import CLEAR, CLEAR_AMONG_MANY, is_clear


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_is_clear_beyond_its_errors(sign):
    assert is_clear(sign * 0.21, 0.1) and not is_clear(sign * 0.2, 0.1)
    assert is_clear(sign * 0.31, 0.1, CLEAR_AMONG_MANY) and not is_clear(sign * 0.29, 0.1, CLEAR_AMONG_MANY)


def test_the_thresholds_and_what_is_no_number():
    assert (CLEAR, CLEAR_AMONG_MANY) == (2.0, 3.0)
    assert is_clear(1e-9, 0.0) and not is_clear(0.0, 0.0) and not is_clear(np.nan, 0.1)
    assert is_clear(np.float64(1.0), np.float64(0.1)) is True
