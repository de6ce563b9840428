"""Parts of scenes: against lenstronomy, and their derivatives against differences."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.signal import convolve

from lensvit.lensing.exposure import Cusp, Exposure
from lensvit.lensing.galaxies import b_n
from lensvit.lensing.parts import Parts
from lensvit.lensing.pixel_light import Samples
from lensvit.lensing.structure import BULGE, HOST_OFFSET, LENS_SHAPE, SOURCE_SHAPE, Structure
from tests.lensing.scenes import VALUES, Lenstronomy, drawn, gaussian, images, parameters

STRUCTURES = {
    "all": Structure(position_error=0.003),
    "paper's": Structure(False, False, False, False, False, False),
    "one flux": Structure(quasar_fluxes=False, bulge=False),
}


@pytest.mark.parametrize("supersampling", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_images_are_lenstronomys(seed: int, supersampling: int) -> None:
    values, structure = drawn(np.random.default_rng(seed)), Structure(sky=False)
    exposure = Exposure(48, 0.08, gaussian(21, 1.2), supersampling=supersampling, degree=1)
    parts = Parts([exposure], structure)
    found = images(parts, parameters(values, structure))[0]
    nothing = np.zeros((48, 48))
    other = Lenstronomy(values, exposure, structure, nothing, np.ones_like(nothing))
    model, kwargs = other.model, other.kwargs
    expected = [
        model.lens_surface_brightness(kwargs["kwargs_lens_light"]),
        *(
            model.source_surface_brightness(kwargs["kwargs_source"], kwargs["kwargs_lens"], k=number)
            for number in range(2)
        ),
    ]
    for image, other_image in zip(found, expected, strict=False):
        assert np.abs(image.reshape(48, 48).numpy() - other_image).max() < 1e-6 * other_image.max()
    points = found[parts.quasars].sum(0).reshape(48, 48).numpy()
    expected_points = model.point_source(kwargs["kwargs_ps"], kwargs["kwargs_lens"])
    assert np.abs(points - expected_points).max() < 1e-6 * expected_points.max()


@pytest.mark.parametrize("kind", STRUCTURES)
def test_derivatives_are_those_of_the_images(kind: str) -> None:
    structure = STRUCTURES[kind]
    cusps = np.array([[0.0, 0.0], [1.0, 0.3]])
    exposures = [
        Exposure(30, 0.12, gaussian(45, 4.0), 5, cusps=(Cusp(cusps, 0.3, 4), Cusp(cusps[:1], 0.15, 7))),
        Exposure(24, 0.15, gaussian(41, 5.0), 4, fine=True, supersampling=4, center=(0.03, -0.02)),
    ]
    seen = np.array([[1.0, 0.2], [-0.9, -0.4]]), np.array([30.0, 5.0])
    parts, place = Parts(exposures, structure, seen), parameters(VALUES, structure)
    assert len(parts.names) == parts.count
    from lensvit.inference.following import solve_quasar_images

    position, magnification, _ = solve_quasar_images(place[:, :14], structure.most_images)
    image, slopes = parts.jacobian(place, position, magnification)
    torch.testing.assert_close(image, parts.images(place, position, magnification), rtol=1e-7, atol=1e-10)
    for column, name in enumerate(structure.names):
        step = torch.zeros_like(place)
        step[0, column] = 1e-6
        expected = (images(parts, place + step) - images(parts, place - step))[0] / 2e-6
        scale = expected.abs().amax(1, keepdim=True).clamp_min(1e-3)
        assert float(((slopes[0, column] - expected) / scale).abs().max()) < 1e-5, name


def test_more_samples_at_cusps_are_nearer_to_the_light_of_a_pixel() -> None:
    structure = Structure(sky=False, bulge=False)
    place = parameters(VALUES | {"n_sersic": 4.0, "light_x": 0.013}, structure)

    def lens(**changes: object) -> torch.Tensor:
        return images(Parts([Exposure(40, 0.08, gaussian(21, 1.2), **changes)], structure), place)[0, 0]

    best = lens(supersampling=25)
    place_of = np.array([[0.013, 0.0]])
    wide, core = Cusp(place_of, 0.25, 9), Cusp(place_of, 0.2, 31)
    kinds = lens(), lens(cusps=(wide,)), lens(cusps=(wide, core)), lens(cusps=(core, wide))
    plain, finer, finest, same = (float((image - best).abs().max() / best.max()) for image in kinds)
    assert plain > 0.05 and finer < 0.01 and finest < finer / 2 and same == finest


def test_four_samples_where_light_is_curved_are_nearer_to_the_light_of_a_pixel() -> None:
    structure = Structure(sky=False, bulge=False)
    place = parameters(VALUES | {"source_R_sersic": 0.15, "source_n_sersic": 0.7}, structure)
    exposure = Exposure(40, 0.08, gaussian(21, 1.2))
    parts = Parts([exposure], structure)
    amplitudes = torch.tensor([0.0, 3.0]).double()
    [curvature] = parts.curvature(place[0], amplitudes)
    best = images(Parts([dataclasses.replace(exposure, supersampling=15)], structure), place)[0, :2]
    curved = curvature > 0.02 * curvature.max()
    assert 0.01 < curved.mean() < 0.5
    errors = []
    for cells in (None, curved):
        found = images(Parts([dataclasses.replace(exposure, curved=cells)], structure), place)[0, :2]
        errors.append(float((amplitudes @ (found - best)).abs().max()))
    assert errors[1] < 0.15 * errors[0]
    # what is said to be missing is what the PSF has still to blur
    blurred = convolve(curvature, gaussian(21, 1.2), mode="same")
    assert 0.3 * blurred.max() < errors[0] < 1.2 * blurred.max()


@pytest.mark.parametrize(("pixel_scale", "oversampling"), [(0.05, 1), (0.13, 1), (0.08, 4)])
@pytest.mark.parametrize("index", [1.0, 4.0, 8.0])
def test_light_about_a_nucleus_is_the_integral_over_pixels(index: float, pixel_scale: float, oversampling: int) -> None:
    """A pixel is cut in four at the profile's centre, where quadrature meets its cusp at a corner."""
    pixels, radius, place = 25, 0.4, np.array([0.013, -0.031])
    exposure = Exposure(pixels, pixel_scale, gaussian(15, 1.2), oversampling, fine=oversampling > 1, nuclei=place[None])
    samples = Samples(exposure)
    b = b_n(torch.tensor(index)).item()

    def light(y: float, x: float) -> float:
        return float(np.exp(-b * ((np.hypot(x - place[0], y - place[1]) / radius) ** (1 / index) - 1)))

    values = [light(y, x) for x, y in zip(*samples.axes, strict=True)]
    found, cell = samples.means(torch.tensor(values).double()[None])[0].numpy(), samples.cell
    row, column = ((place[::-1] / cell) + (samples.side - 1) / 2).round().astype(int)
    for away in (0, 1, 3, 9):
        edges = [(place_of + offset - (samples.side - 1) / 2) * cell
                 for place_of in (column + away, row) for offset in (-0.5, 0.5)]  # fmt: skip
        cuts = [sorted({low, high, min(max(at, low), high)})
                for low, high, at in ((*edges[:2], place[0]), (*edges[2:], place[1]))]  # fmt: skip
        expected = sum(
            integrate.dblquad(light, *xs, *ys, epsabs=0, epsrel=1e-7)[0]
            for xs in itertools.pairwise(cuts[0]) for ys in itertools.pairwise(cuts[1])
        ) / cell**2  # fmt: skip
        assert found[row, column + away] == pytest.approx(expected, rel=3e-4), away


def test_a_nucleus_outside_of_the_image_changes_nothing_in_it() -> None:
    structure, amplitudes = Structure(sky=False, bulge=False), torch.ones(2).double()
    place, exposure = parameters(VALUES, structure), Exposure(40, 0.08, gaussian(21, 1.2))
    far = dataclasses.replace(exposure, nuclei=np.array([[9.0, 0.0]]), curved=np.zeros((40, 40), dtype=bool))
    with_it, without = (Parts([one], structure) for one in (far, exposure))
    torch.testing.assert_close(images(with_it, place), images(without, place), rtol=0, atol=0)
    assert with_it.curvature(place[0], amplitudes)[0].min() >= 0


def test_parameters_are_those_that_a_structure_frees() -> None:
    assert STRUCTURES["paper's"].names == Structure(False, False, False, False).names[:14]
    assert STRUCTURES["all"].names[14:] == LENS_SHAPE + SOURCE_SHAPE + HOST_OFFSET + BULGE
    natural = STRUCTURES["all"].natural(parameters(VALUES, STRUCTURES["all"]).numpy())[0]
    np.testing.assert_allclose(natural, [VALUES[name] for name in STRUCTURES["all"].names])
