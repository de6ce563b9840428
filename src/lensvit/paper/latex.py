"""The filters of the paper's templates, which turn values into LaTeX.

Every filter takes a plain value and returns a string that is valid both in text and in math mode, except where its
docstring says otherwise.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': "''",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "°": r"\ensuremath{{}^\circ}",
    "·": r"\ensuremath{\cdot}",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "ß": r"\ss{}",
}
_GREEK = {
    unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}"): rf"\ensuremath{{\{name}}}"
    for name in (
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
        *("mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
    )
} | {"λ": r"\ensuremath{\lambda}", "Λ": r"\ensuremath{\Lambda}"}
# letters beyond Latin-1 that the T1 encoding has
_LETTERS = set("ĂăĄąĆćČčĎďĐđĘęĚěĞğĹĺĽľŁłŃńŇňŐőŔŕŘřŚśŞşŠšŢţŤťŮůŰűŹźŻżŽžŸŒœ")
_NUMERALS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


# ---------------------------------------------------------------- text


def escape(text: Any) -> str:
    """Text for LaTeX: special characters are escaped, and letters that fonts lack become the nearest plain ones."""
    return "".join(_character(character) for character in unicodedata.normalize("NFC", str(text)))


def lacking(text: str) -> list[str]:
    """The characters of a text that :func:`escape` cannot print as they are.

    Parameters
    ----------
    text
        Plain text.
    """
    return [character for character in unicodedata.normalize("NFC", text) if not _printable(character)]


def _printable(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    plain = unicodedata.normalize("NFKD", character)
    return _character(character) == character or character in _SPECIAL or character in _GREEK or plain in _GREEK


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else " "
    if character in _GREEK:
        return _GREEK[character]
    if character in _LETTERS or ("À" <= character <= "ÿ" and character.isalpha()):
        return character
    plain = unicodedata.normalize("NFKD", character)
    if plain in _GREEK:  # the micro sign
        return _GREEK[plain]
    return escape(plain.encode("ascii", "ignore").decode()) or "?"


def code(text: Any) -> str:
    """A name in typewriter type that may break after ``/ - _ .``; for text mode."""
    letters = (escape(character) for character in str(text))
    breakable = "".join(letter + (r"\allowbreak{}" if letter in ("/", "-", r"\_", ".") else "") for letter in letters)
    return rf"\texttt{{{breakable}}}"


def maths(label: str) -> str:
    """A parameter's label, which is LaTeX without dollar signs, ready for text."""
    return rf"\ensuremath{{{label}}}"


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def listing(items: Sequence[str], conjunction: str = "and") -> str:
    """Several items as in a sentence: ``A``, ``A and B``, ``A, B and C``.

    Parameters
    ----------
    items
        Formatted items.
    conjunction
        The word before the last item.

    Raises
    ------
    ValueError
        If there is nothing to list: a template asks first.
    """
    items = list(items)
    if not items:
        raise ValueError("nothing to list")
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def numeral(count: int) -> str:
    """A count as a word up to twelve, in digits above."""
    return _NUMERALS[count] if 0 <= count < len(_NUMERALS) else integer(count)


def plural(count: int, singular: str, many: str | None = None) -> str:
    """A count with its noun: ``one image``, ``three images``, ``27,000 images``.

    Parameters
    ----------
    count
        How many there are.
    singular
        The noun for one.
    many
        The noun for more; None: the singular with an s.
    """
    return f"{numeral(count)} {singular if count == 1 else many or singular + 's'}"


# ---------------------------------------------------------------- numbers


def integer(value: int) -> str:
    """A whole number with commas between thousands.

    Raises
    ------
    ValueError
        If the value is no whole number.
    """
    if value != int(value):
        raise ValueError(f"{value!r} is no whole number")
    return _typeset(f"{int(value):,}")


def number(value: float, digits: int | None = None, decimals: int | None = None) -> str:
    """A number with so many digits, or with up to four where nothing is asked for.

    A number below 1e-4 or from 1e7 on is written with a power of ten.

    Parameters
    ----------
    value
        The number.
    digits
        Significant digits; None: up to four, without zeros at the end.
    decimals
        Digits behind the point, in place of ``digits``.

    Raises
    ------
    ValueError
        For NaN and infinity.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot stand in the paper")
    if decimals is not None:
        return _typeset(f"{value:,.{decimals}f}")
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return _scientific(value, digits)
    rounded = float(f"{value:.{(digits or 4) - 1}e}")
    exponent = math.floor(math.log10(abs(rounded))) if rounded else 0
    text = f"{rounded:,.{max((digits or 4) - 1 - exponent, 0)}f}"
    if digits is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    return _typeset(text)


def _scientific(value: float, digits: int | None) -> str:
    mantissa, exponent = f"{value:.{(digits or 4) - 1}e}".split("e")
    if digits is None:
        mantissa = mantissa.rstrip("0").rstrip(".")
    factor = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa}\times ")
    return rf"\ensuremath{{{factor}10^{{{int(exponent)}}}}}"


def _typeset(text: str) -> str:
    if text.startswith("-") and not text.strip("-0.,"):
        text = text[1:]
    text = text.replace(",", "{,}")
    return rf"\ensuremath{{{text}}}" if text.startswith("-") else text


def rmse(value: float | None) -> str:
    """An error in a table: four decimals, but two digits below 0.001 and three from 1000 on; a dash for None."""
    if value is None:
        return "--"
    if abs(value) >= 1000:
        return number(value, digits=3)
    return number(value, digits=2) if 0 < abs(value) < 0.001 else number(value, decimals=4)


def uncertain(value: float, error: float) -> str:
    """A value and its standard error, both to the second significant digit of the error.

    Parameters
    ----------
    value
        The value.
    error
        Its standard error, in the same unit.

    Raises
    ------
    ValueError
        If the error is not positive, or one of the two is NaN or infinite.
    """
    decimals = _decimals(value, error)
    if error >= 1000:
        return rf"{number(value, digits=3)} \ensuremath{{\pm}} {number(error, digits=2)}"
    return rf"\ensuremath{{{value:.{decimals}f} \pm {error:.{decimals}f}}}"


def concise(value: float, error: float) -> str:
    """A value with its standard error in units of the last digits, to the second digit of the error: ``0.1179(39)``.

    An error of one and more has its own point: ``62.3(1.2)``.

    Parameters
    ----------
    value
        The value.
    error
        Its standard error, in the same unit.

    Raises
    ------
    ValueError
        If the error is not positive, or one of the two is NaN or infinite.
    """
    decimals = _decimals(value, error)
    if error >= 1000:
        return f"{number(value, digits=3)}({number(error, digits=2)})"
    shown = f"{error:.{decimals}f}"
    if float(shown) < 1:
        shown = f"{float(shown) * 10**decimals:.0f}"
    return _typeset(f"{value:,.{decimals}f}({shown})")


def _decimals(value: float, error: float) -> int:
    """Digits behind the point to the second significant digit of a value's standard error."""
    for number in (value, error):
        if not math.isfinite(number):
            raise ValueError(f"{number} cannot stand in the paper")
    if not error > 0:
        raise ValueError(f"{error} is no uncertainty")
    return max(1 - math.floor(math.log10(float(f"{error:.1e}"))), 0)


def percent(fraction: float, decimals: int = 0) -> str:
    """A fraction in per cent."""
    return number(100 * fraction, decimals=decimals) + r"\%"


def unit(text: str, name: str) -> str:
    """A formatted number with its unit; ``arcsec`` becomes the double prime.

    Parameters
    ----------
    text
        The number, formatted.
    name
        The unit; "" for none.
    """
    if name == "arcsec":
        return rf"\ensuremath{{{text}''}}"
    return f"{text}~{escape(name)}" if name else text


def brackets(name: str) -> str:
    """A unit in brackets after a space, to stand behind a label; nothing for a quantity without a unit."""
    return f" [{escape(name)}]" if name else ""


def duration(seconds: float) -> str:
    """A time in the unit that suits it: ``0.4 s``, ``45 s``, ``3.5 min``, ``2.1 h``; for text mode.

    Parameters
    ----------
    seconds
        The time [s].
    """
    if seconds < 10:
        return f"{number(seconds, decimals=1)}~s"
    if seconds < 100:
        return f"{number(seconds, decimals=0)}~s"
    if seconds < 100 * 60:
        return f"{number(seconds / 60, decimals=1)}~min"
    return f"{number(seconds / 3600, decimals=1)}~h"


def prior(entry: dict[str, Any]) -> str:
    """A prior as a formula, with its bounds behind it; for text mode.

    Parameters
    ----------
    entry
        A prior of numbers.json: ``kind``, as of :class:`lensvit.parameters.Prior`, ``mean``, ``sd``, ``low`` and
        ``high``.
    """
    if entry["kind"] == "uniform":
        return rf"$\mathcal{{U}}({number(entry['low'])},\, {number(entry['high'])})$"
    if entry["kind"] == "rayleigh":
        return rf"$\mathcal{{R}}({number(entry['sd'])})$"
    if entry["kind"] == "lognormal":
        return rf"$\ln\mathcal{{N}}({number(entry['mean'])},\, {number(entry['sd'])}^2)$"
    text = rf"$\mathcal{{N}}({number(entry['mean'])},\, {number(entry['sd'])}^2)$"
    words = {"low": "floor", "high": "ceiling"}
    bounds = [f"{word} {number(entry[key])}" for key, word in words.items() if entry[key] is not None]
    return ", ".join([text, *bounds])


FILTERS: dict[str, Callable[..., str]] = {
    "escape": escape,
    "e": escape,
    "code": code,
    "maths": maths,
    "capital": capital,
    "listing": listing,
    "numeral": numeral,
    "plural": plural,
    "integer": integer,
    "number": number,
    "rmse": rmse,
    "uncertain": uncertain,
    "concise": concise,
    "percent": percent,
    "unit": unit,
    "brackets": brackets,
    "duration": duration,
    "prior": prior,
}
