"""Figure 10: learning curves, the loss of each network in each epoch of its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lensvit.chapters.settings import LabelSettings
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.files import read_model
from lensvit.io.settings import read_settings
from lensvit.learning.settings import TrainedModel

COLUMNS = 3  # panels side by side, at most
HEIGHT, LEGEND = 1.9, 0.25  # of a row of panels, and of the legend [inch]
MARGIN = 0.06  # of the range of the losses, above and below
TRAINING = "0.55"  # grey of the training loss


def figure10(settings: Path, models: list[Path], output: list[Path]) -> None:
    """Draw figure 10: learning curves.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    models
        models/{model}/config.json of every model, with history.csv beside.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    labels = read_settings(settings, LabelSettings).labels
    kept = {path.parent.name: read_model(path, TrainedModel).best_epoch for path in models}
    histories = {
        path.parent.name: tables.read_history(path.with_name("history.csv"), kept[path.parent.name]) for path in models
    }
    style.save(draw(histories, kept, labels), output)


@style.styled
def draw(histories: Mapping[str, pd.DataFrame], kept: Mapping[str, int], labels: Mapping[str, str]) -> Figure:
    """The figure: a panel for each model with its training and validation loss, on one scale.

    Parameters
    ----------
    histories
        Model to the rows of its history.csv, one an epoch.
    kept
        Model to the epoch, from 1, whose weights are kept.
    labels
        Model to its label.
    """
    columns = min(COLUMNS, len(histories))
    rows = -(-len(histories) // columns)
    figure = style.constrained_figure(rows * HEIGHT + LEGEND, w_pad=0.02, h_pad=0.03, space=0.02)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    looks = style.looks(histories)
    for number, axes in enumerate(grid.flat):
        if number >= len(histories):
            axes.set_axis_off()
    for axes, (model, history) in zip(grid.flat, histories.items(), strict=False):
        _panel(axes, history, kept[model], looks[model])
        axes.set_title(style.literal(labels.get(model, model)), pad=3)
    for axes in grid[:, 0]:
        axes.set_ylabel("Loss")
    low, high = _limits(histories)
    grid[0, 0].set_ylim(low, high)
    figure.legend(handles=_key(), loc="outside upper center", ncols=3)
    return figure


def _panel(axes: Axes, history: pd.DataFrame, kept: int, look: style.Look) -> None:
    """Draw the losses of one model."""
    epochs = history["epoch"]
    axes.plot(epochs, history["train_loss"], color=TRAINING, linestyle="--", linewidth=1.0, label="training")
    axes.plot(epochs, history["validation_loss"], color=look.color, linewidth=1.2, label="validation")
    best = history.loc[epochs == kept]
    axes.plot(
        best["epoch"], best["validation_loss"], linestyle="none", marker="o", markersize=4, color=look.color,
        markerfacecolor="white", label="kept",
    )  # fmt: skip
    axes.set(xlabel="Epoch", xlim=(0.5, epochs.max() + 0.5))  # there is no epoch 0
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _limits(histories: Mapping[str, pd.DataFrame]) -> tuple[float, float]:
    """The range of the losses of all models."""
    values = np.concatenate(
        [history[["train_loss", "validation_loss"]].to_numpy().ravel() for history in histories.values()]
    )
    pad = MARGIN * (float(np.ptp(values)) or 1.0)
    return float(values.min()) - pad, float(values.max()) + pad


def _key() -> list[Line2D]:
    """The legend's entries, which are the same for all models."""
    return [
        Line2D([], [], color=TRAINING, linestyle="--", linewidth=1.0, label="training"),
        Line2D([], [], color="0.2", linewidth=1.2, label="validation (in colour)"),
        Line2D(
            [], [], color="0.2", linestyle="none", marker="o", markersize=4, markerfacecolor="white",
            label="epoch whose weights are kept",
        ),
    ]  # fmt: skip
