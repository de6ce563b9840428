"""Compiled loops give the images and sums of torch."""

import numba
import numpy as np
import pytest
import torch

from lensvit.inference.likelihood import Likelihood
from lensvit.lensing import compiled
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.renderer import BatchedRenderer, system_tensors
from lensvit.lensing.system import System
from tests.builders import FLATNESS, SCENE, draw_parameters, lopsided_psf

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(count):
    """Lenses of all flatnesses and slopes, with quasar images anywhere, also beyond the border."""
    result = []
    for seed in range(count):
        rng = np.random.default_rng([seed, 7])
        size, angle = FLATNESS[seed % len(FLATNESS)], rng.uniform(0, 2 * np.pi)
        shape = {"gamma": rng.uniform(1.5, 2.8), "e1": size * np.cos(angle), "e2": size * np.sin(angle)}
        images = QuasarImages(*rng.uniform(-3.2, 3.2, (2, seed % 5)), rng.normal(0, 4, seed % 5))
        result.append(System(draw_parameters(seed, **shape), images))
    return result


@numba.njit
def values(numbers):
    """The exponential and the logarithm of numbers (n,)."""
    result = np.empty((2, len(numbers)), np.float32)
    for i in range(len(numbers)):
        result[0, i] = compiled.exp(numbers[i])
        result[1, i] = compiled.log(numbers[i])
    return result


def test_exponentials_and_logarithms():
    powers = np.linspace(-86, 87, 100001).astype(np.float32)
    np.testing.assert_allclose(values(powers)[0], np.exp(powers.astype(float)), rtol=2e-7)
    ends = values(np.array([-np.inf, -1e9, 1e9, np.inf], np.float32))[0]
    assert (ends[:2] < 2e-38).all() and (ends[2:] > 1e38).all()
    numbers = np.concatenate([np.exp(powers), 1 + np.linspace(-1e-3, 1e-3, 1001)]).astype(np.float32)
    np.testing.assert_allclose(values(numbers)[1], np.log(numbers.astype(float)), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("supersampling", [1, 5])
@pytest.mark.parametrize("pixels", [60, 97])
def test_compiled_images_are_those_of_torch(pixels, supersampling):
    kernel, given = lopsided_psf(31, 0.1), system_tensors(drawn(18))
    arguments = pixels, 6 / pixels, kernel.native, SCENE, kernel.supersampled if supersampling == 5 else None
    exact = BatchedRenderer(*arguments, dtype=torch.float64).images(*given)
    peak = exact.amax((1, 2), keepdim=True)
    renderer = BatchedRenderer(*arguments)
    fast, seen = renderer.compiled(), torch.full_like(exact, torch.nan)
    for images in (renderer.images(*given), fast.images(*given)):
        assert float(((images - exact) / peak).abs().max()) < 1e-6
    assert not torch.equal(renderer.images(*given), fast.images(*given))  # the loops were in use
    fast.visit(*given, lambda place, image: seen[place].copy_(image))
    torch.testing.assert_close(seen.float(), fast.images(*given), rtol=0, atol=0)


def test_where_there_are_no_loops():
    given = system_tensors(drawn(3))
    renderer = BatchedRenderer(40, 0.1, lopsided_psf(15, 0.1).native, SCENE, dtype=torch.float64)
    assert torch.equal(renderer.compiled().images(*given), renderer.images(*given))


@pytest.mark.parametrize("model_error", [0.0, 0.1])
def test_the_sum_over_pixels(model_error):
    rng = np.random.default_rng(0)
    model = torch.as_tensor(rng.gamma(0.5, 20.0, (1, 53, 61)) - 0.5, dtype=torch.float32)
    data = model + torch.as_tensor(rng.standard_normal(model.shape), dtype=torch.float32)
    likelihood = Likelihood(data, torch.tensor([0.9]), 1000.0, model_error)
    exact = Likelihood(data.double(), torch.tensor([0.9]).float(), 1000.0, model_error).log_density(model.double())
    assert likelihood.compiled()(model[0]) == pytest.approx(float(exact), abs=1e-4)


def test_loops_without_a_folder_to_keep_them_in(monkeypatch):
    real = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled.compiled()(lambda x: x + 1)(2) == 3
