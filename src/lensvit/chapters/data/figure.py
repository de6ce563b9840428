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
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from scipy.ndimage import gaussian_filter

from lensvit.chapters.data import attention
from lensvit.chapters.data.attention import Maps
from lensvit.chapters.data.examples import choose_examples, choose_sample
from lensvit.chapters.data.settings import CONTOURS, HEADS, SOFTENING, SYSTEMS, Figure1Settings
from lensvit.figures import style
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.io.images import exposures, open_images, read_exposure_map
from lensvit.io.settings import read_settings
from lensvit.lensing.noise import noise

IMAGE_MAP, ATTENTION_MAP = "gray", "inferno"
CONTOUR_COLOUR = "#56B4E9"  # visible on dark and on bright ground
SMOOTHING = 0.06  # standard deviation of the smoothing of the image for its contours [arcsec]
GAP = 0.05  # between panels, in units of a panel's side
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


def figure1(
    settings: Path,
    catalog: Path,
    images: Path,
    output: list[Path],
    weights: Path | None = None,
    measures: Path | None = None,
) -> None:
    """Draw figure 1: example systems, and where a vision transformer looks, which it measures too.

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
    measures
        attention.csv: see :func:`lensvit.chapters.data.attention.table`, over random test systems; one row whose map is
        "none" where the figure shows the images alone. None: not written.

    Raises
    ------
    LensvitError
        If an example is unknown, or an image or a weights file is absent or broken.
    """
    choice = read_settings(settings, Figure1Settings)
    labels = {psf: camera.label for psf, camera in choice.cameras.items()}
    systems = tables.read_catalog(catalog)
    rows = choose_examples(systems, choice.examples, labels, choice.seed)
    examples = [example(row, images, labels) for _, row in rows.iterrows()]
    maps, measured = None, attention.NOTHING
    if weights is not None:
        both = pd.concat([rows, choose_sample(systems, SYSTEMS, choice.seed)], ignore_index=True)
        try:
            found, is_graded = attention.look(both, images, weights)
            first, others = found.split(len(rows))
            maps = attention.maps_of(first, choice.layer, is_graded)
            measured = attention.table(others)
        except attention.NoAttentionError as reason:
            print(f"figure 1 shows the images alone: {reason}", file=sys.stderr)
    if measures is not None:
        write_text(measures, measured.to_csv(index=False, float_format="%.6g"))
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
        pixel_scale, [exposure] = float(file.attrs["pixel_scale"]), exposures(file, row.to_frame().T)
        exposure_map = read_exposure_map(file)
    sigma = float(row["sigma_bkg"])
    noisy = noise(clean, sigma, float(exposure), int(row["seed"]), exposure_map)
    return Example(noisy, sigma, pixel_scale, labels.get(row["psf"], ""), row["psf"])


# ---------------------------------------------------------------- drawing


@style.styled
def draw(examples: Sequence[Example], maps: Maps | None) -> Figure:
    """The figure of n systems.

    Parameters
    ----------
    examples
        The systems.
    maps
        Where a network looks in each of them; None shows the images alone.
    """
    return _images_alone(examples) if maps is None else _with_attention(examples, maps)


def _grid(rows: int, columns: int, right: float, top: float) -> tuple[Figure, GridSpec]:
    """A grid of square panels that nearly touch, (rows, columns), with room for labels at the left and below."""
    side = (style.WIDTH - LABEL_WIDTH - right) / columns
    height = rows * side + top + BOTTOM
    figure = Figure(figsize=(style.WIDTH, height))
    left, width = LABEL_WIDTH / style.WIDTH, columns * side / style.WIDTH
    grid = figure.add_gridspec(
        rows, columns, left=left, right=left + width, bottom=BOTTOM / height, top=1 - top / height,
        wspace=GAP, hspace=GAP,
    )  # fmt: skip
    return figure, grid


def _images_alone(examples: Sequence[Example]) -> Figure:
    """The figure without attention: one row of images."""
    figure, grid = _grid(1, len(examples), right=0.05, top=0.2)
    panels = grid.subplots(squeeze=False)[0]
    for column, (axes, shown) in enumerate(zip(panels, examples, strict=True)):
        draw_image(axes, shown)
        axes.set_title(_name(shown, ", "), pad=3)
        _axes(axes, shown, left=column == 0, bottom=True)
    panels[0].set_ylabel(r"$y$ [arcsec]")
    return figure


def _with_attention(examples: Sequence[Example], maps: Maps) -> Figure:
    """The figure with attention: a row for each system, with its image, rollout, the mean over heads and the heads."""
    heads = min(HEADS, maps.heads.shape[1])
    figure, grid = _grid(len(examples), 4, right=BAR_WIDTH, top=TOP)
    for number, shown in enumerate(examples):
        row = [figure.add_subplot(grid[number, column]) for column in range(4)]
        draw_image(row[0], shown)
        for axes, share in zip(row[1:3], (maps.rollout[number], maps.mean[number]), strict=True):
            drawn = _attention(axes, shown, share)
        for axes in row[:3]:
            _axes(axes, shown, left=axes is row[0], bottom=number == len(examples) - 1)
        row[0].set_ylabel(_name(shown, "\n") + "\n" + r"$y$ [arcsec]")
        row[3].set_axis_off()  # for its title
        for head, axes in enumerate(_quarters(figure, grid[number, 3], heads)):
            _attention(axes, shown, maps.heads[number, head], label=f"{head + 1}: ")
            axes.set(xticks=[], yticks=[])
        if number == 0:
            titles = (
                "Image",
                "Rollout, all layers",
                "Mean of the heads",
                "Head 1" if heads == 1 else f"Heads 1 to {heads}",
            )
            for axes, title in zip(row, titles, strict=True):
                axes.set_title(title, pad=3)
    ends = grid[0, 3].get_position(figure), grid[len(examples) - 1, 3].get_position(figure)
    _colour_bar(figure, ends, drawn)
    return figure


def _quarters(figure: Figure, place: SubplotSpec, count: int) -> list[Axes]:
    """Up to four small panels in the place of a large one."""
    inner = place.subgridspec(2, 2, wspace=GAP, hspace=GAP)
    return [figure.add_subplot(inner[number // 2, number % 2]) for number in range(count)]


def draw_image(axes: Axes, shown: Example) -> None:
    """Draw the image of a system in its asinh stretch."""
    axes.imshow(
        shown.stretched(shown.image), cmap=IMAGE_MAP, origin="lower", extent=shown.extent, vmin=-0.05, vmax=1,
        interpolation="nearest",
    )  # fmt: skip


def _attention(axes: Axes, shown: Example, share: np.ndarray, label: str = "") -> AxesImage:
    """Draw one map (m, m), bright at its own peak, with contours of the image and the share of the strongest patch.

    Parameters
    ----------
    axes
        The panel.
    shown
        The system.
    share
        Share of the weight on the patch at each place.
    label
        What stands before the number; a panel with a label is small.
    """
    peak = float(share.max())
    drawn = axes.imshow(
        share / peak, cmap=ATTENTION_MAP, origin="lower", extent=shown.extent, vmin=0, vmax=1,
        interpolation="nearest",
    )  # fmt: skip
    smooth = gaussian_filter(shown.image, SMOOTHING / shown.pixel_scale)
    left, _, bottom, _ = shown.extent
    ny, nx = smooth.shape
    x = left + (np.arange(nx) + 0.5) * shown.pixel_scale
    y = bottom + (np.arange(ny) + 0.5) * shown.pixel_scale
    axes.contour(x, y, shown.stretched(smooth), CONTOURS, colors=CONTOUR_COLOUR, linewidths=0.3 if label else 0.5)
    axes.text(
        0.04, 0.04, f"{label}{100 * peak:.0f}%", color="white", fontsize=style.SMALL, transform=axes.transAxes,
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


def _colour_bar(figure: Figure, ends: tuple[Bbox, Bbox], drawn: AxesImage) -> None:
    """Draw the colour bar of the attention maps at the right of the panels, between the first and the last of them."""
    top, bottom = ends
    place = (top.x1 + 0.08 / style.WIDTH, bottom.y0, 0.09 / style.WIDTH, top.y1 - bottom.y0)
    bar = figure.colorbar(drawn, cax=figure.add_axes(place), ticks=[0, 0.5, 1])
    bar.set_label("Share of the weight / that of the strongest patch (number in the panel)")
    bar.ax.tick_params(direction="out", size=2, pad=1.5)
