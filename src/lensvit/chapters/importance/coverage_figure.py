"""Figure 9: calibration of networks, refinement and exact posteriors on the same systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import norm

from lensvit.chapters.quoting import METHOD_LABELS
from lensvit.chapters.settings import LabelSettings
from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.figures.panels import JOINT, set_excess_limits, target_panels
from lensvit.io import tables
from lensvit.io.products import read_draws, read_laplace, read_samples
from lensvit.io.settings import read_settings
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES
from lensvit.statistics import calibration

HEIGHT = 4.4  # inches
BAND = "0.86"  # grey of the range of a calibrated method
DRAWS = 400  # of the refinement's Gaussian, for the values of TARP

Values = Mapping[str, np.ndarray]  # target, or "joint", to values (n,) that are uniform under calibration


def figure9(settings: Path, importance: Path, draws: list[Path], refined: Path, output: list[Path]) -> None:
    """Draw figure 9: calibration of networks, refinement and exact posteriors.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    importance
        importance.parquet, with the samples (.h5) beside it.
    draws
        predictions/{model}.h5 of every model.
    refined
        refined/{model}.parquet, with the covariances (.h5) beside it. All methods are shown on the systems with a
        certified posterior and a converged fit.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or lacks a system.
    """
    labels = read_settings(settings, LabelSettings).labels
    systems = shared_systems(Path(importance), Path(refined))
    found = {Path(path).stem: of_samples(Path(path), "draws", systems) for path in draws}
    found["refined"] = of_laplace(Path(refined), systems)
    found["importance"] = of_samples(Path(importance), "samples", systems)
    named = METHOD_LABELS | {"refined": f"{METHOD_LABELS['refined']} (Laplace)"} | labels
    style.save(draw(found, len(systems), named), output)


def shared_systems(importance: Path, refined: Path) -> pd.DataFrame:
    """The systems with a certified posterior and a converged fit, with their truths, by id; there may be none."""
    exact, fits = tables.certified(tables.read_importance(importance)), tables.read_refined(refined)
    return exact[exact.index.isin(fits.index[fits["converged"]])]


def of_samples(path: Path, kind: str, systems: pd.DataFrame) -> Values:
    """Values of what has samples: the PIT of each target, and TARP's of all jointly.

    Parameters
    ----------
    path
        The file of draws, or the table beside which the samples lie.
    kind
        "draws" (P, n, K) of a network, or "samples" (n, S, 14) of exact posteriors.
    systems
        See :func:`shared_systems`.

    Raises
    ------
    LensvitError
        If the file is absent or broken, has nothing of a system, or too few draws.
    """
    ids = list(systems.index)
    some = read_draws(path, ids) if kind == "draws" else read_samples(path, ids).swapaxes(0, 1)[..., TARGET_COLUMNS]
    if len(some) < calibration.FEWEST_DRAWS:
        raise LensvitError(f"{path} has {len(some)} {kind}, a calibration needs {calibration.FEWEST_DRAWS}: raise them")
    truth, rng = tables.target_values(systems, "truth"), np.random.default_rng(derive("coverage", path.stem))
    if not len(systems):
        return _named(truth, np.empty(0))
    single = calibration.pit(some, truth, rng)
    return _named(single, calibration.tarp(some, truth, rng))


def of_laplace(path: Path, systems: pd.DataFrame) -> Values:
    """Values of the refinement: of a Gaussian with its mean, sigma and covariance.

    Parameters
    ----------
    path
        The table of the fits, beside which their covariances lie.
    systems
        See :func:`shared_systems`.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has nothing of a system.
    """
    truth = tables.target_values(systems, "truth")
    if not len(systems):
        return _named(truth, np.empty(0))
    fits = read_laplace(path, systems.index).of_targets()
    rng = np.random.default_rng(derive("coverage", "refined"))
    root, sigma = np.linalg.cholesky(fits.covariance), np.sqrt(fits.covariance.diagonal(axis1=1, axis2=2))
    drawn = fits.mean + np.einsum("nij,pnj->pni", root, rng.standard_normal((DRAWS, *truth.shape)))
    return _named(norm.cdf((truth - fits.mean) / sigma), calibration.tarp(drawn, truth, rng))


def _named(single: np.ndarray, joint: np.ndarray) -> Values:
    """Values (n, K) of the targets and (n,) of all jointly, by name."""
    return {**dict(zip(TARGET_NAMES, single.T, strict=True)), JOINT: joint}


@style.styled
def draw(found: Mapping[str, Values], systems: int, labels: Mapping[str, str]) -> Figure:
    """The figure: a panel for each target and one for all jointly.

    Parameters
    ----------
    found
        Method to its values.
    systems
        The number of systems; without any the panels are empty.
    labels
        Method to its label.
    """
    figure = style.constrained_figure(HEIGHT, w_pad=0.02, h_pad=0.02, space=0.02)
    looks, levels = style.looks(found), calibration.LEVELS
    title = rf"share of truths in an interval (TARP: in a ball) $-$ its level, {systems} systems"
    panels = target_panels(figure.subfigures(1, 1, squeeze=False)[0, 0], title, "Level", "Excess coverage")
    low, high = calibration.band(levels, systems)
    shown = [np.zeros(1)]
    for target, axes in panels.items():
        if systems:
            axes.fill_between(levels, low - levels, high - levels, color=BAND, linewidth=0)
        for method, look in looks.items():
            if systems:
                covered = calibration.nearer if target == JOINT else calibration.central
                shown.append(covered(found[method][target]) - levels)
                axes.plot(
                    levels, shown[-1], color=look.color, linestyle=look.linestyle, linewidth=1.0, marker=look.marker,
                    markersize=2.5, markerfacecolor=look.face, markeredgewidth=0.6, markevery=3, label=method,
                )  # fmt: skip
        axes.axhline(0, color="0.35", linewidth=0.8, zorder=1)
    set_excess_limits(axes, np.concatenate(shown))
    handles: list[Line2D | Patch] = [
        Line2D(
            [], [], color=look.color, linestyle=look.linestyle, marker=look.marker, markersize=4.0,
            markerfacecolor=look.face, label=style.literal(labels.get(method, method)),
        )
        for method, look in looks.items()
    ]  # fmt: skip
    handles.append(Patch(color=BAND, label="range if calibrated"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, handlelength=2.5, columnspacing=1.5)
    return figure
