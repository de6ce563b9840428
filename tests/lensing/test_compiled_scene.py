"""The compiled light of scenes is that of torch, and images that are expanded where they are seen cost less."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch

from lensvit.inference.following import solve_quasar_images
from lensvit.lensing import compiled_scene
from lensvit.lensing.exposure import Cusp, Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import Structure
from tests.lensing.scenes import VALUES, drawn, gaussian, parameters


@numba.njit
def values(numbers: np.ndarray) -> np.ndarray:
    """The exponential and the logarithm of numbers (n,)."""
    result = np.empty((2, len(numbers)))
    for i in range(len(numbers)):
        result[0, i] = compiled_scene.exp(numbers[i])
        result[1, i] = compiled_scene.log(numbers[i])
    return result


def test_exponentials_and_logarithms() -> None:
    powers = np.linspace(-707, 708, 100001)
    np.testing.assert_allclose(values(powers)[0], np.exp(powers), rtol=2e-14)
    ends = values(np.array([-np.inf, -1e9, 1e9, np.inf]))[0]
    assert (ends[:2] < 1e-300).all() and (ends[2:] > 1e300).all()
    numbers = np.concatenate([np.exp(powers), 1 + np.linspace(-1e-3, 1e-3, 1001)])
    np.testing.assert_allclose(values(numbers)[1], np.log(numbers), rtol=2e-15, atol=1e-18)


@pytest.mark.parametrize("seed", range(4))
def test_many_systems_at_once_are_those_of_torch(seed: int) -> None:
    structure = Structure(position_error=0.003)
    cusps = np.array([[0.0, 0.0], [1.0, 0.3]])
    exposure = Exposure(30, 0.12, gaussian(15, 1.3), cusps=(Cusp(cusps, 0.3, 4), Cusp(cusps[:1], 0.15, 21)))
    parts = Parts([exposure], structure)
    rng = np.random.default_rng(seed)
    places = torch.cat([parameters(drawn(rng), structure) for _ in range(3)])
    known = solve_quasar_images(places[:, :14], structure.most_images)[:2]
    expected = parts.jacobian(places, *known)[0]
    found = parts.images(places, *known)
    scale = expected.abs().amax(2, keepdim=True).clamp_min(1e-300)
    assert float(((found - expected) / scale).abs().max()) < 1e-11
    assert parts.images(places[:0], *(part[:0] for part in known)).shape == (0, *found.shape[1:])


@pytest.mark.parametrize("missing", [0, 1])
def test_images_that_are_seen_are_put_where_they_are_seen(missing: int) -> None:
    structure = Structure(position_error=0.003)
    exposure, place = Exposure(30, 0.12, gaussian(15, 1.3)), parameters(VALUES, structure)
    position, magnification, _ = solve_quasar_images(place[:, :14], structure.most_images)
    if missing:
        magnification[0, 1] = 0.0
    present = (magnification[0] != 0).numpy()
    seen = (
        position[0].numpy()[present][::-1] + np.array([0.002, -0.001]),
        np.array([30.0, 5.0, 8.0, 3.0])[: present.sum()],
    )
    parts = Parts([exposure], structure, seen)
    image, _ = parts.jacobian(place, position, magnification)  # by the general way
    torch.testing.assert_close(parts.images(place, position, magnification), image, rtol=1e-9, atol=1e-12)
    assert (image[0, parts.quasars].abs().amax(1) > 0).numpy().tolist() == present.tolist()
