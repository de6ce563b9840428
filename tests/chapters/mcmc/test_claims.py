"""What the paper says of the chains."""

import pandas as pd
import pytest

from tests.chapters.mcmc.makers import made_up, numbers_of, tables, write_methods


def test_the_numbers_of_the_paper(tmp_path):
    write_methods(tmp_path)
    numbers = numbers_of(tmp_path / "t", {"simulate": 50.0, "train/vit": 150.0, "evaluate/vit": 20.0})
    first, second = numbers["starts"]
    assert (first["key"], first["converged"], first["short"], first["chains"]) == ("prior", 2, 2, 4)
    assert [entry["converged"] for entry in second["instruments"]] == [2, 1]
    for start in numbers["starts"]:
        assert start["chains"] == start["converged"] + start["unexplained"] + start["short"] + start["disagree"]
    (speed,) = numbers["speed"]
    assert (speed["chain"], speed["network"], speed["ratio"]) == (10.0, 0.2, pytest.approx(50))
    assert speed["whole"] == pytest.approx(2.2) and speed["break_even"] == 21  # 200 / 9.8
    assert (first["burn_in"], second["burn_in"]) == (200, 100)
    assert (first["calls_enough"], second["calls_enough"]) == (200 + 800 / 2, 100 + 900 / 2)
    assert numbers["agree"] == 1.01 and (first["ess_bulk"], first["ess_tail"], numbers["enough"]) == (400, 500, 200)
    assert [method["label"] for method in numbers["methods"]] == ["MCMC", "ViT", "Refined", "Limit"]


def test_chains_from_exact_posteriors_do_not_say_how_fast_networks_are(tmp_path):
    durations = {"simulate": 50.0, "train/vit": 150.0, "evaluate/vit": 20.0}
    table = made_up(starts=("prior", "importance"))
    table.loc[table["start"] == "importance", "seconds"] = 1.0
    write_methods(tmp_path, chains=table)
    (speed,) = numbers_of(tmp_path / "t", durations)["speed"]
    assert speed["chain"] == 10.0
    table.loc[table["start"] == "prior", ["converged", "reason"]] = [False, "short"]
    tables(tmp_path, "t", chains=table)
    assert numbers_of(tmp_path / "t", durations)["speed"] == []


def test_starts_are_compared_on_the_systems_of_which_both_chains_converged(tmp_path):
    table = made_up(starts=("prior", "importance"))
    first = table["start"] == "prior"
    table["burn_in"] = [200, 10, 9000, 7000, 400, 50, 9000, 9000]  # the second has one converged chain, the last none
    write_methods(tmp_path, chains=table)
    prior, other = numbers_of(tmp_path / "t")["starts"]
    assert prior["burn_in_ratio"] is None and other["burn_in_ratio"] == 60 / 600
    table.loc[first, ["converged", "reason"]] = [False, "short"]
    tables(tmp_path, "t", chains=table)
    assert numbers_of(tmp_path / "t")["starts"][1]["burn_in_ratio"] is None


def test_a_table_of_an_older_version_has_no_standard_errors(tmp_path):
    write_methods(tmp_path)
    path = tmp_path / "t" / "mcmc.csv"
    new = numbers_of(tmp_path / "t")
    pd.read_csv(path).drop(columns=["rmse_error", "width_error"]).to_csv(path, index=False)
    old = numbers_of(tmp_path / "t")
    assert new["rows"][1]["methods"]["vit"]["width_error"] is not None and new["widths"]["most"]["error"] is not None
    assert old["rows"][1]["methods"]["vit"]["width_error"] is None and old["widths"]["most"]["error"] is None
    assert old["rows"][1]["methods"]["vit"]["rmse"] == new["rows"][1]["methods"]["vit"]["rmse"]


def test_a_camera_has_the_numbers_of_its_chains_and_one_without_any_is_left_out(tmp_path):
    table = made_up()
    write_methods(tmp_path, chains=table[(table["start"] == "prior") | (table["instrument"] == "hst")])
    prior, other = numbers_of(tmp_path / "t")["starts"]
    assert [entry["label"] for entry in prior["instruments"]] == ["HST", "Keck"]
    assert [entry["label"] for entry in other["instruments"]] == ["HST"]
    keck = prior["instruments"][1]
    assert (keck["chains"], keck["converged"], keck["short"], keck["burn_in"], keck["tau"]) == (2, 0, 2, 200, None)
