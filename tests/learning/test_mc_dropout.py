"""Passes of dropout whose masks all images share."""

import pytest
import torch

from lensvit.learning.architectures import build_network
from lensvit.learning.mc_dropout import SharedMasks, monte_carlo
from lensvit.learning.settings import Architecture


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_with_shared_masks_an_image_does_not_depend_on_those_beside_it(tiny_networks, name):
    torch.manual_seed(0)
    settings = Architecture(**tiny_networks[name], weights="scratch", dropout=0.3, image_size=24)
    network = monte_carlo(build_network(settings, 4))
    images = torch.randn(5, 3, 24, 24)

    def passed(some, seed=1):
        torch.manual_seed(seed)
        with torch.no_grad(), SharedMasks():
            return network(some)

    whole = passed(images)
    assert torch.allclose(passed(images[2:4]), whole[2:4], atol=1e-5)
    assert not torch.allclose(passed(images, seed=2), whole, atol=1e-2)
    same = passed(images[:1].expand(5, -1, -1, -1))
    assert torch.allclose(same, same[:1].expand(5, -1), atol=1e-5)
    # the mean over passes is that of ordinary dropout
    many = torch.stack([passed(images, seed) for seed in range(400)])
    with torch.no_grad():
        plain = torch.stack([network(images) for _ in range(400)])
    error = (many.var(0) / 400 + plain.var(0) / 400).sqrt()
    assert ((many.mean(0) - plain.mean(0)).abs() < 5 * error).all()
    assert (many.var(0) / plain.var(0) - 1).abs().max() < 0.6
