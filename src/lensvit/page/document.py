"""The HTML of the page, from its data and the template."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from lensvit.errors import LensvitError
from lensvit.io.files import read_bytes, read_text
from lensvit.page import assets
from lensvit.page.png import SIGNATURE
from lensvit.page.symbols import symbol
from lensvit.paper.latex import concise, rmse

ROWS = {  # of Table 1, of several targets together
    "overall": "overall",
    "standardised": "standardised",
    "mass": "standardised, of the mass",
}
POWER = re.compile(r"(?:([\d.]+)\\times )?10\^\{(-?\d+)\}")
MATHS = re.compile(r"\\ensuremath\{(.*)\}")


class Figure(NamedTuple):
    """A figure of the paper.

    Parameters
    ----------
    name
        Its name, as in ``figures/{name}.pdf``.
    caption
        What it shows, as plain text.
    png
        The file in base64.
    """

    name: str
    caption: str
    png: str

    @property
    def title(self) -> str:
        """Its name, as printed."""
        return re.sub(r"(\d+)$", r" \1", self.name).capitalize()

    @property
    def alternative(self) -> str:
        """What stands for it where it cannot be seen, beside its caption: what kind of thing the caption describes."""
        return f"{self.title}: {re.split(r'(?<=[.:])(?: |$)', self.caption)[0].rstrip('.:')}"


def read_figure(png: Path, caption: str) -> Figure:
    """A figure from its file.

    Parameters
    ----------
    png
        figures/{name}.png.
    caption
        What it shows.

    Raises
    ------
    LensvitError
        If the file is absent or is no PNG file.
    """
    data = read_bytes(png)
    if not data.startswith(SIGNATURE) or b"IEND" not in data[-12:]:
        raise LensvitError(f"{png} is truncated or broken: delete it and run snakemake again")
    return Figure(Path(png).stem, caption, b64encode(data).decode())


def read_caption(path: Path) -> str:
    """A caption of ``paper/captions`` as plain text, in one line."""
    return " ".join(read_text(path).replace("``", "").split())


def embedded(content: Any) -> str:
    """Data as JSON that can stand in a script element: nothing in it ends the element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def cell(value: float | None, error: float | None) -> str:
    """HTML of an entry of Table 1, with its standard error in brackets where it has one.

    Parameters
    ----------
    value
        The entry; None for none.
    error
        Its standard error.
    """
    return plain(concise(value, error) if value is not None and error else rmse(value))


def plain(text: str) -> str:
    """HTML of a number that :mod:`lensvit.paper.latex` has written."""
    text = MATHS.sub(r"\1", text).replace("{,}", ",")
    power = POWER.fullmatch(text)
    if power:
        factor = f"{power[1]} \N{MULTIPLICATION SIGN} " if power[1] else ""
        return f"{factor}10<sup>{power[2]}</sup>"
    return html.escape(text.replace("--", "\N{EN DASH}"))


def heading(row: Mapping[str, Any]) -> str:
    """HTML of the name of a row of Table 1 or of a target: its symbol and unit."""
    if row["label"] is None:
        return html.escape(ROWS.get(row["target"], row["target"]))
    base, below = map(html.escape, symbol(row["label"]))
    index = f"<sub>{below}</sub>" if below else ""
    unit = f" [{html.escape(row['unit'])}]" if row["unit"] else ""
    return f"<i>{base}</i>{index}{unit}"


def duration(seconds: float) -> str:
    """A time in words: ``0.4 s``, ``3.5 min``, ``2.1 h``."""
    if seconds < 100:
        return f"{seconds:.{1 if seconds < 10 else 0}f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def render(content: Mapping[str, Any], data: Mapping[str, Any], sheets: Sequence[str]) -> str:
    """The whole page.

    Parameters
    ----------
    content
        What the template shows.
    data
        What the script shows.
    sheets
        PNG files of pictures in base64.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.FOLDER), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(heading=heading, duration=duration)
    environment.globals.update(cell=cell, source=assets.read)
    template = environment.get_template("page.html.j2")
    return template.render(content, data=embedded(data), sheets=sheets, libraries=assets.LIBRARIES)
