"""What all figures share: print width, fonts, one look a model, labels, reproducible files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from lensvit.errors import LensvitError
from lensvit.files import atomic
from lensvit.parameters import Parameter

WIDTH = 6.5  # inch: the text width at which the figures are printed, unscaled
SMALL = 7.0  # pt: the smallest type
DPI = 300  # of the PNG

# Okabe & Ito's palette, which the colour-blind tell apart; markers and lines do so in grey
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))

# fonts that come with matplotlib: the same on every machine
_PARAMETERS = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.labelpad": 2.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.usetex": False,
}
_METADATA = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}


def look() -> AbstractContextManager[None]:
    """The context in which a figure is drawn and saved: this style over matplotlib's defaults."""
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **_PARAMETERS})


def render(draw: Callable[[], Figure], output: Sequence[Path]) -> None:
    """Draw a figure in the common style and write it to every path of ``output``, by suffix.

    The same figure gives the same bytes: no dates are written.

    Raises
    ------
    LensvitError
        If a suffix is neither .pdf nor .png.
    """
    for path in map(Path, output):
        if path.suffix not in _METADATA:
            raise LensvitError(f"a figure is written as .pdf or .png, not as {path.name}")
    with look():
        figure = draw()
        for path in map(Path, output):
            with atomic(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, metadata=_METADATA[path.suffix])


def labels(models: Sequence[str], options: Mapping[str, str]) -> dict[str, str]:
    """Model key -> label as printed; the key itself where the settings name none."""
    return {key: options.get(key, key) for key in models}


def quantity(parameter: Parameter, words: str, unit: str | None = None) -> str:
    """An axis label: words, the symbol, and its unit (or ``unit``) in brackets where it has one."""
    unit = parameter.unit if unit is None else unit
    return f"{words} ${parameter.label}$" + (f" [{unit}]" if unit else "")


def legend(figure: Figure, handles: Sequence[object], names: Sequence[str]) -> None:
    """One legend for all panels, above them, at most four entries a row."""
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 4), columnspacing=2)
