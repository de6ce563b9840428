"""Methods beside the chains: on the same systems, each with the chain that stands for it."""

import pandas as pd
import pytest

from lensvit.chapters.mcmc.table import representative
from lensvit.errors import LensvitError
from lensvit.io.tables import PREDICTIONS
from tests.builders import filled
from tests.chapters.mcmc.makers import made_up, tables, write_methods


def test_a_system_has_the_networks_chain_where_it_has_converged():
    table = made_up()
    table.loc[(table["id"] == "s0") & (table["start"] == "network"), "converged"] = False
    shown = representative(table)[["id", "start"]].to_numpy().tolist()
    assert shown == [["s0", "prior"], ["s1", "network"], ["s2", "network"]]


def test_methods_are_compared_on_the_systems_with_a_chain(tmp_path):
    network = write_methods(tmp_path)
    table = pd.read_csv(tmp_path / "t" / "mcmc.csv").set_index(["method", "target"])
    assert table.loc["mcmc", "gamma"][["rmse", "width", "z", "offset"]].tolist() == pytest.approx([0.1, 1, 1, 0])
    assert table.loc["vit", "gamma"][["rmse", "width", "z", "offset"]].tolist() == pytest.approx([0.4, 4, 1, 3])
    assert table.loc["limit", "e1"][["systems", "rmse", "width"]].tolist() == pytest.approx([2, 0.05, 0.5])
    assert table.loc["refined", "overall"][["systems", "seconds"]].tolist() == [2, 2]
    filled(network.iloc[:2], PREDICTIONS).to_parquet(tmp_path / "vit.parquet")
    with pytest.raises(LensvitError, match="different systems"):
        tables(tmp_path, "t")
