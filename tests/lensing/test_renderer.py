"""The batched renderer makes lenstronomy's images, and their exact derivatives."""

import numpy as np
import pytest
import torch

from lensvit.lensing import point_sources
from lensvit.lensing.galaxies import AMPLITUDES
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.renderer import BatchedRenderer, system_tensors
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, TABLE
from tests.builders import FLATNESS, SCENE, draw_parameters, follow_images, lopsided_psf

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERAS = [(120, 0.05, 101), (75, 0.08, 31), (300, 0.02, 201), (40, 0.1, 91)]  # the last one smaller than its kernel


def systems(count, wide=False):
    """Draws from the priors, or over a wide grid of axis ratios and slopes with quasar images anywhere."""
    result = []
    for seed in range(count):
        parameters = draw_parameters(seed)
        if wide:
            rng = np.random.default_rng([seed, 7])
            size, angle = FLATNESS[seed % len(FLATNESS)], rng.uniform(0, 2 * np.pi)
            parameters |= {"gamma": rng.uniform(1.5, 2.8), "e1": size * np.cos(angle), "e2": size * np.sin(angle)}
            images = QuasarImages(*rng.uniform(-2.5, 2.5, (2, 4)), rng.normal(0, 4, 4))
        else:
            images = solve(parameters).brightest(4)
        result.append(System(parameters, images))
    return result


@pytest.mark.parametrize("pixels, pixel_scale, side", CAMERAS)
@pytest.mark.parametrize("dtype, reached", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_images_are_those_of_lenstronomy(pixels, pixel_scale, side, dtype, reached):
    kernel, drawn = lopsided_psf(side, pixel_scale).native, systems(18 if pixels < 300 else 9, wide=True)
    ours = BatchedRenderer(pixels, pixel_scale, kernel, SCENE, dtype=dtype).render(drawn)
    theirs = LenstronomyRenderer(pixels, pixel_scale, kernel, SCENE).render(drawn)
    assert ours.shape == (len(drawn), pixels, pixels) and ours.dtype == np.dtype(str(dtype).split(".")[1])
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one - other).max() <= reached * other.max()


@pytest.mark.parametrize("dtype, reached", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_a_fine_kernel_for_the_quasar_images(dtype, reached):
    kernel, drawn = lopsided_psf(41, 0.05), systems(4)
    arguments = 100, 0.05, kernel.native, SCENE, kernel.supersampled
    theirs = LenstronomyRenderer(*arguments).render(drawn)
    assert np.abs(BatchedRenderer(*arguments, dtype=dtype).render(drawn) - theirs).max() <= reached * theirs.max()


@pytest.mark.parametrize("supersampling", [1, 5])
def test_quasar_images_at_and_beyond_the_border(supersampling):
    kernel, parameters = lopsided_psf(21, 0.1), draw_parameters(0)
    x, y = np.array([-1.55, 1.52, 1.9, -2.4, 5.0]), np.array([0.13, 1.52, -0.31, 0.2, 0.0])
    drawn = [System(parameters, QuasarImages(x, y, np.array([2.0, -1.0, 3.0, -4.0, 9.0])))]
    arguments = 31, 0.1, kernel.native, SCENE, kernel.supersampled if supersampling == 5 else None
    theirs = LenstronomyRenderer(*arguments).render(drawn)
    ours = BatchedRenderer(*arguments, dtype=torch.float64).render(drawn)
    assert np.abs(ours - theirs).max() <= 1e-12 * theirs.max()


def test_systems_without_quasar_images():
    kernel, drawn = lopsided_psf(15, 0.1).native, [System(draw_parameters(1), QuasarImages(*np.empty((3, 0))))]
    ours = BatchedRenderer(60, 0.1, kernel, SCENE, dtype=torch.float64).render(drawn)
    theirs = LenstronomyRenderer(60, 0.1, kernel, SCENE).render(drawn)
    assert np.abs(ours - theirs).max() <= 1e-12 * theirs.max()


def test_a_system_does_not_depend_on_its_company():
    drawn = systems(10, wide=True)
    renderer = BatchedRenderer(60, 0.1, lopsided_psf(15, 0.1).native, SCENE)
    together = renderer.render(drawn)
    for system, image in zip(drawn, together, strict=True):
        np.testing.assert_array_equal(renderer.render([system])[0], image)


@pytest.mark.parametrize("supersampling", [1, 5])
def test_many_systems_at_once_as_on_a_gpu(monkeypatch, supersampling):
    kernel, drawn = lopsided_psf(15, 0.1), systems(10, wide=True)
    drawn.append(System(draw_parameters(1, e1=0.6, e2=0.799), drawn[0].quasar_images))  # left to lenstronomy
    drawn.append(System(draw_parameters(2), QuasarImages(*np.array([[2.94, -3.1], [-2.99, 0.4], [2.0, -1.0]]))))
    arguments = 60, 0.1, kernel.native, SCENE, kernel.supersampled if supersampling == 5 else None
    renderer, given = BatchedRenderer(*arguments, dtype=torch.float64), with_amplitudes(systems(5))
    images, derivatives = renderer.render(drawn), renderer.jacobian(*given)
    monkeypatch.setattr(renderer, "_together", lambda channels: 3)
    monkeypatch.setattr(renderer, "blur", renderer.blur._convolved)
    monkeypatch.setattr(renderer.points, "add_after", renderer.points._add_in_blocks)
    np.testing.assert_allclose(renderer.render(drawn), images, rtol=0, atol=1e-12 * images.max())
    for ours, expected in zip(renderer.jacobian(*given), derivatives, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


def test_a_gpu_adds_fewer_quasar_images_at_once_where_there_are_more_channels(monkeypatch):
    kernel, given = lopsided_psf(15, 0.1), with_amplitudes(systems(5))
    renderer = BatchedRenderer(60, 0.1, kernel.native, SCENE, kernel.supersampled, dtype=torch.float64)
    points, add, counts, sources = renderer.points, renderer.points._add_together, [], int((given[2] != 0).sum())

    def count(images, patches):
        counts.append(len(patches.system))
        add(images, patches)

    expected = renderer.jacobian(*given)
    monkeypatch.setattr(point_sources, "GPU_BLOCK", 3 * 18 * points.phases.shape[-1] ** 2)
    monkeypatch.setattr(points, "add_after", points._add_in_blocks)
    monkeypatch.setattr(points, "_add_together", count)
    for ours, one in zip(renderer.jacobian(*given), expected, strict=True):
        torch.testing.assert_close(ours, one, rtol=0, atol=1e-10 * float(one.abs().max()))
    assert sum(counts) == sources and len(counts) > 2 and max(counts) == 3
    counts.clear()
    renderer.images(*given)
    assert counts == [sources]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("supersampling", [1, 5])
def test_a_gpu_makes_the_same_images(supersampling):
    kernel = lopsided_psf(31, 0.08)
    arguments = 75, 0.08, kernel.native, SCENE, kernel.supersampled if supersampling == 5 else None
    drawn, given = systems(40, wide=True), with_amplitudes(systems(5))
    expected = BatchedRenderer(*arguments, dtype=torch.float64)
    for dtype, reached in ((torch.float64, 1e-11), (torch.float32, 1e-6)):
        ours = BatchedRenderer(*arguments, dtype=dtype, device="cuda")
        images = expected.render(drawn)
        assert (np.abs(ours.render(drawn) - images).max((1, 2)) <= reached * images.max((1, 2))).all()
        derivative, exact = ours.jacobian(*given)[1].cpu(), expected.jacobian(*given)[1]
        assert ((derivative - exact).abs().amax((2, 3)) < 100 * reached * exact.abs().amax((2, 3))).all()


def test_what_is_left_to_lenstronomy():
    flat, steep = draw_parameters(1, e1=0.6, e2=0.799), draw_parameters(2, gamma=2.99)
    images = QuasarImages(np.array([1.0]), np.array([-0.4]), np.array([3.0]))
    drawn = [System(parameters, images) for parameters in (draw_parameters(0), flat, steep)]
    arguments = 60, 0.1, lopsided_psf(15, 0.1).native, SCENE
    ours, theirs = BatchedRenderer(*arguments).render(drawn), LenstronomyRenderer(*arguments).render(drawn)
    assert (np.abs(ours - theirs).max((1, 2)) <= 1e-6 * theirs.max((1, 2))).all()
    np.testing.assert_array_equal(BatchedRenderer(*arguments).render(drawn[1:]), ours[1:])


@pytest.mark.parametrize("gamma", [1.9, 2.0, 2.2])
@pytest.mark.parametrize("dtype, reached", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_a_pixel_at_the_very_centre_of_mass(gamma, dtype, reached):
    parameters = draw_parameters(3, gamma=gamma, center_x=0.0, center_y=0.0)
    drawn = [System(parameters, solve(parameters).brightest(4))]
    arguments = 61, 0.1, lopsided_psf(15, 0.1).native, SCENE
    theirs = LenstronomyRenderer(*arguments).render(drawn)
    renderer = BatchedRenderer(*arguments, dtype=dtype)
    assert np.abs(renderer.render(drawn) - theirs).max() <= reached * theirs.max()
    image, derivative = renderer.jacobian(*system_tensors(drawn))
    assert np.abs(image - theirs).max() <= reached * theirs.max()
    assert torch.isfinite(derivative).all()


@pytest.mark.parametrize("bound", ["low", "high"])
@pytest.mark.parametrize("name", ["theta_E", "R_sersic", "n_sersic", "source_R_sersic", "source_n_sersic"])
def test_the_bounds_of_the_light_and_of_the_mass(name, bound):
    """All three ways to an image agree as far as the bounds of the parameters."""
    parameters = draw_parameters(3, **{name: getattr(TABLE[name], bound)})
    drawn = [System(parameters, QuasarImages(*np.empty((3, 0))))]
    arguments = 61, 0.1, lopsided_psf(15, 0.1).native, SCENE
    theirs = LenstronomyRenderer(*arguments).render(drawn)
    renderer = BatchedRenderer(*arguments, dtype=torch.float64)
    image, derivative = renderer.jacobian(*system_tensors(drawn))
    assert np.abs(renderer.render(drawn) - theirs).max() <= 1e-12 * theirs.max()
    assert np.abs(image - theirs).max() <= 1e-12 * theirs.max()
    assert torch.isfinite(derivative).all()


def test_fast_matrix_products_of_a_training_are_not_used():
    drawn, arguments = systems(2), (60, 0.1, lopsided_psf(15, 0.1).native, SCENE)
    expected = BatchedRenderer(*arguments).render(drawn)
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_array_equal(BatchedRenderer(*arguments).render(drawn), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def with_amplitudes(drawn):
    """Parameters (n, 17), positions that solve the lens equation to the last digit, and magnifications."""
    parameters, positions, magnification = system_tensors(drawn)
    place = torch.where(magnification != 0, torch.complex(*positions.unbind(-1)), 1.0)
    place, size = follow_images(parameters, place)
    amplitudes = torch.tensor([[getattr(SCENE, name) for name in AMPLITUDES]], dtype=torch.float64)
    return (
        torch.cat([parameters, amplitudes.expand(len(parameters), -1)], 1),
        torch.stack([place.real, place.imag], -1),
        torch.where(magnification != 0, size, 0),
    )


@pytest.mark.parametrize("supersampling", [1, 5])
def test_derivatives_are_those_of_the_image(supersampling):
    """Central differences of two steps, with all images followed; the median system, as points cross pixels."""
    kernel = lopsided_psf(31, 0.08)
    fine = kernel.supersampled if supersampling == 5 else None
    renderer = BatchedRenderer(75, 0.08, kernel.native, SCENE, fine, dtype=torch.float64)
    parameters, positions, magnification = with_amplitudes(systems(5))
    image, derivative = renderer.jacobian(parameters, positions, magnification)
    torch.testing.assert_close(image, renderer.images(parameters, positions, magnification), rtol=1e-12, atol=1e-12)
    assert derivative.shape == (5, 17, 75, 75)
    for step, reached in ((1e-5, 1e-7), (1e-6, 1e-8)):
        for index, name in enumerate(NAMES + AMPLITUDES):
            change = step * (1000 if name in AMPLITUDES else 1)
            moved = []
            for sign in (1, -1):
                shifted = parameters.clone()
                shifted[:, index] += sign * change
                place, size = follow_images(shifted, torch.complex(*positions.unbind(-1)))
                size = torch.where(magnification != 0, size, 0)
                moved.append(renderer.images(shifted, torch.stack([place.real, place.imag], -1), size))
            difference = (moved[0] - moved[1]) / (2 * change)
            error = (difference - derivative[:, index]).abs().amax((1, 2)) / derivative[:, index].abs().amax((1, 2))
            assert error.median() < reached, (name, step, error)


def test_derivatives_in_single_precision():
    arguments = 60, 0.1, lopsided_psf(15, 0.1).native, SCENE
    given = with_amplitudes(systems(5))
    _, exact = BatchedRenderer(*arguments, dtype=torch.float64).jacobian(*given)
    _, single = BatchedRenderer(*arguments, dtype=torch.float32).jacobian(*given)
    assert single.dtype == torch.float32
    peak = exact.abs().amax((2, 3))
    assert ((single - exact).abs().amax((2, 3)) < 1e-4 * peak).all()


def test_the_image_is_the_sum_of_its_components():
    renderer = BatchedRenderer(60, 0.1, lopsided_psf(15, 0.1).native, SCENE, dtype=torch.float64)
    parameters, positions, magnification = with_amplitudes(systems(3))
    image, derivative = renderer.jacobian(parameters, positions, magnification)
    components = (parameters[:, 14:, None, None] * derivative[:, 14:]).sum(1)
    torch.testing.assert_close(components, image, rtol=1e-12, atol=1e-12)
    fourteen = renderer.jacobian(parameters[:, :14], positions, magnification)[1]
    torch.testing.assert_close(fourteen, derivative[:, :14])


def test_amplitudes_of_each_system():
    renderer = BatchedRenderer(60, 0.1, lopsided_psf(15, 0.1).native, SCENE, dtype=torch.float64)
    parameters, positions, magnification = with_amplitudes(systems(2))
    parameters[1, 14:] = torch.tensor([0.0, 0.0, 7.0])
    images = renderer.images(parameters, positions, magnification)
    scene = SCENE.model_copy(update={"source_amp": 0.0, "lens_amp": 0.0, "quasar_amp": 7.0})
    other = BatchedRenderer(60, 0.1, lopsided_psf(15, 0.1).native, scene, dtype=torch.float64)
    expected = other.images(parameters[1:, :14], positions[1:], magnification[1:])
    torch.testing.assert_close(images[1:], expected)
