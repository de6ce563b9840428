"""Figure 6: what the errors mean for H0, for one lens and for many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import norm

from lensvit.chapters.fermat.settings import Figure6Settings
from lensvit.chapters.fermat.table import combine
from lensvit.chapters.fermat.thresholds import CENTRAL
from lensvit.chapters.quoting import METHOD_LABELS
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.jobs.seeds import derive

HEIGHT = 3.7  # inches
TREATMENT_LABELS = {"prediction": "alone", "images": "+ positions", "pixels": "all pixels"}
SAMPLES = 400  # sets of lenses that are drawn from the test set, for each number of lenses
EXPECTED = float(norm.ppf(0.75))  # the median of |error| / sigma of an honest Gaussian
COLUMNS = ("method", "treatment", "used", "error", "sigma")  # of the table, which are shown


def figure6(settings: Path, fermat: Path, output: list[Path]) -> None:
    """Draw figure 6: what the errors mean for H0.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.fermat.settings.Figure6Settings`.
    fermat
        fermat.parquet.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    choice = read_settings(settings, Figure6Settings)
    style.save(draw(tables.read_parquet(fermat, *COLUMNS), choice.labels, choice.goal), output)


@style.styled
def draw(table: pd.DataFrame, labels: Mapping[str, str], goal: float) -> Figure:
    """The figure: on the left the errors of one lens, a row for each method; on the right those of many together.

    Parameters
    ----------
    table
        fermat.parquet.
    labels
        Model to its label.
    goal
        Relative uncertainty of H0 that is marked.
    """
    figure = Figure(figsize=(style.WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    groups = dict(_groups(table))
    looks = style.looks(dict.fromkeys(method for method, _ in groups))
    _single(left, groups, looks, labels)
    _together(right, groups, looks, goal)
    return figure


def _groups(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Each method and treatment with the rows of its used systems."""
    for (method, treatment), part in table[table["used"]].groupby(["method", "treatment"], sort=False):
        yield (str(method), str(treatment)), part


def _single(
    axes: Axes,
    groups: Mapping[tuple[str, str], pd.DataFrame],
    looks: Mapping[str, style.Look],
    labels: Mapping[str, str],
) -> None:
    """Draw the median and the central share of the absolute errors, and below it those that the sigmas let expect."""
    names = []
    for row, ((method, treatment), part) in enumerate(groups.items()):
        look = looks[method]
        if part["error"].notna().any():
            _bar(axes, 100 * part["error"].abs(), row - 0.17, look, "-", f"{method} {treatment} error")
        _bar(axes, 100 * EXPECTED * part["sigma"], row + 0.17, look, ":", f"{method} {treatment} expected")
        names.append(
            f"{style.literal(labels.get(method, METHOD_LABELS.get(method, method)))}, {TREATMENT_LABELS[treatment]}"
        )
    axes.set_yticks(range(len(names)), names)
    axes.set(xscale="log", xlabel=r"|Error| of $H_0$ from one lens [%]", ylim=(len(names) - 0.4, -0.6))
    style.number_logarithmic(axes.xaxis)
    axes.set_title("(a) one lens", loc="left", pad=3)
    key = [
        Line2D([], [], color="0.35", marker="o", markersize=4, label="found"),
        Line2D([], [], color="0.35", marker="|", markersize=6, linestyle=":", label="expected from sigma"),
    ]
    axes.figure.legend(handles=key, loc="outside upper left", ncols=2)


def _bar(axes: Axes, values: pd.Series, height: float, look: style.Look, line: str, label: str) -> None:
    """Draw a bar over the central share of values, with a marker at their median."""
    low, middle, high = np.quantile(values, [(1 - CENTRAL) / 2, 0.5, (1 + CENTRAL) / 2])
    axes.plot([low, high], [height, height], color=look.color, linestyle=line, linewidth=1.0, label=f"{label} range")
    found = line == "-"
    axes.plot(
        [middle], [height], color=look.color, linestyle="none", marker=look.marker if found else "|", label=label,
        markersize=4 if found else 6, markerfacecolor=look.color if look.filled else "white",
    )  # fmt: skip


def _together(
    axes: Axes, groups: Mapping[tuple[str, str], pd.DataFrame], looks: Mapping[str, style.Look], goal: float
) -> None:
    """Draw the error of H0 from several lenses: lines are expected from the sigmas, markers are found."""
    for (method, treatment), part in groups.items():
        look, count = looks[method], _numbers(len(part))
        predicted, found = zip(*(together(part, number) for number in count), strict=True)
        dashes = look.linestyle if treatment != "prediction" else ":"
        axes.plot(
            count,
            100 * np.array(predicted),
            linestyle=dashes,
            label=f"{method} {treatment} expected",
            color=look.color,
            linewidth=1.0,
        )
        if part["error"].notna().any():
            face = look.color if treatment == "images" else "white"
            axes.plot(
                count, 100 * np.array(found), linestyle="none", marker=look.marker, markersize=3.5, markeredgewidth=0.7,
                markerfacecolor=face, label=f"{method} {treatment} found", color=look.color,
            )  # fmt: skip
    axes.axhline(100 * goal, color="0.35", linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    axes.set(xscale="log", yscale="log", xlabel="Number of lenses", ylabel=r"Error of $H_0$ [%]")
    for axis in (axes.xaxis, axes.yaxis):
        style.number_logarithmic(axis)
    axes.set_title("(b) many lenses", loc="left", pad=3)


def _numbers(most: int) -> np.ndarray:
    """Numbers of lenses from 1 to ``most``, evenly spaced in the logarithm."""
    return np.unique(np.geomspace(1, most, 7).round().astype(int))


def together(part: pd.DataFrame, number: int) -> tuple[float, float]:
    """The error of ln H0 from several lenses: expected by their sigmas, and the root mean square of those found.

    Sets of lenses are drawn without replacement, as otherwise the scatter of the draws would come on top of that of the
    lenses. A bias that all lenses share keeps the second number from falling.

    Parameters
    ----------
    part
        The systems of one method and treatment.
    number
        How many of them are taken together.
    """
    rng = np.random.default_rng(derive("figure6", number))
    rows = rng.random((SAMPLES, len(part))).argsort(1)[:, :number]
    error, sigma = part["error"].to_numpy()[rows], part["sigma"].to_numpy()[rows]
    combined, predicted = combine(error, sigma)
    return float(np.sqrt(np.square(predicted).mean())), float(np.sqrt(np.square(combined).mean()))
