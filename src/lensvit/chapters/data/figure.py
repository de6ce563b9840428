"""Figure 1: example systems, and where a vision transformer looks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter

from lensvit.chapters.data import attention
from lensvit.chapters.data.examples import choose_examples
from lensvit.chapters.data.settings import Figure1Settings
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.images import open_images
from lensvit.io.settings import read_settings
from lensvit.lensing.noise import noise

HEADS = 4  # how many are shown by themselves
IMAGE_MAP, ATTENTION_MAP = "gray", "inferno"
SOFTENING = 2.0  # background sigmas at which the asinh stretch turns logarithmic
CONTOUR_COLOUR = "#56B4E9"  # visible on dark and on bright ground
CONTOURS = (0.35, 0.7)  # levels, as shares of the range of the stretched image
SMOOTHING = 0.06  # standard deviation of the smoothing of the image for its contours [arcsec]
LABEL_WIDTH, TOP, BOTTOM, BAR_WIDTH = 0.78, 0.2, 0.36, 0.5  # inches around the panels
TICK = 2.0  # arcsec between ticks


@dataclass(frozen=True)
class Example:
    """A system that the figure shows.

    Parameters
    ----------
    image
        (ny, nx) with noise [counts/s per pixel], row 0 at the lowest y.
    sigma
        Noise of its background [counts/s per pixel].
    pixel_scale
        Side of a pixel [arcsec].
    instrument
        The camera's name as printed.
    psf
        The PSF's name.
    """

    image: np.ndarray
    sigma: float
    pixel_scale: float
    instrument: str
    psf: str

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The left, right, bottom and top edge [arcsec]; the centre of the image is the origin."""
        ny, nx = self.image.shape
        x, y = nx * self.pixel_scale / 2, ny * self.pixel_scale / 2
        return (-x, x, -y, y)

    def stretched(self, image: np.ndarray) -> np.ndarray:
        """Asinh of the brightness, 0 at the sky and 1 at the image's peak."""
        softening = SOFTENING * self.sigma
        return np.arcsinh(image / softening) / np.arcsinh(max(float(self.image.max()), softening) / softening)


def figure1(settings: Path, catalog: Path, images: Path, output: list[Path], weights: Path | None = None) -> None:
    """Draw figure 1.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.data.settings.Figure1Settings`.
    catalog
        catalog.parquet.
    images
        The run's folder of images.
    output
        .pdf and .png files.
    weights
        models/{model}/ of a vision transformer; without it, or without attention over a square of patches, the figure
        shows the images alone.

    Raises
    ------
    LensvitError
        If an example is unknown, or an image or a weights file is absent or broken.
    """
    choice = read_settings(settings, Figure1Settings)
    labels = {psf: camera.label for psf, camera in choice.cameras.items()}
    rows = choose_examples(tables.read_catalog(catalog), choice.examples, labels, choice.seed)
    examples = [example(row, images, labels) for _, row in rows.iterrows()]
    maps = None
    if weights is not None:
        try:
            maps = attention.attention_maps(rows, images, weights, choice.layer)
        except attention.NoAttentionError as reason:
            print(f"figure 1 shows the images alone: {reason}", file=sys.stderr)
    style.save(draw(examples, maps), output)


def example(row: pd.Series, images: Path, labels: dict[str, str]) -> Example:
    """A system with its own noise.

    Parameters
    ----------
    row
        Its row of the catalogue.
    images
        The run's folder of images.
    labels
        PSF to the label of its camera.
    """
    with open_images(images, row["psf"], row["chunk"]) as file:
        clean = file["image"][int(row["row"])]  # (ny, nx)
        pixel_scale, exposure = float(file.attrs["pixel_scale"]), float(file.attrs["exposure"])
    sigma = float(row["sigma_bkg"])
    noisy = noise(clean, sigma, exposure, int(row["seed"]))
    return Example(noisy, sigma, pixel_scale, labels.get(row["psf"], ""), row["psf"])


# ---------------------------------------------------------------- drawing


@style.styled
def draw(examples: Sequence[Example], maps: np.ndarray | None) -> Figure:
    """The figure of n systems.

    Parameters
    ----------
    examples
        The systems.
    maps
        (n, heads, side, side) attention; None shows the images alone.
    """
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
    """The figure without attention: one row of images."""
    figure, panels = _grid(1, len(examples), right=0.05, top=0.2)
    for column, (axes, shown) in enumerate(zip(panels[0], examples, strict=True)):
        draw_image(axes, shown)
        axes.set_title(_name(shown, ", "), pad=3)
        _axes(axes, shown, left=column == 0, bottom=True)
    panels[0, 0].set_ylabel(r"$y$ [arcsec]")
    return figure


def _with_attention(examples: Sequence[Example], maps: np.ndarray) -> Figure:
    """The figure with attention: a row for each system, with its image, the mean over heads and the first heads."""
    heads = min(HEADS, maps.shape[1])
    figure, panels = _grid(len(examples), 2 + heads, right=BAR_WIDTH, top=TOP)
    titles = ["Image", "Mean of heads", *(f"Head #{number + 1}" for number in range(heads))]
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, pad=3)
    for number, (row, shown) in enumerate(zip(panels, examples, strict=True)):
        draw_image(row[0], shown)
        for axes, received in zip(row[1:], [maps[number].mean(axis=0), *maps[number, :heads]], strict=True):
            drawn = _attention(axes, shown, received)
        for axes in row:
            _axes(axes, shown, left=axes is row[0], bottom=number == len(examples) - 1)
        row[0].set_ylabel(_name(shown, "\n") + "\n" + r"$y$ [arcsec]")
    _colour_bar(figure, panels, drawn)
    return figure


def draw_image(axes: Axes, shown: Example) -> None:
    """Draw the image of a system in its asinh stretch."""
    axes.imshow(
        shown.stretched(shown.image), cmap=IMAGE_MAP, origin="lower", extent=shown.extent, vmin=-0.05, vmax=1,
        interpolation="nearest",
    )  # fmt: skip


def _attention(axes: Axes, shown: Example, received: np.ndarray) -> AxesImage:
    """Draw one map (side, side), bright at its own peak, with contours of the image and the height of the peak."""
    peak = float(received.max())
    drawn = axes.imshow(
        received / peak, cmap=ATTENTION_MAP, origin="lower", extent=shown.extent, vmin=0, vmax=1,
        interpolation="bilinear",
    )  # fmt: skip
    smooth = gaussian_filter(shown.image, SMOOTHING / shown.pixel_scale)
    left, _, bottom, _ = shown.extent
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
    """Set the ticks of a panel, with numbers and labels if it is at the left or at the bottom."""
    reach = TICK * np.floor(0.95 * shown.extent[1] / TICK)
    ticks = np.arange(-reach, reach + TICK / 2, TICK)
    axes.set(xticks=ticks, yticks=ticks)
    axes.tick_params(color="white", labelleft=left, labelbottom=bottom)
    if bottom:
        axes.set_xlabel(r"$x$ [arcsec]")


def _name(shown: Example, between: str) -> str:
    """The camera and the PSF of a system, as printed."""
    return style.literal(f"{shown.instrument}{between}{shown.psf}")


def _colour_bar(figure: Figure, panels: np.ndarray, drawn: AxesImage) -> None:
    """Draw the colour bar of the attention maps at the right of the panels."""
    top, bottom = panels[0, -1].get_position(), panels[-1, -1].get_position()
    place = (top.x1 + 0.08 / style.WIDTH, bottom.y0, 0.09 / style.WIDTH, top.y1 - bottom.y0)
    bar = figure.colorbar(drawn, cax=figure.add_axes(place), ticks=[0, 0.5, 1])
    bar.set_label(r"Attention / its peak in the panel ($\times$: peak / even spread)")
    bar.ax.tick_params(direction="out", size=2, pad=1.5)
