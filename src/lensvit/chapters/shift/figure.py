"""Figure 7: systems out of distribution, how scores tell them and what they do to errors and coverage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from lensvit.chapters.shift.settings import Figure7Settings
from lensvit.chapters.shift.table import CONTROL, LEFT_OUT
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.parameters import TARGETS

COLUMNS = ("target", "ratio", "ratio_error", "coverage", "coverage_error", "ordinary_coverage")  # of shift.csv
HEIGHT = 5.0  # inches
ROC_SHARE = 1.4  # height of the ROC curves, in units of that of the panels below
ONE_SIGMA = 0.6827  # coverage of a Gaussian
SCORE_TITLES = {
    "epistemic": r"epistemic part of $\sigma$",
    "predicted": r"predicted $\sigma$",
    "residual": "residual of rendered lens",
}
SYMBOLS = {parameter.name: style.symbol(parameter) for parameter in TARGETS}


def figure7(settings: Path, table: Path, curves: Path, output: list[Path]) -> None:
    """Draw figure 7: systems out of distribution.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.shift.settings.Figure7Settings`.
    table
        shift.csv.
    curves
        shift_roc.csv.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a table is absent or empty.
    """
    choice = read_settings(settings, Figure7Settings)
    labels = {LEFT_OUT: f"{choice.left_out} unseen", CONTROL: f"{choice.left_out} seen (control)", **choice.labels}
    rows = tables.read_csv(table, "case", columns=COLUMNS)
    points = tables.read_csv(curves, "case", columns=("score", "ordinary", "shifted"))
    style.save(draw(rows, points, labels), output)


@style.styled
def draw(table: pd.DataFrame, curves: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """The figure: ROC curves above, one panel a score; errors and coverage by case below.

    Parameters
    ----------
    table
        shift.csv.
    curves
        shift_roc.csv.
    labels
        Case to its label.
    """
    figure = style.constrained_figure(HEIGHT, w_pad=0.03, h_pad=0.03, space=0.03)
    looks = style.looks(table["case"].unique())
    names = {case: style.literal(labels.get(case, case)) for case in looks}
    above, below = figure.subfigures(2, 1, height_ratios=[ROC_SHARE, 1], squeeze=False)[:, 0]
    panels = above.subplots(1, len(SCORE_TITLES), sharex=True, sharey=True)
    for number, (axes, (score, title)) in enumerate(zip(panels, SCORE_TITLES.items(), strict=True)):
        _curves(axes, curves[curves["score"] == score], looks)
        axes.set_title(f"({'abc'[number]}) {title}", loc="left", pad=4)
    panels[0].set_ylabel("Shifted systems flagged")
    handles = [panels[0].lines[number] for number in range(len(looks))]
    above.legend(handles, [names[case] for case in looks], loc="outside lower center", ncols=min(len(looks), 5))
    errors, coverage = below.subplots(1, 2, sharey=True)
    _errors(errors, table, looks)
    _coverage(coverage, table, looks)
    letters = iter("abcdef"[len(SCORE_TITLES) :])
    for axes, title in ((errors, "error"), (coverage, r"coverage of $1\sigma$")):
        axes.set_title(f"({next(letters)}) {title}", loc="left", pad=4)
    errors.set_yticks(range(len(looks)), [names[case] for case in looks])
    errors.set_ylim(len(looks) - 0.4, -0.6)
    return figure


def _curves(axes: Axes, curves: pd.DataFrame, looks: Mapping[str, style.Look]) -> None:
    """Draw the ROC curve of every case, for one score."""
    for case, look in looks.items():
        rows = curves[curves["case"] == case]
        axes.plot(rows["ordinary"], rows["shifted"], color=look.color, linestyle=look.linestyle)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Ordinary systems flagged")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter("{x:g}")


def _errors(axes: Axes, table: pd.DataFrame, looks: Mapping[str, style.Look]) -> None:
    """Draw the ratios of the errors: overall with its standard error, a tick for each target, the largest one named."""
    for row, (case, look) in enumerate(looks.items()):
        part = table[table["case"] == case].set_index("target")
        overall, targets = part.loc[["overall"]].iloc[0], part["ratio"].drop("overall")
        axes.plot(targets, [row] * len(targets), "|", color=look.color, markersize=5, markeredgewidth=0.7)
        _marked(axes, overall["ratio"], row, overall["ratio_error"], look)
        axes.annotate(
            SYMBOLS[str(targets.idxmax())], (targets.max(), row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=style.SMALL,
        )  # fmt: skip
    axes.axvline(1, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    style.number_logarithmic(axes.xaxis)
    axes.set_xlabel("RMSE, shifted / ordinary")


def _coverage(axes: Axes, table: pd.DataFrame, looks: Mapping[str, style.Look]) -> None:
    """Draw the coverage of the shifted systems with the standard error of its change, and of the ordinary ones."""
    for row, (case, look) in enumerate(looks.items()):
        overall = table[(table["case"] == case) & (table["target"] == "overall")].iloc[0]
        axes.plot(overall["ordinary_coverage"], row, "x", color="0.35", markersize=4.5, markeredgewidth=0.9)
        _marked(axes, overall["coverage"], row, overall["coverage_error"], look)
    axes.axvline(ONE_SIGMA, color="0.6", linewidth=0.8, zorder=1)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(r"Truths within $1\sigma$ (cross: ordinary systems)")


def _marked(axes: Axes, value: float, row: int, error: float, look: style.Look) -> None:
    """Draw a value with its standard error in the row of a case."""
    axes.errorbar(
        value, row, xerr=error, color=look.color, elinewidth=0.9, marker=look.marker, markersize=4.5,
        markerfacecolor=look.face,
    )  # fmt: skip
