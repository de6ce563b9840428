"""A camera whose systems several chapters' tests fit and score."""

import pytest

from lensvit.lensing.lens_equation import solve
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.system import System
from tests.builders import SCENE, SPACE, SPACE_SEEDS, draw_parameters, space_psf


@pytest.fixture(scope="session")
def space_camera():
    """PSF, renderer, six systems and their noise-free images."""
    psf = space_psf(31)
    drawn = [draw_parameters(seed) for seed in SPACE_SEEDS]
    systems = [System(parameters, solve(parameters).brightest(4)) for parameters in drawn]
    renderer = BatchedRenderer(SPACE.pixels, SPACE.pixel_scale, psf.native, SCENE)
    return psf, renderer, systems, renderer.render(systems)
