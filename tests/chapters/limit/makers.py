"""Limits and errors of known size."""

import pandas as pd

from lensvit.chapters.limit.table import limit_table

SYSTEMS = 60


def made(run, amplitudes="known"):
    paths = [run / "vit.parquet", run / "1.parquet"]
    limit_table(run / "limit.parquet", paths, amplitudes, ["graded60"] * 2, run / "limit.csv")
    return pd.read_csv(run / "limit.csv", dtype={"model": str}).set_index(["model", "instrument", "target"])
