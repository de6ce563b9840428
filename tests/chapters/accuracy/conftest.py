import numpy as np
import pandas as pd
import pytest

from lensvit.io.tables import PREDICTIONS
from lensvit.parameters import TARGETS
from tests.builders import filled


@pytest.fixture
def predictions(tmp_path):
    """Two models with Gaussian errors of the size that they predict; 120 systems."""
    rng = np.random.default_rng(0)
    truth = {target.name: rng.normal(target.prior.mean, target.prior.sd, 120) for target in TARGETS}
    for model, share in (("vit", 0.2), ("resnet", 0.5)):
        columns = {"id": [f"hst_a-test-{number:06d}" for number in range(120)]}
        for parameter in TARGETS:
            name, sigma = parameter.name, share * parameter.prior.sd
            columns |= {f"{name}_truth": truth[name], f"{name}_sigma": np.full(120, sigma)}
            columns[f"{name}_mean"] = truth[name] + rng.normal(0, sigma, 120)
        filled(pd.DataFrame(columns), PREDICTIONS).to_parquet(tmp_path / f"{model}.parquet")
    return [tmp_path / "vit.parquet", tmp_path / "resnet.parquet"]
