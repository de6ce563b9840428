"""The benchmark measures a likelihood call and its parts, and both ways give the same densities."""

import pandas as pd

from lensvit.bench import posterior
from lensvit.bench.run import main


def test_both_ways_agree_and_are_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(posterior, "ROUNDS", 1)
    main("posterior", images=16, output=tmp_path / "bench.csv")
    table = pd.read_csv(tmp_path / "bench.csv").set_index("case")
    assert (table["milliseconds"] > 0).all() and len(table) == 14
    calls = table[table.index.str.contains("likelihood call")]
    assert len(calls) == 2 and (calls["max_difference"] < 5e-3).all()
    assert "Keck AO, derivatives by 14 parameters" in capsys.readouterr().out
