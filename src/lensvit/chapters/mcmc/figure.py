"""Figure 5: the posterior of one system by every method, on the networks' scale and on the chains'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator, MultipleLocator

from lensvit.chapters.mcmc.table import read_chains, representative
from lensvit.chapters.quoting import METHOD_LABELS
from lensvit.chapters.settings import LabelSettings
from lensvit.figures import style
from lensvit.io import hdf5, tables
from lensvit.io.settings import read_settings
from lensvit.parameters import TARGET_COLUMNS, TARGETS, Parameter

HEIGHT = 6.7  # inches
MASSES = (0.68, 0.95)  # shares of the probability within the contours
NEAR, FAR = 4.2, 2.8  # reach of the panels, in sigmas of the chain and of each network
CHAIN, FIT, TRUTH = style.LOOKS[2].color, style.LOOKS[3].color, "black"


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


def figure5(settings: Path, mcmc: Path, draws: list[Path], output: list[Path], refined: Path | None = None) -> None:
    """Draw figure 5.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    mcmc
        mcmc.parquet, with the samples (.h5) beside it; the first system with a converged chain is shown.
    draws
        predictions/{model}.h5 of every model.
    output
        .pdf and .png files.
    refined
        refined/{model}.parquet, with the covariances (.h5) beside it, if there is one.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    labels = read_settings(settings, LabelSettings).labels
    row, samples = read_chain(Path(mcmc))
    networks = {Path(path).stem: read_network(path, row["id"]) for path in draws}
    fit = None if refined is None else read_laplace(Path(refined), row["id"])
    truth = tables.target_values(row.to_frame().T, "truth")[0]
    style.save(draw(truth, networks, samples, fit, labels), output)


def read_chain(path: Path) -> tuple[pd.Series, np.ndarray | None]:
    """The row and the targets' samples (S, K) of the first converged chain; without any, the first row and None."""
    table = read_chains(path)
    good = representative(table)
    if good.empty:
        return table.iloc[0], None
    with hdf5.open_hdf5(path.with_suffix(".h5")) as file:
        return good.iloc[0], file["samples"][good.index[0]][:, TARGET_COLUMNS]


def read_network(path: Path, system: str) -> np.ndarray:
    """A network's draws (passes, K) of a system."""
    with hdf5.open_hdf5(path) as file:
        return file["draws"][:, _row_of(file, system, path)].astype(float)


def read_laplace(path: Path, system: str) -> TargetGaussian | None:
    """The refined estimate of a system; None if the fit has not converged or was not made."""
    table = tables.read_refined(path).set_index("id")
    if system not in table.index or not table.loc[system, "converged"]:
        return None
    with hdf5.open_hdf5(path.with_suffix(".h5")) as file:
        row = _row_of(file, system, path)
        covariance = file["covariance"][row][np.ix_(TARGET_COLUMNS, TARGET_COLUMNS)]
        return TargetGaussian(file["coordinates"][row][TARGET_COLUMNS], covariance)


def _row_of(file: h5py.File, system: str, path: Path) -> int:
    """The row of a system in an open file, whose ``path`` an error names."""
    return hdf5.find_systems(path, hdf5.values(file["id"]), [system])[0]


# ---------------------------------------------------------------- drawing


@style.styled
def draw(
    truth: np.ndarray,
    networks: Mapping[str, np.ndarray],
    samples: np.ndarray | None,
    fit: TargetGaussian | None,
    labels: Mapping[str, str],
) -> Figure:
    """The figure, with a panel for each pair of the K targets.

    Below the diagonal panels reach as far as the networks do, above it as far as the chain does.

    Parameters
    ----------
    truth
        (K,)
    networks
        Model to its draws (passes, K).
    samples
        (S, K) of the chain; None leaves the panels above the diagonal empty.
    fit
        The refined estimate, if there is one.
    labels
        Model to its label.
    """
    count, looks = len(truth), style.looks(networks)
    figure = Figure(figsize=(style.WIDTH, HEIGHT))
    grid = figure.subplots(count, count, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    figure.subplots_adjust(left=0.1, right=0.93, bottom=0.085, top=0.91)
    figure.text(0.01, 0.40, "networks' scale, units of the targets", rotation=90, va="center", fontsize=8)
    scale = "chain's scale: from its mean, in units of its sigma"
    figure.text(0.99, 0.60, scale, rotation=270, va="center", ha="right", fontsize=8)
    ranges = _ranges(networks, truth)
    for row in range(count):
        for column in range(count):
            axes = grid[row, column]
            if column < row:
                _networks(axes, [column, row], networks, looks, truth, samples)
                _far(axes, ranges[column], ranges[row])
            elif column == row:
                _name(axes, TARGETS[row])
            elif samples is not None:
                _near(axes, [column, row], truth, samples, fit)
            else:
                axes.set_axis_off()
            _ticks(axes, row, column, count)
    figure.legend(handles=_key(looks, labels, samples, fit), loc="upper center", ncols=5, columnspacing=1.2)
    return figure


def _networks(
    axes: Axes,
    pair: list[int],
    networks: Mapping[str, np.ndarray],
    looks: Mapping[str, style.Look],
    truth: np.ndarray,
    samples: np.ndarray | None,
) -> None:
    """Draw the contours of the networks' draws of two targets, with the truth and the chain's mean."""
    for model, values in networks.items():
        look = looks[model]
        gaussian = TargetGaussian(values[:, pair].mean(0), np.cov(values[:, pair], rowvar=False))
        _contours(axes, gaussian, edgecolor=look.color, linestyle=look.linestyle, linewidth=0.9)
    axes.plot(*truth[pair], marker="+", color=TRUTH, markersize=5, markeredgewidth=0.8, zorder=4)
    if samples is not None:
        axes.plot(*samples[:, pair].mean(0), marker="o", color=CHAIN, markersize=2.6, zorder=3)


def _ranges(networks: Mapping[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Limits (K, 2) of the panels that hold the ellipses of all networks, and the truth."""
    reach = [(values.mean(0), FAR * values.std(0)) for values in networks.values()]
    low = np.min([mean - far for mean, far in reach] + [truth - 0.3 * far for _, far in reach], axis=0)
    high = np.max([mean + far for mean, far in reach] + [truth + 0.3 * far for _, far in reach], axis=0)
    return np.stack([low, high], 1)


def _far(axes: Axes, horizontal: np.ndarray, vertical: np.ndarray) -> None:
    """Give a panel the limits (2,) of its axes, on the networks' scale."""
    axes.set(xlim=tuple(horizontal), ylim=tuple(vertical))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(2, prune="both"))


def _near(axes: Axes, pair: list[int], truth: np.ndarray, samples: np.ndarray, fit: TargetGaussian | None) -> None:
    """Draw samples, contours and the truth of two targets, in sigmas of the chain from its mean."""
    mean, sigma = samples.mean(0)[pair], samples.std(0)[pair]
    scaled = (samples[:, pair] - mean) / sigma
    axes.plot(*scaled.T, linestyle="none", marker=".", markersize=1.2, markeredgewidth=0, color=CHAIN, alpha=0.5)
    _contours(axes, TargetGaussian(np.zeros(2), np.cov(scaled, rowvar=False)), edgecolor=CHAIN, linewidth=1.0)
    if fit is not None:
        covariance = fit.covariance[np.ix_(pair, pair)] / np.outer(sigma, sigma)
        at = TargetGaussian((fit.mean[pair] - mean) / sigma, covariance)
        _contours(axes, at, edgecolor=FIT, linestyle=(0, (3, 1.2)), linewidth=1.0)
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
    """Number the outer axes alone: the networks' scale at the left and below, the chain's above and at the right."""
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


def _key(
    looks: Mapping[str, style.Look],
    labels: Mapping[str, str],
    samples: np.ndarray | None,
    fit: TargetGaussian | None,
) -> list[Line2D]:
    """The entries of the legend."""
    handles = [
        Line2D([], [], color=look.color, linestyle=look.linestyle, label=style.literal(labels.get(model, model)))
        for model, look in looks.items()
    ]
    if samples is not None:
        handles.append(Line2D([], [], color=CHAIN, marker="o", markersize=3, label=METHOD_LABELS["mcmc"]))
    if fit is not None:
        handles.append(
            Line2D([], [], color=FIT, linestyle=(0, (3, 1.2)), label=f"{METHOD_LABELS['refined']} (Laplace)")
        )
    return [*handles, Line2D([], [], color=TRUTH, marker="+", linestyle="none", label="Truth")]
