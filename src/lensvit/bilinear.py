"""Bilinear resize with the corners in place: scipy.ndimage.zoom of order 1, compiled, many images at once.

An output pixel is a mean of two rows of the image, of which it takes the mean of two columns. One image
stays in a core's cache meanwhile, which is what makes the difference to a resize of the whole batch, and
threads share the images. Where torch rounds the positions to float32 (3e-5 of a pixel at the far end of
300), they are float64 here.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

from lensvit.threads import for_each


def resize(images: Tensor, size: int) -> Tensor:
    """(n, ny, nx) float32 to (n, size, size), size > 1, on the device where the images are."""
    rows, columns = (positions(pixels, size) for pixels in images.shape[1:])
    if images.device.type == "cpu":
        resized = torch.empty(len(images), size, size)
        before, after = images.numpy(), resized.numpy()
        for_each(lambda number: _resize(before[number], *rows, *columns, after[number]), len(images))
        return resized
    return _gathered(images, rows, columns)


def _gathered(images: Tensor, *along: tuple[np.ndarray, np.ndarray]) -> Tensor:
    """The same by torch alone, for GPUs."""
    for axis, (low, weight) in enumerate(along, start=1):
        first = torch.as_tensor(low, device=images.device)
        share = torch.as_tensor(weight, device=images.device)
        before, after = images.index_select(axis, first), images.index_select(axis, first + 1)
        images = torch.lerp(before, after, share[:, None] if axis == 1 else share)
    return images


def positions(pixels: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where ``size`` output pixels lie on ``pixels``: the pixel before each, and the weight of the one after it."""
    place = np.linspace(0.0, pixels - 1.0, size)
    low = np.minimum(place.astype(np.int64), pixels - 2)
    return low, (place - low).astype(np.float32)


@njit("void(f4[:,::1],i8[::1],f4[::1],i8[::1],f4[::1],f4[:,::1])", nogil=True, cache=True)
def _resize(image, row, row_weight, column, column_weight, resized):  # noqa: ANN001, ANN202
    blended = np.empty(image.shape[1], np.float32)
    for y in range(len(row)):
        above, below, weight = image[row[y]], image[row[y] + 1], row_weight[y]
        for x in range(len(blended)):
            blended[x] = above[x] + weight * (below[x] - above[x])
        for x in range(len(column)):
            left = blended[column[x]]
            resized[y, x] = left + column_weight[x] * (blended[column[x] + 1] - left)
