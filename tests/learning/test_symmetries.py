"""Symmetries against the simulator: the turned parameters, rendered, are the turned image."""

import numpy as np
import pytest
import torch

from lensvit.bench.simulation import SCENE
from lensvit.learning.symmetries import GROUPS, augment, target_matrices, turn_image, turn_parameters
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, TARGET_NAMES, priors


def draw(seed):
    rng = np.random.default_rng(seed)
    return {name: prior.draw(rng) for name, prior in priors({}).items()}


def lopsided(side=11):
    """A PSF without any symmetry (side, side), 0 at its border."""
    kernel = np.zeros((side, side))
    kernel[1:-1, 1:-1] = np.random.default_rng(1).uniform(size=(side - 2, side - 2))
    return kernel / kernel.sum()


def render(parameters, kernel):
    system = System(parameters, solve(parameters).brightest(SCENE.max_images))
    return LenstronomyRenderer(80, 0.06, kernel, SCENE).render([system])[0]


@pytest.mark.parametrize("symmetry", range(4))
@pytest.mark.parametrize("seed", range(3))
def test_turned_parameters_make_the_turned_image(symmetry, seed):
    parameters, kernel = draw(seed), lopsided()
    image = render(parameters, kernel)
    turned = render(turn_parameters(parameters, symmetry), turn_image(torch.as_tensor(kernel), symmetry).numpy())
    expected = turn_image(torch.as_tensor(image), symmetry).numpy()
    assert np.abs(turned - expected).max() <= 1e-8 * image.max()
    assert symmetry == 0 or np.abs(turned - image).max() > 1e-2 * image.max()


def test_a_quarter_turn_is_none_for_this_source():
    """Why there are four and not eight: the source's ellipticity changes its sign."""
    parameters = draw(0)
    quarter = dict(parameters)
    for x, y in (("center_x", "center_y"), ("source_x", "source_y")):
        quarter[x], quarter[y] = -parameters[y], parameters[x]
    quarter["e1"], quarter["e2"] = -parameters["e1"], -parameters["e2"]
    quarter["psi_ext"] = parameters["psi_ext"] + np.pi / 2
    kernel = np.zeros((11, 11))
    kernel[5, 5] = 1.0
    image = render(parameters, kernel)
    assert np.abs(render(quarter, kernel) - np.rot90(image)).max() > 1e-2 * image.max()


@pytest.mark.parametrize("symmetry", range(4))
def test_matrices_do_to_targets_what_the_table_of_parameters_does(symmetry):
    parameters = draw(5)
    expected = [turn_parameters(parameters, symmetry)[name] for name in TARGET_NAMES]
    matrix = target_matrices(TARGET_NAMES)[symmetry].double()
    found = matrix @ torch.tensor([parameters[name] for name in TARGET_NAMES], dtype=torch.float64)
    assert found.tolist() == pytest.approx(expected)
    assert torch.equal(matrix @ matrix, torch.eye(8, dtype=torch.float64))  # each is its own inverse


def test_a_batch_is_turned_row_by_row():
    images, targets = torch.randn(5, 3, 6, 6), torch.randn(5, 8)
    before = images.clone()
    chosen = torch.tensor([2, 0, 1, 3, 2])
    matrices = target_matrices(TARGET_NAMES)
    turned, moved = augment(images, targets, chosen, matrices)
    for row, symmetry in enumerate(chosen.tolist()):
        assert torch.equal(turned[row], turn_image(images[row], symmetry))
        assert torch.allclose(moved[row], matrices[symmetry] @ targets[row])
    assert torch.equal(images, before)


def test_groups_are_closed():
    parameters = draw(6)
    for group in GROUPS.values():
        results = [turn_parameters(parameters, symmetry) for symmetry in group]
        for one in group:
            for other in group:
                both = turn_parameters(turn_parameters(parameters, one), other)
                assert any(all(both[name] == pytest.approx(result[name]) for name in NAMES) for result in results)
