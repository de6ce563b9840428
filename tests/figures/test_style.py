"""What the figures share: labels with units, looks that differ in grey, bytes that repeat."""

import io
import re

import matplotlib
import pytest
from matplotlib.figure import Figure

from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.parameters import PARAMETERS
from tests import legible


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_every_symbol_is_known_to_mathtext(parameter):
    with matplotlib.rc_context(style.RC):
        figure = Figure()
        figure.text(0.5, 0.5, style.quantity(parameter, before="True"))
        figure.savefig(io.BytesIO(), format="pdf")


def test_units_stand_in_brackets_where_there_are_any():
    by_name = {parameter.name: parameter for parameter in PARAMETERS}
    assert style.quantity(by_name["R_sersic"], before="True").endswith("$ [arcsec]")
    assert style.quantity(by_name["e1"]) == "$e_1$"


def test_six_models_differ_without_colour():
    looks = style.looks("abcdef").values()
    for feature in ("color", "marker", "linestyle"):
        assert len({str(getattr(look, feature)) for look in looks}) == 6


def test_a_method_looks_the_same_beside_any_networks():
    alone, many = style.looks(["vit", "resnet"]), style.looks(["fit", "vit", "resnet", "third", "importance", "prior"])
    assert [many[name] for name in ("vit", "resnet")] == list(alone.values())
    assert many["importance"] is style.METHODS["importance"] and many["fit"] is style.METHODS["refined"]
    assert len({look.color for look in many.values()}) == 6
    assert len(style.looks(map(str, range(9)))) == 9


@pytest.mark.parametrize("low, high", [(0.15, 1.1), (0.8, 1.3), (3.0, 80.0), (0.02, 45.0), (1e-3, 1e3)])
def test_few_plain_numbers_on_a_logarithmic_axis(low, high):
    axes = Figure(figsize=(1.5, 1.5)).subplots()
    axes.set(xscale="log", xlim=(low, high))
    style.number_logarithmic(axes.xaxis)
    axes.figure.draw_without_rendering()
    numbers = [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert 1 <= len(numbers) <= 7 and all(float(number) > 0 for number in numbers)
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))


def test_what_figures_are_held_to_is_found_where_it_is_broken():
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.WIDTH, 2))
        axes = figure.subplots()
        axes.plot([0, 1], color=style.LOOKS[0].color)
        assert legible.faults(figure) == []
        axes.plot([0, 1], color="red")
        axes.imshow([[0, 1]], cmap="jet")
        axes.set_title("small", fontsize=6)
        figure.text(0, 0, "other", family="sans-serif")
        figure.set_figwidth(8)
    words = ("8.0 inches", "'small' has 6.0", "'other' is set in", "a line of #ff0000", "an image in jet")
    assert all(any(word in fault for fault in legible.faults(figure)) for word in words)


def test_the_same_figure_gives_the_same_bytes_whatever_the_users_settings(tmp_path):
    figure = Figure(figsize=(1, 1))
    figure.text(0.1, 0.5, r"text, $\theta_\mathrm{E}$")
    first = [tmp_path / "a.pdf", tmp_path / "a.png"]
    style.save(figure, first)
    with matplotlib.rc_context({"pdf.fonttype": 3, "savefig.dpi": 50, "savefig.bbox": "tight"}):
        style.save(figure, [tmp_path / "b.pdf", tmp_path / "b.png"])
    for path in first:
        assert path.read_bytes() == path.with_stem("b").read_bytes()
    pdf = first[0].read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf and not re.search(rb"/Subtype /Type3", pdf)


def test_another_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(LensvitError, match=r"a\.svg"):
        style.save(Figure(), [tmp_path / "a.pdf", tmp_path / "a.svg"])
    assert not list(tmp_path.iterdir())


def test_a_dollar_in_a_label_is_text():
    figure = Figure()
    figure.text(0, 0, style.literal("cost $5 and $x_"))
    figure.savefig(io.BytesIO(), format="png")
