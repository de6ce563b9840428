"""The benchmark of exact posteriors certifies both systems, and holds them against a chain of equal effective size."""

import pandas as pd
import pytest

from lensvit.bench import importance
from lensvit.bench.run import main


def test_a_chain_of_equal_effective_size_is_held_against_both(tmp_path, monkeypatch):
    wanted = []
    monkeypatch.setattr(importance, "share_work", lambda work, cameras, threads: [work(*camera) for camera in cameras])
    monkeypatch.setattr(importance, "_chain", lambda *arguments: wanted.append(arguments) or (50_000.0, 100.0))
    main("importance", images=70, output=tmp_path / "bench.csv")
    table = pd.read_csv(tmp_path / "bench.csv").set_index("case")
    assert [settings.max_steps for _, settings, _ in wanted] == [70, 70]
    for camera, (target, _, effective) in zip(("HST", "Keck AO"), wanted, strict=True):
        exact, chain = table.loc[f"{camera}, importance sampling"], table.loc[f"{camera}, Markov chain"]
        assert (
            300 < exact["calls"] < 3000
            and exact["effective"] == pytest.approx(effective, rel=1e-3)
            and effective >= 200
        )
        assert chain["calls_ratio"] == pytest.approx(50_000 / exact["calls"], rel=1e-3)
        assert len(target.free) == 14
