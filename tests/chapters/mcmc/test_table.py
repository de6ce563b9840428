"""Methods beside the chains: on the same systems, each with the chain that stands for it."""

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.mcmc.table import read_chains, representative
from lensvit.errors import LensvitError
from lensvit.io.tables import PREDICTIONS
from lensvit.parameters import NAMES, TARGET_NAMES
from tests.builders import filled
from tests.chapters.exact import write_exact
from tests.chapters.mcmc.makers import made_up, numbers_of, tables, write_methods


def test_a_system_has_the_networks_chain_where_it_has_converged():
    table = made_up()
    table.loc[(table["id"] == "s0") & (table["start"] == "network"), "converged"] = False
    shown = representative(table)[["id", "start"]].to_numpy().tolist()
    assert shown == [["s0", "prior"], ["s1", "network"], ["s2", "network"]]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"reason": "tired"}, r"its column reason holds 'tired' where converged is \w+"),
        ({"gamma_sigma": 0.0}, "s0 counts and has no mean or no width of gamma"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(tmp_path, columns, why):
    made_up().assign(**columns).to_parquet(tmp_path / "mcmc.parquet")
    with pytest.raises(LensvitError, match=rf"mcmc\.parquet is truncated or broken: delete it .*{why}"):
        read_chains(tmp_path / "mcmc.parquet")


def test_methods_are_compared_on_the_systems_with_a_chain(tmp_path):
    network = write_methods(tmp_path)
    table = pd.read_csv(tmp_path / "t" / "mcmc.csv").set_index(["method", "target"])
    assert table.loc["mcmc", "gamma"][["rmse", "width", "z", "offset"]].tolist() == pytest.approx([0.1, 1, 1, 0])
    assert table.loc["vit", "gamma"][["rmse", "width", "z", "offset"]].tolist() == pytest.approx([0.4, 4, 1, 3])
    assert table.loc["limit", "e1"][["systems", "rmse", "width"]].tolist() == pytest.approx([2, 0.05, 0.5])
    assert table.loc["refined", "overall"][["systems", "seconds"]].tolist() == [2, 2]
    assert table.loc["mcmc", "overall"]["calls"] == 1000 and np.isnan(table.loc["refined", "overall"]["calls"])
    filled(network.iloc[:2], PREDICTIONS).to_parquet(tmp_path / "vit.parquet")
    with pytest.raises(LensvitError, match="different systems"):
        tables(tmp_path, "t")


def test_errors_and_widths_have_standard_errors(tmp_path):
    table = made_up(count=5)
    table[[f"{name}_sigma" for name in TARGET_NAMES]] *= np.repeat([1, 2, 4, 1, 1], 2)[:, None]  # alike for all targets
    table.loc[table["id"] == "s2", "gamma_mean"] = 1.5
    write_methods(tmp_path, chains=table)
    found = pd.read_csv(tmp_path / "t" / "mcmc.csv").set_index(["method", "target"])
    square = np.array([0.1, 0.1, 0.5, 0.1]) ** 2  # the last system has no converged chain
    drawn = np.random.default_rng(1).choice(square, (4000, 4)).mean(1)
    assert found.loc["mcmc", "gamma"]["rmse"] == pytest.approx(np.sqrt(square.mean()), rel=1e-5)
    assert found.loc["mcmc", "gamma"]["rmse_error"] == pytest.approx(np.sqrt(drawn).std(), rel=0.1)
    assert found.loc["mcmc", "overall"]["rmse_error"] < found.loc["mcmc", "gamma"]["rmse_error"]
    for target in ("overall", "gamma"):  # as the targets of a system are alike, they say no more than one of them
        row = found.loc["vit", target]
        assert row["width"] == pytest.approx((4 + 2 + 1 + 4) / 4)
        assert row["width_error"] == pytest.approx(np.std([4, 2, 1, 4], ddof=1) / 2, rel=1e-5)
    assert (found.loc["mcmc"]["width_error"] == 0).all()


def test_a_single_system_has_no_standard_error(tmp_path):
    write_methods(tmp_path, chains=made_up(count=2))
    found = pd.read_csv(tmp_path / "t" / "mcmc.csv").set_index("method")
    assert (found["systems"] == 1).all() and found[["rmse", "width"]].notna().all(None)
    assert found[["rmse_error", "width_error"]].isna().all(None)
    numbers = numbers_of(tmp_path / "t")
    assert {values["rmse_error"] for row in numbers["rows"] for values in row["methods"].values()} == {None}
    assert numbers["widths"]["most"]["error"] is None


def test_certified_posteriors_are_compared_and_their_samples_are_starts(tmp_path):
    systems = pd.DataFrame({"id": [f"s{number}" for number in range(4)], "calls": [300, 500, 700, 900], "seconds": 3.0})
    systems = systems.assign(**{f"{name}_truth": 1.0 for name in TARGET_NAMES})
    samples = np.random.default_rng(1).normal(1.1, 0.1, size=(4, 4000, len(NAMES)))
    write_exact(tmp_path / "importance.parquet", systems, samples, [True, True, False, True])
    write_methods(tmp_path, ("prior", "importance"), importance=tmp_path / "importance.parquet")
    table = pd.read_csv(tmp_path / "t" / "mcmc.csv").set_index(["method", "target"])
    exact = table.loc["importance", "gamma"]
    assert exact[["kind", "systems", "calls", "seconds"]].tolist() == ["exact", 2, 400, 3]
    assert exact[["rmse", "width", "z", "offset"]].tolist() == pytest.approx([0.1, 1, 1, 0], abs=0.06)
    numbers = numbers_of(tmp_path / "t")
    assert [start["key"] for start in numbers["starts"]] == ["prior", "importance"]
    assert numbers["methods"][3]["label"] == "Exact posterior" and numbers["methods"][3]["calls"] == 400
