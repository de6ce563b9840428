"""Figure 3: histograms of the errors, in per cent of the truth and in units of the predicted sigma."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from lensvit import settings as stage_settings
from lensvit.figures import style
from lensvit.parameters import TARGETS
from lensvit.predictions import read

BINS = 40
SIGMAS = 5.0  # range of the error in units of the predicted sigma


def figure3(settings: Path, predictions: list[Path], output: list[Path]) -> None:
    """Draw two histograms a target for every model, over the whole test set.

    The percentage error divides by the truth, so it says little about the centre and the
    ellipticity, whose truths lie near zero; the error in units of the predicted sigma does
    not, and shows whether that sigma is right.

    Parameters
    ----------
    settings : YAML with options (model -> label).
    predictions : one predictions/{model}.parquet a model.
    output : the files to write, .pdf or .png.

    Raises
    ------
    LensvitError
        If the predictions are broken or of different systems.
    """
    choice = stage_settings.read(settings)
    models = read(predictions)
    style.render(lambda: draw(models, style.labels(list(models), choice.options)), output)


def percentage_errors(model: pd.DataFrame, target: str) -> np.ndarray:
    """100 (mean - truth) / truth, (n,) [%]; systems whose truth is exactly 0 have none."""
    truth, mean = model[f"{target}_truth"].to_numpy(), model[f"{target}_mean"].to_numpy()
    defined = truth != 0
    return 100 * (mean[defined] - truth[defined]) / truth[defined]


def sigma_errors(model: pd.DataFrame, target: str) -> np.ndarray:
    """(mean - truth) / sigma, (n,)."""
    return ((model[f"{target}_mean"] - model[f"{target}_truth"]) / model[f"{target}_sigma"]).to_numpy()


def reach(errors: list[np.ndarray]) -> float:
    """Half the range of a histogram: what holds nearly all of a bell, and the core of heavy tails.

    For one model, the smaller of the 99th percentile of the absolute error and four times
    the 68th; the largest over the models.
    """
    percentiles = [np.percentile(np.abs(error), (68, 99)) for error in errors]
    return max(float(min(high, 4 * core)) for core, high in percentiles) or 1.0


def draw(models: dict[str, pd.DataFrame], labels: dict[str, str]) -> Figure:
    """Two blocks of eight panels."""
    figure = Figure(figsize=(style.WIDTH, 7.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.03)
    relative, standardised = figure.subfigures(2, 1)
    _percentages(relative, models)
    _sigmas(standardised, models)
    handles = [
        Line2D([], [], color=_color(number), linestyle=_line(number), linewidth=1.2) for number in range(len(models))
    ]
    normal = Line2D([], [], color="0.35", linewidth=0.7)
    style.legend(figure, [*handles, normal], [*labels.values(), "unit normal"])
    return figure


def _percentages(block: SubFigure, models: dict[str, pd.DataFrame]) -> None:
    block.suptitle("(a) prediction − truth, in per cent of the truth", fontsize=8)
    panels = block.subplots(2, 4)
    for axes, parameter in zip(panels.flat, TARGETS, strict=True):
        errors = [percentage_errors(model, parameter.name) for model in models.values()]
        _histograms(axes, errors, reach(errors), density=False)
        axes.set_xlabel(style.quantity(parameter, "error of", "%"))
    for axes in panels[:, 0]:
        axes.set_ylabel("systems per bin")


def _sigmas(block: SubFigure, models: dict[str, pd.DataFrame]) -> None:
    block.suptitle("(b) prediction − truth, in units of the predicted standard deviation", fontsize=8)
    panels = block.subplots(2, 4)
    grid = np.linspace(-SIGMAS, SIGMAS, 201)
    for axes, parameter in zip(panels.flat, TARGETS, strict=True):
        axes.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color="0.35", linewidth=0.7)
        errors = [sigma_errors(model, parameter.name) for model in models.values()]
        _histograms(axes, errors, SIGMAS, density=True)
        axes.set_xlabel(style.quantity(parameter, "error of", r"$\sigma$"))
    for axes in panels[:, 0]:
        axes.set_ylabel(r"density [1/$\sigma$]")


def _histograms(axes: Axes, errors: list[np.ndarray], limit: float, *, density: bool) -> None:
    """One outline a model within +- ``limit``; the share outside is printed in the model's colour."""
    edges = np.linspace(-limit, limit, BINS + 1)
    outside = []
    for number, error in enumerate(errors):
        weight = 1 / (len(error) * (edges[1] - edges[0])) if density else 1
        heights = np.histogram(error, edges)[0] * weight
        axes.stairs(heights, edges, color=_color(number), linestyle=_line(number), linewidth=0.9)
        outside.append(f"{100 * np.mean(np.abs(error) > limit):.1f}%")
    axes.axvline(0, color="0.7", linewidth=0.5, zorder=0)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(0, 1.12 * axes.get_ylim()[1])
    axes.locator_params(axis="x", nbins=5)
    axes.locator_params(axis="y", nbins=4)
    _note(axes, outside)


def _note(axes: Axes, outside: list[str]) -> None:
    for number, share in enumerate(["outside:", *outside]):
        axes.annotate(
            share,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(3, -3 - 7.5 * number),
            textcoords="offset points",
            va="top",
            fontsize=style.SMALL,
            color=_color(number - 1) if number else "0.25",
        )


def _color(number: int) -> str:
    return style.COLORS[number % len(style.COLORS)]


def _line(number: int) -> object:
    return style.LINES[number % len(style.LINES)]
