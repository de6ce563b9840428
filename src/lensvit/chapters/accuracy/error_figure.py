"""Figure 3: histograms of the errors, in per cent of the truth and in units of the predicted sigma."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.optimize import brentq
from scipy.special import erf

from lensvit.chapters.settings import LabelSettings
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.products import read_limits
from lensvit.io.settings import read_settings
from lensvit.parameters import TARGETS

HEIGHT = 7.2  # inches
MEDIANS = 4.0  # half the range in medians of the absolute error: 2.7 sigma of a Gaussian
SIGMAS = 4.0  # half the range of the errors in units of sigma
BAND = "#F0E442"  # colour of the limit's band
CENTRAL = 0.68  # the share of systems within the limit's band
HEADROOM = 1.7  # the panel's height in units of the highest bin, above which the shares outside are written
BARE, NONE = 1.1, "0.0%"  # that height where all of these are as good as none


def figure3(
    settings: Path,
    predictions: list[Path],
    output: list[Path],
    limit: Path | None = None,
    amplitudes: str = "known",
) -> None:
    """Draw figure 3: histograms of the errors.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    predictions
        predictions/{model}.parquet of every model.
    output
        .pdf and .png files.
    limit
        limit.parquet, if it is shown.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".

    Raises
    ------
    LensvitError
        If a file is absent or broken, no system has a limit, or the models predict different systems.
    """
    bounds = None if limit is None else read_limits(limit, amplitudes)
    labels = read_settings(settings, LabelSettings).labels
    style.save(draw(tables.read_predictions(predictions), labels, bounds), output)


@style.styled
def draw(models: Mapping[str, pd.DataFrame], labels: Mapping[str, str], bounds: pd.DataFrame | None = None) -> Figure:
    """The figure: eight panels of percentage errors above, eight of errors over the predicted sigma below.

    Parameters
    ----------
    models
        Model to its predictions.
    labels
        Model to its label.
    bounds
        The limits of :func:`lensvit.io.products.read_limits`, shown as bands; None for none.
    """
    figure = style.constrained_figure(HEIGHT, w_pad=0.02, h_pad=0.03, space=0.02)
    looks = style.looks(models)
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    _percentage_panels(above, models, looks, bounds)
    _pull_panels(below, models, looks)
    handles: list[Line2D | Patch] = [
        _line(look, label=style.literal(labels.get(name, name))) for name, look in looks.items()
    ]
    handles.append(Line2D([], [], color="black", linewidth=0.8, label="unit normal"))
    if bounds is not None:
        handles.append(Patch(color=BAND, label=f"limit of information ({CENTRAL:.0%})"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), handlelength=2.5)
    return figure


def _percentage_panels(
    block: SubFigure,
    models: Mapping[str, pd.DataFrame],
    looks: Mapping[str, style.Look],
    bounds: pd.DataFrame | None,
) -> None:
    """Draw histograms of the percentage errors, with the bands of the limit."""
    block.suptitle(r"(a) prediction $-$ truth, in per cent of the truth", fontsize=8)
    panels = block.subplots(2, 4)
    for axes, parameter in zip(panels.flat, TARGETS, strict=True):
        errors = {name: percentages(table, parameter.name) for name, table in models.items()}
        half = span(errors.values())
        _histograms(axes, errors, half, looks)
        if bounds is not None:
            width = limit_width(next(iter(models.values())), bounds, parameter.name)
            axes.axvspan(-width, width, color=BAND, linewidth=0, zorder=-1, label="limit")
        axes.set_xlabel(rf"Error of {style.symbol(parameter)} [%]")
        axes.set_xticks([-half / 2, 0, half / 2])
    for axes in panels[:, 0]:
        axes.set_ylabel("Systems per bin")


def _pull_panels(block: SubFigure, models: Mapping[str, pd.DataFrame], looks: Mapping[str, style.Look]) -> None:
    """Draw histograms of the errors over the predicted sigma."""
    title = r"(b) prediction $-$ truth, in units of the predicted standard deviation $\sigma$"
    block.suptitle(title, fontsize=8)
    panels = block.subplots(2, 4)
    for axes, parameter in zip(panels.flat, TARGETS, strict=True):
        errors = {name: pulls(table, parameter.name) for name, table in models.items()}
        _histograms(axes, errors, SIGMAS, looks, normal=True)
        axes.set_xlabel(rf"Error of {style.symbol(parameter)} [$\sigma$]")
        axes.set_xticks([-3, 0, 3])
    for axes in panels[:, 0]:
        axes.set_ylabel(r"Density [1/$\sigma$]")


def target_errors(table: pd.DataFrame, target: str) -> np.ndarray:
    """Predicted means minus truths (n,), in the target's unit."""
    return (table[f"{target}_mean"] - table[f"{target}_truth"]).to_numpy()


def percentages(table: pd.DataFrame, target: str) -> np.ndarray:
    """Errors (n,) of the predicted means in per cent of the truth: huge near a truth of zero, infinite at zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * target_errors(table, target) / table[f"{target}_truth"].to_numpy()


def pulls(table: pd.DataFrame, target: str) -> np.ndarray:
    """Errors (n,) of the predicted means in units of the predicted standard deviation."""
    return target_errors(table, target) / table[f"{target}_sigma"].to_numpy()


def limit_width(table: pd.DataFrame, bounds: pd.DataFrame, target: str) -> float:
    """Half the width of the band that holds ``CENTRAL`` of the errors at the limit, in per cent of the truth.

    The errors of each system are taken as normal.

    Parameters
    ----------
    table
        Predictions of a model, for the truths.
    bounds
        The limits of :func:`lensvit.io.products.read_limits`.
    target
        Name of the target.
    """
    with np.errstate(divide="ignore"):
        sigma = (100 * bounds[target] / table.loc[bounds.index, f"{target}_truth"].abs()).to_numpy()

    def excess(logarithm: float) -> float:
        return float(np.mean(erf(np.exp(logarithm) / (np.sqrt(2) * sigma)))) - CENTRAL

    finite = sigma[np.isfinite(sigma)]
    return float(np.exp(brentq(excess, np.log(finite.min()) - 5, np.log(finite.max()) + 5)))


def span(errors: Iterable[np.ndarray]) -> float:
    """Half the range of a panel, from the widest model, rounded up to 1, 2, 3, 5 or 8 of a decade."""
    wide = MEDIANS * max(float(np.median(np.abs(values))) for values in errors) or 1.0
    decade = 10.0 ** np.floor(np.log10(wide))
    return float(decade * next(step for step in (1, 2, 3, 5, 8, 10) if wide <= step * decade * (1 + 1e-9)))


def outside(values: np.ndarray, half: float) -> float:
    """The share of values beyond -half and half."""
    return float(np.mean(np.abs(values) > half))


def _bins(systems: int) -> int:
    """Number of bins of a histogram of so many systems."""
    return int(np.clip(round(2 * np.sqrt(systems)), 8, 32))


def _line(look: style.Look, label: str, linewidth: float | None = None) -> Line2D:
    """The legend's entry of a model."""
    return Line2D([], [], color=look.color, linestyle=look.linestyle, label=label, linewidth=linewidth)


def _histograms(
    axes: Axes,
    errors: Mapping[str, np.ndarray],
    half: float,
    looks: Mapping[str, style.Look],
    normal: bool = False,
) -> None:
    """Draw the models' histograms over [-half, half].

    Parameters
    ----------
    axes
        The panel.
    errors
        Model to its errors.
    half
        Half the range.
    looks
        Model to how it is drawn.
    normal
        Whether they are densities of all systems, with a unit normal beside them.
    """
    handles, top, shares = [], 0.0, []
    for name, values in errors.items():
        look = looks[name]
        edges = np.linspace(-half, half, _bins(len(values)) + 1)
        counts = np.histogram(values, edges)[0]
        heights = counts / (len(values) * np.diff(edges)) if normal else counts
        axes.stairs(heights, edges, color=look.color, linestyle=look.linestyle, linewidth=1.0, label=name)
        if look is style.LOOKS[0]:
            axes.stairs(heights, edges, color=look.color, fill=True, alpha=0.2)
        top = max(top, float(heights.max()))
        shares.append(f"{100 * outside(values, half):.1f}%")
        handles.append(_line(look, label=shares[-1], linewidth=1.0))
    if normal:
        x = np.linspace(-half, half, 201)
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        axes.plot(x, density, color="black", linewidth=0.8, label="unit normal")
        top = max(top, float(density.max()))
    axes.axvline(0, color="0.6", linewidth=0.5, zorder=0)
    said = any(share != NONE for share in shares)
    axes.set(xlim=(-half, half), ylim=(0, (HEADROOM if said else BARE) * (top or 1.0)))
    if not said:
        return
    axes.legend(
        handles=handles, title="outside", loc="upper right", fontsize=style.SMALL, title_fontsize=style.SMALL,
        handlelength=1.6, handletextpad=0.4, labelspacing=0.15, borderaxespad=0.1, borderpad=0.2,
    )  # fmt: skip
