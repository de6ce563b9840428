"""Images a second: lenstronomy as in the authors' notebook, and this package's two engines.

All three find the quasar images, render and add noise, for the same systems and in turn, so that
whatever else the machine does slows all alike; a first round warms up and is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from lenstronomy.Data.pixel_grid import PixelGrid
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.PointSource.point_source import PointSource
from lenstronomy.Util import image_util

from lensvit.io import files
from lensvit.lensing.batched_lens_equation import solve as solve_together
from lensvit.lensing.lens_equation import solve_each
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.noise import noise
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import Camera, Light, Scene
from lensvit.lensing.system import System, lens_light_kwargs, source_kwargs
from lensvit.psf import kernel
from lensvit.simulation.engines import Engine
from lensvit.simulation.sampler import Sampler
from lensvit.simulation.settings import SystemSettings
from lensvit.simulation.simulate import BATCH

Result = TypeVar("Result")
SCENE = Scene(
    source_amp=5000.2, source_e1=0.0, source_e2=0.5, lens_amp=1000.0, quasar_amp=1500.0, max_images=4,
    exposure=1000.0, sigma_bkg_low=0.04, sigma_bkg_high=4.0,
)  # fmt: skip
# name -> image side [pixel], pixel scale [arcsec], kernel side [pixel], FWHM [arcsec]
CAMERAS = {"HST": (120, 0.05, 101, 0.085), "Keck AO": (300, 0.02, 201, 0.056)}


WAYS = ("notebook", "lensvit", "torch")  # the authors' notebook; the engine lenstronomy; the engine torch


def run(images: int, output: Path | None) -> None:
    """Take images of systems in all ways, and print how long it takes.

    Parameters
    ----------
    images
        Number of systems, half of them for each camera.
    output
        The CSV file; nothing is written without it.
    """
    rows = [_camera(name, max(1, images // 2)) for name in CAMERAS]
    table = pd.DataFrame(rows)
    sums = [column for column in table.columns if "difference" not in column]
    both = table.max().to_dict() | table[sums].sum().to_dict() | {"camera": "both, half each"}
    table = pd.concat([table, pd.DataFrame([both])], ignore_index=True)
    table = table.astype({"images": int, "other_image_counts": int})
    for way in WAYS:
        table[f"{way}_images_per_second"] = table["images"] / table[f"{way}_seconds"]
    table["ratio"] = table["notebook_seconds"] / table["lensvit_seconds"]
    table["torch_ratio"] = table["notebook_seconds"] / table["torch_seconds"]
    table["torch_to_lensvit"] = table["lensvit_seconds"] / table["torch_seconds"]
    print(table.set_index("camera").T.to_string(float_format="{:.3g}".format))
    print(
        "lensvit, torch: simulation.engine lenstronomy, torch; ratio, torch_ratio: how many times faster than the "
        "notebook; max_difference: same systems and image positions, over the peak; other_image_counts: systems for "
        "which the notebook's solver finds another number of images"
    )
    if output is not None:
        files.write_text(output, table.to_csv(index=False))


def _camera(name: str, images: int) -> dict[str, float | str]:
    """A row of the table: what all ways take for so many images of one camera."""
    pixels, pixel_scale, side, fwhm = CAMERAS[name]
    psf = moffat(side, pixel_scale, fwhm)
    engines = (
        Engine(LenstronomyRenderer(pixels, pixel_scale, psf, SCENE).render, solve_each),
        Engine(BatchedRenderer(pixels, pixel_scale, psf, SCENE).render, solve_together),
    )
    settings = SystemSettings(
        seed=1,
        name="bench",
        priors={},
        scene=SCENE,
        instrument=Camera(pixels=pixels, pixel_scale=pixel_scale),
        supersampling=1,
        external_shear=True,
    )
    sampler = Sampler(settings, "test", solve_each)
    seconds, differences, others = np.zeros(3), np.zeros(2), 0
    _by_notebook(sampler, [images], pixels, pixel_scale, psf)
    for engine in engines:
        _by_engine(engine, sampler, [images])
    for start in range(0, images, BATCH):
        indices = range(start, min(start + BATCH, images))
        spent, found = _timed(_by_notebook, sampler, indices, pixels, pixel_scale, psf)
        seconds[0] += spent
        for way, engine in enumerate(engines):
            spent, (systems, drawn) = _timed(_by_engine, engine, sampler, indices)
            seconds[1 + way] += spent
            theirs = [notebook_image(one.parameters, one.quasar_images, pixels, pixel_scale, psf) for one in systems]
            worst = max(np.abs(a - b).max() / b.max() for a, b in zip(drawn, theirs, strict=True))
            differences[way] = max(differences[way], worst)
        others += sum(len(one.quasar_images) != count for one, count in zip(systems, found, strict=True))
    return {
        "camera": name,
        "images": images,
        **{f"{way}_seconds": spent for way, spent in zip(WAYS, seconds, strict=True)},
        "max_difference": differences[0],
        "torch_max_difference": differences[1],
        "other_image_counts": others,
    }


def _timed(work: Callable[..., Result], *arguments: object) -> tuple[float, Result]:
    """The time that a function takes [s], and its result."""
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def _by_engine(engine: Engine, sampler: Sampler, indices: Sequence[int]) -> tuple[list[System], np.ndarray]:
    """Draw systems, take their images and add noise; the systems and the images before the noise."""
    parameters = [sampler.parameters(index) for index in indices]
    systems = []
    for one, images in zip(parameters, engine.solve(parameters), strict=True):
        assert isinstance(images, QuasarImages)  # for all systems of the benchmark's seed
        systems.append(System(one, images.brightest(SCENE.max_images)))
    drawn = engine.render(systems)
    for index, image in zip(indices, drawn, strict=True):
        noise(image, sampler.sigma_bkg(index), SCENE.exposure, sampler.noise_seed(index))
    return systems, drawn


def _by_notebook(
    sampler: Sampler, indices: Sequence[int], pixels: int, pixel_scale: float, psf: np.ndarray
) -> list[int]:
    """Draw systems, take their images and add noise; the number of quasar images found for each."""
    counts = []
    for index in indices:
        parameters = sampler.parameters(index)
        found = notebook_images(parameters, pixels, pixel_scale)
        image = notebook_image(parameters, found, pixels, pixel_scale, psf)
        image_util.add_poisson(image, SCENE.exposure)
        image_util.add_background(image, sampler.sigma_bkg(index))
        counts.append(len(found))
    return counts


def moffat(side: int, pixel_scale: float, fwhm: float, beta: float = 2.5) -> np.ndarray:
    """A round kernel (side, side) with wings, 0 at its border.

    Parameters
    ----------
    side
        Side of the kernel [pixel], odd.
    pixel_scale
        Side of a pixel [arcsec].
    fwhm
        Full width at half maximum [arcsec].
    beta
        Exponent of the profile.
    """
    fine = side * kernel.OVERSAMPLING
    offset = (np.arange(fine) - (fine - 1) / 2) * pixel_scale / kernel.OVERSAMPLING
    width = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    light = (1 + (offset[:, None] ** 2 + offset**2) / width**2) ** -beta
    return kernel.from_supersampled(light / light.sum(), pixel_scale).native


def _notebook_lens(parameters: Mapping[str, float]) -> tuple[LensModel, list[dict[str, float]]]:
    """The mass as lenstronomy's model, with its arguments."""
    mass = {name: parameters[name] for name in ("theta_E", "gamma", "e1", "e2", "center_x", "center_y")}
    shear = {name: parameters[name] for name in ("gamma_ext", "psi_ext")}
    return LensModel(["EPL", "SHEAR_GAMMA_PSI"]), [mass, shear]


def notebook_images(parameters: Mapping[str, float], pixels: int, pixel_scale: float) -> QuasarImages:
    """Quasar images by the notebook's search over the sky, at most four.

    Parameters
    ----------
    parameters
        The 14 parameters by name.
    pixels
        Side of the image [pixel].
    pixel_scale
        Side of a pixel [arcsec].
    """
    model, kwargs = _notebook_lens(parameters)
    x, y = LensEquationSolver(model).find_bright_image(
        parameters["source_x"],
        parameters["source_y"],
        kwargs,
        numImages=4,
        min_distance=pixel_scale,
        search_window=pixels * pixel_scale,
    )
    return QuasarImages(x, y, model.magnification(x, y, kwargs))


def notebook_image(
    parameters: Mapping[str, float],
    quasar_images: QuasarImages,
    pixels: int,
    pixel_scale: float,
    psf: np.ndarray,
    scene: Light = SCENE,
    **numerics: object,
) -> np.ndarray:
    """One image (ny, nx) [counts/s per pixel], with all of lenstronomy's classes built for it.

    Parameters
    ----------
    parameters
        The 14 parameters by name.
    quasar_images
        The quasar images.
    pixels
        Side of the image [pixel].
    pixel_scale
        Side of a pixel [arcsec].
    psf
        Kernel at the detector's sampling (k, k).
    scene
        Amplitudes of the light.
    **numerics
        lenstronomy's own options ``kwargs_numerics``.
    """
    model, kwargs = _notebook_lens(parameters)
    corner = -(pixels - 1) / 2 * pixel_scale
    image_model = ImageModel(
        PixelGrid(pixels, pixels, np.eye(2) * pixel_scale, corner, corner),
        PSF("PIXEL", kernel_point_source=psf),
        model,
        LightModel(["SERSIC_ELLIPSE"]),
        LightModel(["SERSIC_ELLIPSE"]),
        PointSource(["LENSED_POSITION"]),
        kwargs_numerics={"supersampling_factor": 1, "supersampling_convolution": False} | numerics,
    )
    quasar = {
        "ra_image": quasar_images.x,
        "dec_image": quasar_images.y,
        "point_amp": scene.quasar_amp * np.abs(quasar_images.magnification),
    }
    return image_model.image(kwargs, source_kwargs(parameters, scene), lens_light_kwargs(parameters, scene), [quasar])
