"""Figure 2: predictions with their uncertainties against truth, for random test systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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

HEIGHT = 3.5  # inches
MARGIN = 0.05  # of the range, on both sides


def figure2(settings: Path, predictions: list[Path], output: list[Path]) -> None:
    """Draw figure 2.

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
    """The figure: one panel a target with mean and standard deviation of the predictions against the truth.

    Parameters
    ----------
    models
        Model to its predictions of the systems that are shown.
    labels
        Model to its label.
    """
    figure = style.constrained_figure(HEIGHT, w_pad=0.02, h_pad=0.03, space=0.03)
    looks = style.looks(models)
    for axes, parameter in zip(figure.subplots(2, 4).flat, TARGETS, strict=True):
        _panel(axes, parameter, models, looks)
    handles = [_handle(look, style.literal(labels.get(name, name))) for name, look in looks.items()]
    handles.append(Line2D([], [], color="0.35", linewidth=0.8, label="prediction = truth"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), handletextpad=0.5)
    return figure


def _panel(
    axes: Axes, parameter: Parameter, models: Mapping[str, pd.DataFrame], looks: Mapping[str, style.Look]
) -> None:
    """Draw the predictions of one target."""
    low, high = _limits(parameter.name, models)
    axes.plot([low, high], [low, high], color="0.35", linewidth=0.8, zorder=1, label="identity")
    for name, table in models.items():
        look = looks[name]
        truth, mean, sigma = (table[f"{parameter.name}_{kind}"] for kind in ("truth", "mean", "sigma"))
        axes.errorbar(
            truth, mean, sigma, fmt=look.marker, color=look.color, markerfacecolor=look.face, markersize=2.6,
            markeredgewidth=0.6, elinewidth=0.5, alpha=0.85, label=name,
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
    axes.set_xlabel(style.quantity(parameter, before="True"))
    axes.set_ylabel(style.quantity(parameter, before="Predicted"))
    for axis, intervals in ((axes.xaxis, 3), (axes.yaxis, 4)):  # labels side by side want more room
        axis.set_major_locator(MaxNLocator(intervals, min_n_ticks=2, steps=[1, 2, 2.5, 4, 5, 10]))
    axes.ticklabel_format(useOffset=False)


def _limits(target: str, models: Mapping[str, pd.DataFrame]) -> tuple[float, float]:
    """The range of all truths and of all predictions with their uncertainties."""
    parts = []
    for table in models.values():
        truth, mean, sigma = (table[f"{target}_{kind}"].to_numpy() for kind in ("truth", "mean", "sigma"))
        parts += [truth, mean - sigma, mean + sigma]
    values = np.concatenate(parts)
    pad = MARGIN * (np.ptp(values) or 1.0)
    return float(values.min() - pad), float(values.max() + pad)


def _handle(look: style.Look, label: str) -> Line2D:
    """The legend's entry of a model."""
    return Line2D(
        [], [], color=look.color, marker=look.marker, markersize=4, markerfacecolor=look.face, linewidth=0.8,
        label=rf"{label} (mean $\pm\,1\sigma$)",
    )  # fmt: skip
