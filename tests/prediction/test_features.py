"""The distance of features is 1 for images like the training's, and large for others."""

import numpy as np
import torch
from torch import nn

from lensvit.prediction.features import DIRECTIONS, Distance, last_layer, watched


def test_a_gaussian_lies_at_one_and_what_it_lacks_far_out():
    rng = np.random.default_rng(0)
    spread = np.diag([5.0, 3.0, 1.0, 0.2]) @ rng.normal(size=(4, 300))
    known = rng.normal(size=(4000, 4)) @ spread + 0.05 * rng.normal(size=(4000, 300)) + 7
    distance = Distance.fitted(known[::2])
    others = distance.of(known[1::2])
    assert 0.75 < np.sqrt((others**2).mean()) < 1.05  # the leading directions of few systems are too wide
    most = np.quantile(others, 0.995)
    along = known.mean(0) + 20 * spread[:1]  # twenty standard deviations along the first
    off = known[:50] + 10 * rng.normal(size=300) / np.sqrt(300)  # in directions in which the training hardly varies
    assert distance.of(along)[0] > most and distance.of(off).min() > most


def test_few_systems_give_few_directions():
    rng = np.random.default_rng(1)
    assert len(Distance.fitted(rng.normal(size=(60, 200))).arrays["sd"]) == 3
    assert len(Distance.fitted(rng.normal(size=(3000, 200))).arrays["sd"]) == DIRECTIONS
    assert len(Distance.fitted(rng.normal(size=(3000, 5))).arrays["sd"]) == 5
    assert np.isfinite(Distance.fitted(np.zeros((50, 4))).of(np.zeros((2, 4)))).all()


def test_the_last_layer_is_that_which_is_called_last():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(6, 2), nn.Linear(12, 6)  # in the other order

        def forward(self, images):
            return self.last(self.first(images.flatten(1)).relu())

    network, images = Turned(), torch.ones(3, 3, 2, 2)
    layer = last_layer(network, images)
    assert layer is network.last
    with watched(layer) as seen:
        network(images)
    assert torch.allclose(seen(), network.first(images.flatten(1)).relu().double())
    network(2 * images)
    assert torch.allclose(seen(), network.first(images.flatten(1)).relu().double())  # not after the context
