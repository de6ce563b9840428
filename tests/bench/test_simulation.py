"""The benchmark measures what it says, and both ways give the same image."""

import pandas as pd
import pytest

from lensvit.bench.run import main
from lensvit.errors import LensvitError


@pytest.mark.slow
def test_both_ways_agree_and_are_measured(tmp_path, capsys):
    main("simulate", images=2, output=tmp_path / "bench.csv")
    table = pd.read_csv(tmp_path / "bench.csv").set_index("camera")
    assert list(table["images"]) == [1, 1, 2]
    assert (table["max_difference"] <= 1e-10).all()
    # not the ratio that is reached (docs/speed.md), which a busy machine can spoil, but more than none
    assert table.loc["both, half each", "ratio"] > 1.5
    assert "Keck AO" in capsys.readouterr().out


def test_unknown_benchmark():
    with pytest.raises(LensvitError, match="there are: simulate"):
        main("cook")


def test_too_few_images():
    with pytest.raises(LensvitError, match="2 is the least"):
        main("simulate", images=1)
