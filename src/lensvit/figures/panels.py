"""Panels of a figure, one for each target and one for all jointly."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MultipleLocator
from numpy.typing import ArrayLike

from lensvit.figures import style
from lensvit.parameters import TARGETS

JOINT = "joint"  # the panel of all targets
LEAST = 0.15  # the smallest range of the excess coverage, on both sides of zero
HEADROOM = 1.1  # a panel's height in units of the largest value


def target_names() -> dict[str, str]:
    """Target to its symbol, and last all targets jointly."""
    return {parameter.name: style.symbol(parameter) for parameter in TARGETS} | {JOINT: "all targets (TARP)"}


def target_panels(block: Figure | SubFigure, title: str, horizontal: str, vertical: str) -> dict[str, Axes]:
    """Three by three panels that share their axes: one for each target, and the last for all jointly."""
    block.suptitle(title, fontsize=8)
    block.supxlabel(horizontal, fontsize=8)
    block.supylabel(vertical, fontsize=8)
    titles = target_names()
    panels = dict(zip(titles, block.subplots(3, 3, sharex=True, sharey=True).flat, strict=True))
    for target, axes in panels.items():
        axes.set_title(titles[target], loc="left", pad=3)
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter("{x:g}")
    return panels


def set_excess_limits(axes: Axes, excess: ArrayLike) -> None:
    """Give panels that share their axes the limits of coverage minus level, of which ``excess`` are all values."""
    half = max(LEAST, HEADROOM * float(np.abs(excess).max()))
    axes.set(xlim=(0, 1), ylim=(-half, half))
