"""Fermat potentials against analytical cases, and draws that agree with the images against other ways."""

import numpy as np
import pytest
import torch

from lensvit.inference.coordinates import to_coordinates, to_parameters
from lensvit.inference.delays import fermat_potentials, match_positions, physical
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.power_law import PowerLaw
from lensvit.parameters import NAMES, TARGET_NAMES, priors

ROUND = dict.fromkeys(NAMES, 0.0) | {"theta_E": 1.3, "gamma": 2.0}
SOURCE = [NAMES.index(name) for name in ("source_x", "source_y")]
GAMMA = NAMES.index("gamma")


def array(*systems):
    return np.array([[system[name] for name in NAMES] for system in systems])


def positions(system):
    images = solve([system])[0]
    return np.column_stack([images.x, images.y])


def drawn(seed):
    rng = np.random.default_rng(seed)
    return {name: prior.draw(rng) for name, prior in priors({}).items()}


def test_many_lenses_at_once_are_each_by_itself():
    lenses = array(*(drawn(seed) for seed in range(5)))
    places = positions(drawn(0))
    for sources in (lenses[:, SOURCE], None):
        each = [
            fermat_potentials(lenses[[row]], places, sources if sources is None else sources[[row]]) for row in range(5)
        ]
        assert fermat_potentials(lenses, places, sources) == pytest.approx(np.concatenate(each), rel=1e-14)


def test_an_isothermal_sphere():
    """Images at beta +- theta_E: the difference is 2 theta_E beta (Schneider, Ehlers & Falco 1992, 8.1)."""
    beta = 0.21
    system = ROUND | {"source_x": beta}
    places = np.array([[beta + 1.3, 0.0], [beta - 1.3, 0.0]])
    for sources in (np.array([[beta, 0.0]]), None):
        first, second = fermat_potentials(array(system), places, sources)[0]
        assert second - first == pytest.approx(2 * 1.3 * beta, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_this_packages_own_power_law(seed):
    """psi = Re(conj(z) alpha) / (2 - t) of a homogeneous mass, and the shear's quadratic form."""
    system = drawn(seed)
    places, parameters = positions(system), torch.tensor(array(system))
    theta = torch.complex(*torch.tensor(places).unbind(-1))[None]
    law = PowerLaw(parameters)
    offset = theta - law.center
    potential = (offset.conj() * law.mass_deflection(offset)).real / (2 - law.t)
    potential = potential + (law.shear_size * law.shear_turn * theta.conj() ** 2).real / 2
    source = torch.complex(*parameters[:, SOURCE].unbind(1))[:, None]
    own = (theta - source).abs() ** 2 / 2 - potential
    theirs = fermat_potentials(array(system), places, array(system)[:, SOURCE])
    assert theirs == pytest.approx(own.numpy(), rel=1e-9, abs=1e-9)


def test_a_shear_does_not_count_for_two_images_with_the_mean_source():
    system = drawn(1) | {"gamma_ext": 0.0}
    places = positions(system)[:2]
    without, with_it = fermat_potentials(array(system, system | {"gamma_ext": 0.1, "psi_ext": 0.7}), places)
    assert with_it[0] - with_it[1] == pytest.approx(without[0] - without[1], abs=1e-12)


def test_positions_do_not_matter_and_the_source_does():
    """Stationary at the images: an error of 1 mas counts in second order."""
    system, rng = drawn(2), np.random.default_rng(0)
    places, own = positions(system), array(system)[:, SOURCE]
    moved = places + 1e-3 * rng.standard_normal(places.shape)
    exact, near, off = (
        np.ptp(fermat_potentials(array(system), *rest)[0])
        for rest in ((places, own), (moved, own), (places, own + 1e-3))
    )
    assert abs(near - exact) < 1e-5 < 1e-4 < abs(off - exact)


def test_lenses_that_cannot_be_are_nan():
    wrong = [
        ROUND | change for change in ({"gamma": 3.2}, {"gamma": 0.9}, {"e1": 1.1}, {"theta_E": -0.2}, {"e2": np.nan})
    ]
    parameters = array(ROUND, *wrong)
    assert physical(parameters).tolist() == [True] + 5 * [False]
    found = fermat_potentials(parameters, np.array([[1.5, 0.0], [-1.1, 0.0]]))
    assert np.isfinite(found[0]).all() and np.isnan(found[1:]).all()


SIGMA = np.array([0.03, 0.08, 0.006, 0.006, 0.03, 0.03, 0.025, 0.09])


def matched(draws, spread, places, error, generator):
    """The draws of one system."""
    return match_positions(draws[None], spread[None], places[None], error, [generator])[0]


def known(system, count, seed, width=1.0):
    """Draws about a system as of a network, with the priors of the rest; and their covariance, coordinates."""
    rng = np.random.default_rng(seed)
    targets = array(system)[:, : len(TARGET_NAMES)] + width * SIGMA * rng.standard_normal((count, len(SIGMA)))
    rest = [[priors({})[name].draw(rng) for name in NAMES[len(SIGMA) :]] for _ in range(count)]
    draws = to_coordinates(torch.tensor(np.column_stack([targets, rest])))
    return draws, torch.diag(draws.var(0))


def test_matched_lenses_send_all_rays_to_their_source():
    system = drawn(3)
    draws, spread = known(system, 40, 0)
    places = positions(system)
    found = matched(draws, spread, torch.tensor(places), 1e-4, torch.Generator().manual_seed(1))
    parameters = to_parameters(found)
    theta = torch.complex(*torch.tensor(places).unbind(-1))[None]
    rays = theta - PowerLaw(parameters).focusing(theta)[0]
    source = torch.complex(*parameters[:, SOURCE].unbind(1))[:, None]
    assert found.isfinite().all() and (rays - source).abs().max() < 5e-4
    assert found[:, 0].std() < 0.3 * draws[:, 0].std()


def test_systems_that_are_matched_side_by_side_are_each_by_itself():
    systems = [drawn(seed) for seed in (1, 2, 3)]
    places = [torch.tensor(positions(system)[:2]) for system in systems]
    draws, spread = zip(*(known(system, 12, seed) for seed, system in enumerate(systems)), strict=True)

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    several = match_positions(torch.stack(draws), torch.stack(spread), torch.stack(places), 1e-3, generators())
    each = [matched(*one, 1e-3, own) for *one, own in zip(draws, spread, places, generators(), strict=True)]
    assert several.isfinite().any(2).all() and several.numpy() == pytest.approx(torch.stack(each).numpy(), abs=1e-9)


def test_a_slope_given_two_images_of_a_round_lens():
    """Radius and source follow from the images and the slope, and so does the difference, by hand."""
    system = ROUND | {"source_x": 0.2}
    draws = to_coordinates(torch.tensor(np.tile(array(system), (50, 1))))
    draws[:, GAMMA] += 0.1 * torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spread = torch.zeros(14, 14).double()
    for name, sigma in {"gamma": 0.1, "theta_E": 1.0, "source_x": 1.0}.items():
        spread[NAMES.index(name), NAMES.index(name)] = sigma**2
    found = matched(draws, spread, torch.tensor([[1.5, 0.0], [-1.1, 0.0]]), 1e-6, torch.Generator())
    parameters = to_parameters(found).numpy()
    potential = fermat_potentials(parameters, np.array([[1.5, 0.0], [-1.1, 0.0]]), parameters[:, SOURCE])
    t, a, b = parameters[:, GAMMA] - 1, 1.5, 1.1
    scale = (a + b) / (a ** (1 - t) + b ** (1 - t))  # theta_E^t
    source = a - scale * a ** (1 - t)
    lensing = scale * (b ** (2 - t) - a ** (2 - t)) / (2 - t)
    expected = ((b + source) ** 2 - (a - source) ** 2) / 2 - lensing
    assert np.ptp(t) > 0.3
    assert potential[:, 1] - potential[:, 0] == pytest.approx(expected, rel=1e-4)


def test_positions_that_are_not_known_change_nothing():
    """With an error of ten degrees the draws come out as they went in, some of them twice."""
    draws, spread = known(drawn(3), 30, 0)
    places = torch.tensor(positions(drawn(3)))
    found = matched(draws, spread, places, 4e4, torch.Generator().manual_seed(1))
    distance = (found[:, None, :6] - draws[None, :, :6]).abs().amax(-1).amin(1)
    assert distance.max() < 1e-4


def test_matching_agrees_with_importance_sampling():
    """Draws of the isothermal sphere's radius weighted by the likelihood of the positions: mean and width."""
    system = ROUND | {"source_x": 0.2, "source_R_sersic": 0.2, "source_n_sersic": 0.5}
    places, error, count = positions(system), 0.03, 4000
    rng = np.random.default_rng(5)
    draws = to_coordinates(torch.tensor(np.tile(array(system), (count, 1))))
    width = {"theta_E": 0.05, "source_x": 0.1}
    for name, sigma in width.items():
        draws[:, NAMES.index(name)] += sigma * torch.tensor(rng.standard_normal(count))
    spread = torch.zeros(14, 14).double()
    for name, sigma in width.items():
        spread[NAMES.index(name), NAMES.index(name)] = sigma**2
    found = matched(draws, spread, torch.tensor(places), error, torch.Generator().manual_seed(1))
    theta, source = (draws[:, NAMES.index(name)].numpy() for name in ("theta_E", "source_x"))
    miss = np.stack([source + theta - places[0, 0], source - theta - places[1, 0]])
    if places[0, 0] < 0:
        miss = np.stack([source - theta - places[0, 0], source + theta - places[1, 0]])
    weight = np.exp(-np.square(miss / error).sum(0) / 2)
    mean = (weight * theta).sum() / weight.sum()
    deviation = np.sqrt((weight * (theta - mean) ** 2).sum() / weight.sum())
    assert found[:, 0].mean().item() == pytest.approx(mean, abs=0.15 * deviation)
    assert found[:, 0].std().item() == pytest.approx(deviation, rel=0.1)


def test_matched_draws_are_calibrated():
    """Forty systems whose networks are honest: the slope's errors in units of its spread, bias and width."""
    z = []
    for seed in range(40):
        system = drawn(100 + seed)
        rng = np.random.default_rng(seed)
        seen = dict(system)
        for name, sigma in zip(TARGET_NAMES, SIGMA, strict=True):
            seen[name] += sigma * rng.standard_normal()
        draws, spread = known(seen, 100, seed)
        places = torch.tensor(positions(system) + 1e-3 * rng.standard_normal(positions(system).shape))
        gamma = matched(draws, spread, places, 1e-3, torch.Generator().manual_seed(seed))[:, GAMMA]
        gamma = gamma[gamma.isfinite()]
        assert len(gamma) > 90
        z.append(((gamma.mean() - system["gamma"]) / gamma.std()).item())
    assert abs(np.mean(z)) < 3 / 40**0.5 and 0.65 < np.std(z) < 1.5


def test_draws_that_find_no_lens_are_nan_at_the_end():
    system = drawn(3)
    draws, spread = known(system, 10, 0)
    places = torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 0.0]])
    found = matched(draws, 1e-8 * spread, places, 1e-4, torch.Generator().manual_seed(1))
    assert found.shape == draws.shape and found.isnan().all()
