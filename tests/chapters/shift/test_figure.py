"""Figure 7 on tables whose numbers are known."""

import pytest
import yaml

from lensvit.chapters.shift.figure import figure7
from lensvit.errors import LensvitError


def test_figure_7_is_drawn_of_its_tables_alone(tables, tmp_path):
    settings = tmp_path / "settings.yaml"
    labels = {"steep": "steep $ slope", "noisy": "strong noise"}
    settings.write_text(yaml.safe_dump({"left_out": "b", "options": labels}))
    outputs = [tmp_path / f"figure7.{suffix}" for suffix in ("pdf", "png")]
    figure7(settings, tmp_path / "shift.csv", tmp_path / "roc.csv", outputs)
    before = [path.read_bytes() for path in outputs]
    figure7(settings, tmp_path / "shift.csv", tmp_path / "roc.csv", outputs)
    assert [path.read_bytes() for path in outputs] == before and before[0].startswith(b"%PDF")
    with pytest.raises(LensvitError, match="there is no file"):
        figure7(settings, tmp_path / "none.csv", tmp_path / "roc.csv", outputs)
