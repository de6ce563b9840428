"""Convolution of batches of images with a PSF, by Fourier transforms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

LARGE = 256  # side from which on a transform takes much of a CPU's cache [pixel]


@contextmanager
def exact_products() -> Iterator[None]:
    """Compute products of single-precision matrices in full precision, whatever a training in this process has set."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)


class Convolution:
    """Convolution of images with one kernel.

    Half a kernel of padding is enough, since what wraps around the border falls on the padding.

    Parameters
    ----------
    kernel
        (k, k) kernel, k being odd.
    pixels
        Side of the images [pixel].
    dtype
        Precision of the images, float32 or float64.
    device
        Where the images are.
    """

    def __init__(self, kernel: np.ndarray, pixels: int, dtype: torch.dtype, device: torch.device) -> None:
        margin = min(len(kernel) // 2, pixels - 1)  # nothing in the image is farther apart
        inner = slice(len(kernel) // 2 - margin, len(kernel) // 2 + margin + 1)
        kernel = kernel[inner, inner]
        self.pixels, self.side = pixels, _fast_length(pixels + margin)
        padded = torch.zeros(self.side, self.side, dtype=torch.float64, device=device)
        padded[: len(kernel), : len(kernel)] = torch.as_tensor(kernel, dtype=torch.float64)
        transform = torch.fft.rfft2(padded.roll((-margin, -margin), (0, 1))).to(dtype.to_complex())
        # a CPU's transforms of images lie along columns in memory; where they do not fit its cache, so should this one
        self.transform = transform if self.side < LARGE else transform.mT.contiguous().mT

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """The convolved images of ``images`` (B, C, ny, nx), written to ``out`` where it is given, on a CPU."""
        if images.device.type != "cpu":
            return self._convolved(images)
        result = torch.empty_like(images, memory_format=torch.contiguous_format) if out is None else out
        for image, target in zip(images.flatten(0, 1), result.flatten(0, 1), strict=True):
            target.copy_(self._convolved(image))  # an image at a time stays in the processor's cache
        return result

    def _convolved(self, image: Tensor) -> Tensor:
        half = torch.fft.rfft(image, self.side, dim=-1)
        whole = torch.fft.fft(half, self.side, dim=-2).mul_(self.transform)
        half = torch.fft.ifft(whole, dim=-2)[..., : self.pixels, :]
        return torch.fft.irfft(half, self.side, dim=-1)[..., : self.pixels]


def _fast_length(least: int) -> int:
    """An even length that both of torch's FFT libraries are fast at."""
    return 2 * next_fast_len((least + 1) // 2, real=True)
