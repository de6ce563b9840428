"""Images that are followed from a system nearby are those that a search finds, or are said not to be sure."""

import math

import numpy as np
import pytest
import torch

from lensvit.lensing.batched_lens_equation import find
from lensvit.lensing.followed_images import KnownImages
from lensvit.parameters import NAMES
from tests.builders import draw_parameters, near_critical_curve, with_image_at

pytestmark = pytest.mark.usefixtures("one_thread")
SOURCE = [NAMES.index(name) for name in ("source_x", "source_y")]


def tensor(systems):
    return torch.tensor([[system[name] for name in NAMES] for system in systems], dtype=torch.float64)


def around(parameters, count, size, seed=0):
    """Systems (count, 14) with all parameters changed at random."""
    change = torch.tensor(np.random.default_rng(seed).standard_normal((count, len(NAMES))))
    return parameters + size * change


def followed(references, near):
    """The share of systems whose images were surely followed from each reference, compared with those of a search."""
    positions, magnification, sure = find(near)
    assert sure.all()
    shares = []
    for reference in references:
        images = KnownImages(reference[None]).follow(near)
        rows, width = images.sure, images.magnification.shape[1]
        assert (magnification[rows, width:] == 0).all()
        torch.testing.assert_close(images.positions[rows], positions[rows, :width], rtol=0, atol=1e-9)
        torch.testing.assert_close(images.magnification[rows], magnification[rows, :width], rtol=1e-7, atol=0)
        shares.append(float(rows.double().mean()))
    return np.array(shares)


@pytest.mark.parametrize(("size", "least"), [(3e-4, 0.97), (3e-3, 0.8), (3e-2, 0.1)])
def test_the_images_are_those_of_a_search(size, least):
    systems = tensor(draw_parameters(seed, gamma=1.8 + 0.02 * seed) for seed in range(1, 30, 2))
    shares = [followed([system], around(system, 60, size)) for system in systems]
    assert np.mean(shares) > least


@pytest.mark.parametrize("offset", [0.05, -0.05, 0.003, -0.003, 1e-4])
def test_no_image_is_lost_or_missed_near_a_caustic(offset):
    for seed in range(8):
        system = draw_parameters(seed)
        place = near_critical_curve(system, seed, offset)
        system = tensor([with_image_at(system, *place)])[0]
        followed([system], around(system, 60, abs(offset) / 3))


def test_a_source_that_crosses_a_caustic_anywhere_is_noticed():
    total = 0
    for seed in range(6):
        system = tensor([draw_parameters(seed, e1=0.3, e2=0.1)])[0]
        ways = system.repeat(6, 40, 1)
        angle = torch.arange(6.0) * math.pi / 3
        place = torch.linspace(0, 0.6, 40)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)[:, None]
        ways[..., SOURCE] = system[[NAMES.index("center_x"), NAMES.index("center_y")]] + place.double()
        total += followed(ways[:2, [1, 20]].flatten(0, 1), ways.flatten(0, 1))
    assert (total > 0.05).all()  # some of all places are followed, from within the caustic and from without


def test_what_cannot_be_followed_is_not_sure():
    system = tensor([draw_parameters(1)])[0]
    near = system.repeat(4, 1)
    near[0, NAMES.index("e1")] = 0.95  # too flat
    near[1, NAMES.index("gamma")] = 3.5
    near[2, SOURCE[0]] += 30.0
    assert KnownImages(system[None]).follow(near).sure.tolist() == [False, False, False, True]
    assert not KnownImages(near[:3]).follow(near).sure.any()  # no reference that is known


def test_the_nearest_of_several_references_counts():
    systems = tensor(draw_parameters(seed, source_x=0.05 * seed) for seed in range(6))
    known = KnownImages(systems)
    near = torch.cat([around(system, 20, 3e-4, seed) for seed, system in enumerate(systems)])
    images = known.follow(near)
    positions, magnification, _ = find(near)
    assert images.sure.double().mean() > 0.9
    counts = (images.magnification != 0).sum(1)
    assert set(counts[images.sure].tolist()) == {2, 4}
    torch.testing.assert_close(images.magnification[images.sure], magnification[images.sure, :4], rtol=1e-7, atol=0)
    torch.testing.assert_close(images.positions[images.sure], positions[images.sure, :4], rtol=0, atol=1e-9)
