"""Figures 11 and 12: what is said of each real lens, and their images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensvit.chapters.real.settings import RealLabels
from lensvit.chapters.real.table import LABELS
from lensvit.figures import style
from lensvit.io import files, tables
from lensvit.io.settings import read_settings
from lensvit.parameters import TABLE

ROW = 0.42  # height of a lens in figure 11 [inch]
COLUMNS, SIDE = 6, 0.98  # panels beside each other in figure 12, and their side [inch]
STRETCH, MOST = 3.0, 5.0  # as in the figures of fits


def figure11(settings: Path, table: Path, output: list[Path]) -> None:
    """Draw figure 11: Einstein radius and slope of each lens by each method, and how unlike the training it is.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.real.settings.RealLabels`.
    table
        real.csv.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    labels = LABELS | read_settings(settings, RealLabels).labels
    style.save(draw(tables.read_csv(table, "lens", "method", "reference", "verdict"), labels), output)


@style.styled
def draw(table: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    """The figure.

    Parameters
    ----------
    table
        real.csv.
    labels
        Method to its label.
    """
    lenses, methods = list(dict.fromkeys(table["lens"])), list(dict.fromkeys(table["method"]))
    looks = style.looks(methods)
    figure = Figure(figsize=(style.WIDTH, 0.75 + ROW * len(lenses)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=[1, 1, 0.7])
    for axes, name in zip(panels, ("theta_E", "gamma", "distance"), strict=True):
        for method in methods:
            _column(
                axes, table[table["method"] == method], name, lenses, methods.index(method), len(methods), looks[method]
            )
        for place in range(1, len(lenses)):
            axes.axhline(place - 0.5, color="0.85", linewidth=0.5)
    panels[0].set_yticks(range(len(lenses)), [style.literal(lens) for lens in lenses])
    panels[0].set(ylim=(len(lenses) - 0.5, -0.5), xlabel=style.quantity(TABLE["theta_E"]))
    panels[1].set_xlabel(style.quantity(TABLE["gamma"]))
    panels[2].axvline(1, color="0.35", linestyle="--", linewidth=0.8)
    panels[2].set(xscale="log", xlabel="Distance from the training")
    style.number_logarithmic(panels[2].xaxis)
    for axes in panels:
        axes.tick_params(axis="y", length=0)
    handles = [
        panels[0].plot([], [], color=look.color, marker=look.marker, markerfacecolor=look.face, linestyle="none",
                       markersize=4, label=style.literal(labels.get(method, method)))[0]
        for method, look in looks.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


def _column(
    axes: Axes, rows: pd.DataFrame, name: str, lenses: list[str], number: int, count: int, look: style.Look
) -> None:
    """One method's values of all lenses in one panel."""
    for _, row in rows.iterrows():
        if not np.isfinite(row[name]):
            continue
        place = lenses.index(row["lens"]) + 0.7 * ((number + 0.5) / count - 0.5)
        error = row.get(f"{name}_sigma", np.nan)
        axes.errorbar(
            row[name], place, xerr=error if np.isfinite(error) else None, color=look.color, marker=look.marker,
            markersize=4, markerfacecolor=look.face, linewidth=0.9, label=f"{row['method']} {row['lens']} {name}",
        )  # fmt: skip


def figure12(models: list[Path], output: list[Path]) -> None:
    """Draw figure 12: image and residual of each lens.

    Parameters
    ----------
    models
        observations/{lens}_model.fits of each lens.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    shown = {}
    for path in map(Path, models):
        with files.reading(path), fits.open(path) as units:
            data, residual = (np.asarray(units[key].data, dtype=float) for key in (0, "RESIDUAL"))
            shown[path.name.removesuffix("_model.fits")] = data, residual, float(units[0].header["PIXSCALE"])
    style.save(draw_images(shown), output)


@style.styled
def draw_images(shown: Mapping[str, tuple[np.ndarray, np.ndarray, float]]) -> Figure:
    """The figure, from lenses to image (n, n), residual (n, n) in units of the noise, and pixel scale [arcsec]."""
    rows = -(-2 * len(shown) // COLUMNS)
    gap, above = 0.03, 0.17
    figure = Figure(figsize=(style.WIDTH, rows * (SIDE + above) + 0.02))
    width, height = figure.get_size_inches()
    step = (width - SIDE) / (COLUMNS - 1)
    for number, (lens, (data, residual, scale)) in enumerate(shown.items()):
        for part, picture in enumerate((data, residual)):
            row, column = divmod(2 * number + part, COLUMNS)
            left, low = column * step + part * (SIDE + gap - step), height - (row + 1) * (SIDE + above)
            axes = figure.add_axes((left / width, low / height, SIDE / width, SIDE / height))
            if part == 0:
                floor = 1.4826 * np.median(np.abs(data - np.median(data))) or 1.0
                axes.imshow(np.arcsinh(picture / (STRETCH * floor)), origin="lower", cmap="magma", vmin=-1)
                axes.set_title(style.literal(lens), loc="left", pad=2, fontsize=style.SMALL)
                bar = 1 / scale
                axes.plot(
                    [0.06 * len(data), 0.06 * len(data) + bar], [0.07 * len(data)] * 2, color="white", linewidth=1.2
                )
            else:
                axes.imshow(picture, origin="lower", cmap="RdBu_r", vmin=-MOST, vmax=MOST)
            axes.set(xticks=[], yticks=[])
    return figure
