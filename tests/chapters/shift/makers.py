"""Predictions and scores of known size, ordinary and shifted."""

import pandas as pd

from lensvit.chapters.shift.table import LEFT_OUT, shift_table
from lensvit.parameters import TARGET_NAMES

SIGMA = 0.1


def sample(rng, count, error=1.0, raised=0.0, psf="a", offset=0):
    """Predictions whose errors have a Gaussian scatter of ``error`` sigma; residuals are raised by so many sigma."""
    columns = {"id": [f"{psf}-test-{offset + number:06d}" for number in range(count)], "psf": psf}
    for name in TARGET_NAMES:
        truth = rng.normal(size=count)
        columns |= {
            f"{name}_truth": truth,
            f"{name}_mean": truth + error * SIGMA * rng.normal(size=count),
            f"{name}_sigma": SIGMA,
        }
    scores = {"epistemic": rng.normal(size=count), "predicted": rng.normal(size=count)}
    return pd.DataFrame(columns).assign(**scores, residual=raised + rng.normal(size=count))


def made(folder, **samples):
    """The two tables, of samples by name."""
    paths = []
    for name, table in samples.items():
        (folder / name).mkdir()
        paths.append(folder / name / "scores.parquet")
        table.to_parquet(paths[-1])
    shift_table(paths, folder / "shift.csv", folder / "roc.csv", "b" if LEFT_OUT in samples else None)
    return pd.read_csv(folder / "shift.csv").set_index(["case", "target"]), pd.read_csv(folder / "roc.csv")
