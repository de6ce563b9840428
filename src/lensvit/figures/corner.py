"""Corner plots: the posterior of one system by every method, on the networks' scale and on that of the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import FixedLocator, MaxNLocator, MultipleLocator
from matplotlib.typing import LineStyleType

from lensvit.figures import style
from lensvit.io import products, tables
from lensvit.parameters import TARGET_COLUMNS, TARGETS, Parameter

HEIGHT = 6.7  # inches
EDGE = 0.13  # of a panel: its first and last parts have no tick, so that numbers of neighbours do not touch
MASSES = (0.68, 0.95)  # shares of the probability within the contours
NEAR, FAR = 4.2, 2.8  # reach of the panels, in sigmas of the reference and of each network
PIXELS = ("mcmc", "refined", "importance")  # methods that may be shown beside networks
CHAIN, FIT, EXACT = (style.METHODS[name].color for name in PIXELS)
TRUTH = "black"
DASHED, DOTTED = (0, (3, 1.2)), (0, (1, 1))


class TargetGaussian(NamedTuple):
    """A Gaussian distribution of K targets.

    Parameters
    ----------
    mean
        (K,)
    covariance
        (K, K)
    """

    mean: np.ndarray
    covariance: np.ndarray


class FromPixels(NamedTuple):
    """A posterior from all pixels.

    Parameters
    ----------
    label
        Its name, as printed.
    color
        Colour of its contours.
    linestyle
        Dashes of its contours.
    values
        Samples (S, K), or a Gaussian.
    """

    label: str
    color: str
    linestyle: LineStyleType
    values: np.ndarray | TargetGaussian

    @property
    def gaussian(self) -> TargetGaussian:
        """The Gaussian with the same mean and covariance."""
        if isinstance(self.values, TargetGaussian):
            return self.values
        return TargetGaussian(self.values.mean(0), np.cov(self.values, rowvar=False))


def read_network(path: Path, system: str) -> np.ndarray:
    """A network's draws (passes, K) of a system."""
    return products.read_draws(path, [system])[:, 0]


def read_laplace(path: Path, system: str) -> TargetGaussian | None:
    """The refined estimate of a system; None if the fit has not converged or was not made."""
    table = tables.read_refined(path)
    if system not in table.index or not table.loc[system, "converged"]:
        return None
    fit = products.read_laplace(path, [system]).of_targets()
    return TargetGaussian(fit.mean[0], fit.covariance[0])


def read_exact(path: Path, system: str) -> np.ndarray | None:
    """The targets' samples (S, K) of a system's exact posterior; None if it is not certified or was not made."""
    if system not in tables.certified(tables.read_importance(path)).index:
        return None
    return products.read_samples(path, [system])[0][:, TARGET_COLUMNS]


def of_pixels(exact: np.ndarray | None, fit: TargetGaussian | None, labels: Mapping[str, str]) -> list[FromPixels]:
    """What is shown of a system's exact posterior and of its refinement, where there are any.

    Parameters
    ----------
    exact
        Samples (S, K) of the exact posterior.
    fit
        The refined estimate.
    labels
        "importance" and "refined" to their labels.
    """
    found = []
    if exact is not None:
        found.append(FromPixels(labels["importance"], EXACT, DOTTED, exact))
    if fit is not None:
        found.append(FromPixels(f"{labels['refined']} (Laplace)", FIT, DASHED, fit))
    return found


# ---------------------------------------------------------------- drawing


@style.styled
def draw(
    truth: np.ndarray,
    networks: Mapping[str, np.ndarray],
    pixels: Sequence[FromPixels],
    labels: Mapping[str, str],
) -> Figure:
    """The figure, with a panel for each pair of the K targets.

    Below the diagonal panels reach as far as the networks do, above it as far as the first posterior from all pixels.

    Parameters
    ----------
    truth
        (K,)
    networks
        Model to its draws (passes, K).
    pixels
        Posteriors from all pixels; without any the panels above the diagonal are empty.
    labels
        Model to its label.
    """
    count, all_looks = len(truth), style.looks([*networks, *PIXELS])
    looks = {model: all_looks[model] for model in networks}
    figure = Figure(figsize=(style.WIDTH, HEIGHT))
    grid = figure.subplots(count, count, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    figure.subplots_adjust(left=0.1, right=0.93, bottom=0.085, top=0.91)
    figure.text(0.01, 0.40, "Networks: in units of the targets", rotation=90, va="center", fontsize=8)
    if pixels:
        scale = f"{pixels[0].label}: from its mean, in units of its sigma"
        figure.text(0.99, 0.60, scale, rotation=270, va="center", ha="right", fontsize=8)
    ranges = _ranges(networks, truth)
    for row in range(count):
        for column in range(count):
            axes = grid[row, column]
            if column < row:
                _networks(axes, [column, row], networks, looks, truth, pixels)
                _far(axes, ranges[column], ranges[row])
            elif column == row:
                _name(axes, TARGETS[row])
            elif pixels:
                _near(axes, [column, row], truth, pixels)
            else:
                axes.set_axis_off()
            _ticks(axes, row, column, count)
    figure.legend(handles=_key(looks, labels, pixels), loc="upper center", ncols=5, columnspacing=1.2)
    return figure


def _networks(
    axes: Axes,
    pair: list[int],
    networks: Mapping[str, np.ndarray],
    looks: Mapping[str, style.Look],
    truth: np.ndarray,
    pixels: Sequence[FromPixels],
) -> None:
    """Draw the contours of the networks' draws of two targets, with the truth and the mean of the first posterior."""
    for model, values in networks.items():
        look = looks[model]
        gaussian = TargetGaussian(values[:, pair].mean(0), np.cov(values[:, pair], rowvar=False))
        _contours(axes, gaussian, edgecolor=look.color, linestyle=look.linestyle, linewidth=0.9)
    axes.plot(*truth[pair], marker="+", color=TRUTH, markersize=5, markeredgewidth=0.8, zorder=4)
    for first in pixels[:1]:
        ring: dict[str, Any] = {"markersize": 5.5, "markerfacecolor": "none", "markeredgewidth": 0.9}
        axes.plot(*first.gaussian.mean[pair], marker="o", color=first.color, zorder=5, **ring)


def _ranges(networks: Mapping[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Limits (K, 2) of the panels that hold the ellipses of all networks, and the truth."""
    reach = [(values.mean(0), FAR * values.std(0)) for values in networks.values()]
    low = np.min([mean - far for mean, far in reach] + [truth - 0.3 * far for _, far in reach], axis=0)
    high = np.max([mean + far for mean, far in reach] + [truth + 0.3 * far for _, far in reach], axis=0)
    return np.stack([low, high], 1)


def _far(axes: Axes, horizontal: np.ndarray, vertical: np.ndarray) -> None:
    """Give a panel the limits (2,) of its axes, on the networks' scale."""
    axes.set(xlim=tuple(horizontal), ylim=tuple(vertical))
    for axis, (low, high) in zip((axes.xaxis, axes.yaxis), (horizontal, vertical), strict=True):
        ticks = MaxNLocator(3).tick_values(low, high)
        inside = (ticks - low) / (high - low)
        axis.set_major_locator(FixedLocator(ticks[(inside > EDGE) & (inside < 1 - EDGE)]))


def _near(axes: Axes, pair: list[int], truth: np.ndarray, pixels: Sequence[FromPixels]) -> None:
    """Draw contours and the truth of two targets, in sigmas of the first posterior from its mean, with its samples."""
    first = pixels[0]
    mean, sigma = first.gaussian.mean[pair], np.sqrt(first.gaussian.covariance.diagonal()[pair])
    if not isinstance(first.values, TargetGaussian):
        scaled = (first.values[:, pair] - mean) / sigma
        look: dict[str, Any] = {
            "linestyle": "none",
            "marker": ".",
            "markersize": 1.2,
            "markeredgewidth": 0,
            "alpha": 0.5,
        }
        axes.plot(*scaled.T, color=first.color, **look)
    for posterior in pixels:
        covariance = posterior.gaussian.covariance[np.ix_(pair, pair)] / np.outer(sigma, sigma)
        at = TargetGaussian((posterior.gaussian.mean[pair] - mean) / sigma, covariance)
        _contours(axes, at, edgecolor=posterior.color, linestyle=posterior.linestyle, linewidth=1.0)
    axes.plot(*((truth[pair] - mean) / sigma), marker="+", color=TRUTH, markersize=5, markeredgewidth=0.8)
    axes.set(xlim=(-NEAR, NEAR), ylim=(-NEAR, NEAR))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(2.5))


def _contours(axes: Axes, gaussian: TargetGaussian, **look: Any) -> None:
    """Draw the ellipses of a bivariate Gaussian that hold the shares ``MASSES``."""
    values, vectors = np.linalg.eigh(gaussian.covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    for mass in MASSES:
        minor, major = 2 * np.sqrt(values.clip(0) * -2 * np.log(1 - mass))
        axes.add_patch(Ellipse((gaussian.mean[0], gaussian.mean[1]), major, minor, angle=angle, fill=False, **look))


def _name(axes: Axes, parameter: Parameter) -> None:
    """Write a target's symbol and unit into a panel on the diagonal."""
    axes.text(0.5, 0.55, style.symbol(parameter), ha="center", va="center", transform=axes.transAxes, fontsize=10)
    if parameter.unit:
        axes.text(0.5, 0.25, f"[{parameter.unit}]", ha="center", va="center", transform=axes.transAxes, fontsize=8)
    axes.set(xticks=[], yticks=[])
    axes.set_frame_on(False)


def _ticks(axes: Axes, row: int, column: int, count: int) -> None:
    """Number the outer axes alone: the networks' scale at the left and below, the other above and at the right."""
    if column > row:
        axes.xaxis.tick_top()
        axes.yaxis.tick_right()
    edge = {"x": row == (count - 1 if column < row else 0), "y": column == (0 if column < row else count - 1)}
    top = column > row
    axes.tick_params(
        labelbottom=edge["x"] and not top, labeltop=edge["x"] and top, labelleft=edge["y"] and not top,
        labelright=edge["y"] and top, pad=2,
    )  # fmt: skip
    axes.tick_params(axis="x", labelrotation=0 if top else 45)


def _key(looks: Mapping[str, style.Look], labels: Mapping[str, str], pixels: Sequence[FromPixels]) -> list[Line2D]:
    """The entries of the legend."""
    handles = [
        Line2D([], [], color=look.color, linestyle=look.linestyle, label=style.literal(labels.get(model, model)))
        for model, look in looks.items()
    ]
    for number, posterior in enumerate(pixels):
        marker = "o" if number == 0 else None
        handles.append(
            Line2D(
                [], [], color=posterior.color, linestyle=posterior.linestyle, marker=marker, markersize=5.5,
                markerfacecolor="none", markeredgewidth=0.9, label=posterior.label,
            )
        )  # fmt: skip
    return [*handles, Line2D([], [], color=TRUTH, marker="+", linestyle="none", label="Truth")]
