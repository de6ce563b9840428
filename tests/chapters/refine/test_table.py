"""What refinement reaches."""

import pandas as pd

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
