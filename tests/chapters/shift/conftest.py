import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.shift.table import LEFT_OUT
from tests.chapters.shift.makers import made, sample


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(1)
    ordinary = pd.concat([sample(rng, 400), sample(rng, 300, psf="b")])
    left_out = pd.concat([sample(rng, 400), sample(rng, 300, error=1.5, psf="b")])
    samples = {
        "ordinary": ordinary, LEFT_OUT: left_out,
        "steep": sample(rng, 400, error=2, raised=1), "noisy": sample(rng, 20, error=3),
    }  # fmt: skip
    return made(tmp_path, **samples)
