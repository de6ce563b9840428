"""The contact sheet of a run: every PSF with a few of the systems that are imaged with it, before anything trains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from lensvit.chapters.data.figure import IMAGE_MAP, Example, draw_image
from lensvit.chapters.data.settings import PreviewSettings
from lensvit.figures import style
from lensvit.io.settings import read_settings
from lensvit.lensing import cameras
from lensvit.lensing.noise import noise
from lensvit.parameters import PARAMETERS
from lensvit.psf.kernel import Kernel, read_kernel
from lensvit.simulation.engines import ENGINES
from lensvit.simulation.sampler import Sampler, imaged
from lensvit.simulation.settings import SimulateSettings

SYSTEMS = 5  # of each PSF
DEEPEST = 1e-5  # brightness at which the picture of a PSF ends, as a share of its peak
LABEL_WIDTH, TITLE_HEIGHT, NOTE_HEIGHT = 0.55, 0.32, 0.25  # inches
NOTE = (
    "PSFs over five orders of magnitude, and test systems with their noise: standard deviation of the background "
    "in a pixel [counts/s]."
)
SYMBOLS = {parameter.name: style.symbol(parameter) for parameter in PARAMETERS}


@dataclass(frozen=True)
class Row:
    """One PSF of the sheet.

    Parameters
    ----------
    label
        Its name and that of its camera.
    kernel
        The PSF.
    examples
        Systems that are imaged with it.
    captions
        What is said of each.
    """

    label: str
    kernel: Kernel
    examples: Sequence[Example]
    captions: Sequence[str]


def preview(settings: Path, psfs: list[Path], output: list[Path]) -> None:
    """Draw the contact sheet: the kernels, and the first five test systems of each.

    They are those of the run. A run with fewer than five has only the first of them.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.data.settings.PreviewSettings`.
    psfs
        FITS files of ``lensvit psf``, each named after its PSF.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a PSF is absent, broken or does not suit the settings, or the priors allow no system that can be imaged.
    """
    choice = read_settings(settings, PreviewSettings)
    kernels = cameras.read_kernels(psfs, choice.systems)
    files = {path.stem: path for path in map(Path, psfs)}
    rows = []
    for psf, systems in choice.systems.items():
        camera = choice.cameras[psf].label
        rows.append(Row(f"{camera}\n{psf}", kernels[psf], *_simulated(systems, files[psf], camera)))
    style.save(draw(rows), output)


def _simulated(settings: SimulateSettings, psf: Path, camera: str) -> tuple[list[Example], list[str]]:
    """Systems of one PSF, and what is said of each."""
    engine = ENGINES[settings.engine](settings, psf)
    sampler = Sampler(settings, "test", engine.solve)
    started = time.perf_counter()
    systems, images = imaged(sampler, engine, range(SYSTEMS))
    spent = (time.perf_counter() - started) / SYSTEMS
    print(f"{settings.name}: {SYSTEMS} systems, {spent:.2f} s each", flush=True)
    examples, captions = [], []
    exposure_map = read_kernel(psf).exposure_map
    for index, (system, image) in enumerate(zip(systems, images, strict=True)):
        sigma = sampler.sigma_bkg(index)
        noisy = noise(image, sigma, sampler.exposure(index), sampler.noise_seed(index), exposure_map)
        examples.append(Example(noisy, sigma, settings.instrument.pixel_scale, camera, settings.name))
        count = len(system.quasar_images)
        radius, slope = system.parameters["theta_E"], system.parameters["gamma"]
        captions.append(
            f"{SYMBOLS['theta_E']} = {radius:.2f}\N{DOUBLE PRIME}, {SYMBOLS['gamma']} = {slope:.2f}"
            f"\n{count} image{'s' if count > 1 else ''}, noise {sigma:.2g}"
        )
    return examples, captions


@style.styled
def draw(rows: Sequence[Row]) -> Figure:
    """The sheet: a line for each PSF, with its kernel and its systems."""
    columns = 1 + SYSTEMS
    side = (style.WIDTH - LABEL_WIDTH) / columns
    height = NOTE_HEIGHT + len(rows) * (side + TITLE_HEIGHT)
    figure = Figure(figsize=(style.WIDTH, height))
    figure.text(0.005, 1 - 0.3 * NOTE_HEIGHT / height, NOTE, va="top", fontsize=style.SMALL)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    figure.subplots_adjust(
        left=LABEL_WIDTH / style.WIDTH, right=0.995, bottom=0.005, wspace=0.03, hspace=TITLE_HEIGHT / side,
        top=1 - (NOTE_HEIGHT + TITLE_HEIGHT) / height,
    )  # fmt: skip
    for panels, row in zip(grid, rows, strict=True):
        for axes in panels:
            axes.set(xticks=[], yticks=[])
        _kernel(panels[0], row.kernel)
        panels[0].set_ylabel(style.literal(row.label))
        for axes, shown, caption in zip(panels[1:], row.examples, row.captions, strict=True):
            draw_image(axes, shown)
            axes.set_title(caption, pad=2, fontsize=style.SMALL)
    return figure


def _kernel(axes: Axes, kernel: Kernel) -> None:
    """Draw a PSF over five orders of magnitude, with the side of its image."""
    light = np.maximum(kernel.native / kernel.native.max(), DEEPEST)
    axes.imshow(light, cmap=IMAGE_MAP, origin="lower", norm=LogNorm(DEEPEST, 1), interpolation="nearest")
    side = len(light) * kernel.pixel_scale
    axes.set_title(f"PSF, {side:.1f} arcsec\n{len(light)} pixels", pad=2, fontsize=style.SMALL)
