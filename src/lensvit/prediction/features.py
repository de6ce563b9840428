"""How unlike an image is to those of the training, by what the network sees in it.

What a network hands to its last layer are its features. Those of images like the training's fill a part of their
space, which a Gaussian in their leading directions describes. The distance of an image from the middle of it, in
standard deviations, is large for what the network has never seen (Lee et al. 2018, arXiv:1807.03888, there by class).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

DIRECTIONS = 64  # the leading ones that count by themselves
LEAST = 20  # systems for each direction


def last_layer(network: nn.Module, inputs: Tensor) -> nn.Linear:
    """The linear layer that a network calls last.

    Parameters
    ----------
    network
        The network.
    inputs
        Any of its inputs (B, 3, S, S).
    """
    called = list[nn.Linear]()
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    handles = [module.register_forward_hook(lambda module, args, output: called.append(module)) for module in layers]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return called[-1]


@contextmanager
def watched(layer: nn.Linear) -> Iterator[Callable[[], Tensor]]:
    """Within this context the inputs (B, F) of a layer in the last call are what the yielded function returns."""
    seen = dict[str, Tensor]()

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen["last"] = args[0].detach().flatten(1).double().cpu()

    handle = layer.register_forward_pre_hook(keep)
    try:
        yield lambda: seen["last"]
    finally:
        handle.remove()


class Distance:
    """The distance of features from those of a training.

    Parameters
    ----------
    arrays
        ``mean`` (F,); ``directions`` (D, F), which are orthonormal; ``sd`` (D,) along each; ``rest``, the root mean
        square of what lies along none of them.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {name: np.asarray(array, dtype=float) for name, array in arrays.items()}

    @classmethod
    def fitted(cls, features: np.ndarray) -> Distance:
        """From features (n, F) of images like the training's."""
        mean = features.mean(0)
        count = max(1, min(DIRECTIONS, len(features) // LEAST, features.shape[1]))
        _, size, directions = np.linalg.svd(features - mean, full_matrices=False)
        sd = size[:count] / np.sqrt(max(len(features) - 1, 1))
        rest = np.sqrt((size[count:] ** 2).sum() / len(features))
        floor = 1e-6 * max(float(sd.max(initial=0.0)), 1e-12)
        return cls(
            {"mean": mean, "directions": directions[:count], "sd": sd.clip(floor), "rest": np.array(max(rest, floor))}
        )

    def of(self, features: np.ndarray) -> np.ndarray:
        """Distances (n,) of features (n, F): the root mean square in units of the training's, along all directions."""
        centred = features - self.arrays["mean"]
        along = centred @ self.arrays["directions"].T
        rest = np.sqrt(np.maximum((centred**2).sum(1) - (along**2).sum(1), 0)) / self.arrays["rest"]
        return np.sqrt((((along / self.arrays["sd"]) ** 2).sum(1) + rest**2) / (along.shape[1] + 1))
