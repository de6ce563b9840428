"""Tables as pages for Snakemake's report."""

import re

import pytest

from lensvit.errors import LensvitError
from lensvit.paper.shown import show_tables


def test_a_table_becomes_a_page(tmp_path):
    (tmp_path / "real.csv").write_text("lens,theta_E,count,trusted\nA<B,1.234567,3,True\nC,,4,False\n")
    show_tables([tmp_path / "real.csv"], [tmp_path / "html" / "real.html"])
    text = (tmp_path / "html" / "real.html").read_text()
    assert "<h1>real</h1>" in text
    assert re.findall("<th>(.*?)</th>", text) == ["lens", "theta_E", "count", "trusted"]
    assert re.findall("<td>(.*?)</td>", text) == ["A&lt;B", "1.235", "3", "True", "C", "", "4", "False"]


def test_each_table_needs_an_output(tmp_path):
    with pytest.raises(LensvitError, match="1 tables and 0 outputs"):
        show_tables([tmp_path / "a.csv"], [])
