"""A layer that normalises each input pixel by its statistics over training images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PixelNorm(nn.Module):
    """Standardises each input pixel by its mean and its standard deviation over training images.

    Lenses lie in the middle of the image, so that a pixel has a typical brightness; what tells
    systems apart may be a few per cent of it. Values beyond ``LIMIT`` standard deviations are
    set to it.

    Parameters
    ----------
    size
        Side S of the input [pixel].
    """

    LIMIT = 6.0
    FLOOR = 1e-3  # smallest standard deviation

    mean: Tensor  # (3, S, S)
    sd: Tensor  # (3, S, S)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, size, size))
        self.register_buffer("sd", torch.ones(3, size, size))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take mean and standard deviation from inputs (n, 3, S, S), two or more."""
        self.mean.copy_(images.mean(0))
        self.sd.copy_(images.std(0).clamp_min(self.FLOOR))

    def forward(self, images: Tensor) -> Tensor:
        """Inputs (B, 3, S, S) with each pixel standardised."""
        return ((images - self.mean) / self.sd).clamp(-self.LIMIT, self.LIMIT)


class Normalised(nn.Module):
    """A network with a :class:`PixelNorm` before it.

    Parameters
    ----------
    network
        A network for inputs (B, 3, S, S).
    size
        Side S of the input [pixel].
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.norm = PixelNorm(size)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The network's outputs for inputs (B, 3, S, S)."""
        return self.network(self.norm(images))
