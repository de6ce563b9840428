"""Figure 2: predictions against truth, and their errors with the predicted uncertainties, for random test systems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lensvit.chapters.accuracy.settings import Figure2Settings
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGETS, Parameter

COLUMNS = 4  # panels side by side
LEFT, RIGHT, BETWEEN = 0.52, 0.06, 0.36  # room for the numbers at the left of panels, and at the edges [inch]
TOP, BELOW, GAP = 0.34, 0.44, 0.05  # room for the legend, for labels below a panel, and between panel and strip [inch]
STRIP = 0.5  # height of a strip of errors, in units of a panel's side
MARGIN = 0.05  # of the range, on both sides
ASIDE = 0.012  # between the models of a system in a strip, in units of the range
INTERVALS = 3  # between ticks, at most


def figure2(settings: Path, predictions: list[Path], output: list[Path]) -> None:
    """Draw figure 2: predictions against the truth.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.accuracy.settings.Figure2Settings`.
    predictions
        predictions/{model}.parquet of every model.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file of predictions is absent or broken, or the models predict different systems.
    """
    choice = read_settings(settings, Figure2Settings)
    models = tables.read_predictions(predictions)
    rows = random_rows(len(next(iter(models.values()))), choice.systems, choice.seed)
    models = {name: table.iloc[rows] for name, table in models.items()}
    style.save(draw(models, choice.labels), output)


def random_rows(total: int, systems: int, seed: int) -> np.ndarray:
    """The rows of ``systems`` random ones of ``total`` test systems, sorted; all rows where there are fewer."""
    rng = np.random.default_rng(derive(seed, "figure2"))
    return np.sort(rng.choice(total, min(systems, total), replace=False))


@style.styled
def draw(models: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """The figure: for each target a panel of predictions against truth, with a strip of their errors below it.

    Parameters
    ----------
    models
        Model to its predictions of the systems that are shown.
    labels
        Model to its label.
    """
    looks = style.looks(models)
    side = (style.WIDTH - LEFT - RIGHT - (COLUMNS - 1) * BETWEEN) / COLUMNS
    block = side * (1 + STRIP) + GAP + BELOW
    height = TOP + math.ceil(len(TARGETS) / COLUMNS) * block
    figure = Figure(figsize=(style.WIDTH, height))

    def place(x: float, y: float, tall: float) -> Axes:
        return figure.add_axes((x / style.WIDTH, y / height, side / style.WIDTH, tall / height))

    for number, parameter in enumerate(TARGETS):
        row, column = divmod(number, COLUMNS)
        left, bottom = LEFT + column * (side + BETWEEN), height - TOP - (row + 1) * block + BELOW
        panel = place(left, bottom + STRIP * side + GAP, side)
        strip = place(left, bottom, STRIP * side)
        _panel(panel, parameter, models, looks)
        _strip(strip, panel, parameter, models, looks)
        if column == 0:
            panel.set_ylabel("Prediction")
            strip.set_ylabel("Error")
            figure.align_ylabels([panel, strip])
    handles = [_handle(look, style.literal(labels.get(name, name))) for name, look in looks.items()]
    handles.append(Line2D([], [], color="0.35", linewidth=0.8, label="prediction = truth"))
    figure.legend(handles=handles, loc="upper center", ncols=min(len(handles), 5), handletextpad=0.5, borderaxespad=0.2)
    return figure


def _panel(
    axes: Axes, parameter: Parameter, models: Mapping[str, pd.DataFrame], looks: Mapping[str, style.Look]
) -> None:
    """Draw the predictions of one target; no marker hides what lies below it."""
    low, high = _limits(parameter.name, models)
    axes.plot([low, high], [low, high], color="0.35", linewidth=0.8, zorder=1, label="identity")
    for name, table in models.items():
        axes.plot(table[f"{parameter.name}_truth"], table[f"{parameter.name}_mean"], label=name, **_points(looks[name]))
    locator = MaxNLocator(INTERVALS, min_n_ticks=2, steps=[1, 2, 2.5, 4, 5, 10])
    ticks = [float(tick) for tick in np.asarray(locator.tick_values(low, high)) if low <= tick <= high]
    axes.set(xticks=ticks, yticks=ticks)
    axes.set(xlim=(low, high), ylim=(low, high))  # at last, since ticks widen them
    axes.ticklabel_format(useOffset=False)
    axes.tick_params(labelbottom=False, pad=2)


def _strip(
    axes: Axes,
    panel: Axes,
    parameter: Parameter,
    models: Mapping[str, pd.DataFrame],
    looks: Mapping[str, style.Look],
) -> None:
    """Draw the errors of one target with their predicted uncertainties, the models of a system side by side."""
    axes.axhline(0, color="0.35", linewidth=0.8, zorder=1)
    low, high = panel.get_xlim()
    reach = 0.0
    for number, (name, table) in enumerate(models.items()):
        truth, mean, sigma = (table[f"{parameter.name}_{kind}"].to_numpy() for kind in ("truth", "mean", "sigma"))
        aside = (number - (len(models) - 1) / 2) * ASIDE * (high - low)
        points = _points(looks[name]) | {"linestyle": "none", "markersize": 2.2}
        axes.errorbar(truth + aside, mean - truth, sigma, label=name, elinewidth=0.5, **points)
        reach = max(reach, float((np.abs(mean - truth) + sigma).max()))
    axes.set(xlim=(low, high), ylim=(-(1 + MARGIN) * reach, (1 + MARGIN) * reach))
    axes.set_xticks(panel.get_xticks())
    axes.yaxis.set_major_locator(MaxNLocator(INTERVALS, min_n_ticks=3, symmetric=True, steps=[1, 2, 2.5, 4, 5, 10]))
    axes.ticklabel_format(useOffset=False)
    axes.tick_params(pad=2)
    axes.set_xlabel(style.quantity(parameter, before="True"))


def _points(look: style.Look) -> dict[str, Any]:
    """How the points of a model are drawn: small and filled, or open and larger, so that both show at one place."""
    return {
        "color": look.color, "linestyle": "none", "marker": look.marker, "markersize": 1.8 if look.filled else 3.2,
        "markerfacecolor": look.color if look.filled else "none", "markeredgewidth": 0.5,
    }  # fmt: skip


def _limits(target: str, models: Mapping[str, pd.DataFrame]) -> tuple[float, float]:
    """The range of all truths and of all predictions."""
    values = np.concatenate([table[f"{target}_{kind}"] for table in models.values() for kind in ("truth", "mean")])
    pad = MARGIN * (np.ptp(values) or 1.0)
    return float(values.min() - pad), float(values.max() + pad)


def _handle(look: style.Look, label: str) -> Line2D:
    """The legend's entry of a model."""
    return Line2D([], [], label=label, **{**_points(look), "linestyle": "-", "linewidth": 0.5})
