"""Symbols of parameters for HTML, from their labels in LaTeX."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

GREEK = re.compile(r"\\([A-Za-z]+)")
ROMAN = re.compile(r"\\mathrm\{(.*)\}")
ACUTE = "\N{COMBINING ACUTE ACCENT}"


class Symbol(NamedTuple):
    """A symbol, as text.

    Parameters
    ----------
    base
        What stands on the line.
    below
        Its index; "" for none.
    """

    base: str
    below: str


def symbol(label: str) -> Symbol:
    """The symbol of a label, which is LaTeX without dollar signs.

    Parameters
    ----------
    label
        A Greek or Latin letter, maybe with a prime, and maybe with an index of letters, numbers and ``mathrm``.

    Raises
    ------
    ValueError
        If LaTeX is left over that is not known here.
    """
    base, _, below = label.partition("_")
    below = below.removeprefix("{").removesuffix("}") if below.startswith("{") else below
    found = Symbol(_text(base), _text(below))
    if re.search(r"[\\{}^_$]", "".join(found)):
        raise ValueError(f"{label!r} is no label that the page can show")
    return found


def _text(part: str) -> str:
    part = re.sub(r"\\acute\{(\w)\}", rf"\1{ACUTE}", part)
    part = ROMAN.sub(r"\1", part)
    part = GREEK.sub(lambda match: _greek(match[1]), part)
    return unicodedata.normalize("NFC", part.replace("'", "\N{PRIME}"))


def _greek(name: str) -> str:
    """A Greek letter by its name in LaTeX; what is none stays as it is."""
    case = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper()}")
    except KeyError:
        return f"\\{name}"
