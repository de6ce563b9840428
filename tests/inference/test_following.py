"""A posterior near its maximum has the density of the posterior."""

import pytest
import torch

from lensvit.inference.coordinates import start_from
from lensvit.inference.following import Follower, solve_quasar_images
from lensvit.inference.posterior import Posterior
from lensvit.lensing import batched_lens_equation
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.parameters import NAMES
from tests.builders import noisy_posterior, parameter_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


def spread(places, count, size):
    generator = torch.Generator().manual_seed(1)
    return places + size * torch.randn(count, places.shape[-1], generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", [1e-3, 3e-2])
def test_the_density_is_that_of_the_posterior(space_camera, size):
    posterior, places = noisy_posterior(space_camera), start_from(parameter_tensor(space_camera[2]))
    camera = posterior.renderer
    exact = Posterior(
        BatchedRenderer(camera.pixels, camera.pixel_scale, camera.kernel, camera.scene, dtype=torch.float64),
        posterior.data, posterior.sigma_bkg, posterior.exposure, posterior.prior, 4,
    )  # fmt: skip
    for row in (0, 3):
        near = spread(places[row], 40, size)
        near[7, NAMES.index("gamma")] = 5.0  # no image
        rows, alone = torch.full((40,), row), posterior.near(places[row : row + 1], row)
        assert len(alone) == 1
        for error in (0.0, 0.1):
            density, expected = alone.log_density(near, 0 * rows, error), exact.log_density(near, rows, error)
            assert density.isinf().nonzero().tolist() == [[7]]
            off = [
                (found / expected - 1).nan_to_num(0.0).abs()
                for found in (density, posterior.log_density(near, rows, error))
            ]
            assert off[0].max() < 3 * off[1].max() < 1e-5  # of single precision
    assert alone.log_density(near[7:8], rows[:1] * 0).tolist() == [-torch.inf]
    assert alone.log_density(near[:0], rows[:0]).tolist() == []


def test_the_search_is_asked_where_images_may_have_changed_alone(space_camera, monkeypatch):
    system = parameter_tensor(space_camera[2])[:1]
    asked, real = [], batched_lens_equation.find
    follower = Follower(system)
    monkeypatch.setattr(batched_lens_equation, "find", lambda some: asked.append(len(some)) or real(some))
    near = system.repeat(5, 1)
    near[2, NAMES.index("source_x")] += 3.0
    near[3, NAMES.index("e1")] = 2.0  # no lens
    for most in (1, 3, 6):
        found = follower(near, most)
        assert asked == [1]
        expected = solve_quasar_images(near, most)
        assert found[2].tolist() == expected[2].tolist() == [True, True, True, False, True]
        for ours, theirs in zip(found[:2], expected[:2], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
        asked.clear()


def test_no_systems():
    follower = Follower(torch.zeros(0, len(NAMES), dtype=torch.float64))
    assert [len(part) for part in follower(torch.zeros(0, len(NAMES), dtype=torch.float64), 4)] == [0, 0, 0]
