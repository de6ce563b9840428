"""Quasar images of systems that are exactly symmetric, by both engines, against analytic solutions."""

import itertools

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel
from scipy.optimize import brentq

from lensvit.lensing import batched_lens_equation, lens_equation
from lensvit.lensing.lens_equation import lens_kwargs
from lensvit.lensing.quasar_images import FAINTEST, NoSolution
from tests.builders import draw_parameters

SOLVERS = {"lenstronomy": lens_equation.solve_each, "torch": batched_lens_equation.solve}
CENTRES = [(0.0, 0.0), (0.3, -0.2)]
THETA_E = 1.2


def system(source=(0.0, 0.0), centre=(0.0, 0.0), **changes):
    """A circular lens of 1.2 arcsec without shear; the quasar's place is relative to the centre."""
    circular = {"theta_E": THETA_E, "gamma": 2.0, "e1": 0.0, "e2": 0.0, "gamma_ext": 0.0, "psi_ext": 0.0}
    places = {"center_x": centre[0], "center_y": centre[1]}
    places |= {"source_x": centre[0] + source[0], "source_y": centre[1] + source[1]}
    return {**draw_parameters(1), **circular, **places, **changes}


def solved(engine, parameters):
    """(n, 3) positions relative to the centre and magnifications, sorted."""
    (images,) = SOLVERS[engine]([parameters])
    assert not isinstance(images, NoSolution), images
    x, y = images.x - parameters["center_x"], images.y - parameters["center_y"]
    return ordered(np.column_stack([x, y, images.magnification]))


def ordered(images):
    return images[np.lexsort(np.round(images[:, ::-1], 6).T)]


def circular_images(gamma, source):
    """Images behind a circular power law, on the line through centre and source: roots of r -+ alpha(r) = +-beta."""
    beta = np.hypot(*source)

    def alpha(r):
        return THETA_E * (r / THETA_E) ** (2 - gamma)

    found = []
    for side in (1, -1):
        radii = np.geomspace(1e-9, 50, 4000)
        values = radii - alpha(radii) - side * beta
        for place in np.nonzero(values[:-1] * values[1:] < 0)[0]:
            r = brentq(lambda r, side=side: r - alpha(r) - side * beta, radii[place], radii[place + 1], xtol=1e-14)
            magnification = 1 / ((1 - alpha(r) / r) * (1 - (2 - gamma) * alpha(r) / r))
            if abs(magnification) >= FAINTEST:
                found.append([side * r * source[0] / beta, side * r * source[1] / beta, magnification])
    return ordered(np.array(found))


@pytest.mark.parametrize("engine", SOLVERS)
def test_the_singular_isothermal_sphere_of_the_textbooks(engine):
    expected = [[-0.9733, -0.4867, -9.733], [1.1733, 0.5867, 11.733]]
    assert np.allclose(solved(engine, system((0.1, 0.05))), expected, atol=[1e-4, 1e-4, 1e-3])


@pytest.mark.parametrize("engine", SOLVERS)
@pytest.mark.parametrize("gamma", [1.6, 1.9, 2.0, 2.1, 2.5])
def test_circular_lenses(engine, gamma):
    for centre in CENTRES:
        for source in [(0.1, 0.05), (0.1, 0.0), (0.0, -0.1), (1e-4, 0.0), (0.5, 0.5), (2.0, 0.1)]:
            found = solved(engine, system(source, centre, gamma=gamma))
            expected = circular_images(gamma, source)
            assert found.shape == expected.shape, source
            assert np.allclose(found[:, :2], expected[:, :2], atol=1e-8)
            assert np.allclose(found[:, 2], expected[:, 2], rtol=1e-5)


@pytest.mark.parametrize("engine", SOLVERS)
@pytest.mark.parametrize("angle", [0.0, np.pi / 2, 0.7])
def test_an_isothermal_sphere_with_shear_and_the_quasar_behind_its_centre(engine, angle):
    """Minima at theta_E / (1 - shear) along the shear, saddle points at theta_E / (1 + shear) across it."""
    shear, expected = 0.05, []
    for sign, place in ((1, angle), (-1, angle + np.pi / 2)):
        r, magnification = THETA_E / (1 - sign * shear), sign / (2 * shear * (1 - sign * shear))
        x, y = r * np.cos(place), r * np.sin(place)
        expected += [[x, y, magnification], [-x, -y, magnification]]
    assert np.allclose(solved(engine, system(gamma_ext=shear, psi_ext=angle)), ordered(np.array(expected)), atol=1e-7)


@pytest.mark.parametrize("engine", SOLVERS)
@pytest.mark.parametrize("gamma", [1.8, 2.0, 2.3])
def test_quasars_behind_the_centre_of_elliptical_lenses(engine, gamma):
    """Four images, in pairs through the centre, on the axes of the mass and of the shear, which are aligned."""
    model = LensModel(["EPL", "SHEAR"])
    for e1, shear, angle in itertools.product([0.2, -0.3], [0.0, 0.04], [0.0, np.pi / 2]):
        parameters = system(gamma=gamma, e1=e1, gamma_ext=shear, psi_ext=angle)
        kwargs, expected = lens_kwargs(parameters), []
        for axis in (0, 1):
            direction = np.eye(2)[axis]

            def off(r, axis=axis, direction=direction, kwargs=kwargs):
                return model.ray_shooting(*(r * direction), kwargs)[axis]

            r = brentq(off, 0.3, 4.0, xtol=1e-13)
            magnification = model.magnification(*(r * direction), kwargs)
            expected += [[*(r * direction), magnification], [*(-r * direction), magnification]]
        assert np.allclose(solved(engine, parameters), ordered(np.array(expected)), atol=1e-6)


@pytest.mark.parametrize("engine", SOLVERS)
def test_a_moved_system_has_moved_images(engine):
    for source in [(0.0, 0.0), (0.1, 0.0), (0.1, 0.05)]:
        for shape in [{}, {"e1": 0.2}, {"e1": 0.1, "e2": -0.2}]:
            if source == (0.0, 0.0) and not shape:
                continue
            here, there = (solved(engine, system(source, centre, **shape)) for centre in CENTRES)
            assert np.allclose(here, there, atol=1e-7)


@pytest.mark.parametrize("engine", SOLVERS)
def test_sources_on_an_axis_near_its_cusp(engine):
    """Inside of the cusp there are four images (three of them close together), outside two."""
    inside = [len(solved(engine, system((x, 0.0), e1=0.2))) for x in (0.05, 0.1, 0.15)]
    outside = [len(solved(engine, system((x, 0.0), e1=0.2))) for x in (0.4, 0.5)]
    assert inside == [4, 4, 4] and outside == [2, 2]


@pytest.mark.parametrize("engine", SOLVERS)
@pytest.mark.parametrize("gamma", [1.8, 2.0, 2.3])
def test_a_ring_has_no_point_images(engine, gamma):
    (images,) = SOLVERS[engine]([system(gamma=gamma)])
    assert isinstance(images, NoSolution) and "caustic" in str(images)


@pytest.mark.parametrize("engine", SOLVERS)
def test_symmetric_systems_are_the_limit_of_less_symmetric_ones(engine):
    for source in [(0.1, 0.05), (0.07, 0.0)]:
        exact = solved(engine, system(source))
        nearly = solved(engine, system(source, gamma_ext=1e-7, e1=1e-7))
        assert np.allclose(exact, nearly, atol=2e-4)
