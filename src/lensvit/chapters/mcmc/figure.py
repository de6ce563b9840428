"""Figure 5: the posterior of one system by every method, on the networks' scale and on the chains'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator, MultipleLocator

from lensvit.chapters.mcmc.table import representative
from lensvit.chapters.settings import LabelSettings
from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.parameters import NAMES, TARGET_NAMES, TARGETS, Parameter

HEIGHT = 6.7  # inches
MASSES = (0.68, 0.95)  # of the contours
NEAR, FAR = 4.2, 2.8  # how far panels reach, in sigmas of the chain and of each network
CHAIN, FIT, TRUTH = style.LOOKS[2].color, style.LOOKS[3].color, "black"
TARGET_COLUMNS = [NAMES.index(name) for name in TARGET_NAMES]


class Gaussian(NamedTuple):
    """Mean (K,) and covariance (K, K) of the targets."""

    mean: np.ndarray
    covariance: np.ndarray


def figure5(settings: Path, mcmc: Path, draws: list[Path], output: list[Path], refined: Path | None = None) -> None:
    """Draw figure 5.

    Parameters
    ----------
    settings : YAML with ``options`` (model to its label).
    mcmc : mcmc.parquet, with the samples (.h5) beside it; shown is the first system with a converged chain.
    draws : predictions/{model}.h5. output : .pdf and .png files.
    refined : refined/{model}.parquet, with the covariances (.h5) beside it, if there is one.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    row, samples = chain(Path(mcmc))
    networks = {Path(path).stem: network(path, row["id"]) for path in draws}
    fit = None if refined is None else laplace(Path(refined), row["id"])
    truth = row[[f"{name}_truth" for name in TARGET_NAMES]].to_numpy(dtype=float)
    style.save(draw(truth, networks, samples, fit, read_settings(settings, LabelSettings).labels), output)


def chain(path: Path) -> tuple[pd.Series, np.ndarray | None]:
    """The row and samples (S, K) of the first converged chain; without any, the first row and None."""
    table = tables.read_parquet(path)
    good = representative(table)
    if good.empty:
        return table.iloc[0], None
    with _opened(path.with_suffix(".h5")) as file:
        return good.iloc[0], file["samples"][good.index[0]][:, TARGET_COLUMNS]


def network(path: Path, system: str) -> np.ndarray:
    """Its draws (passes, K) of a system."""
    with _opened(path) as file:
        return file["draws"][:, _place(file, system, path)].astype(float)


def laplace(path: Path, system: str) -> Gaussian | None:
    """The refined estimate of a system; None if the fit has not converged or was not made."""
    table = tables.read_parquet(path).set_index("id")
    if system not in table.index or not table.loc[system, "converged"]:
        return None
    with _opened(path.with_suffix(".h5")) as file:
        place = _place(file, system, path)
        count = len(TARGET_NAMES)
        return Gaussian(file["coordinates"][place, :count], file["covariance"][place, :count, :count])


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path)
    except OSError as error:
        raise LensvitError(f"{path} is absent or broken: delete it and run snakemake again") from error


def _place(file: h5py.File, system: str, path: Path) -> int:
    ids = list(file["id"].asstr())
    if system not in ids:
        raise LensvitError(f"{path} has no system {system}: delete it and run snakemake again")
    return ids.index(system)


# ---------------------------------------------------------------- drawing


@style.styled
def draw(
    truth: np.ndarray,
    networks: Mapping[str, np.ndarray],
    samples: np.ndarray | None,
    fit: Gaussian | None,
    labels: Mapping[str, str],
) -> Figure:
    """All pairs of targets: below the diagonal as far as the networks reach, above it as far as the chain does.

    Without ``samples`` there is nothing above the diagonal.
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
    for model, values in networks.items():
        look = looks[model]
        gaussian = Gaussian(values[:, pair].mean(0), np.cov(values[:, pair], rowvar=False))
        _contours(axes, gaussian, edgecolor=look.color, linestyle=look.linestyle, linewidth=0.9)
    axes.plot(*truth[pair], marker="+", color=TRUTH, markersize=5, markeredgewidth=0.8, zorder=4)
    if samples is not None:
        axes.plot(*samples[:, pair].mean(0), marker="o", color=CHAIN, markersize=2.6, zorder=3)


def _ranges(networks: Mapping[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """(K, 2) what holds the ellipses of all networks, and the truth."""
    reach = [(values.mean(0), FAR * values.std(0)) for values in networks.values()]
    low = np.min([mean - far for mean, far in reach] + [truth - 0.3 * far for _, far in reach], axis=0)
    high = np.max([mean + far for mean, far in reach] + [truth + 0.3 * far for _, far in reach], axis=0)
    return np.stack([low, high], 1)


def _far(axes: Axes, horizontal: np.ndarray, vertical: np.ndarray) -> None:
    axes.set(xlim=tuple(horizontal), ylim=tuple(vertical))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(2, prune="both"))


def _near(axes: Axes, pair: list[int], truth: np.ndarray, samples: np.ndarray, fit: Gaussian | None) -> None:
    """In sigmas of the chain, from its mean."""
    mean, sigma = samples.mean(0)[pair], samples.std(0)[pair]
    scaled = (samples[:, pair] - mean) / sigma
    axes.plot(*scaled.T, linestyle="none", marker=".", markersize=1.2, markeredgewidth=0, color=CHAIN, alpha=0.5)
    _contours(axes, Gaussian(np.zeros(2), np.cov(scaled, rowvar=False)), edgecolor=CHAIN, linewidth=1.0)
    if fit is not None:
        covariance = fit.covariance[np.ix_(pair, pair)] / np.outer(sigma, sigma)
        at = Gaussian((fit.mean[pair] - mean) / sigma, covariance)
        _contours(axes, at, edgecolor=FIT, linestyle=(0, (3, 1.2)), linewidth=1.0)
    axes.plot(*((truth[pair] - mean) / sigma), marker="+", color=TRUTH, markersize=5, markeredgewidth=0.8)
    axes.set(xlim=(-NEAR, NEAR), ylim=(-NEAR, NEAR))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(2.5))


def _contours(axes: Axes, gaussian: Gaussian, **look: object) -> None:
    """Ellipses of a bivariate Gaussian that hold the two masses."""
    values, vectors = np.linalg.eigh(gaussian.covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    for mass in MASSES:
        minor, major = 2 * np.sqrt(values.clip(0) * -2 * np.log(1 - mass))
        axes.add_patch(Ellipse(gaussian.mean, major, minor, angle=angle, fill=False, **look))


def _name(axes: Axes, parameter: Parameter) -> None:
    axes.text(0.5, 0.55, style.symbol(parameter), ha="center", va="center", transform=axes.transAxes, fontsize=10)
    if parameter.unit:
        axes.text(0.5, 0.25, f"[{parameter.unit}]", ha="center", va="center", transform=axes.transAxes, fontsize=8)
    axes.set(xticks=[], yticks=[])
    axes.set_frame_on(False)


def _ticks(axes: Axes, row: int, column: int, count: int) -> None:
    """Numbers of the networks' scale at the left and below, of the chain's above and at the right."""
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
    fit: Gaussian | None,
) -> list[Line2D]:
    handles = [
        Line2D([], [], color=look.color, linestyle=look.linestyle, label=style.literal(labels.get(model, model)))
        for model, look in looks.items()
    ]
    if samples is not None:
        handles.append(Line2D([], [], color=CHAIN, marker="o", markersize=3, label="MCMC"))
    if fit is not None:
        handles.append(Line2D([], [], color=FIT, linestyle=(0, (3, 1.2)), label="Refined (Laplace)"))
    return [*handles, Line2D([], [], color=TRUTH, marker="+", linestyle="none", label="Truth")]
