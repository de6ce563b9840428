"""Images of many systems at once, and their derivatives by the parameters, in torch.

The same images as :mod:`lensvit.scene` makes with lenstronomy: to 1e-12 of the peak in float64, 1e-6 in
float32. What belongs to a whole system, such as the positions of its quasar images, is always float64;
only pixels are computed in the chosen precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from lensvit.parameters import NAMES
from lensvit.power_law import MASS, PowerLaw
from lensvit.scene import System

AMPLITUDES = ("source_amp", "lens_amp", "quasar_amp")  # further columns of the parameters, where they vary
COLUMNS = NAMES + AMPLITUDES
SMOOTHING = 1e-4  # lenstronomy's least radius of a Sersic profile [arcsec]
TOLERANCE = {torch.float32: 1e-8, torch.float64: 1e-15}  # relative error of the deflection
BLOCK = {"cpu": 16384, "cuda": 2**23}  # pixels computed at once: temporary arrays stay in the CPU's cache
LARGEST = 1e4  # of (R / R_sersic)^(1/n): the light is 0 beyond, for every n of 0.2 and more


class BatchedRenderer:
    """Noise-free images of systems and their derivatives.

    Parameters
    ----------
    pixels : side of the image [pixel]. pixel_scale : [arcsec].
    kernel : (k, k) PSF at the pixel scale, k odd, sum 1, 0 at its border.
    scene : settings with the amplitudes and the source's ellipticity.
    fine_kernel : (s k, s k) the same PSF on pixels of a fraction 1/s, for the quasar images;
        None to use ``kernel``.
    dtype : float32 or float64, of the images. device : where they are computed.

    Wherever ``parameters`` are asked for, they are float64 (B, 14) in the order of ``parameters.NAMES``, or
    (B, 17) with the three ``AMPLITUDES``, which otherwise are the scene's. They must lie where
    ``power_law.inside`` says so. Quasar images are ``positions`` (B, M, 2) [arcsec] and ``magnification``
    (B, M), 0 for an absent one, both float64.
    """

    def __init__(
        self,
        pixels: int,
        pixel_scale: float,
        kernel: np.ndarray,
        scene: SimpleNamespace,
        fine_kernel: np.ndarray | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        self.pixels, self.pixel_scale, self.scene = pixels, pixel_scale, scene
        self.dtype, self.device = dtype, torch.device(device)
        self.axis = (torch.arange(pixels, dtype=torch.float64, device=self.device) - (pixels - 1) / 2) * pixel_scale
        self.blur = Convolution(kernel, pixels, dtype, self.device)
        fine = kernel if fine_kernel is None else fine_kernel
        self.points = PointSources(fine, len(fine) // len(kernel), pixels, dtype, self.device)

    def render(self, systems: Sequence[System]) -> np.ndarray:
        """Images (n, ny, nx) in the renderer's precision, counts/s per pixel."""
        return self.images(*system_tensors(systems, self.device)).cpu().numpy()

    @torch.no_grad()
    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, ny, nx) [counts/s per pixel]."""
        parameters = self._complete(parameters)
        galaxies = _Galaxies(parameters, self.axis, self.scene, self.dtype)
        stencil = self._stencil(parameters, positions, magnification)
        return self._computed(len(parameters), 1, stencil, lambda rows, lines: galaxies.light(rows, lines)[:, None])[:, 0]

    @torch.no_grad()
    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, ny, nx) and their derivatives (B, P, ny, nx) by the P = 14 or 17 parameters given.

        Quasar images move and brighten with the parameters: ``positions`` must solve the lens equation.
        As a point source is a bilinear shift of the kernel, the derivative jumps where one crosses the
        centre of a (fine) pixel; in between it is that of the image, exactly.
        """
        given, parameters = parameters.shape[1], self._complete(parameters)
        law = PowerLaw(parameters, TOLERANCE[self.dtype])
        stencil = self._moving_stencil(parameters, positions, magnification, given)
        law, parameters = law.to(self.dtype), parameters.to(self.dtype)

        def channels(rows: slice, lines: slice) -> Tensor:
            position = torch.complex(*torch.meshgrid(self.axis, self.axis[lines], indexing="xy")).to(law.axis.dtype)
            light = galaxy_derivatives(law[rows], parameters[rows], position.reshape(1, -1), self.scene)
            light = light[:, : 1 + given]
            return light.reshape(*light.shape[:2], -1, self.pixels)

        result = self._computed(len(parameters), 1 + given, stencil, channels)
        return result[:, 0], result[:, 1:]

    def _computed(self, count, channels, stencil, light):
        """Images (B, C, ny, nx), from the galaxies' light before the PSF in pieces and from point sources."""
        result = torch.empty((count, channels, self.pixels, self.pixels), dtype=self.dtype, device=self.device)
        for rows in self._tiles(count, channels):
            chosen = stencil[rows]
            canvas = self.points.canvas(chosen)
            for lines in self._lines():
                canvas[:, :, lines, : self.pixels] = light(rows, lines)
            canvas *= self.pixel_scale**2
            self.points.add_before(canvas, chosen)
            image = self.blur(canvas)
            self.points.add_after(image, chosen)
            result[rows] = image
        return result

    def _complete(self, parameters: Tensor) -> Tensor:
        """With the amplitudes, (B, 17) float64."""
        parameters = parameters.double()
        if parameters.shape[1] == len(COLUMNS):
            return parameters
        amplitudes = [getattr(self.scene, name) for name in AMPLITUDES]
        return torch.cat([parameters, parameters.new_tensor(amplitudes).expand(len(parameters), -1)], 1)

    def _tiles(self, count: int, channels: int) -> Iterator[slice]:
        """Systems that are computed together: one on a CPU, so that an image never depends on its company."""
        block = BLOCK[self.device.type] // (self.pixels**2 * channels)
        size = 1 if self.device.type == "cpu" else max(1, block)
        for start in range(0, count, size):
            yield slice(start, min(start + size, count))

    def _lines(self) -> Iterator[slice]:
        size = max(1, BLOCK[self.device.type] // self.pixels)
        for start in range(0, self.pixels, size):
            yield slice(start, min(start + size, self.pixels))

    def _stencil(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Stencil:
        flux = parameters[:, -1:] * magnification.abs()  # (B, M)
        corner, within = self.points.place(positions / self.pixel_scale + (self.pixels - 1) / 2)
        return Stencil(corner, (flux[..., None] * bilinear(within)[0])[:, None])

    def _moving_stencil(self, parameters: Tensor, positions: Tensor, magnification: Tensor, given: int) -> Stencil:
        """The point sources and, in P further channels, their derivatives."""
        law, present = PowerLaw(parameters), magnification != 0
        position = torch.complex(positions[..., 0], positions[..., 1])
        position = torch.where(present, position, law.center + law.theta_E)  # anywhere but at the centre
        moved, brightened = law.moving_images(position)  # (B, M, 14)
        flux = parameters[:, -1:] * magnification.abs()
        corner, within = self.points.place(positions / self.pixel_scale + (self.pixels - 1) / 2)
        weights, by_x, by_y = bilinear(within)  # (B, M, 4)
        step = self.points.supersampling / self.pixel_scale
        shifted = (moved.real[..., None] * by_x[:, :, None] + moved.imag[..., None] * by_y[:, :, None]) * step
        channels = torch.zeros(*flux.shape, 1 + len(COLUMNS), 4, dtype=flux.dtype, device=flux.device)
        channels[:, :, 0] = flux[..., None] * weights
        channels[:, :, 1 : 1 + len(NAMES)] = flux[..., None, None] * (
            brightened[..., None] * weights[:, :, None] + shifted
        )
        channels[:, :, -1] = magnification.abs()[..., None] * weights
        return Stencil(corner, channels[:, :, : 1 + given].transpose(1, 2))


def system_tensors(systems: Sequence[System], device: str | torch.device = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (n, 14), positions (n, M, 2) [arcsec] and magnifications (n, M) of systems, float64."""
    parameters = np.array([[system.parameters[name] for name in NAMES] for system in systems])
    most = max(1, *(len(system.images) for system in systems))
    quasars = np.zeros((len(systems), most, 3))
    for row, system in enumerate(systems):
        images = system.images
        quasars[row, : len(images)] = np.stack([images.x, images.y, images.magnification], 1)
    quasars = torch.as_tensor(quasars, device=device)
    return torch.as_tensor(parameters, device=device), quasars[..., :2], quasars[..., 2]


class _Galaxies:
    """Light of B lens and source galaxies before the PSF, in real arithmetic.

    All coordinates are sums of a term of the column and one of the row. Scales and exponents are folded
    into them, so that a pixel costs five exponentials, two logarithms and two small matrix products.
    """

    def __init__(self, parameters: Tensor, axis: Tensor, scene: SimpleNamespace, dtype: torch.dtype) -> None:
        law = PowerLaw(parameters, TOLERANCE[dtype])
        of = dict(zip(COLUMNS, parameters[..., None].unbind(1), strict=True))  # (B, 1)
        self.count = law.count.tolist()
        x, y = axis - of["center_x"], axis - of["center_y"]  # (B, n)
        cos, sin = law.axis.real, law.axis.imag
        low, high = 1 - law.size, 1 + law.size
        self.lens_columns = torch.stack([low * cos * x, -high * sin * x], 1)[:, :, None].to(dtype)  # (B, 2, 1, n)
        self.lens_rows = torch.stack([low * sin * y, high * cos * y], 1)[..., None].to(dtype)  # (B, 2, n, 1)
        self.forms = torch.cat([(1 / law.squash)[..., None].expand(-1, 1, 2), law.forms()], 1).to(dtype)
        self.factors = law.factors().to(dtype)
        self.mass_power = (1 - law.t / 2).to(dtype)
        self.light_power, light_log, self.light_scale = _sersic_terms(of, "R_sersic", "n_sersic", "lens_amp", dtype)
        self.light_log = light_log.to(dtype)

        self.source_power, log, self.source_scale = _sersic_terms(
            of, "source_R_sersic", "source_n_sersic", "source_amp", dtype
        )
        size = torch.exp(log * of["source_n_sersic"])  # of the source plane, so that (R / R_sersic)^(1/n) has no factor
        self.source_floor = ((SMOOTHING * size) ** 2).to(dtype)
        e1, e2 = scene.source_e1, scene.source_e2
        flatten = parameters.new_tensor([[1 - e1, -e2], [-e2, 1 + e1]]) / (1 - e1**2 - e2**2) ** 0.5
        flatten = flatten * size[..., None]  # (B, 2, 2)
        shear = law.shear_size * law.shear_turn
        g1, g2 = shear.real, shear.imag
        sheared = torch.stack([torch.cat([1 - g1, -g2], 1), torch.cat([-g2, 1 + g1], 1)], 1)  # (B, 2, 2)
        columns = sheared[:, :, :1] * axis - torch.stack([of["source_x"], of["source_y"]], 1)  # (B, 2, n)
        self.source_columns = (flatten @ columns)[:, :, None].to(dtype)
        self.source_rows = (flatten @ (sheared[:, :, 1:] * axis))[..., None].to(dtype)
        turn = torch.stack([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)], 1)
        strength = law.squash * law.theta_E**law.t
        self.bend = (-strength[..., None] * flatten @ turn).to(dtype)  # (B, 2, 2)

    def light(self, rows: slice, lines: slice) -> Tensor:
        """Surface brightness (b, ny, nx) of some systems, on some lines of the image [counts/s/arcsec^2]."""
        count = max(self.count[rows])
        along = (self.lens_columns[rows] + self.lens_rows[rows, :, lines]).flatten(2)  # (b, 2, P)
        forms = self.forms[rows, : 1 + count] @ (along * along)  # (b, 1 + n, P)
        radius = forms[:, 0].log()  # ln R^2, of the lens light and the mass
        sums = self.factors[rows, :, :count] @ forms[:, 1:].reciprocal_()  # (b, 2, P)
        sums *= along
        sums *= (radius * self.mass_power[rows]).exp_()[:, None]
        source = (self.source_columns[rows] + self.source_rows[rows, :, lines]).flatten(2)
        source.baddbmm_(self.bend[rows], sums)
        source *= source
        source = torch.maximum(source[:, 0] + source[:, 1], self.source_floor[rows])
        result = source.log_().mul_(self.source_power[rows]).exp_().neg_().exp_().mul_(self.source_scale[rows])
        radius = radius.clamp_min_(2 * np.log(SMOOTHING)).mul_(self.light_power[rows]).add_(self.light_log[rows])
        result.addcmul_(radius.exp_().neg_().exp_(), self.light_scale[rows])
        return result.view(len(result), -1, self.lens_columns.shape[-1])


def _sersic_terms(of: Mapping[str, Tensor], size: str, index: str, amplitude: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """p, c, a (B, 1) of a profile a exp(-exp(p ln R^2 + c))."""
    b = _b(of[index])
    power = 0.5 / of[index]
    log = torch.log(b) - 2 * power * torch.log(of[size].clamp_min(SMOOTHING))
    return power.to(dtype), log, (of[amplitude] * torch.exp(b)).to(dtype)


def _b(index: Tensor) -> Tensor:
    """lenstronomy's b_n, by which R_sersic is about the half-light radius."""
    return (1.9992 * index - 0.3271).clamp_min(1e-5)


class _Sersic(NamedTuple):
    """A profile of amplitude 1 and its derivatives, (B, P): by R^2, by R_sersic and by the index."""

    value: Tensor
    by_square: Tensor
    by_size: Tensor
    by_index: Tensor


def _sersic(square: Tensor, size: Tensor, index: Tensor) -> _Sersic:
    """From R^2 (B, P) [arcsec^2], R_sersic (B, 1) and n (B, 1)."""
    b, radius = _b(index), torch.log(square.clamp_min(SMOOTHING**2)) - 2 * torch.log(size)
    power = torch.exp((radius / (2 * index)).clamp_max(np.log(LARGEST)))
    value = torch.exp(b - b * power)
    steepness = b * power / index * value
    by_square = torch.where(square > SMOOTHING**2, -steepness / (2 * square), 0)
    return _Sersic(value, by_square, steepness / size, steepness * radius / (2 * index) - 1.9992 * (power - 1) * value)


def galaxy_derivatives(law: PowerLaw, parameters: Tensor, position: Tensor, scene: SimpleNamespace) -> Tensor:
    """Light of both galaxies before the PSF and its derivatives by the ``COLUMNS``, (B, 18, P).

    Parameters
    ----------
    law : the lenses. parameters : (B, 17), in the precision of the result.
    position : (1, P) complex, of the pixels [arcsec].
    """
    of = dict(zip(COLUMNS, parameters[..., None].unbind(1), strict=True))
    bent = law.expansion(position)
    by = dict.fromkeys(COLUMNS, torch.zeros_like(bent.kappa))

    offset = position - bent.alpha - torch.complex(of["source_x"], of["source_y"])
    epsilon, squash = complex(scene.source_e1, scene.source_e2), 1 - scene.source_e1**2 - scene.source_e2**2
    flat = offset - epsilon * offset.conj()
    source = _sersic((flat.real**2 + flat.imag**2) / squash, of["source_R_sersic"], of["source_n_sersic"])
    slope = (2 / squash * of["source_amp"] * source.by_square) * (flat - epsilon * flat.conj())  # by x + i by y
    for name, partial in zip(MASS, bent.partial, strict=True):
        by[name] = -(slope.real * partial.real + slope.imag * partial.imag)
    by["source_x"], by["source_y"] = -slope.real, -slope.imag
    by["source_R_sersic"] = of["source_amp"] * source.by_size
    by["source_n_sersic"] = of["source_amp"] * source.by_index
    by["source_amp"] = source.value

    offset = position - law.center
    flat = offset - law.ellipticity * offset.conj()
    square = (flat.real**2 + flat.imag**2) / law.squash
    lens = _sersic(square, of["R_sersic"], of["n_sersic"])
    steep = 2 * of["lens_amp"] * lens.by_square
    slope = (flat - law.ellipticity * flat.conj()) / law.squash
    by["center_x"] = by["center_x"] - steep * slope.real
    by["center_y"] = by["center_y"] - steep * slope.imag
    twist = (square * law.ellipticity - flat * offset) / law.squash
    by["e1"] = by["e1"] + steep * twist.real
    by["e2"] = by["e2"] + steep * twist.imag
    by["R_sersic"] = of["lens_amp"] * lens.by_size
    by["n_sersic"] = of["lens_amp"] * lens.by_index
    by["lens_amp"] = lens.value
    return torch.stack([of["source_amp"] * source.value + of["lens_amp"] * lens.value, *by.values()], 1)


class Convolution:
    """Convolution of images with one kernel (k, k) by the discrete Fourier transform.

    A canvas as large as the image is padded by half the kernel: what wraps around falls on the padding. A
    canvas of ``wide`` pixels holds sources beyond the image's border at their index modulo its side.
    """

    def __init__(self, kernel: np.ndarray, pixels: int, dtype: torch.dtype, device: torch.device) -> None:
        self.pixels, self.margin = pixels, len(kernel) // 2
        self.wide = _fast_length(pixels + 2 * self.margin)
        self.kernel = torch.as_tensor(kernel, dtype=torch.float64, device=device)
        self.dtype = dtype
        self.transforms: dict[int, Tensor] = {}

    def __call__(self, canvas: Tensor) -> Tensor:
        """Images (B, C, ny, nx) from canvases (B, C, side, side)."""
        side = _fast_length(max(self.wide if canvas.shape[-1] > self.pixels else 0, self.pixels + self.margin))
        if canvas.device.type == "cpu":  # one after the other, they stay in the cache
            result = canvas.new_empty(*canvas.shape[:2], self.pixels, self.pixels)
            for image, target in zip(canvas.flatten(0, 1), result.flatten(0, 1), strict=True):
                target.copy_(self._convolved(image, side))
            return result
        return self._convolved(canvas, side)

    def _convolved(self, canvas: Tensor, side: int) -> Tensor:
        half = torch.fft.rfft(canvas, side, dim=-1)
        whole = torch.fft.fft(half, side, dim=-2).mul_(self._transform(side))
        half = torch.fft.ifft(whole, dim=-2)[..., : self.pixels, :]
        return torch.fft.irfft(half, side, dim=-1)[..., : self.pixels]

    def _transform(self, side: int) -> Tensor:
        if side not in self.transforms:
            padded = self.kernel.new_zeros(side, side)
            padded[: len(self.kernel), : len(self.kernel)] = self.kernel
            centred = padded.roll((-self.margin, -self.margin), (0, 1))
            self.transforms[side] = torch.fft.rfft2(centred).to(self.dtype.to_complex())
        return self.transforms[side]


def _fast_length(least: int) -> int:
    """An even length that both of torch's FFT libraries are fast at."""
    return 2 * next_fast_len((least + 1) // 2, real=True)


class Stencil(NamedTuple):
    """Point sources on a grid of (fine) pixels.

    corner : (B, M, 2) column and row of the lower left of the four pixels that a source is spread over.
    weights : (B, C, M, 4) its light in them, in C channels: (row, column), (row, column + 1), (row + 1, ...).
    """

    corner: Tensor
    weights: Tensor

    def __getitem__(self, rows: slice) -> Stencil:
        return Stencil(self.corner[rows], self.weights[rows])


def bilinear(within: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (B, M, 4) of the four pixels around points, and their derivatives by x and by y [1/pixel].

    ``within`` (B, M, 2) is the distance from the lower left one, between 0 and 1.
    """
    x, y = torch.stack([1 - within[..., 0], within[..., 0]], -1), torch.stack([1 - within[..., 1], within[..., 1]], -1)
    step = within.new_tensor([-1.0, 1.0])
    weights = (y[..., :, None] * x[..., None, :]).flatten(-2)
    by_x = (y[..., :, None] * step).flatten(-2)
    by_y = (step[:, None] * x[..., None, :]).flatten(-2)
    return weights, by_x, by_y


class PointSources:
    """Point sources, shifted by bilinear interpolation of the kernel's pixels, as lenstronomy does.

    With a native kernel they are points that go through the convolution with the galaxies. A fine kernel,
    centred on a fine pixel and summed over native pixels, is a native kernel of one of s x s phases; the
    weighted sum of four of them is added to the image.

    Parameters
    ----------
    kernel : (s k, s k), odd, on pixels of a fraction 1/s of the image's, 0 at its border.
    supersampling : s, odd. pixels : side of the image.
    """

    def __init__(
        self, kernel: np.ndarray, supersampling: int, pixels: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.supersampling, self.pixels, self.dtype = supersampling, pixels, dtype
        self.margin = len(kernel) // supersampling // 2
        self.wide = _fast_length(pixels + 2 * self.margin)
        if supersampling > 1:
            self.radius = self.margin + 1
            self.phases = _phases(kernel, supersampling, self.radius).to(device, dtype)

    def place(self, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """Lower left fine pixel (B, M, 2) and the distance from it, of positions in pixels (B, M, 2)."""
        fine = pixel * self.supersampling + (self.supersampling - 1) // 2
        corner = torch.floor(fine)
        return corner.long(), fine - corner

    def canvas(self, stencil: Stencil) -> Tensor:
        """Where the light before the convolution is gathered, (B, C, side, side)."""
        size = stencil.weights.shape[:2]
        if self.supersampling == 1 and bool((self._reached(stencil) & ~self._inside(stencil)).any()):
            return torch.zeros(*size, self.wide, self.wide, dtype=self.dtype, device=stencil.weights.device)
        return torch.empty(*size, self.pixels, self.pixels, dtype=self.dtype, device=stencil.weights.device)

    def _inside(self, stencil: Stencil) -> Tensor:
        return ((stencil.corner >= 0) & (stencil.corner + 1 < self.pixels)).all(-1)

    def _reached(self, stencil: Stencil) -> Tensor:
        """Whether a source (B, M) sheds any light on the image."""
        lowest, highest = -self.margin - 1, self.pixels + self.margin
        near = ((stencil.corner >= lowest) & (stencil.corner < highest)).all(-1)
        return near & (stencil.weights != 0).any(-1).any(1)

    def add_before(self, canvas: Tensor, stencil: Stencil) -> None:
        """Add native sources to the canvas (B, C, side, side), in place."""
        if self.supersampling > 1:
            return
        side = canvas.shape[-1]
        across = stencil.corner.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
        column, row = ((stencil.corner[:, :, None] + across) % side).unbind(-1)  # (B, M, 4)
        place = (row * side + column).flatten(1)[:, None].expand(-1, canvas.shape[1], -1)
        weights = torch.where(self._reached(stencil)[:, None, :, None], stencil.weights, 0)
        canvas.view(*canvas.shape[:2], -1).scatter_add_(2, place, weights.flatten(2).to(self.dtype))

    def add_after(self, image: Tensor, stencil: Stencil) -> None:
        """Add sources with a fine kernel to the image (B, C, ny, nx), in place."""
        if self.supersampling == 1:
            return
        weights = stencil.weights.to(self.dtype)
        corners, present = stencil.corner.tolist(), (stencil.weights != 0).any(-1).any(1).tolist()
        for system, target in enumerate(image):
            for source, (column, row) in enumerate(corners[system]):
                if present[system][source]:
                    self._add(target, column, row, weights[system, :, source])

    def _add(self, image: Tensor, column: int, row: int, weights: Tensor) -> None:
        (i, phase_i), (j, phase_j) = divmod(row, self.supersampling), divmod(column, self.supersampling)
        side = self.phases.shape[-1]
        (low_i, high_i), (low_j, high_j) = (
            (min(max(start, 0), self.pixels), min(max(start + side, 0), self.pixels))
            for start in (i - self.radius, j - self.radius)
        )
        start_i, start_j = low_i - i + self.radius, low_j - j + self.radius
        kernels = self.phases[phase_i : phase_i + 2, phase_j : phase_j + 2]
        kernels = kernels[:, :, start_i : start_i + high_i - low_i, start_j : start_j + high_j - low_j].flatten(0, 1)
        image[:, low_i:high_i, low_j:high_j] += torch.tensordot(weights, kernels, 1)


def _phases(kernel: np.ndarray, s: int, radius: int) -> Tensor:
    """Native kernels (s + 1, s + 1, side, side) of a source on each fine pixel of the central one, and on the next.

    The central pixel is (radius, radius), the side 2 radius + 2.
    """
    side = 2 * radius + 2
    result = np.zeros((s + 1, s + 1, side, side))
    start = radius * s - len(kernel) // 2
    for i in range(s + 1):
        for j in range(s + 1):
            fine = np.zeros((side * s, side * s))
            fine[start + i : start + i + len(kernel), start + j : start + j + len(kernel)] = kernel
            result[i, j] = fine.reshape(side, s, side, s).sum((1, 3))
    return torch.as_tensor(result)
