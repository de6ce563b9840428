"""Figure 4: calibration of every target and of all jointly, as predicted and recalibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from lensvit.chapters.settings import LabelSettings
from lensvit.figures import style
from lensvit.figures.panels import set_excess_limits, target_names, target_panels
from lensvit.io import tables
from lensvit.io.settings import read_settings

HEIGHT = 7.2  # inches
HEIGHT_RATIOS = (1.5, 1)  # of the coverage and of the maps
BAR_WIDTH = 0.03  # of the colour bar, in units of a map
DENSITY_MAP = "PuOr_r"  # white in the middle, told apart without colour by the dots
STATES = {"predicted": "as predicted", "recalibrated": "recalibrated"}
# greys of the range of a calibrated model; the wider one first
BANDS = {"recalibrated": "0.92", "predicted": "0.80"}


def figure4(settings: Path, coverage: Path, pit: Path, output: list[Path]) -> None:
    """Draw figure 4: calibration of each target and of all.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    coverage
        coverage.csv.
    pit
        pit.csv.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a table is absent or broken, or has no rows.
    """
    labels = read_settings(settings, LabelSettings).labels
    levels = tables.read_csv(coverage, "model", columns=("state", "target", "level", "coverage", "low", "high"))
    bins = tables.read_csv(pit, "model", columns=("state", "target", "from", "to", "share", "low", "high"))
    style.save(draw(levels, bins, labels), output)


@style.styled
def draw(coverage: pd.DataFrame, pit: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """The figure: nine panels of coverage above, of each target and of all jointly, and maps of PIT values below.

    Parameters
    ----------
    coverage
        coverage.csv.
    pit
        pit.csv.
    labels
        Model to its label.
    """
    figure = style.constrained_figure(HEIGHT, w_pad=0.02, h_pad=0.02, space=0.02)
    looks = style.looks(coverage["model"].unique())
    # without frames, whose edges the layout puts at 0 or at -0
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=HEIGHT_RATIOS, frameon=False)[:, 0]
    _coverage_panels(above, coverage, looks)
    _pit_maps(below, pit, labels)
    handles = [_handle(look, style.literal(labels.get(name, name))) for name, look in looks.items()]
    figure.legend(handles=handles + _key(), loc="outside upper center", ncols=3, handlelength=2.5, columnspacing=1.5)
    return figure


def _coverage_panels(block: SubFigure, coverage: pd.DataFrame, looks: Mapping[str, style.Look]) -> None:
    """Draw coverage minus level, so that small deviations show, with the bands minus the level too."""
    excess = coverage.assign(**{name: coverage[name] - coverage["level"] for name in ("coverage", "low", "high")})
    title = r"(a) share of truths in an interval (TARP: in a ball) $-$ its level"
    panels = target_panels(block, title, "Level", "Excess coverage")
    for target, axes in panels.items():
        for model, state, rows in _select(excess, target):
            if model == excess["model"].iloc[0]:
                axes.fill_between(rows["level"], rows["low"], rows["high"], color=BANDS[state], linewidth=0)
            style_of = _line(looks[model]) if state == "predicted" else _markers(looks[model], 2)
            axes.plot(rows["level"], rows["coverage"], label=f"{model} {state}", **style_of)
        axes.axhline(0, color="0.35", linewidth=0.8, zorder=1)
    set_excess_limits(axes, excess["coverage"])


def _pit_maps(block: SubFigure, pit: pd.DataFrame, labels: Mapping[str, str]) -> None:
    """Draw densities of PIT values: for each model and state a map with a row a target, and dots outside the bands."""
    width = pit["to"] - pit["from"]
    density = pit.assign(
        density=pit["share"] / width, middle=(pit["from"] + pit["to"]) / 2,
        above=pit["share"] > pit["high"], below=pit["share"] < pit["low"],
    )  # fmt: skip
    models, names = list(pit["model"].unique()), target_names()
    block.suptitle("(b) where the truth lies in the prediction: density of systems", fontsize=8)
    block.supxlabel("PIT value", fontsize=8)
    places = block.add_gridspec(len(STATES), len(models) + 1, width_ratios=[1.0] * len(models) + [BAR_WIDTH])
    for row, state in enumerate(STATES):
        for column, model in enumerate(models):
            axes = block.add_subplot(places[row, column])
            found = density[(density["model"] == model) & (density["state"] == state)]
            edges = np.append(np.unique(found["from"]), found["to"].max())
            values = found.pivot(index="target", columns="from", values="density").loc[list(names)]
            drawn = axes.pcolormesh(
                edges, np.arange(len(names) + 1), values, cmap=DENSITY_MAP, vmin=0, vmax=2, edgecolors="white",
                linewidth=0.3, label=f"{model} {state}",
            )  # fmt: skip
            for side, face in (("above", "black"), ("below", "white")):
                dots = found[found[side]]
                heights = [list(names).index(target) + 0.5 for target in dots["target"]]
                axes.plot(
                    dots["middle"], heights, linestyle="none", marker="o", markersize=2.4, color="black",
                    markerfacecolor=face, markeredgewidth=0.6, label=side,
                )  # fmt: skip
            axes.set_title(f"{style.literal(labels.get(model, model))}, {STATES[state]}", loc="left", pad=3)
            axes.set(xlim=(0, 1), ylim=(len(names), 0))
            axes.set_yticks(np.arange(len(names)) + 0.5, list(names.values()))
            axes.tick_params(axis="y", length=0, labelleft=column == 0)
            axes.tick_params(axis="x", labelbottom=row == len(STATES) - 1)
            axes.xaxis.set_major_locator(MultipleLocator(0.25))
            axes.xaxis.set_major_formatter("{x:g}")
    bar = block.colorbar(drawn, cax=block.add_subplot(places[:, -1]), ticks=[0, 1, 2], extend="max")
    bar.set_label("1: uniform; dots: outside the range if calibrated", labelpad=4)


def _select(table: pd.DataFrame, target: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Model, state and rows of a panel; the state with the wider band comes first, so that this lies behind."""
    rows = table[table["target"] == target]
    for state in BANDS:
        for model in table["model"].unique():
            found = rows[(rows["model"] == model) & (rows["state"] == state)]
            if len(found):
                yield model, state, found


def _line(look: style.Look) -> dict[str, Any]:
    """How the predicted state of a model is drawn: as a line."""
    return {"color": look.color, "linestyle": look.linestyle, "linewidth": 1.0}


def _markers(look: style.Look, every: int) -> dict[str, Any]:
    """How the recalibrated state of a model is drawn: as markers without a line, not told by colour alone."""
    return {
        "color": look.color, "linestyle": "none", "marker": look.marker, "markersize": 3.0,
        "markerfacecolor": look.face, "markeredgewidth": 0.7, "markevery": every,
    }  # fmt: skip


def _handle(look: style.Look, label: str) -> Line2D:
    """The legend's entry of a model."""
    return Line2D([], [], label=label, **{**_markers(look, 1), **_line(look), "markersize": 4.0})


def _key() -> list[Line2D | Patch]:
    """The legend's entries of lines, markers and greys, which are the same for all models."""
    return [
        Line2D([], [], label="lines: as predicted", color="0.35", linewidth=1.0),
        Line2D([], [], label="markers: recalibrated", color="0.35", linestyle="none", marker="o", markersize=4.0),
        Patch(color=BANDS["predicted"], label="range if calibrated"),
        Patch(color=BANDS["recalibrated"], label="the same, recalibrated"),
    ]
