"""The network's inputs of one split, from the image files to batches on the device.

Noise is independent from pixel to pixel, with a variance known from the noise-free image.
A resize that is a mean over whole blocks of pixels keeps it so: the mean of k pixels
has the mean of their variances over k. Fresh noise is then drawn on the small image,
which is the same distribution at a fraction of the cost; other resizes draw it at native
resolution. On a CPU threads share the images, one at a time, so that each stays in the cache.
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
from lensvit.jobs.devices import send
from lensvit.jobs.threads import for_each
from lensvit.learning.pixel_norm import PixelNorm
from lensvit.learning.preprocessing import add_noise, brightness_factor, mean_variance, stretch, to_input_scale
from lensvit.learning.settings import InputRecipe, Preparation, camera_name, kept_bytes, prepared_as
from lensvit.lensing.noise import LEAST_SHARE, noise, noisy, variance

SHARE_OF_GPU = 0.5  # largest share of the GPU's free memory that images may take
AT_ONCE = 16  # images that are resized together: few, so that the memory for intermediate results stays small


@dataclass
class Stack:
    """Images that are prepared alike, in one tensor.

    Parameters
    ----------
    preparation
        How far the images are prepared.
    images
        Images (n, side, side).
    variance
        Variance of the noise of each pixel (n, side, side) for "resized" images, otherwise None.
    factor
        What is still to be multiplied to come from counts/s per pixel to the recipe's brightness: 1 but for "native".
    """

    preparation: Preparation
    images: Tensor
    variance: Tensor | None
    factor: float


class StackKind(NamedTuple):
    """What the images of a stack have in common: see :class:`Stack`, with ``side`` [pixel] as it is stored."""

    preparation: Preparation
    side: int
    factor: float


class Inputs:
    """The inputs of one split, kept on the device where they fit and otherwise in the computer's memory.

    Parameters
    ----------
    rows
        Rows of the catalogue, in the order of the split.
    images
        The run's folder of images.
    recipe
        How images are made into inputs.
    size
        Side S of the inputs [pixel].
    fresh
        Whether noise is drawn anew for each batch, from the generator that :meth:`batch` is given; otherwise every
        image has the one realisation of its ``seed``.
    device
        Where batches go.

    Attributes
    ----------
    home : str
        Where the images are kept: the device, or "cpu", from where batches are sent.
    psfs : list of str
        PSF of each image, (n,).
    cameras : dict
        PSF to the name of its camera.

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
        self.exposure = torch.zeros(len(rows))
        self.maps: dict[str, Tensor] = {}  # PSF to its exposure map, where it has one
        geometry = image_geometry(rows, images)
        self.psfs = rows["psf"].astype(str).tolist()
        self.cameras = {psf: camera_name(pixels, scale) for psf, (pixels, scale) in geometry.items()}
        self.norm: PixelNorm | None = None
        kinds = {psf: self._kind(pixels, scale) for psf, (pixels, scale) in geometry.items()}
        counts = Counter(kinds[psf] for psf in rows["psf"])
        self.bytes = sum(count * kept_bytes(kind.preparation, kind.side) for kind, count in counts.items())
        self.home = device if _fits(self.bytes, device) else "cpu"
        # in one piece each, and filled in place: parts that are joined later would hold all images twice, and so would
        # images that are sent to a device at the end
        stacks = {kind: self._empty(kind, count) for kind, count in counts.items()}
        # where a row's image is: which stack, and which of its images
        self.stack = torch.zeros(len(rows), dtype=torch.long)
        self.member = torch.zeros(len(rows), dtype=torch.long)
        filled = dict.fromkeys(stacks, 0)
        for chunk in read_chunks(rows, images):
            kind, index = kinds[chunk.psf], torch.tensor(chunk.index)
            self.exposure[index] = torch.as_tensor(chunk.exposure, dtype=torch.float32)
            if chunk.exposure_map is not None:
                self.maps[chunk.psf] = torch.as_tensor(chunk.exposure_map)
            place = slice(filled[kind], filled[kind] + len(index))
            self._fill(stacks[kind], place, chunk, rows)
            self.stack[index] = list(stacks).index(kind)
            self.member[index] = torch.arange(place.start, place.stop)
            filled[kind] = place.stop
        self.stacks = list(stacks.values())
        self.sigma_here, self.exposure_here = self.sigma.to(device), self.exposure.to(device)

    def _kind(self, pixels: int, pixel_scale: float) -> StackKind:
        """The kind of stack for images of ``pixels`` a side, of ``pixel_scale`` [arcsec]."""
        kept = prepared_as(self.recipe, pixels, self.size, fresh=self.fresh)
        if kept == "native":
            return StackKind(kept, pixels, brightness_factor(self.recipe, pixel_scale))
        return StackKind(kept, self.size, 1.0)

    def _empty(self, kind: StackKind, count: int) -> Stack:
        shape = count, kind.side, kind.side
        spread = torch.empty(shape, device=self.home) if kind.preparation == "resized" else None
        return Stack(kind.preparation, torch.empty(shape, device=self.home), spread, kind.factor)

    def _fill(self, stack: Stack, place: slice, chunk: ImageChunk, rows: pd.DataFrame) -> None:
        """Put a chunk at its place in its stack."""
        factor = brightness_factor(self.recipe, chunk.pixel_scale)
        picked = rows.iloc[chunk.index]
        if stack.preparation == "native":
            stack.images[place] = torch.as_tensor(chunk.image)
        elif stack.preparation == "noisy":
            stack.images[place] = self._noisy(chunk, picked, factor)
        else:
            assert stack.variance is not None
            sigma = torch.as_tensor(picked["sigma_bkg"].to_numpy(np.float32))[:, None, None]
            seconds = torch.as_tensor(chunk.exposure, dtype=torch.float32)[:, None, None]
            parts = (torch.as_tensor(chunk.image), sigma, seconds, stack.images[place], stack.variance[place])
            mapped = self.maps.get(chunk.psf)
            seen = None if mapped is None else (mapped > 0).float()
            for images, noise_level, time, small, spread in zip(*(part.split(AT_ONCE) for part in parts), strict=True):
                small[:] = self._to_input_scale(images if seen is None else images * seen, factor)
                each = variance(images, noise_level, time, None if mapped is None else mapped.clamp_min(LEAST_SHARE))
                if seen is not None:
                    each = each * seen
                spread[:] = mean_variance(each, self.size, self.recipe.resize) * factor**2

    def _noisy(self, chunk: ImageChunk, rows: pd.DataFrame, factor: float) -> Tensor:
        """The inputs (n, S, S) of a chunk, each with the noise of its seed."""
        small = torch.empty(len(rows), self.size, self.size)
        sigma, exposure, seed = rows["sigma_bkg"].tolist(), chunk.exposure.tolist(), rows["seed"].tolist()

        def one(number: int) -> None:
            drawn = noise(chunk.image[number], sigma[number], exposure[number], seed[number], chunk.exposure_map)
            small[number] = self._to_input_scale(drawn[None], factor)[0]

        for_each(one, len(rows))
        return small

    def _to_input_scale(self, images: np.ndarray | Tensor, factor: float) -> Tensor:
        images = torch.as_tensor(images, dtype=torch.float32)
        return to_input_scale(images, self.size, self.recipe.resize, factor)

    def __len__(self) -> int:
        return len(self.sigma)

    def __str__(self) -> str:
        where = f"on {self.home}" if self.home == self.device else "in the computer's memory, sent batch by batch"
        return f"{len(self)} images, {self.bytes / 1e9:.2f} GB, {where}"

    def normalised(self, norm: PixelNorm | None) -> Inputs:
        """These inputs, whose batches are from now on normalised by a network's ``norm``, if it has one.

        Raises
        ------
        LensvitError
            If the network was trained with images of other cameras.
        """
        self.norm = norm
        if norm is not None:
            self.groups = norm.groups(self.psfs, self.cameras).to(self.device)
        return self

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The inputs (B, 3, S, S) of some rows, float32 on the device.

        Parameters
        ----------
        rows
            Places (B,) in the split, on the CPU.
        generator
            Source of fresh noise, on the device.
        """
        images = torch.empty(len(rows), self.size, self.size, device=self.device)
        of = self.stack[rows]
        parts = [torch.nonzero(of == number)[:, 0] for number in range(len(self.stacks))]
        members = [self.member[rows[part]] for part in parts]
        here, *sent = send(self.device, rows, *parts, *members)  # all indices of a batch in one copy
        for number, stack in enumerate(self.stacks):
            place = sent[number]
            if len(place):
                at_home = members[number] if self.home == "cpu" else sent[len(parts) + number]
                drawn = self._draw(stack, rows[parts[number]], at_home, here[place], generator)
                if len(place) == len(rows):
                    images = drawn
                else:
                    images[place] = drawn
        shown = stretch(images, self.recipe.stretch, self.recipe.unit)  # (B, S, S) to (B, 3, S, S)
        return shown if self.norm is None else self.norm(shown, self.groups[here])

    def _draw(
        self, stack: Stack, rows: Tensor, members: Tensor, here: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """The noisy images (b, S, S) of some rows of one stack, on the device.

        Parameters
        ----------
        stack
            The stack.
        rows
            Places (b,) in the split, on the CPU.
        members
            Their places in the stack, where the stack is.
        here
            ``rows`` on the device.
        generator
            Source of fresh noise.
        """
        if stack.preparation == "native" and self.device == "cpu":
            return self._draw_by_threads(stack, rows, generator)
        images = self._fetched(stack.images, members)  # (b, S, S), or (b, ny, nx) if native
        if stack.preparation == "noisy":
            return images
        normal = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        if stack.preparation == "resized":
            assert stack.variance is not None
            return add_noise(images, normal, self._fetched(stack.variance, members))
        sigma, exposure = (every[here][:, None, None] for every in (self.sigma_here, self.exposure_here))
        maps = self._maps_of(rows, images.shape[-1])
        if maps is None:
            drawn = add_noise(images, normal, variance(images, sigma, exposure))
        else:
            spread = variance(images, sigma, exposure, maps.clamp_min(LEAST_SHARE))
            drawn = add_noise(images, normal, spread) * (maps > 0)
        return self._to_input_scale(drawn, stack.factor)

    def _maps_of(self, rows: Tensor, side: int) -> Tensor | None:
        """The exposure maps (b, side, side) of some rows, on the device; None where none has one."""
        psfs = [self.psfs[row] for row in rows.tolist()]
        if not self.maps.keys() & set(psfs):
            return None
        alike = torch.ones(side, side)
        return torch.stack([self.maps.get(psf, alike) for psf in psfs]).to(self.device)

    def _fetched(self, kept: Tensor, members: Tensor) -> Tensor:
        """Some of the images (n, y, x) of a stack, on the device."""
        found = kept[members]
        if self.home == self.device:
            return found
        return (found.pin_memory() if torch.cuda.is_available() else found).to(self.device, non_blocking=True)

    def _draw_by_threads(self, stack: Stack, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """The same for native images on a CPU; each has a random stream of its own, whichever thread draws it."""
        seeds = torch.randint(1 << 62, rows.shape, generator=generator).tolist()
        images = [stack.images[member] for member in self.member[rows].tolist()]
        sigma, exposure = self.sigma[rows].tolist(), self.exposure[rows].tolist()
        shares = {psf: share.numpy() for psf, share in self.maps.items()}
        maps = [shares.get(self.psfs[row]) for row in rows.tolist()]
        drawn = torch.empty(len(rows), *images[0].shape)  # (b, ny, nx)

        def one(number: int) -> None:
            normal = drawn[number].normal_(generator=torch.Generator().manual_seed(seeds[number])).numpy()
            normal[:] = noisy(images[number].numpy(), normal, sigma[number], exposure[number], maps[number])

        for_each(one, len(rows))
        return self._to_input_scale(drawn, stack.factor)


def _fits(size: int, device: str) -> bool:
    """Whether ``size`` bytes leave a GPU room for the network and its activations."""
    if torch.device(device).type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size < SHARE_OF_GPU * free
