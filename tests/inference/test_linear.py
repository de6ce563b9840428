"""Amplitudes that are solved for and marginalised: against lenstronomy, against an integral, and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lensvit.inference.linear import LinearLikelihood
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import Structure
from tests.lensing.scenes import VALUES, Lenstronomy, drawn, gaussian, images, parameters


@pytest.mark.parametrize("seed", range(4))
def test_amplitudes_and_chi_square_are_lenstronomys(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, structure = drawn(random), Structure(sky=False, bulge=False)
    exposure = Exposure(48, 0.08, gaussian(21, 1.2), degree=1)
    parts = Parts([exposure], structure)
    part = images(parts, parameters(values, structure))[0]
    truth = torch.tensor([30.0, 50.0, 40.0, 30.0, 20.0, 10.0], dtype=torch.float64)
    clean = (truth @ part).numpy()
    sigma = np.sqrt(0.03**2 + clean / 2000)
    data = clean + sigma * random.standard_normal(len(clean))
    likelihood = LinearLikelihood(
        torch.as_tensor(data), torch.as_tensor(sigma**2), torch.full((6,), 1e-16), torch.ones(6, dtype=torch.bool)
    )
    found = likelihood.solve(part).amplitudes.numpy()
    other = Lenstronomy(values, exposure, structure, data.reshape(48, 48), sigma.reshape(48, 48))
    model, _, _, amplitudes = other.model.image_linear_solve(**other.kwargs, inv_bool=False)
    present = np.concatenate([[True, True], other.present.numpy()])
    expected = np.concatenate([amplitudes[1:2], amplitudes[:1], amplitudes[2:]])  # lenstronomy has the source first
    np.testing.assert_allclose(found[present], expected, rtol=1e-6)
    chi_square = float(likelihood.residuals(part[None]).square().sum())
    assert chi_square == pytest.approx(
        float((((data.reshape(48, 48) - model) / sigma.reshape(48, 48)) ** 2).sum()), rel=1e-6
    )


@pytest.mark.parametrize(
    ("truth", "within"),
    [([1.0, 2.0], 0.01), ([-0.1, 2.0], 0.3)],  # the second one ends at the limit, where magnitudes end at its error
)
def test_the_density_is_the_integral_over_positive_amplitudes_of_any_magnitude(
    truth: list[float], within: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    part = torch.randn(2, 30, generator=generator, dtype=torch.float64)
    part[1] += 0.5 * part[0]
    precision = torch.tensor([0.2, 0.3], dtype=torch.float64)
    data = torch.tensor(truth, dtype=torch.float64) @ part + 0.4 * torch.randn(30, generator=generator)
    variance = torch.full((30,), 0.16, dtype=torch.float64)
    likelihood = LinearLikelihood(data, variance, precision, torch.tensor([True, True]))
    grid = torch.linspace(0, 6, 1501, dtype=torch.float64)
    amplitudes = torch.cartesian_prod(grid, grid)
    rest = data - amplitudes @ part
    logs = -(rest**2 / variance + torch.log(2 * torch.pi * variance)).sum(1) / 2
    logs += (torch.log(2 * precision / torch.pi) / 2 - precision * amplitudes**2 / 2).sum(1)  # half-normal
    logs -= torch.hypot(amplitudes, likelihood.solve(part).covariance.diagonal().sqrt()).log().sum(1)
    weight = torch.where(amplitudes == 0, 0.5, 1.0).prod(1) * (grid[1] - grid[0]) ** 2
    expected = torch.logsumexp(logs + weight.log(), 0)
    assert float(likelihood.log_density(part[None])[0]) == pytest.approx(float(expected), abs=within)


def test_the_unit_of_a_profile_tells_nothing_of_it() -> None:
    """A part twice as bright with half the amplitude is the same light, so that its density is the same."""
    generator = torch.Generator().manual_seed(4)
    part = torch.rand(2, 40, generator=generator, dtype=torch.float64)
    data = torch.tensor([30.0, 50.0], dtype=torch.float64) @ part + torch.randn(40, generator=generator)
    likelihood = LinearLikelihood(data, torch.ones(40), torch.full((2,), 1e-12), torch.tensor([True, False]))
    densities = [float(likelihood.log_density(part[None] * torch.tensor([unit, 1.0])[:, None])) for unit in (1.0, 2.0)]
    assert densities[1] == pytest.approx(densities[0], abs=1e-6)


def test_parts_of_a_known_amplitude_are_subtracted_from_the_data() -> None:
    generator = torch.Generator().manual_seed(3)
    part = torch.randn(4, 20, generator=generator, dtype=torch.float64)
    data, variance = torch.randn(20, generator=generator, dtype=torch.float64), torch.ones(20)
    precision, light = torch.full((4,), 0.5), torch.tensor([True, False, False, False])
    both = LinearLikelihood(data, variance, precision, light, known=2)
    other = LinearLikelihood(data - part[2] - part[3], variance, precision[:2], light[:2])
    torch.testing.assert_close(both.log_density(part[None]), other.log_density(part[None, :2]))
    found, expected = both.solve(part), other.solve(part[:2])
    torch.testing.assert_close(found.amplitudes, torch.cat([expected.amplitudes, torch.ones(2).double()]))
    torch.testing.assert_close(found.covariance[:2, :2], expected.covariance)
    assert not found.covariance[2:].any() and not found.covariance[:, 2:].any()
    torch.testing.assert_close(both.residuals(part[None])[0], data - found.amplitudes @ part)


def test_light_is_not_negative_and_other_amplitudes_may_be() -> None:
    part = torch.eye(3, dtype=torch.float64)
    data, light = torch.tensor([-2.0, -3.0, 4.0]), torch.tensor([True, False, True])
    likelihood = LinearLikelihood(data, torch.ones(3), torch.full((3,), 1e-12), light)
    np.testing.assert_allclose(likelihood.solve(part).amplitudes, [0, -3, 4], atol=1e-9)


def test_gradient_and_information_are_those_of_the_density() -> None:
    structure = Structure(position_error=0.003)
    exposure = Exposure(30, 0.12, gaussian(21, 1.2))
    seen = np.array([[1.0, 0.2], [-0.9, -0.4]]), np.array([30.0, 5.0])  # the others are expanded where the model is
    parts, place = Parts([exposure], structure, seen), parameters(VALUES, structure)
    part = images(parts, place)
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([30.0, 50, 50, 40, 30, 20, 10, 0.01] + [0.1] * 8 + [1.0], dtype=torch.float64)
    clean = truth @ part[0]
    variance = 0.02**2 + clean.clamp_min(0) / 1000
    data = clean + variance.sqrt() * torch.randn(len(clean), generator=generator, dtype=torch.float64)
    precision = torch.cat([torch.full((8,), 1e-10), torch.full((9,), 100.0)])
    likelihood = LinearLikelihood(data, variance, precision, parts.light, parts.known)
    from lensvit.inference.following import solve_quasar_images

    position, magnification, _ = solve_quasar_images(place[:, :14], 4)
    found = likelihood.equations(*parts.jacobian(place, position, magnification))
    for column, name in enumerate(structure.names):
        step = torch.zeros_like(place)
        step[0, column] = 1e-6
        high, low = (likelihood.log_density(images(parts, place + sign * step)) for sign in (1, -1))
        width = float(found.information[0, column, column]) ** -0.5
        assert float(found.gradient[0, column]) * width == pytest.approx(float(high - low) / 2e-6 * width, abs=2e-4), (
            name
        )
    # where the noise is small, the information is the curvature, in which amplitudes have followed
    quiet = LinearLikelihood(clean, variance * 1e-6, precision * 1e6, parts.light, parts.known)
    found = quiet.equations(*parts.jacobian(place, position, magnification))
    step = torch.zeros_like(place)
    step[0, structure.names.index("gamma")] = 1e-5
    curvature = -(quiet.log_density(images(parts, place + step)) + quiet.log_density(images(parts, place - step))
                  - 2 * quiet.log_density(part)) / 1e-10  # fmt: skip
    column = structure.names.index("gamma")
    assert float(curvature) == pytest.approx(float(found.information[0, column, column]), rel=0.02)


def test_pixels_of_infinite_variance_do_not_count() -> None:
    generator = torch.Generator().manual_seed(2)
    part = torch.randn(2, 20, generator=generator, dtype=torch.float64)
    data = torch.randn(20, generator=generator, dtype=torch.float64)
    variance, precision, light = torch.ones(20), torch.ones(2), torch.zeros(2, dtype=torch.bool)
    variance[3] = torch.inf
    density = LinearLikelihood(data, variance, precision, light).log_density(part[None])
    data[3] = 1e6
    torch.testing.assert_close(LinearLikelihood(data, variance, precision, light).log_density(part[None]), density)
    kept = [row for row in range(20) if row != 3]
    other = LinearLikelihood(data[kept], variance[kept], precision, light).log_density(part[None][..., kept])
    torch.testing.assert_close(other, density)
