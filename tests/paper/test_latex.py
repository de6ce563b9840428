from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from lensvit.paper import latex


@pytest.mark.parametrize(
    "text, expected",
    [
        (r"a\b", r"a\textbackslash{}b"),
        ("{50% of $3 & #2_x}", r"\{50\% of \$3 \& \#2\_x\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("a<b>c|d", r"a\ensuremath{<}b\ensuremath{>}c\ensuremath{|}d"),
        ("Sérsic", "Sérsic"),
        ("5 µm", r"5 \ensuremath{\mu}m"),
        ("α-net", r"\ensuremath{\alpha}-net"),
        ("ħ🙂", "??"),
        ("ﬁne", "fine"),
        ("two\nlines", "two lines"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert latex.escape(text) == expected


def test_code_may_break_after_separators() -> None:
    assert latex.code("a/b_c") == r"\texttt{a/\allowbreak{}b\_\allowbreak{}c}"


@pytest.mark.parametrize(
    "value, options, expected",
    [
        (0.12345, {"digits": 2}, "0.12"),
        (0.0999, {"digits": 2}, "0.10"),
        (9.996, {"digits": 3}, "10.0"),
        (1234.5, {"digits": 2}, "1{,}200"),
        (27000, {}, "27{,}000"),
        (0.3, {}, "0.3"),
        (2 * math.pi, {}, "6.283"),
        (-2.0, {}, r"\ensuremath{-2}"),
        (-0.001, {"decimals": 1}, "0.0"),
        (0.0, {}, "0"),
        (0.0302, {"decimals": 4}, "0.0302"),
        (1e-3, {}, "0.001"),
        (1e-5, {}, r"\ensuremath{10^{-5}}"),
        (2.5e-5, {"digits": 2}, r"\ensuremath{2.5\times 10^{-5}}"),
        (-1e8, {}, r"\ensuremath{-10^{8}}"),
    ],
)
def test_number(value: float, options: dict, expected: str) -> None:
    assert latex.number(value, **options) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_number_refuses_what_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="cannot stand in the paper"):
        latex.number(value)


def test_integer() -> None:
    assert latex.integer(85810960) == "85{,}810{,}960"
    assert latex.integer(3.0) == "3"
    with pytest.raises(ValueError, match="no whole number"):
        latex.integer(3.5)


@pytest.mark.parametrize("value, expected", [(0.1232, "0.1232"), (0.00042, "0.00042"), (None, "--"), (1.0, "1.0000")])
def test_rmse(value: float | None, expected: str) -> None:
    assert latex.rmse(value) == expected


@pytest.mark.parametrize(
    "value, error, expected",
    [
        (0.12321, 0.00412, r"\ensuremath{0.1232 \pm 0.0041}"),
        (0.12321, 0.0996, r"\ensuremath{0.12 \pm 0.10}"),
        (12.3, 25.0, r"\ensuremath{12 \pm 25}"),
    ],
)
def test_uncertain(value: float, error: float, expected: str) -> None:
    assert latex.uncertain(value, error) == expected


@pytest.mark.parametrize(
    "value, error, expected",
    [
        (0.117868, 0.003947, "0.1179(39)"),
        (0.00197, 0.000996, "0.0020(10)"),
        (0.0009727, 0.0000726, "0.000973(73)"),
        (73.69, 1.04, "73.7(1.0)"),
        (1.5, 0.997, "1.5(1.0)"),
        (12.3, 25.0, "12(25)"),
        (1234.5, 12.0, "1{,}234(12)"),
        (-0.1885, 0.0249, r"\ensuremath{-0.189(25)}"),
    ],
)
def test_concise(value: float, error: float, expected: str) -> None:
    assert latex.concise(value, error) == expected


@pytest.mark.parametrize("form", [latex.concise, latex.uncertain])
def test_what_has_no_error_or_is_no_number_is_not_printed(form: Callable[[float, float], str]) -> None:
    with pytest.raises(ValueError, match="is no uncertainty"):
        form(1.0, 0.0)
    for value, error in ((float("nan"), 0.1), (0.1, float("nan")), (float("inf"), 0.1)):
        with pytest.raises(ValueError, match="cannot stand in the paper"):
            form(value, error)


@pytest.mark.parametrize("items, expected", [(["A"], "A"), (["A", "B"], "A and B"), (["A", "B", "C"], "A, B and C")])
def test_listing(items: list[str], expected: str) -> None:
    assert latex.listing(items) == expected


def test_listing_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to list"):
        latex.listing([])


def test_plural() -> None:
    assert latex.plural(1, "model") == "one model"
    assert latex.plural(12, "model") == "twelve models"
    assert latex.plural(1200, "galaxy", "galaxies") == "1{,}200 galaxies"


def test_percent() -> None:
    assert latex.percent(0.683) == r"68\%"
    assert latex.percent(0.683, 1) == r"68.3\%"


def test_unit() -> None:
    assert latex.unit("0.05", "arcsec") == r"\ensuremath{0.05''}"
    assert latex.unit("6", "µm") == r"6~\ensuremath{\mu}m"
    assert latex.unit("2", "") == "2"
    assert latex.brackets("arcsec") == " [arcsec]"
    assert latex.brackets("") == ""


@pytest.mark.parametrize(
    "seconds, expected", [(0.42, "0.4~s"), (45.2, "45~s"), (210, "3.5~min"), (7560, "2.1~h"), (360000, "100.0~h")]
)
def test_duration(seconds: float, expected: str) -> None:
    assert latex.duration(seconds) == expected


def test_prior() -> None:
    normal = {"kind": "normal", "mean": 1.25, "sd": 0.3, "low": 0.1, "high": None}
    uniform = {"kind": "uniform", "mean": None, "sd": None, "low": 0.0, "high": 1.0}
    assert latex.prior(normal) == r"$\mathcal{N}(1.25,\, 0.3^2)$, floor 0.1"
    assert latex.prior(normal | {"high": 2}) == r"$\mathcal{N}(1.25,\, 0.3^2)$, floor 0.1, ceiling 2"
    assert latex.prior(uniform) == r"$\mathcal{U}(0,\, 1)$"


def test_capital() -> None:
    assert latex.capital("two models") == "Two models"


def test_an_error_beyond_all_measure_is_still_short():
    """What a network of raw counts can predict before it has learned."""
    assert len(latex.rmse(1.0641e19)) < 40 and "10^{19}" in latex.rmse(1.0641e19)
    assert "10^{19}" in latex.uncertain(1.0641e19, 3.0e18)
    assert len(latex.concise(1.0641e19, 3.0e18)) < 80 and "10^{19}" in latex.concise(1.0641e19, 3.0e18)
