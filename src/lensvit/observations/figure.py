"""Figures of a fitted lens: image, model, residuals, chi^2 and source, and a corner plot of its posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from lensvit.figures import style
from lensvit.inference.coordinates import to_parameters
from lensvit.lensing.power_law import PowerLaw
from lensvit.observations.chi_square import chi_square_maps
from lensvit.observations.result import LensResult
from lensvit.parameters import FURTHER, NAMES, PARAMETERS

SHOWN = ("theta_E", "gamma", "e1", "e2", "gamma_ext", "center_x", "center_y")  # in the corner plot
ROWS = {row.name: row for row in (*PARAMETERS, *FURTHER)}
STRETCH = 3.0  # brightness that is the middle of the stretch, in units of the noise
MOST = 5.0  # residual at the end of the scale [standard deviations]
LEAST, WORST = 0.5, 500.0  # chi^2 per pixel at the ends of the scale
CURVE = 721  # points along a critical curve
MASSES = (0.68, 0.95)  # shares of the draws within the contours


def draw(result: LensResult) -> Figure:
    """Image, model, residuals, their chi^2, and the source plane with the caustics.

    Parameters
    ----------
    result
        A fitted lens; its first image is shown.
    """
    fit = result.fit
    part, solution = fit.posterior.solution(fit.coordinates)
    image, count = fit.observation.images[0], fit.posterior.parts.pixels[0]
    shape, parts = image.data.shape, fit.posterior.parts
    amplitudes = solution.amplitudes
    model = (amplitudes @ part)[:count].reshape(shape).numpy()
    used = np.isfinite(image.variance)
    noise = np.sqrt(np.where(used, image.variance, np.inf))
    floor = float(np.sqrt(np.median(image.variance[used])))
    reach = shape[0] * image.pixel_scale / 2
    extent = (-reach, reach, -reach, reach)
    side, gap, below, above = 1.19, 0.05, 0.42, 0.2  # inches
    height = side + below + above
    figure = Figure(figsize=(style.WIDTH, height))
    lefts = [number * (side + gap) for number in range(4)] + [style.WIDTH - side - 0.02]
    axes = [figure.add_axes((left / style.WIDTH, below / height, side / style.WIDTH, side / height)) for left in lefts]

    def add_scale(shown: AxesImage, left: float, **ticks: Any) -> None:
        strip = figure.add_axes((left / style.WIDTH, (below - 0.12) / height, side / style.WIDTH, 0.07 / height))
        figure.colorbar(shown, cax=strip, orientation="horizontal", **ticks).ax.tick_params(labelsize=style.SMALL)

    low, high = -1.0, float(np.arcsinh(np.nanmax(model) / (STRETCH * floor)))
    for axis, picture, title in zip(
        axes, (np.where(used, image.data, np.nan), model), ("Image", "Model"), strict=False
    ):
        stretched = np.arcsinh(picture / (STRETCH * floor))
        axis.imshow(stretched, origin="lower", extent=extent, cmap="magma", vmin=low, vmax=high)
        axis.set_title(title)
    residual = np.where(used, (image.data - model) / noise, np.nan)
    shown = axes[2].imshow(residual, origin="lower", extent=extent, cmap="RdBu_r", vmin=-MOST, vmax=MOST)
    axes[2].set_title(r"Residual [$\sigma$]")
    add_scale(shown, lefts[2], ticks=[-4, -2, 0, 2, 4])
    nearby = chi_square_maps(image, model).smoothed
    shown = axes[3].imshow(nearby, origin="lower", extent=extent, cmap="viridis", norm=LogNorm(LEAST, WORST))
    axes[3].set_title(r"$\chi^2$ per pixel, smoothed")
    add_scale(shown, lefts[3], ticks=[1, 10, 100], format="%g")
    images = result.images
    for axis in axes[:4]:
        _scale_bar(axis, reach)
        axis.set_xticks([])
        axis.set_yticks([])
    axes[1].plot(images["x"], images["y"], "+", color="white", markersize=5)
    _source_plane(axes[4], result, parts.structure.names)
    return figure


def _scale_bar(axis: Axes, reach: float) -> None:
    """A bar of one arcsecond."""
    left, bottom = -0.9 * reach, -0.9 * reach
    color = "black" if axis.get_title().startswith("Residual") else "white"
    axis.plot([left, left + 1], [bottom, bottom], color=color, linewidth=1.5)
    axis.text(left + 0.5, bottom + 0.05 * reach, '1"', ha="center", va="bottom", color=color, fontsize=style.SMALL)


def critical_curves(parameters: torch.Tensor, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """The tangential critical curve of a lens and its caustic, complex (n,) each [arcsec].

    Along each direction from the centre the outermost place is taken at which the magnification changes its sign.

    Parameters
    ----------
    parameters
        Parameters (14,) in the order of :data:`lensvit.parameters.NAMES`.
    reach
        Distance from the centre up to which the curve is sought [arcsec].
    """
    law = PowerLaw(parameters[None])
    angle = torch.linspace(0, 2 * np.pi, CURVE, dtype=torch.float64)
    radius = torch.linspace(0.02 * reach, reach, 600, dtype=torch.float64)
    direction = torch.polar(torch.ones_like(angle), angle)
    position = (law.center[0, 0] + radius[None] * direction[:, None]).reshape(1, -1)
    _, kappa, gamma = law.focusing(position)
    determinant = ((1 - kappa) ** 2 - gamma.abs() ** 2).reshape(CURVE, -1)
    outside = determinant > 0
    # the last place within which the determinant is negative, seen from far out
    last = (~outside).long() * torch.arange(len(radius))
    place = last.argmax(1).clamp(0, len(radius) - 2)
    rows = torch.arange(CURVE)
    inner, outer = determinant[rows, place], determinant[rows, place + 1]
    share = (inner / (inner - outer)).clamp(0, 1)
    curve = law.center[0, 0] + (radius[place] + share * (radius[place + 1] - radius[place])) * direction
    alpha, _, _ = law.focusing(curve[None])
    return curve.numpy(), (curve[None] - alpha)[0].numpy()


def _source_plane(axis: Axes, result: LensResult, names: tuple[str, ...]) -> None:
    """The caustic, the quasar and the extent of its host."""
    fit = result.fit
    values, best = to_parameters(fit.coordinates[None])[0], fit.parameters
    _, caustic = critical_curves(values[: len(NAMES)], 4 * best["theta_E"])
    axis.plot(caustic.real, caustic.imag, color=style.LOOKS[0].color, label="caustic")
    axis.plot(best["source_x"], best["source_y"], "*", color=style.LOOKS[1].color, markersize=6, label="quasar")
    turn = np.linspace(0, 2 * np.pi, 200)
    e1, e2 = best.get("source_e1", 0.0), best.get("source_e2", 0.0)
    circle = best["source_R_sersic"] * np.exp(1j * turn) * np.sqrt(1 - e1**2 - e2**2)
    # the profile is round in z - e conj(z)
    ellipse = (circle + (e1 + 1j * e2) * circle.conj()) / (1 - e1**2 - e2**2)
    x = best["source_x"] + best.get("host_x", 0.0) + ellipse.real
    y = best["source_y"] + best.get("host_y", 0.0) + ellipse.imag
    axis.plot(x, y, color=style.LOOKS[2].color, linestyle="--", label="host")
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_title("Source plane [arcsec]")
    axis.margins(0.25)
    axis.xaxis.set_major_locator(MaxNLocator(3, prune="both"))  # whose numbers stay within the figure
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.45, -0.1), borderaxespad=0.0, fontsize=style.SMALL, ncols=3,
        handlelength=1.0, columnspacing=0.8, handletextpad=0.3,
    )  # fmt: skip


def corner(result: LensResult) -> Figure:
    """Contours of the posterior of the mass, for each pair of parameters.

    Parameters
    ----------
    result
        A fitted lens with draws of its posterior.
    """
    assert result.sample is not None
    names = [name for name in SHOWN if name in result.fit.names]
    columns = [result.fit.names.index(name) for name in names]
    values, count = result.sample.parameters[:, columns], len(names)
    figure = Figure(figsize=(style.WIDTH, style.WIDTH), layout="constrained")
    axes = figure.subplots(count, count)
    look = style.LOOKS[0]
    for row in range(count):
        for column in range(count):
            axis = axes[row, column]
            if column > row:
                axis.set_axis_off()
                continue
            if column == row:
                axis.hist(values[:, row], bins=24, histtype="step", color=look.color)
                axis.set_yticks([])
            else:
                axis.plot(values[:, column], values[:, row], ".", markersize=1, alpha=0.25, color=look.color)
                _ellipses(axis, values[:, [column, row]], look.color)
            axis.locator_params(nbins=3)
            axis.tick_params(labelrotation=0, labelsize=style.SMALL)
            if row == count - 1:
                axis.set_xlabel(style.quantity(ROWS[names[column]]))
            else:
                axis.set_xticklabels([])
            if column == 0 and row > 0:
                axis.set_ylabel(style.quantity(ROWS[names[row]]))
            elif column > 0:
                axis.set_yticklabels([])
    return figure


def _ellipses(axis: Axes, pair: np.ndarray, color: str) -> None:
    """Ellipses that hold shares of a normal distribution of the same covariance as pairs (S, 2)."""
    mean, root = pair.mean(0), np.linalg.cholesky(np.cov(pair, rowvar=False) + 1e-18 * np.eye(2))
    turn = np.linspace(0, 2 * np.pi, 200)
    for mass in MASSES:
        radius = np.sqrt(-2 * np.log(1 - mass))
        points = mean[:, None] + radius * root @ np.stack([np.cos(turn), np.sin(turn)])
        axis.plot(*points, color=color, linewidth=0.8)


@style.styled
def write_figures(result: LensResult, folder: Path) -> list[Path]:
    """Write {name}.pdf, {name}.png and, where there are draws, {name}_corner.pdf.

    Parameters
    ----------
    result
        A fitted lens.
    folder
        Where to.
    """
    name, folder = result.fit.observation.name, Path(folder)
    written = []
    figures = {name: draw(result)} | ({f"{name}_corner": corner(result)} if result.sample is not None else {})
    for stem, figure in figures.items():
        style.save(figure, [folder / f"{stem}.pdf", folder / f"{stem}.png"])
        written += [folder / f"{stem}.pdf", folder / f"{stem}.png"]
    return written
