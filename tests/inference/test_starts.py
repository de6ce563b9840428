"""What a network has drawn, as a Gaussian from which fits start."""

import numpy as np
import pytest
import torch

from lensvit.inference.prior import LogPrior
from lensvit.inference.starts import LIGHT, Starter, from_draws, from_prior
from lensvit.lensing.noise import noise
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.parameters import priors
from tests.builders import NETWORK_ERRORS, SCENE, SPACE

pytestmark = pytest.mark.usefixtures("one_thread")

PRIOR = LogPrior(priors({}))
QUAD = 1  # a system of four images


def test_a_networks_draws_as_a_gaussian():
    rng = np.random.default_rng(2)
    draws = rng.multivariate_normal(np.arange(8) / 10, np.diag(NETWORK_ERRORS**2), 4000)
    known = from_draws(draws, PRIOR)
    spread = torch.linalg.inv(known.precision).diagonal().sqrt()[:8].numpy()
    np.testing.assert_allclose(known.mean[:8], np.arange(8) / 10, atol=0.01)
    np.testing.assert_allclose(spread, 2 * NETWORK_ERRORS, rtol=0.05)  # a network may be too sure
    sample = known.draw(20000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(sample.std(0)[:8], spread, rtol=0.05)
    assert torch.linalg.inv(from_draws(draws[:1].repeat(3, 0), PRIOR).precision).isfinite().all()


def test_one_draw_has_the_spread_of_the_prior():
    draw = np.arange(8)[None] / 10
    known = from_draws(draw, PRIOR)
    np.testing.assert_array_equal(known.mean[:8], draw[0])
    np.testing.assert_array_equal(known.precision, from_prior(PRIOR).precision)


@pytest.mark.parametrize("samples", [1, 3])
def test_lenses_are_found_however_often_light_is_sampled_in_a_pixel(space_camera, samples):
    """The light of the lens galaxy is fitted on pixels, not on samples."""
    psf, _, systems, _ = space_camera
    renderer = BatchedRenderer(SPACE.pixels, SPACE.pixel_scale, psf.native, SCENE, None, samples)
    system = systems[QUAD]
    image = noise(renderer.render([system])[0], 1.0, SCENE.exposure, 3)
    starter, known = Starter(renderer, psf), from_prior(PRIOR)
    light = starter.lens_light(torch.as_tensor(image).double(), 1.0, SCENE.exposure, known)
    for name, value in zip(LIGHT[:2], light.tolist(), strict=False):
        assert value == pytest.approx(system.parameters[name], abs=0.02), name
    starts = starter.candidates(image, 1.0, SCENE.exposure, known, 8, 1)
    nearest = (starts[:, 0] - system.parameters["theta_E"]).abs().min()
    assert starts.isfinite().all() and nearest < 0.05
