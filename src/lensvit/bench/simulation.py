"""Images a second: lenstronomy as in the authors' notebook, and as this package uses it.

Both ways image the same systems, in turn, so that whatever else the machine does slows both
alike; the first system of each camera warms up and is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from lenstronomy.Data.pixel_grid import PixelGrid
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.PointSource.point_source import PointSource

from lensvit import files
from lensvit.lens_equation import Images, solve
from lensvit.psf import kernel
from lensvit.scene import Renderer, System, lens_light_kwargs, source_kwargs
from lensvit.simulate import Sampler

SCENE = SimpleNamespace(
    source_amp=5000.2, source_e1=0.0, source_e2=0.5, lens_amp=1000.0, quasar_amp=1500.0, max_images=4,
    exposure=1000.0, sigma_bkg_low=0.04, sigma_bkg_high=4.0,
)  # fmt: skip
# name -> image side [pixel], pixel scale [arcsec], kernel side [pixel], FWHM [arcsec]
CAMERAS = {"HST": (120, 0.05, 101, 0.085), "Keck AO": (300, 0.02, 201, 0.056)}


def run(images: int, output: Path | None) -> None:
    """Image ``images`` systems, half with each camera, both ways; print and write the figures."""
    rows = [_camera(name, max(1, images // 2)) for name in CAMERAS]
    both = {"camera": "both, half each", "images": sum(row["images"] for row in rows)}
    for column in ("notebook_seconds", "lensvit_seconds", "other_image_counts"):
        both[column] = sum(row[column] for row in rows)
    both["max_difference"] = max(row["max_difference"] for row in rows)
    table = pd.DataFrame([*rows, both])
    table["notebook_images_per_second"] = table["images"] / table["notebook_seconds"]
    table["lensvit_images_per_second"] = table["images"] / table["lensvit_seconds"]
    table["ratio"] = table["notebook_seconds"] / table["lensvit_seconds"]
    print(table.to_string(index=False, float_format="{:.3g}".format))
    print(
        "max_difference: same systems and image positions, over the peak; "
        "other_image_counts: systems for which the notebook's solver finds another number of images"
    )
    if output is not None:
        files.write_text(output, table.to_csv(index=False))


def _camera(name: str, images: int) -> dict[str, float | str]:
    pixels, pixel_scale, side, fwhm = CAMERAS[name]
    psf = moffat(side, pixel_scale, fwhm)
    renderer = Renderer(pixels, pixel_scale, psf, SCENE)
    sampler = Sampler(
        SimpleNamespace(seed=1, name="bench", priors={}, external_shear=True, scene=SCENE), "test"
    )
    seconds, difference, others = np.zeros(2), 0.0, 0
    for index in range(images + 1):
        parameters = sampler.draw(index).parameters
        start = time.perf_counter()
        found = notebook_images(parameters, pixels, pixel_scale)
        notebook_image(parameters, found, pixels, pixel_scale, psf)
        middle = time.perf_counter()
        system = System(parameters, solve(parameters).brightest(SCENE.max_images))
        ours = renderer.render([system])[0]
        end = time.perf_counter()
        if index > 0:
            seconds += middle - start, end - middle
        others += len(found) != len(system.images)
        theirs = notebook_image(parameters, system.images, pixels, pixel_scale, psf)
        difference = max(difference, np.abs(ours - theirs).max() / theirs.max())
    return {
        "camera": name,
        "images": images,
        "notebook_seconds": seconds[0],
        "lensvit_seconds": seconds[1],
        "max_difference": float(difference),
        "other_image_counts": others,
    }


def moffat(side: int, pixel_scale: float, fwhm: float, beta: float = 2.5) -> np.ndarray:
    """A round kernel (side, side) with wings, 0 at its border; ``pixel_scale`` and ``fwhm`` in arcsec."""
    fine = side * kernel.OVERSAMPLING
    offset = (np.arange(fine) - (fine - 1) / 2) * pixel_scale / kernel.OVERSAMPLING
    width = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    light = (1 + (offset[:, None] ** 2 + offset**2) / width**2) ** -beta
    return kernel.from_supersampled(light / light.sum(), pixel_scale).native


def _notebook_lens(parameters: Mapping[str, float]) -> tuple[LensModel, list[dict[str, float]]]:
    mass = {name: parameters[name] for name in ("theta_E", "gamma", "e1", "e2", "center_x", "center_y")}
    shear = {name: parameters[name] for name in ("gamma_ext", "psi_ext")}
    return LensModel(["EPL", "SHEAR_GAMMA_PSI"]), [mass, shear]


def notebook_images(parameters: Mapping[str, float], pixels: int, pixel_scale: float) -> Images:
    """Quasar images by the notebook's search over the sky, at most four."""
    model, kwargs = _notebook_lens(parameters)
    x, y = LensEquationSolver(model).find_bright_image(
        parameters["source_x"],
        parameters["source_y"],
        kwargs,
        numImages=4,
        min_distance=pixel_scale,
        search_window=pixels * pixel_scale,
    )
    return Images(x, y, model.magnification(x, y, kwargs))


def notebook_image(
    parameters: Mapping[str, float],
    images: Images,
    pixels: int,
    pixel_scale: float,
    psf: np.ndarray,
    scene: SimpleNamespace = SCENE,
    **numerics: object,
) -> np.ndarray:
    """One image (ny, nx) [counts/s per pixel] with all of lenstronomy's classes built for it.

    ``numerics`` are lenstronomy's own options (``kwargs_numerics``).
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
        "ra_image": images.x,
        "dec_image": images.y,
        "point_amp": scene.quasar_amp * np.abs(images.magnification),
    }
    return image_model.image(
        kwargs, source_kwargs(parameters, scene), lens_light_kwargs(parameters, scene), [quasar]
    )
