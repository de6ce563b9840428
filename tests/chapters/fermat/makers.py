"""Populations of lenses whose errors are known."""

import numpy as np
import pandas as pd

from lensvit.chapters.fermat.table import fermat_table


def population(count, bias=0.0, factor=1.0, method="net", treatment="images", seed=0):
    """Systems with sigmas of 5%, their errors ``factor`` times as wide."""
    error = bias + factor * 0.05 * np.random.default_rng(seed).standard_normal(count)
    alone = 0.03 if treatment == "prediction" else np.nan
    return pd.DataFrame(
        {
            "id": [f"s{row}" for row in range(count)], "n_images": np.where(np.arange(count) % 4, 4, 2),
            "method": method, "treatment": treatment, "draws": 100, "unphysical": 1, "used": True,
            "error": error, "sigma": 0.05, "z": error / 0.05, "share_gamma": 0.8, "share_theta_E": 0.2,
            **dict.fromkeys(("sigma_gamma", "sigma_theta_E", "sigma_shear"), alone),
        }
    )  # fmt: skip


def table(folder, *parts):
    pd.concat(parts).to_parquet(folder / "fermat.parquet")
    fermat_table(folder / "fermat.parquet", 0.01, folder / "fermat.csv")
    return pd.read_csv(folder / "fermat.csv").set_index(["method", "treatment", "images"])
