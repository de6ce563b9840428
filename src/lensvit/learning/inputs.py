"""From image files to a network's input: noise at native resolution, resize, stretch.

Noise is independent from pixel to pixel, with a variance known from the noise-free image.
A resize that is a mean over whole blocks of pixels keeps it so: the mean of k pixels
has the mean of their variances over k. Fresh noise is then drawn on the small image,
which is the same distribution at a fraction of the cost; other resizes draw it at native
resolution. On a CPU threads share the images, one at a time, so that it stays in the cache.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.io.images import ImageChunk, image_geometry, read_chunks
from lensvit.jobs.threads import for_each
from lensvit.learning.preprocessing import brightness_factor, mean_variance, resize, stretch
from lensvit.learning.settings import InputRecipe
from lensvit.lensing.noise import noise, noisy, variance

SHARE_OF_GPU = 0.5  # of its free memory, that images may take
AT_ONCE = 16  # images that are made small together: what this takes on the way stays small too


# how far the images of a stack are prepared
DONE = "done"  # small, with noise
SMALL = "small"  # small, noise-free, with the variance of the noise
NATIVE = "native"  # as simulated


@dataclass
class Stack:
    """Images of one kind, in one place.

    kind : DONE, SMALL or NATIVE. image : (n, side, side). variance : of the noise (SMALL), or
    None. scale : from counts/s per pixel to the recipe's brightness (NATIVE).
    """

    kind: str
    image: Tensor
    variance: Tensor | None
    scale: float

    @property
    def bytes(self) -> int:
        """That it takes."""
        return self.image.nbytes + (0 if self.variance is None else self.variance.nbytes)

    def to(self, device: str) -> None:
        """Move it."""
        self.image = self.image.to(device)
        self.variance = None if self.variance is None else self.variance.to(device)


class StackKey(NamedTuple):
    """What the images of a stack have in common; ``side`` [pixel] and ``scale`` as they are stored."""

    kind: str
    side: int
    scale: float


class Inputs:
    """The inputs of one split: ``batch(rows)`` gives (B, 3, S, S) float32 on the device.

    Images are kept on the device where they fit, and otherwise in the computer's memory, from
    where batches are sent; ``home`` says which.

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
        recipe: InputRecipe,
        size: int,
        *,
        fresh: bool = False,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.size, self.fresh, self.device = recipe, size, fresh, device
        self.sigma = torch.as_tensor(rows["sigma_bkg"].to_numpy(np.float32))
        keys = {psf: self._key(pixels, scale) for psf, (pixels, scale) in image_geometry(rows, images).items()}
        counts = Counter(keys[psf] for psf in rows["psf"])
        # in one piece each, and filled in place: parts that are joined later would hold all images twice
        stacks = {key: self._empty(key, count) for key, count in counts.items()}
        # where a row's image is: which stack, which of its images
        self.stack = torch.zeros(len(rows), dtype=torch.long)
        self.member = torch.zeros(len(rows), dtype=torch.long)
        filled = dict.fromkeys(stacks, 0)
        for chunk in read_chunks(rows, images):
            self.exposure = chunk.exposure
            key, index = keys[chunk.psf], torch.tensor(chunk.index)
            place = slice(filled[key], filled[key] + len(index))
            self._fill(stacks[key], place, chunk, rows)
            self.stack[index] = list(stacks).index(key)
            self.member[index] = torch.arange(place.start, place.stop)
            filled[key] = place.stop
        self.stacks = list(stacks.values())
        self.bytes = sum(stack.bytes for stack in self.stacks)
        self.home = device if _fits(self.bytes, device) else "cpu"
        for stack in self.stacks:
            stack.to(self.home)

    def _key(self, pixels: int, pixel_scale: float) -> StackKey:
        """Of the stack that the images of a camera belong to."""
        if not self.fresh:
            return StackKey(DONE, self.size, 1.0)
        if not self._whole_blocks(pixels):
            return StackKey(NATIVE, pixels, brightness_factor(self.recipe, pixel_scale))
        return StackKey(SMALL, self.size, 1.0)

    def _empty(self, key: StackKey, count: int) -> Stack:
        shape = count, key.side, key.side
        return Stack(key.kind, torch.empty(shape), torch.empty(shape) if key.kind == SMALL else None, key.scale)

    def _fill(self, stack: Stack, place: slice, chunk: ImageChunk, rows: pd.DataFrame) -> None:
        """Put a chunk at its place in its stack."""
        scale = brightness_factor(self.recipe, chunk.pixel_scale)
        picked = rows.iloc[chunk.index]
        if stack.kind == NATIVE:
            stack.image[place] = torch.as_tensor(chunk.image)
        elif stack.kind == DONE:
            stack.image[place] = self._noisy(chunk, picked).mul_(scale)
        else:
            sigma = torch.as_tensor(picked["sigma_bkg"].to_numpy(np.float32))[:, None, None]
            parts = (torch.as_tensor(chunk.image), sigma, stack.image[place], stack.variance[place])
            for image, noise_level, small, spread in zip(*(part.split(AT_ONCE) for part in parts), strict=True):
                small[:] = self._resized(image) * scale
                each = variance(image, noise_level, chunk.exposure)
                spread[:] = mean_variance(each, self.size, self.recipe.resize) * scale**2

    def _whole_blocks(self, pixels: int) -> bool:
        return self.recipe.resize == "graded" or (self.recipe.resize == "area" and pixels % self.size == 0)

    def _noisy(self, chunk: ImageChunk, rows: pd.DataFrame) -> Tensor:
        """The small images of a chunk, each with the noise of its seed, (n, S, S)."""
        sigma, seed = rows["sigma_bkg"].tolist(), rows["seed"].tolist()
        small = torch.empty(len(rows), self.size, self.size)

        def one(number: int) -> None:
            drawn = noise(chunk.image[number], sigma[number], chunk.exposure, seed[number])
            small[number] = self._resized(drawn[None])[0]

        for_each(one, len(rows))
        return small

    def _resized(self, images: np.ndarray | Tensor) -> Tensor:
        """(n, ny, nx) to (n, S, S), in the computer's memory."""
        return resize(torch.as_tensor(images, dtype=torch.float32), self.size, self.recipe.resize)

    def __len__(self) -> int:
        return len(self.sigma)

    def __str__(self) -> str:
        where = f"on {self.home}" if self.home == self.device else "in the computer's memory, sent batch by batch"
        return f"{len(self)} images, {self.bytes / 1e9:.2f} GB, {where}"

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The inputs of ``rows`` (B,), an index on the CPU; ``generator``, on the device, feeds fresh noise."""
        image = torch.empty(len(rows), self.size, self.size, device=self.device)
        of = self.stack[rows]
        for number, stack in enumerate(self.stacks):
            place = torch.nonzero(of == number)[:, 0]
            if len(place):
                drawn = self._draw(stack, rows[place], generator)
                if len(place) == len(rows):
                    image = drawn
                else:
                    image[place.to(self.device)] = drawn
        return stretch(image, self.recipe.stretch)

    def _draw(self, stack: Stack, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """The small images of rows of one stack, with noise: (b, S, S) on the device."""
        if stack.kind == NATIVE and self.device == "cpu":
            return self._native(stack, rows, generator)
        members = self.member[rows].to(self.home)
        image = stack.image[members].to(self.device, non_blocking=True)  # (b, S, S) or (b, ny, nx)
        if stack.kind == DONE:
            return image
        if stack.kind == SMALL:
            spread = stack.variance[members].to(self.device, non_blocking=True)
            return image + self._normal(image, generator) * spread.sqrt()
        sigma = self.sigma[rows].to(self.device)[:, None, None]
        drawn = image + self._normal(image, generator) * variance(image, sigma, self.exposure).sqrt()
        return resize(drawn, self.size, self.recipe.resize) * stack.scale

    def _native(self, stack: Stack, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """The same on the CPU for native images; each has a stream of its own, whichever thread draws it."""
        seeds = torch.randint(1 << 62, rows.shape, generator=generator).tolist()
        images = [stack.image[member] for member in self.member[rows].tolist()]
        sigma = self.sigma[rows].tolist()
        drawn = torch.empty(len(rows), *images[0].shape)

        def one(number: int) -> None:
            normal = drawn[number].normal_(generator=torch.Generator().manual_seed(seeds[number])).numpy()
            normal[:] = noisy(images[number].numpy(), normal, sigma[number], self.exposure)

        for_each(one, len(rows))
        return resize(drawn, self.size, self.recipe.resize) * stack.scale

    @staticmethod
    def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _fits(size: int, device: str) -> bool:
    """Whether ``size`` bytes leave a GPU room for the network and its activations."""
    if torch.device(device).type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size < SHARE_OF_GPU * free
