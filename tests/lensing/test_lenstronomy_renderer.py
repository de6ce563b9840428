"""Images agree with lenstronomy's own ImageModel."""

import numpy as np
import pytest
from lenstronomy.Data.pixel_grid import PixelGrid
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.Numerics.point_source_rendering import PointSourceRendering

from lensvit.bench.simulation import notebook_image
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.shifted_kernel import ShiftedKernel
from lensvit.lensing.system import System
from lensvit.psf.kernel import OVERSAMPLING
from tests.builders import SCENE, draw_parameters, lopsided_psf

NO_QUASAR = QuasarImages(np.empty(0), np.empty(0), np.empty(0))


def fine_points(pixels, pixel_scale, kernel, images, scene=SCENE):
    """Quasar images (ny, nx) by lenstronomy, on a grid supersampled five times."""
    corner = -(pixels - 1) / 2 * pixel_scale
    grid = PixelGrid(pixels, pixels, np.eye(2) * pixel_scale, corner, corner)
    model = PSF("PIXEL", kernel_point_source=kernel, point_source_supersampling_factor=OVERSAMPLING)
    rendering = PointSourceRendering(grid, OVERSAMPLING, model)
    flux = scene.quasar_amp * np.abs(images.magnification)
    return rendering.point_source_rendering(images.x, images.y, flux)


@pytest.mark.parametrize("pixels, pixel_scale, side", [(120, 0.05, 101), (75, 0.08, 31), (100, 0.06, 21)])
@pytest.mark.parametrize(
    "seed, changes", [(0, {}), (3, {}), (4, {"e1": 0.6, "e2": -0.55}), (5, {"e1": 0.1, "gamma": 2.0})]
)
def test_image_is_lenstronomys(pixels, pixel_scale, side, seed, changes):
    parameters = draw_parameters(seed, **changes)
    images = solve(parameters).brightest(4)
    kernel = lopsided_psf(side, pixel_scale).native
    ours = LenstronomyRenderer(pixels, pixel_scale, kernel, SCENE).render([System(parameters, images)])
    theirs = notebook_image(parameters, images, pixels, pixel_scale, kernel, convolution_type="fft")
    assert ours.shape == (1, pixels, pixels)
    assert np.abs(ours[0] - theirs).max() <= 1e-10 * theirs.max()


@pytest.mark.slow
def test_adaptive_optics_image_is_lenstronomys():
    parameters = draw_parameters(7)
    images = solve(parameters).brightest(4)
    kernel = lopsided_psf(201, 0.02).native
    ours = LenstronomyRenderer(300, 0.02, kernel, SCENE).render([System(parameters, images)])[0]
    theirs = notebook_image(parameters, images, 300, 0.02, kernel)
    assert np.abs(ours - theirs).max() <= 1e-10 * theirs.max()


def test_a_fine_kernel_is_used_for_the_quasar_images_alone():
    parameters = draw_parameters(2)
    images = solve(parameters).brightest(4)
    kernel = lopsided_psf(41, 0.05)
    renderer = LenstronomyRenderer(100, 0.05, kernel.native, SCENE, kernel.supersampled)
    ours = renderer.render([System(parameters, images)])[0]
    galaxies = notebook_image(parameters, NO_QUASAR, 100, 0.05, kernel.native)
    theirs = galaxies + fine_points(100, 0.05, kernel.supersampled, images)
    assert np.abs(ours - theirs).max() <= 1e-10 * theirs.max()
    native = LenstronomyRenderer(100, 0.05, kernel.native, SCENE).render([System(parameters, images)])[0]
    assert np.abs(ours - native).max() > 1e-3 * theirs.max()


@pytest.mark.parametrize("supersampling", [1, 5])
def test_quasar_images_at_and_beyond_the_border(supersampling):
    kernel = lopsided_psf(21, 0.1)
    x, y = np.array([-1.55, 1.52, 1.9, -2.4, 5.0]), np.array([0.13, 1.52, -0.31, 0.2, 0.0])
    images = QuasarImages(x, y, np.array([2.0, -1.0, 3.0, -4.0, 9.0]))
    image = np.zeros((31, 31))
    chosen = kernel.native if supersampling == 1 else kernel.supersampled
    points = ShiftedKernel(chosen, supersampling)
    points.add(image, y / 0.1 + 15, x / 0.1 + 15, SCENE.quasar_amp * np.abs(images.magnification))
    if supersampling == 5:
        expected = fine_points(31, 0.1, chosen, images)
    else:
        nothing = SCENE.model_copy(update={"source_amp": 0.0, "lens_amp": 0.0})
        expected = notebook_image(draw_parameters(0), images, 31, 0.1, chosen, nothing)
    assert expected.max() > 1
    np.testing.assert_allclose(image, expected, atol=1e-10 * expected.max())


def test_flux_of_a_point_source_is_kept():
    kernel = lopsided_psf(15, 0.1)
    for supersampling, chosen in ((1, kernel.native), (5, kernel.supersampled)):
        image = np.zeros((41, 41))
        ShiftedKernel(chosen, supersampling).add(image, np.array([20.37]), np.array([19.81]), np.array([7.0]))
        assert image.sum() == pytest.approx(7.0, rel=1e-12)
        centre = (image * np.arange(41)[:, None]).sum() / 7, (image * np.arange(41)).sum() / 7
        expected = np.array([20.37, 19.81]) + _centroid(kernel.native)
        np.testing.assert_allclose(centre, expected, atol=1e-9 if supersampling == 1 else 1e-3)


def _centroid(kernel):
    offset = np.arange(len(kernel)) - len(kernel) // 2
    return np.array([(kernel * offset[:, None]).sum(), (kernel * offset).sum()])


def test_systems_are_rendered_each_alone():
    systems = [System(draw_parameters(seed), solve(draw_parameters(seed))) for seed in (1, 2, 3)]
    renderer = LenstronomyRenderer(60, 0.1, lopsided_psf(15, 0.1).native, SCENE)
    together = renderer.render(systems)
    for system, image in zip(systems, together, strict=True):
        np.testing.assert_array_equal(renderer.render([system])[0], image)
