"""No image of the quasar is lost or made up."""

import numpy as np
import pytest
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

from lensvit.lensing import lens_equation
from lensvit.lensing.lens_equation import lens_kwargs, lens_model, solve
from lensvit.lensing.quasar_images import NoSolution
from tests.builders import EXACT, draw_parameters, near_critical_curve, nearest, with_image_at


def brute_force(parameters):
    """Images with |magnification| > 0.05 by lenstronomy's search over the sky, on a fine grid."""
    kwargs = lens_kwargs(parameters)
    x, y = LensEquationSolver(EXACT).image_position_from_source(
        parameters["source_x"], parameters["source_y"], kwargs, min_distance=0.02, search_window=6,
        magnification_limit=0.05,
    )  # fmt: skip
    return x, y


@pytest.mark.slow
@pytest.mark.parametrize("ellipticity", [None, 0.75, 0.9])
def test_brute_force_finds_no_other_images(ellipticity):
    for seed in range(25):
        parameters = draw_parameters(seed)
        if ellipticity is not None:
            angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
            parameters |= {"e1": ellipticity * np.cos(angle), "e2": ellipticity * np.sin(angle)}
        images = solve(parameters)
        for x, y in zip(*brute_force(parameters), strict=True):
            assert nearest(images, x, y) < 1e-6, (seed, parameters)


@pytest.mark.parametrize("offset", [0.1, 0.003, -0.003])
def test_images_near_a_fold_are_found(offset):
    for seed in range(60):
        parameters = draw_parameters(seed)
        x, y = near_critical_curve(parameters, seed, offset)
        images = solve(with_image_at(parameters, x, y))
        assert nearest(images, x, y) < 1e-6, (seed, parameters)
        assert np.sign(images.magnification).sum() in (0, 1)


def test_every_image_maps_to_the_source_in_the_exact_model():
    for seed in range(100):
        parameters = draw_parameters(seed)
        images = solve(parameters)
        beta = EXACT.ray_shooting(images.x, images.y, lens_kwargs(parameters))
        np.testing.assert_allclose(beta[0], parameters["source_x"], atol=1e-8)
        np.testing.assert_allclose(beta[1], parameters["source_y"], atol=1e-8)
        expected = EXACT.magnification(images.x, images.y, lens_kwargs(parameters))
        np.testing.assert_allclose(images.magnification, expected, rtol=1e-6)
        assert (np.diff(np.abs(images.magnification)) <= 0).all()


def test_share_of_quadruple_and_double_quasars():
    """About 75% and 25% (measured with the paper's priors on 6,000 systems: 74.5%, 25.3%)."""
    counts = np.array([len(solve(draw_parameters(seed))) for seed in range(400)])
    assert 0.68 < (counts == 4).mean() < 0.81
    assert (np.isin(counts, (2, 4))).mean() > 0.985


@pytest.mark.parametrize("ellipticity", [0.79, 0.81, 0.85, 0.95, 0.99])
def test_fast_and_exact_deflections_agree_where_each_is_used(ellipticity):
    parameters = draw_parameters(3, e1=-ellipticity * 0.6, e2=ellipticity * 0.8)
    x, y = np.random.default_rng(0).uniform(-3, 3, (2, 500))
    ours = lens_model(parameters).ray_shooting(x, y, lens_kwargs(parameters))
    np.testing.assert_allclose(ours, EXACT.ray_shooting(x, y, lens_kwargs(parameters)), atol=1e-12)


def test_disagreeing_grids_start_the_finer_search(monkeypatch):
    parameters = draw_parameters(5)
    expected = solve(parameters)
    assert len(expected) == 4
    real, searched = lens_equation._angular, []

    def lossy(parameters, **sampling):
        searched.append(sampling)
        found = real(parameters, **sampling)
        return found[:, :2] if sampling == lens_equation.SAMPLINGS[0] else found

    monkeypatch.setattr(lens_equation, "_angular", lossy)
    images = solve(parameters)
    assert lens_equation.FINE_SAMPLING in searched
    np.testing.assert_allclose(images.x, expected.x, atol=1e-7)


def test_brightest():
    images = solve(draw_parameters(5))
    two = images.brightest(2)
    np.testing.assert_array_equal(two.magnification, images.magnification[:2])
    assert len(two) == 2 and len(images) == 4


@pytest.mark.parametrize("e1, e2", [(1.0, 0.0), (-0.8, 0.8), (np.nan, 0.0)])
def test_beyond_lenstronomys_ellipticity(e1, e2):
    with pytest.raises(NoSolution, match="is not below"):
        solve(draw_parameters(1, e1=e1, e2=e2))
