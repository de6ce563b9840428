"""What all figures share: fonts, sizes, colours, labels, and how a file is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.typing import LineStyleType

from lensvit.errors import LensvitError
from lensvit.io.files import atomic
from lensvit.parameters import Parameter

WIDTH = 6.5  # inches: the text width of the paper
SMALL = 7.0  # points: the smallest text
NARROW = 20.0  # ratio of the ends of a logarithmic axis below which powers of ten are too few numbers

RC: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "axes.labelpad": 2.0,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}

# decorates a function that draws or writes: RC over matplotlib's defaults, whatever the user's own are
RC_CONTEXT: Any = {**matplotlib.rcParamsDefault, "backend": "agg", **RC}
styled = matplotlib.rc_context(RC_CONTEXT)

METADATA: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Look:
    """How a model is drawn: marker, filling and line tell models apart without colour.

    Parameters
    ----------
    color
        Colour of lines and markers.
    marker
        Shape of the markers.
    linestyle
        Dashes of the lines.
    filled
        Whether markers are filled with the colour.
    """

    color: str
    marker: str
    linestyle: LineStyleType
    filled: bool

    @property
    def face(self) -> str:
        """The colour within the markers."""
        return self.color if self.filled else "white"


# colours: Okabe & Ito (2008), https://jfly.uni-koeln.de/color
LOOKS = (
    Look("#0072B2", "o", "-", True),
    Look("#D55E00", "s", (0, (4, 1.2)), False),
    Look("#009E73", "^", (0, (1, 1)), True),
    Look("#CC79A7", "D", (0, (5, 1, 1, 1)), False),
    Look("#56B4E9", "v", (0, (8, 2)), True),
    Look("#E69F00", "P", (0, (3, 1, 1, 1, 1, 1)), False),
    Look("#4D4D4D", "X", (0, (2, 1, 1, 1)), True),
)

# what is no network looks the same in every figure
METHODS = {
    "mcmc": LOOKS[2],
    "refined": LOOKS[3],
    "fit": LOOKS[3],
    "importance": LOOKS[4],
    "limit": LOOKS[5],
    "prior": LOOKS[6],
    "published": LOOKS[6],
}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each network or method: that of ``METHODS``, or else the next one that no method among them has.

    Parameters
    ----------
    names
        Networks in an order that is the same in all figures, and methods anywhere between them. More of them than there
        are looks share some.
    """
    names = list(names)
    taken = [METHODS[name] for name in names if name in METHODS]
    free = itertools.cycle([look for look in LOOKS if look not in taken] or LOOKS)
    return {name: METHODS[name] if name in METHODS else next(free) for name in names}


def constrained_figure(height: float, *, w_pad: float, h_pad: float, space: float) -> Figure:
    """An empty figure of the paper's width whose panels are fitted into it by matplotlib.

    Parameters
    ----------
    height
        Height of the figure [inch].
    w_pad
        Padding at the left and right of panels [inch].
    h_pad
        Padding above and below panels [inch].
    space
        Space between panels, as a share of their size.
    """
    layout = ConstrainedLayoutEngine(w_pad=w_pad, h_pad=h_pad, wspace=space, hspace=space)
    return Figure(figsize=(WIDTH, height), layout=layout)


def literal(text: str) -> str:
    """Text of a config as it is printed: a dollar sign in it does not start mathematics."""
    return text.replace("$", r"\$")


def symbol(parameter: Parameter) -> str:
    """A parameter's symbol for text, with a Unicode prime: matplotlib draws that of LaTeX too high and too small."""
    return f"${parameter.label}$".replace("'", "\N{PRIME}")


def quantity(parameter: Parameter, *, before: str = "") -> str:
    """The label of an axis: a word, the symbol and the unit, such as "True $e_1$" or "$R$ [arcsec]".

    Parameters
    ----------
    parameter
        What the axis shows.
    before
        The word before the symbol; "" for none.
    """
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    return f"{before} {symbol(parameter)}{unit}".strip()


def number_logarithmic(axis: Axis) -> None:
    """Number a logarithmic axis, whose limits stand: by powers of ten, and 2 and 5 times these where few are in it."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < NARROW * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


@styled
def save(figure: Figure, outputs: Iterable[Path]) -> None:
    """Write a figure to each path, in the format of its suffix; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        The figure.
    outputs
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a suffix is neither .pdf nor .png.
    """
    kinds = {Path(path): Path(path).suffix.removeprefix(".") for path in outputs}
    for path, kind in kinds.items():
        if kind not in METADATA:
            raise LensvitError(f"figures are written as .pdf or .png, not {path.name}: change the name")
    for path, kind in kinds.items():
        with atomic(path) as temporary:
            figure.savefig(temporary, format=kind, metadata=METADATA[kind])
