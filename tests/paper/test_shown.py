"""Tables as pages for Snakemake's report."""

import pytest

from lensvit.errors import LensvitError
from lensvit.paper.shown import show_tables


def test_a_table_becomes_a_page(tmp_path):
    (tmp_path / "real.csv").write_text("lens,theta_E,count,trusted\nA<B,1.234567,3,True\nC,,4,False\n")
    show_tables([tmp_path / "real.csv"], [tmp_path / "html" / "real.html"])
    text = (tmp_path / "html" / "real.html").read_text()
    assert "<h1>real</h1>" in text and '<th>lens<th class="number">theta_E' in text
    assert '<tr><td>A&lt;B<td class="number">1.235<td class="number">3<td' in text
    assert '<tr><td>C<td class="number"><td class="number">4<td' in text


def test_each_table_needs_an_output(tmp_path):
    with pytest.raises(LensvitError, match="1 tables and 0 outputs"):
        show_tables([tmp_path / "a.csv"], [])
