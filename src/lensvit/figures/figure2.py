"""Figure 2: predictions with their uncertainty against the truth, for some test systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from lensvit import settings as stage_settings
from lensvit.figures import style
from lensvit.parameters import TARGETS, Parameter
from lensvit.predictions import read
from lensvit.seeds import derive

DODGE = 1.0  # pt between the models' bars of one system, so that they do not hide each other


def figure2(settings: Path, predictions: list[Path], output: list[Path]) -> None:
    """Draw mean and 1 sigma of every model against the truth, one panel a target.

    Parameters
    ----------
    settings : YAML with seed, systems (how many, drawn at random from the test set) and
        options (model -> label).
    predictions : one predictions/{model}.parquet a model.
    output : the files to write, .pdf or .png.

    Raises
    ------
    LensvitError
        If the predictions are broken or of different systems.
    """
    choice = stage_settings.read(settings)
    models = read(predictions)
    rows = sample(len(next(iter(models.values()))), choice.systems, choice.seed)
    shown = {key: model.iloc[rows] for key, model in models.items()}
    style.render(lambda: draw(shown, style.labels(list(models), choice.options)), output)


def sample(count: int, systems: int, seed: int) -> np.ndarray:
    """Sorted rows of at most ``systems`` out of ``count``, without repetition."""
    rng = np.random.default_rng(derive(seed, "figure2"))
    return np.sort(rng.permutation(count)[:systems])


def draw(models: dict[str, pd.DataFrame], labels: dict[str, str]) -> Figure:
    """Eight panels, two rows of four."""
    figure = Figure(figsize=(style.WIDTH, 4.0), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.04)
    panels = figure.subplots(2, 4).flat
    for axes, parameter in zip(panels, TARGETS, strict=True):
        handles = _panel(axes, parameter, models)
    identity = axes.lines[0]
    style.legend(figure, [*handles, identity], [*labels.values(), "prediction = truth"])
    return figure


def _panel(axes: Axes, parameter: Parameter, models: dict[str, pd.DataFrame]) -> list[ErrorbarContainer]:
    low, high = _limits(parameter, models)
    axes.plot([low, high], [low, high], color="0.35", linewidth=0.7, zorder=1)
    handles = [
        _points(axes, model, parameter, number, DODGE * (number - (len(models) - 1) / 2))
        for number, model in enumerate(models.values())
    ]
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(style.quantity(parameter, "true"))
    axes.set_ylabel(style.quantity(parameter, "predicted"))
    axes.locator_params(nbins=4)
    return handles


def _limits(parameter: Parameter, models: dict[str, pd.DataFrame]) -> tuple[float, float]:
    """The same range on both axes: all truths and means; long bars may leave the panel."""
    values = np.concatenate(
        [model[f"{parameter.name}_{kind}"] for model in models.values() for kind in ("truth", "mean")]
    )
    margin = 0.08 * (np.ptp(values) or 1.0)
    return values.min() - margin, values.max() + margin


def _points(
    axes: Axes, model: pd.DataFrame, parameter: Parameter, number: int, shift: float
) -> ErrorbarContainer:
    to_inch = axes.figure.dpi_scale_trans
    color = style.COLORS[number % len(style.COLORS)]
    return axes.errorbar(
        model[f"{parameter.name}_truth"],
        model[f"{parameter.name}_mean"],
        yerr=model[f"{parameter.name}_sigma"],
        fmt=style.MARKERS[number % len(style.MARKERS)],
        color=color,
        markersize=2.4,
        markeredgewidth=0.6,
        markerfacecolor=color if number % 2 == 0 else "white",
        elinewidth=0.5,
        zorder=2 + number,
        transform=axes.transData + ScaledTranslation(shift / 72, 0, to_inch),
    )
