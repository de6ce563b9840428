"""Deflections are lenstronomy's; derivatives are those of the deflection."""

import numpy as np
import pytest
import torch

from lensvit.lensing.lens_equation import lens_kwargs, solve
from lensvit.lensing.power_law import FLATTEST, MASS, SHALLOWEST, STEEPEST, PowerLaw, inside, terms
from lensvit.parameters import NAMES, priors
from tests.builders import EXACT, FLATNESS, follow_images

pytestmark = pytest.mark.usefixtures("one_thread")


def lenses(count=36, seed=0):
    """Dictionaries of parameters over a wide grid, and the same as a tensor (count, 14)."""
    rng, rows = np.random.default_rng(seed), []
    for index in range(count):
        row = {name: prior.draw(rng) for name, prior in priors({}).items()}
        size, angle = FLATNESS[index % len(FLATNESS)], rng.uniform(0, 2 * np.pi)
        row |= {"gamma": rng.uniform(1.5, 2.8), "e1": size * np.cos(angle), "e2": size * np.sin(angle)}
        rows.append(row)
    return rows, torch.tensor([[row[name] for name in NAMES] for row in rows], dtype=torch.float64)


def points(count, seed=1):
    return torch.complex(*torch.tensor(np.random.default_rng(seed).uniform(-3, 3, (2, count, 200))))


@pytest.mark.parametrize("tolerance, reached", [(1e-15, 3e-14), (1e-8, 1e-8)])
def test_deflection_is_lenstronomys(tolerance, reached):
    rows, parameters = lenses()
    position = points(len(rows))
    ours = PowerLaw(parameters, tolerance).focusing(position)[0].numpy()
    for row, place, alpha in zip(rows, position.numpy(), ours, strict=True):
        x, y = EXACT.alpha(place.real, place.imag, lens_kwargs(row))
        assert (np.abs(alpha - (x + 1j * y)) / np.abs(alpha)).max() < reached, row


def test_few_terms():
    """At |e| = 1/3, an axis ratio of 1/2, the series of the same precision has 18 and 33 terms."""
    assert terms(torch.tensor([1 / 3]), 1e-8).item() == 6
    assert terms(torch.tensor([1 / 3]), 1e-15).item() <= 10
    assert terms(torch.tensor([0.0]), 1e-15).item() >= 2


def test_convergence_and_shear_are_lenstronomys():
    rows, parameters = lenses()
    position = points(len(rows))
    expansion = PowerLaw(parameters).expansion(position)
    for index, (row, place) in enumerate(zip(rows, position.numpy(), strict=True)):
        f_xx, f_xy, _, f_yy = EXACT.hessian(place.real, place.imag, lens_kwargs(row))
        scale = 1 + np.abs(f_xx)
        assert (np.abs(expansion.kappa[index].numpy() - (f_xx + f_yy) / 2) / scale).max() < 1e-13
        shear = (f_xx - f_yy) / 2 + 1j * f_xy
        assert (np.abs(expansion.gamma[index].numpy() - shear) / scale).max() < 1e-13


def test_derivatives_by_parameters():
    _, parameters = lenses()
    position = points(len(parameters))
    expansion = PowerLaw(parameters).expansion(position)
    for name, derivative in zip(MASS, expansion.partial, strict=True):
        step = 1e-5 * torch.eye(len(NAMES), dtype=torch.float64)[NAMES.index(name)]
        ahead, behind = (PowerLaw(parameters + sign * step).focusing(position)[0] for sign in (1, -1))
        difference = (ahead - behind) / 2e-5
        error = (difference - derivative).abs() / (0.1 + derivative.abs())
        assert error.median() < 1e-8 and error.max() < 1e-6, name


def test_images_move_and_brighten_with_every_parameter():
    rng = np.random.default_rng(3)
    rows = [{name: prior.draw(rng) for name, prior in priors({}).items()} for _ in range(12)]
    images = [solve(row).brightest(2) for row in rows]
    parameters = torch.tensor([[row[name] for name in NAMES] for row in rows], dtype=torch.float64)
    position = torch.tensor(np.array([found.x + 1j * found.y for found in images]))
    moved, brightened = PowerLaw(parameters).moving_images(position)
    for index, name in enumerate(NAMES):
        step = 1e-6 * torch.eye(len(NAMES), dtype=torch.float64)[index]
        (ahead, bright), (behind, faint) = (follow_images(parameters + sign * step, position) for sign in (1, -1))
        for ours, difference in ((moved, ahead - behind), (brightened, bright.log() - faint.log())):
            error = (ours[..., index] - difference / 2e-6).abs() / (1 + ours[..., index].abs())
            assert error.median() < 1e-7 and error.max() < 1e-3, name


def test_where_it_holds():
    _, parameters = lenses(3)
    assert inside(parameters).all()
    for name, value in (("e1", FLATTEST + 0.01), ("gamma", 3.0), ("gamma", 1.0), ("source_x", np.nan)):
        changed = parameters.clone()
        changed[1, NAMES.index(name)] = value
        assert inside(changed).tolist() == [True, False, True], name
        with pytest.raises(ValueError, match="gamma not between"):
            PowerLaw(changed)


@pytest.mark.parametrize("gamma", [SHALLOWEST, STEEPEST])
@pytest.mark.parametrize("size", [0.3, FLATTEST])
def test_the_limits_of_slope_and_flatness(gamma, size):
    rows, parameters = lenses(1)
    for name, value in (("gamma", gamma), ("e1", 0.6 * size), ("e2", 0.799999 * size)):
        rows[0][name], parameters[0, NAMES.index(name)] = value, value
    place = points(1)
    alpha = PowerLaw(parameters).focusing(place)[0].numpy()[0]
    x, y = EXACT.alpha(place.numpy()[0].real, place.numpy()[0].imag, lens_kwargs(rows[0]))
    assert (np.abs(alpha - (x + 1j * y)) / np.abs(alpha)).max() < 1e-10


def test_a_lens_does_not_depend_on_its_company():
    _, parameters = lenses(9)
    position = points(9)
    together = PowerLaw(parameters).focusing(position)[0]
    for index in range(9):
        alone = PowerLaw(parameters[index : index + 1]).focusing(position[index : index + 1])[0]
        torch.testing.assert_close(alone[0], together[index], rtol=1e-14, atol=0)
