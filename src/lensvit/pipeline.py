"""From image files to a network's input: noise at native resolution, resize, stretch.

Noise is independent from pixel to pixel, with a variance known from the noise-free image.
A resize that is a mean over whole blocks of pixels keeps it so: the mean of k x k pixels
has the mean of their variances over k^2. Fresh noise is then drawn on the small image,
which is the same distribution at a fraction of the cost; other resizes draw it at native
resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lensvit.errors import LensvitError
from lensvit.noise import noise, variance

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
REFERENCE_SCALE = 0.05  # arcsec: `per_area` brightness is per pixel of this side, HST's
READ_BATCH = 256  # images resized at once while reading


@dataclass
class Camera:
    """The native images of one camera.

    images : (n, ny, nx) noise-free, counts/s per pixel. scale : to the recipe's brightness.
    """

    images: Tensor
    scale: float


class Inputs:
    """The inputs of one split: ``batch(rows)`` gives (B, 3, S, S) float32 on the device.

    Parameters
    ----------
    rows : the catalogue's rows, in the order of the split.
    images : the run's folder of images.
    recipe : the settings ``resize``, ``brightness``, ``stretch``, ``noise``.
    size : S.
    fresh : draw new noise for each batch, from the generator that it is given; otherwise
        every image has the one realisation of its ``seed``.

    Raises
    ------
    LensvitError
        If an image file is absent or broken.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        images: Path,
        recipe: SimpleNamespace,
        size: int,
        *,
        fresh: bool = False,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.size, self.fresh, self.device = recipe, size, fresh, device
        self.sigma = torch.as_tensor(rows["sigma_bkg"].to_numpy(np.float32), device=device)
        self.mean = torch.zeros(len(rows), size, size, device=device)
        self.variance = torch.zeros_like(self.mean) if fresh else None
        # where a row's native image is: which camera (-1: nowhere), which of its images
        self.camera = torch.full((len(rows),), -1, device=device)
        self.member = torch.zeros(len(rows), dtype=torch.long, device=device)
        native: dict[tuple[int, float], list[Chunk]] = {}
        for chunk in _chunks(rows, images):
            self._add(chunk, rows, native)
        self.cameras = [self._keep(number, chunks) for number, chunks in enumerate(native.values())]

    def _add(self, chunk: Chunk, rows: pd.DataFrame, native: dict[tuple[int, float], list[Chunk]]) -> None:
        """Resize a chunk once and for all; where noise needs the native images, put it among ``native``."""
        self.exposure = chunk.exposure
        scale = self._scale(chunk)
        index = torch.tensor(chunk.index, device=self.device)
        if not self.fresh:
            picked = rows.iloc[chunk.index]
            noisy = [
                noise(image, sigma, chunk.exposure, seed)
                for image, sigma, seed in zip(chunk.image, picked["sigma_bkg"], picked["seed"], strict=True)
            ]
            self.mean[index] = self._resized(np.stack(noisy)) * scale
        elif self._whole_blocks(chunk.image.shape[-1]):
            block = (chunk.image.shape[-1] // self.size) ** 2
            each = variance(torch.as_tensor(chunk.image), self.sigma[index].cpu()[:, None, None], chunk.exposure)
            self.mean[index] = self._resized(chunk.image) * scale
            self.variance[index] = self._resized(each) / block * scale**2
        else:
            native.setdefault((chunk.image.shape[-1], scale), []).append(chunk)

    def _scale(self, chunk: Chunk) -> float:
        return (REFERENCE_SCALE / chunk.pixel_scale) ** 2 if self.recipe.brightness == "per_area" else 1.0

    def _keep(self, number: int, chunks: list[Chunk]) -> Camera:
        """The native images of a camera, all on the device."""
        index = torch.tensor(np.concatenate([chunk.index for chunk in chunks]), device=self.device)
        self.camera[index] = number
        self.member[index] = torch.arange(len(index), device=self.device)
        images = torch.as_tensor(np.concatenate([chunk.image for chunk in chunks]), device=self.device)
        return Camera(images, self._scale(chunks[0]))

    def _whole_blocks(self, pixels: int) -> bool:
        return self.recipe.resize == "area" and pixels % self.size == 0

    def _resized(self, images: np.ndarray | Tensor) -> Tensor:
        """(n, ny, nx) to (n, S, S)."""
        parts = torch.as_tensor(images, dtype=torch.float32).split(READ_BATCH)
        return torch.cat([resize(part.to(self.device), self.size, self.recipe.resize) for part in parts])

    def __len__(self) -> int:
        return len(self.mean)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The inputs of ``rows`` (B,), an index on the device; ``generator`` feeds fresh noise."""
        image = self.mean[rows]  # (B, S, S)
        if self.fresh:
            image = image + self._normal(image, generator) * self.variance[rows].sqrt()
            for number, camera in enumerate(self.cameras):
                place = torch.nonzero(self.camera[rows] == number)[:, 0]
                image[place] = self._draw_native(camera, rows[place], generator)
        return stretch(image, self.recipe.stretch)

    def _draw_native(self, camera: Camera, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw noise on the native images of rows of one camera: (b, S, S)."""
        native = camera.images[self.member[rows]]  # (b, ny, nx)
        sd = variance(native, self.sigma[rows][:, None, None], self.exposure).sqrt()
        noisy = native + self._normal(native, generator) * sd
        return resize(noisy, self.size, self.recipe.resize) * camera.scale

    @staticmethod
    def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def resize(images: Tensor, size: int, how: str) -> Tensor:
    """(n, ny, nx) to (n, size, size).

    "bilinear" keeps the corners in place, as scipy.ndimage.zoom of order 1; "area" is the
    mean over the part of the image that an output pixel covers.
    """
    if how == "area":
        return adaptive_avg_pool2d(images[:, None], size)[:, 0]
    return interpolate(images[:, None], size=(size, size), mode="bilinear", align_corners=True)[:, 0]


def stretch(image: Tensor, how: str) -> Tensor:
    """Counts (B, S, S) to network input (B, 3, S, S).

    "three" resolves the sky, the arcs and the peaks of the quasars, a thousand times
    brighter, in one channel each.
    """
    if how == "three":
        return torch.stack([torch.asinh(image) / 2 - 0.5, torch.asinh(image / 20), (image / 50).clamp(-1, 8)], 1)
    if how == "asinh":
        return (torch.asinh(image) / 2 - 0.5)[:, None].expand(-1, 3, -1, -1)
    thrice = image[:, None].expand(-1, 3, -1, -1)
    if how == "imagenet":
        mean = torch.tensor(IMAGENET_MEAN, device=image.device)[:, None, None]
        return (thrice - mean) / torch.tensor(IMAGENET_SD, device=image.device)[:, None, None]
    return thrice


# ---------------------------------------------------------------- reading


@dataclass
class Chunk:
    """The part of a split that lies in one file: ``index`` (n,) in the split, ``image`` (n, ny, nx)."""

    index: np.ndarray
    image: np.ndarray
    pixel_scale: float
    exposure: float


def _chunks(rows: pd.DataFrame, images: Path) -> Iterator[Chunk]:
    position = np.arange(len(rows))
    for (psf, name), part in rows.assign(position=position).groupby(["psf", "chunk"], sort=True, observed=True):
        path = Path(images) / psf / f"{name}.h5"
        try:
            with h5py.File(path, "r") as file:
                image = file["image"][:][part["row"].to_numpy()]
                attributes = dict(file.attrs)
        except FileNotFoundError as error:
            raise LensvitError(f"no image file {path}: run snakemake again, which simulates it") from error
        except (OSError, KeyError, IndexError) as error:
            raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error
        yield Chunk(part["position"].to_numpy(), image, float(attributes["pixel_scale"]), float(attributes["exposure"]))
