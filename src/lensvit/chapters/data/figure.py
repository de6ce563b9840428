"""Figure 1: example systems, and where a vision transformer looks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter

from lensvit.chapters.data import attention
from lensvit.chapters.data.examples import choose_examples
from lensvit.chapters.data.settings import Figure1Settings
from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.lensing.noise import noise

HEADS = 4  # shown by themselves
IMAGE_MAP, ATTENTION_MAP = "gray", "inferno"
SOFTENING = 2.0  # background sigmas at which the asinh stretch turns logarithmic
CONTOUR_COLOUR = "#56B4E9"  # seen on dark and on bright
CONTOURS = (0.35, 0.7)  # of the stretched image's range
SMOOTHING = 0.06  # arcsec, of the image under the contours
LABEL_WIDTH, TOP, BOTTOM, BAR_WIDTH = 0.78, 0.2, 0.36, 0.5  # inches around the panels
TICK = 2.0  # arcsec between ticks


@dataclass(frozen=True)
class Example:
    """One row of the figure.

    image : (ny, nx) noisy, counts/s per pixel, row 0 at the lowest y. sigma : of its
    background. pixel_scale : [arcsec]. instrument, psf : names to print.
    """

    image: np.ndarray
    sigma: float
    pixel_scale: float
    instrument: str
    psf: str

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top edge [arcsec]; the centre of the image is the origin."""
        ny, nx = self.image.shape
        x, y = nx * self.pixel_scale / 2, ny * self.pixel_scale / 2
        return (-x, x, -y, y)

    def stretched(self, image: np.ndarray) -> np.ndarray:
        """Asinh of the brightness, 0 at the sky and 1 at the image's peak."""
        softening = SOFTENING * self.sigma
        return np.arcsinh(image / softening) / np.arcsinh(max(float(self.image.max()), softening) / softening)


def figure1(settings: Path, catalog: Path, images: Path, output: list[Path], weights: Path | None = None) -> None:
    """Draw figure 1; without attention maps, the images alone.

    Parameters
    ----------
    settings : YAML with ``seed``, ``examples`` (ids), ``model``, ``layer``, ``options`` (PSF to
        ``label``, ``pixels``, ``pixel_scale`` of its instrument).
    catalog : catalog.parquet.
    images : the run's folder of images.
    output : .pdf and .png files.
    weights : models/{model}/, or None.

    Raises
    ------
    LensvitError
        If an example is unknown, or an image or a weights file is absent or broken.
    """
    chosen = read_settings(settings, Figure1Settings)
    labels = {psf: camera.label for psf, camera in chosen.cameras.items()}
    rows = choose_examples(tables.read_parquet(catalog), chosen.examples, labels, chosen.seed)
    examples = [example(row, images, labels) for _, row in rows.iterrows()]
    maps = None
    if weights is not None:
        try:
            maps = attention.maps(rows, images, weights, chosen.layer)
        except attention.NoAttention as reason:
            print(f"figure 1 shows the images alone: {reason}", file=sys.stderr)
    style.save(draw(examples, maps), output)


def example(row: pd.Series, images: Path, labels: dict[str, str]) -> Example:
    """Read one system's image and add the noise that is its own."""
    path = Path(images) / row["psf"] / f"{row['chunk']}.h5"
    try:
        with h5py.File(path, "r") as file:
            clean = file["image"][int(row["row"])]  # (ny, nx)
            pixel_scale, exposure = float(file.attrs["pixel_scale"]), float(file.attrs["exposure"])
    except FileNotFoundError as error:
        raise LensvitError(f"no image file {path}: run snakemake again, which simulates it") from error
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error
    sigma = float(row["sigma_bkg"])
    noisy = noise(clean, sigma, exposure, int(row["seed"]))
    return Example(noisy, sigma, pixel_scale, labels.get(row["psf"], ""), row["psf"])


# ---------------------------------------------------------------- drawing


@style.styled
def draw(examples: Sequence[Example], maps: np.ndarray | None) -> Figure:
    """The figure of ``examples`` with their attention ``maps`` (n, heads, side, side), or without."""
    return _images_alone(examples) if maps is None else _with_attention(examples, maps)


def _grid(rows: int, columns: int, right: float, top: float) -> tuple[Figure, np.ndarray]:
    """Square panels that touch, (rows, columns), with room for labels at the left and below."""
    side = (style.WIDTH - LABEL_WIDTH - right) / columns
    height = rows * side + top + BOTTOM
    figure = Figure(figsize=(style.WIDTH, height))
    left, width = LABEL_WIDTH / style.WIDTH, columns * side / style.WIDTH
    grid = figure.add_gridspec(
        rows, columns, left=left, right=left + width, bottom=BOTTOM / height, top=1 - top / height,
        wspace=0.06, hspace=0.06,
    )  # fmt: skip
    return figure, grid.subplots(squeeze=False)


def _images_alone(examples: Sequence[Example]) -> Figure:
    figure, panels = _grid(1, len(examples), right=0.05, top=0.2)
    for column, (axes, shown) in enumerate(zip(panels[0], examples, strict=True)):
        _image(axes, shown)
        axes.set_title(_name(shown, ", "), pad=3)
        _axes(axes, shown, left=column == 0, bottom=True)
    panels[0, 0].set_ylabel(r"$y$ [arcsec]")
    return figure


def _with_attention(examples: Sequence[Example], maps: np.ndarray) -> Figure:
    heads = min(HEADS, maps.shape[1])
    figure, panels = _grid(len(examples), 2 + heads, right=BAR_WIDTH, top=TOP)
    titles = ["Image", "Mean of heads", *(f"Head #{number + 1}" for number in range(heads))]
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, pad=3)
    for number, (row, shown) in enumerate(zip(panels, examples, strict=True)):
        _image(row[0], shown)
        for axes, received in zip(row[1:], [maps[number].mean(axis=0), *maps[number, :heads]], strict=True):
            drawn = _attention(axes, shown, received)
        for axes in row:
            _axes(axes, shown, left=axes is row[0], bottom=number == len(examples) - 1)
        row[0].set_ylabel(_name(shown, "\n") + "\n" + r"$y$ [arcsec]")
    _colour_bar(figure, panels, drawn)
    return figure


def _image(axes: Axes, shown: Example) -> None:
    axes.imshow(
        shown.stretched(shown.image), cmap=IMAGE_MAP, origin="lower", extent=shown.extent, vmin=-0.05, vmax=1,
        interpolation="nearest",
    )  # fmt: skip


def _attention(axes: Axes, shown: Example, received: np.ndarray) -> object:
    """One map (side, side), bright at its own peak, with contours of the image and the peak's height."""
    peak = float(received.max())
    drawn = axes.imshow(
        received / peak, cmap=ATTENTION_MAP, origin="lower", extent=shown.extent, vmin=0, vmax=1,
        interpolation="bilinear",
    )  # fmt: skip
    smooth = gaussian_filter(shown.image, SMOOTHING / shown.pixel_scale)
    left, right, bottom, top = shown.extent
    ny, nx = smooth.shape
    x = left + (np.arange(nx) + 0.5) * shown.pixel_scale
    y = bottom + (np.arange(ny) + 0.5) * shown.pixel_scale
    axes.contour(x, y, shown.stretched(smooth), CONTOURS, colors=CONTOUR_COLOUR, linewidths=0.5)
    axes.text(
        0.04, 0.04, rf"$\times${peak:.{0 if peak >= 10 else 1}f}", color="white",
        fontsize=style.SMALL, transform=axes.transAxes,
        path_effects=[withStroke(linewidth=1.2, foreground="black")],
    )  # fmt: skip
    return drawn


def _axes(axes: Axes, shown: Example, left: bool, bottom: bool) -> None:
    reach = TICK * np.floor(0.95 * shown.extent[1] / TICK)
    ticks = np.arange(-reach, reach + TICK / 2, TICK)
    axes.set(xticks=ticks, yticks=ticks)
    axes.tick_params(color="white", labelleft=left, labelbottom=bottom)
    if bottom:
        axes.set_xlabel(r"$x$ [arcsec]")


def _name(shown: Example, between: str) -> str:
    return style.literal(f"{shown.instrument}{between}{shown.psf}")


def _colour_bar(figure: Figure, panels: np.ndarray, drawn: object) -> None:
    top, bottom = panels[0, -1].get_position(), panels[-1, -1].get_position()
    place = (top.x1 + 0.08 / style.WIDTH, bottom.y0, 0.09 / style.WIDTH, top.y1 - bottom.y0)
    bar = figure.colorbar(drawn, cax=figure.add_axes(place), ticks=[0, 0.5, 1])
    bar.set_label(r"Attention / its peak in the panel ($\times$: peak / even spread)")
    bar.ax.tick_params(direction="out", size=2, pad=1.5)
