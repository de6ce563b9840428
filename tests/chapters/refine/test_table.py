"""What refinement reaches."""

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.refine.table import refined_table
from lensvit.jobs.seeds import derive
from lensvit.statistics.metrics import bootstrap_weights
from tests.builders import SPACE_SEEDS
from tests.chapters.refine.makers import made


def test_the_table(run):
    table = pd.read_csv(made(run)).set_index(["start", "instrument", "target"])
    assert table.loc[("prior", "all", "overall"), "converged"] == len(SPACE_SEEDS) - 1
    assert table.loc[("vit", "all", "overall"), "network"] > 3 * table.loc[("vit", "all", "overall"), "rmse"]
    both = table.loc[("vit", "all")]
    for name in ("rmse", "limit", "ratio", "z", "network"):
        assert (both[f"{name}_error"] > 0).all() and (both[f"{name}_error"] < both[name]).all()
    unpaired = (
        both["ratio"] * ((both["rmse_error"] / both["rmse"]) ** 2 + (both["limit_error"] / both["limit"]) ** 2) ** 0.5
    )
    assert not (both["ratio_error"] - unpaired).abs().lt(1e-6).any()
    assert table.loc["prior", "network_error"].isna().all()
    assert set(table.loc["prior"].index.get_level_values(0)) == {"all", "hst", "keck"}


def test_fits_from_another_start_are_held_against_the_first_on_the_systems_of_both(run):
    made(run)
    paths = [run / "refined" / f"{name}.parquet" for name in ("vit", "prior")]
    moved = pd.read_parquet(paths[1])
    moved["theta_E_mean"] += 0.5 * moved["theta_E_sigma"]
    moved.to_parquet(paths[1])
    refined_table(paths, [run / "predictions" / "vit.parquet"], run / "refined.csv")
    table = pd.read_csv(run / "refined.csv").set_index(["start", "instrument", "target"])
    other = table.loc[("prior", "all")]
    assert (other["shared"] == len(SPACE_SEEDS) - 1).all() and table.loc["vit", "shared"].isna().all()
    assert other["apart"]["theta_E"] == pytest.approx(0.5) and other["apart"]["gamma"] == 0
    assert other["apart"]["overall"] == pytest.approx(0.5 / 8**0.5, rel=1e-5)
    first = pd.read_parquet(paths[0]).iloc[:-1]  # the last one has no fit from the priors
    square, limit = (first["gamma_mean"] - first["gamma_truth"]) ** 2, first["gamma_limit"] ** 2
    assert other["first_ratio"]["gamma"] == pytest.approx((square.mean() / limit.mean()) ** 0.5, rel=1e-5)
    weights = bootstrap_weights(len(first), derive("bootstrap"))
    again = np.sqrt((weights @ square.to_numpy()) / (weights @ limit.to_numpy()))
    assert other["first_ratio_error"]["gamma"] == pytest.approx(again.std(ddof=1), rel=1e-4)
    nothing = moved.assign(converged=False)
    nothing.to_parquet(paths[1])
    refined_table(paths, [run / "predictions" / "vit.parquet"], run / "refined.csv")
    other = pd.read_csv(run / "refined.csv").set_index(["start", "instrument", "target"]).loc[("prior", "all")]
    assert (other["shared"] == 0).all() and other["apart"].isna().all()
