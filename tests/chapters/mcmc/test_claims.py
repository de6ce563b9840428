"""What the paper says of the chains."""

import pytest

from tests.chapters.mcmc.makers import numbers_of, write_methods


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
