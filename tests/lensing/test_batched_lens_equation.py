"""The batched search finds the images that lenstronomy's finds, every one, and says when it is not sure."""

import numpy as np
import pytest
import torch

from lensvit.lensing import batched_lens_equation as batched
from lensvit.lensing import lens_equation
from lensvit.lensing.quasar_images import NoSolution
from lensvit.parameters import NAMES, priors
from tests.builders import near_critical_curve, nearest, with_image_at

pytestmark = pytest.mark.usefixtures("one_thread")


def draws(count, first=0, **changes):
    prior = priors({})
    rngs = (np.random.default_rng(seed) for seed in range(first, first + count))
    return [{name: prior[name].draw(rng) for name in NAMES} | changes for rng in rngs]


def tensor(systems):
    return torch.tensor([[system[name] for name in NAMES] for system in systems], dtype=torch.float64)


def wide(count, seed):
    """Flat lenses, all slopes, strong shear, sources near and far."""
    rng, systems = np.random.default_rng(seed), draws(count)
    for system in systems:
        size, angle = rng.uniform(0, 0.9), rng.uniform(0, 2 * np.pi)
        x, y = rng.normal(0, 1, 2) * 10 ** rng.uniform(-3, 0)
        system |= {"e1": size * np.cos(angle), "e2": size * np.sin(angle), "gamma": rng.uniform(1.3, 2.9)}
        system |= {"gamma_ext": rng.uniform(0, 0.2), "source_x": x, "source_y": y}
    return systems


@pytest.fixture
def alone(monkeypatch):
    """The systems that the batched search leaves to lenstronomy's."""
    left, real = [], lens_equation.solve
    monkeypatch.setattr(lens_equation, "solve", lambda system: left.append(system) or real(system))
    return left


def same(ours, theirs):
    assert len(ours) == len(theirs)
    assert (np.diff(np.abs(ours.magnification)) <= 0).all()
    distance = np.hypot(ours.x[:, None] - theirs.x, ours.y[:, None] - theirs.y)
    match = distance.argmin(1)
    assert sorted(match) == list(range(len(theirs)))
    assert distance.min(1).max(initial=0) < 1e-9
    np.testing.assert_allclose(ours.magnification, theirs.magnification[match], rtol=1e-6)


def test_the_images_are_those_of_lenstronomys_search(alone):
    systems = draws(2000)
    ours = batched.solve(systems)
    assert len(alone) <= 2
    for system, images in zip(systems, ours, strict=True):
        same(images, lens_equation.solve(system))


@pytest.mark.parametrize("kind", ["prior", "wide"])
def test_a_much_finer_grid_finds_no_other_images(monkeypatch, kind):
    parameters = tensor(draws(1500, first=5000) if kind == "prior" else wide(1500, 1))
    _, magnification, sure = batched.find(parameters)
    assert sure.float().mean() > 0.999
    monkeypatch.setattr(batched, "INNER", 1000)
    monkeypatch.setattr(batched, "OUTER", 100)
    _, fine, fine_sure = batched.find(parameters)
    both = sure & fine_sure
    assert ((magnification != 0).sum(1) == (fine != 0).sum(1))[both].all()
    torch.testing.assert_close(magnification[both], fine[both], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("offset", [0.1, 0.003, -0.003, 1e-5, -1e-5])
def test_images_near_a_fold_are_found(offset):
    systems, places = [], []
    for seed, system in enumerate(draws(60)):
        places.append(near_critical_curve(system, seed, offset))
        systems.append(with_image_at(system, *places[-1]))
    for images, place in zip(batched.solve(systems), places, strict=True):
        assert nearest(images, *place) < 1e-6
        assert np.sign(images.magnification).sum() in (0, 1)


def test_round_lenses_and_sources_on_an_axis():
    """Where the one-dimensional function has no gap between its arcs, and lenstronomy's search loses images."""
    axis = {"e1": 0.2, "e2": 0.0, "gamma_ext": 0.0, "center_x": 0.0, "center_y": 0.0}
    systems = draws(9, **axis, source_y=0.0) + draws(9, **axis, source_x=0.0) + draws(9, **axis | {"e1": 0.0})
    nearly = [system | {"e1": system["e1"] + 1e-5, "e2": 2e-5} for system in systems]
    for images, expected in zip(batched.solve(systems), batched.solve(nearly), strict=True):
        assert len(images) == len(expected) >= 2
        distance = np.hypot(images.x[:, None] - expected.x, images.y[:, None] - expected.y).min(1)
        assert distance.max() < 2e-3 and np.sign(images.magnification).sum() in (0, 1)


def test_what_lenstronomys_search_refuses(alone):
    systems = draws(4)
    systems[1] |= {"e1": -0.8, "e2": 0.8}
    systems[3] |= {"e1": 0.93, "e2": 0.0}
    ours = batched.solve(systems)
    assert isinstance(ours[1], NoSolution) and "is not below" in str(ours[1])
    assert alone == [systems[1], systems[3]]
    for index in (0, 2, 3):
        same(ours[index], lens_equation.solve(systems[index]))


def test_a_system_that_is_not_sure_is_left_to_lenstronomys_search(alone, monkeypatch):
    systems, find = draws(3), batched.find

    def unsure(parameters):
        positions, magnification, sure = find(parameters)
        return positions, magnification, sure & (torch.arange(len(sure)) != 1)

    monkeypatch.setattr(batched, "find", unsure)
    ours = batched.solve(systems)
    assert alone == [systems[1]]
    for system, images in zip(systems, ours, strict=True):
        same(images, lens_equation.solve(system))


def test_a_lost_image_breaks_the_sum_rule(monkeypatch):
    roots = batched._Search._roots

    def lossy(self):
        return tuple(part[1:] for part in roots(self))

    monkeypatch.setattr(batched._Search, "_roots", lossy)
    _, _, sure = batched.find(tensor(draws(20, gamma=2.1)))
    assert not sure.all() and sure.sum() >= 18


def test_the_company_does_not_matter():
    parameters = tensor(draws(50))
    positions, magnification, _ = batched.find(parameters)
    for index in (0, 7, 49):
        alone = batched.find(parameters[index : index + 1])
        torch.testing.assert_close(alone[0][0], positions[index], rtol=0, atol=1e-12)
        torch.testing.assert_close(alone[1][0], magnification[index], rtol=1e-9, atol=0)


def test_no_systems():
    assert batched.solve([]) == []
