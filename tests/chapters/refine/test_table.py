"""What refinement reaches."""

import pandas as pd

from tests.builders import SPACE_SEEDS
from tests.chapters.refine.makers import made


def test_the_table(run):
    table = pd.read_csv(made(run)).set_index(["start", "instrument", "target"])
    assert table.loc[("prior", "all", "overall"), "converged"] == len(SPACE_SEEDS) - 1
    assert table.loc[("vit", "all", "overall"), "network"] > 3 * table.loc[("vit", "all", "overall"), "rmse"]
    assert set(table.loc["prior"].index.get_level_values(0)) == {"all", "hst", "keck"}
