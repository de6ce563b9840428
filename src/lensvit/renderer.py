"""Images of many systems at once, and their derivatives by the parameters, in torch.

The same images as :mod:`lensvit.scene` makes with lenstronomy: to 1e-12 of the peak in float64, 1e-6 in
float32. What belongs to a whole system, such as the positions of its quasar images, is always float64;
only pixels are computed in the chosen precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from lensvit.parameters import NAMES
from lensvit.power_law import CENTRE, MASS, PowerLaw, inside
from lensvit.scene import Renderer, System

AMPLITUDES = ("source_amp", "lens_amp", "quasar_amp")  # further columns of the parameters, where they vary
COLUMNS = NAMES + AMPLITUDES
SMOOTHING = 1e-4  # lenstronomy's least radius of a Sersic profile [arcsec]
TOLERANCE = {torch.float32: 1e-7, torch.float64: 1e-15}  # relative error of the deflection
GPU_BLOCK = 2**23  # pixels, of all channels, that a GPU computes at once
LARGEST = 1e4  # of (R / R_sersic)^(1/n): the light is 0 beyond, for every n of 0.2 and more

Rows = slice | Tensor  # of some systems


@contextmanager
def _exact_products() -> Iterator[None]:
    """Products of single-precision matrices in full, whatever a training in the same process has chosen."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)


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
        self.exact = Renderer(pixels, pixel_scale, kernel, scene, fine_kernel)
        self.dtype, self.device = dtype, torch.device(device)
        self.axis = (torch.arange(pixels, dtype=torch.float64, device=self.device) - (pixels - 1) / 2) * pixel_scale
        self.blur = Convolution(kernel, pixels, dtype, self.device)
        fine = kernel if fine_kernel is None else fine_kernel
        self.points = PointSources(fine, len(fine) // len(kernel), pixels, dtype, self.device)

    def render(self, systems: Sequence[System]) -> np.ndarray:
        """Images (n, ny, nx) in the renderer's precision, counts/s per pixel.

        lenstronomy renders the systems that ``power_law.inside`` leaves out.
        """
        parameters, *quasars = system_tensors(systems, self.device)
        fit = inside(parameters)
        images = self.images(parameters[fit], *(part[fit] for part in quasars)).cpu().numpy()
        if len(images) == len(systems):
            return images
        fit = fit.cpu().numpy()
        result = np.empty((len(systems), *images.shape[1:]), images.dtype)
        result[fit] = images
        result[~fit] = self.exact.render([system for system, fits in zip(systems, fit, strict=True) if not fits])
        return result

    @torch.no_grad()
    @_exact_products()
    def images(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
        """Images (B, ny, nx) [counts/s per pixel]."""
        parameters = self._complete(parameters)
        positions, magnification = positions.to(self.device), magnification.to(self.device)
        galaxies = _Galaxies(parameters, self.axis, self.scene, self.dtype)
        flux = (parameters[:, -1:] * magnification.abs())[..., None]  # (B, M, 1)
        stencil = self.points.stencil(self._pixel(positions), lambda within: (flux * bilinear(within)[0])[:, None])
        return self._computed(1, galaxies.count, stencil, galaxies.light)[:, 0]

    @torch.no_grad()
    @_exact_products()
    def jacobian(self, parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, ny, nx) and their derivatives (B, P, ny, nx) by the P = 14 or 17 parameters given.

        Quasar images move and brighten with the parameters: ``positions`` must solve the lens equation.
        As a point source is a bilinear shift of the kernel, the derivative jumps where one crosses the
        centre of a (fine) pixel; in between it is that of the image, exactly.
        """
        channels, parameters = 1 + parameters.shape[1], self._complete(parameters)
        positions, magnification = positions.to(self.device), magnification.to(self.device)
        law = PowerLaw(parameters, TOLERANCE[self.dtype]).to(self.dtype)
        moving = self._moving_points(parameters, positions, magnification)
        stencil = self.points.stencil(self._pixel(positions), lambda within: moving(within)[:, :channels])
        axis, single = self.axis.to(self.dtype), parameters.to(self.dtype)
        position = torch.complex(axis.expand(len(axis), -1), axis[:, None].expand(-1, len(axis))).view(1, -1)

        def light(rows: Rows) -> Tensor:
            return galaxy_derivatives(law[rows], single[rows], position, self.scene)[:, :channels]

        result = self._computed(channels, law.count, stencil, light)
        return result[:, 0], result[:, 1:]

    def _computed(self, channels: int, count: Tensor, stencil: Stencil, light: Callable[[Rows], Tensor]) -> Tensor:
        """Images (B, C, ny, nx) from point sources and the galaxies' light before the PSF.

        ``count`` (B,) is the number of terms of each lens; ``light`` gives (b, C, ny nx) of some systems.
        """
        result = torch.empty(len(count), channels, self.pixels, self.pixels, dtype=self.dtype, device=self.device)
        for rows in self._tiles(count, channels):
            image = light(rows).unflatten(-1, (self.pixels, self.pixels)).mul_(self.pixel_scale**2)
            self.points.add_before(image, stencil, rows)
            result[rows] = self.blur(image)
        self.points.add_after(result, stencil)
        return result

    def _complete(self, parameters: Tensor) -> Tensor:
        """With the amplitudes, (B, 17) float64."""
        parameters = parameters.to(self.device, torch.float64)
        if parameters.shape[1] == len(COLUMNS):
            return parameters
        amplitudes = [getattr(self.scene, name) for name in AMPLITUDES]
        return torch.cat([parameters, parameters.new_tensor(amplitudes).expand(len(parameters), -1)], 1)

    def _tiles(self, count: Tensor, channels: int) -> Iterator[Rows]:
        """Systems that are computed together: one on a CPU, so that an image never depends on its company.

        On a GPU those with about as many terms, so that a flat lens costs no other one time.
        """
        if self.device.type == "cpu":
            yield from (slice(row, row + 1) for row in range(len(count)))
        else:
            yield from torch.argsort(count).split(max(1, GPU_BLOCK // (self.pixels**2 * channels)))

    def _pixel(self, positions: Tensor) -> Tensor:
        return positions / self.pixel_scale + (self.pixels - 1) / 2

    def _moving_points(
        self, parameters: Tensor, positions: Tensor, magnification: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """The light (B, 18, M, 4) of the point sources and its derivatives, from the distance to a pixel."""
        law, present = PowerLaw(parameters), magnification != 0
        position = torch.complex(positions[..., 0], positions[..., 1])
        position = torch.where(present, position, law.center + law.theta_E)  # anywhere but at the centre
        moved, brightened = (part.mT[..., None] for part in law.moving_images(position))  # (B, 14, M, 1)
        moved = moved * self.points.supersampling / self.pixel_scale  # [(fine) pixel]
        size = magnification.abs()[:, None, :, None]
        flux = parameters[:, -1:, None, None] * size

        def channels(within: Tensor) -> Tensor:
            weights, by_x, by_y = (part[:, None] for part in bilinear(within))  # (B, 1, M, 4)
            changes = flux * (brightened * weights + moved.real * by_x + moved.imag * by_y)
            nothing = torch.zeros_like(weights)  # by the amplitudes of the galaxies
            return torch.cat([flux * weights, changes, nothing, nothing, size * weights], 1)

        return channels


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
    into them, so that a pixel costs five exponentials, two logarithms and a few small matrix products.
    """

    def __init__(self, parameters: Tensor, axis: Tensor, scene: SimpleNamespace, dtype: torch.dtype) -> None:
        law = PowerLaw(parameters, TOLERANCE[dtype], slopes=False)
        of = dict(zip(COLUMNS, parameters[..., None].unbind(1), strict=True))  # (B, 1)
        self.count = law.count
        self._lens_plane(law, axis)
        size = self._profiles(of)
        self._source_plane(law, of, axis, scene, size)
        for name, value in vars(self).items():
            if value.is_floating_point():
                setattr(self, name, value.to(dtype))

    def _lens_plane(self, law: PowerLaw, axis: Tensor) -> None:
        """W in the frame of the axes; R^2 of the lens light and \\|V_j\\|^2 from its squares; powers."""
        x, y = axis - law.center.real, axis - law.center.imag  # (B, n)
        cos, sin, low, high = law.axis.real, law.axis.imag, 1 - law.size, 1 + law.size
        self.lens_columns = torch.stack([low * cos * x, -high * sin * x], 1)[:, :, None]  # (B, 2, 1, n)
        self.lens_rows = torch.stack([low * sin * y, high * cos * y], 1)[..., None]  # (B, 2, n, 1)
        self.forms = torch.cat([(1 / law.squash)[..., None].expand(-1, 1, 2), law.forms], 1)  # (B, 1 + n, 2)
        self.factors = law.factors  # (B, 2, n)
        self.mass_power = 1 - law.t / 2

    def _profiles(self, of: Mapping[str, Tensor]) -> Tensor:
        """Both Sersic profiles as a exp(-exp(p ln R^2 + c)), source first; the source plane's scale for its c = 0."""
        index = torch.stack([of["source_n_sersic"], of["n_sersic"]], 1)  # (B, 2, 1)
        radius = torch.stack([of["source_R_sersic"], of["R_sersic"]], 1).clamp_min(SMOOTHING)
        amplitude = torch.cat([of["source_amp"], of["lens_amp"]], 1)
        b = _b(index)
        self.power = 0.5 / index
        shift = torch.log(b) - torch.log(radius) / index
        size = torch.exp(shift[:, 0] * of["source_n_sersic"])
        floor = torch.full_like(size, 2 * math.log(SMOOTHING))
        self.floor = torch.stack([floor + 2 * torch.log(size), floor], 1)  # of ln R^2
        self.shift = torch.stack([torch.zeros_like(size), shift[:, 1]], 1)
        self.amplitude = (amplitude * torch.exp(b[..., 0]))[:, None]  # (B, 1, 2)
        return size

    def _source_plane(
        self, law: PowerLaw, of: Mapping[str, Tensor], axis: Tensor, scene: SimpleNamespace, size: Tensor
    ) -> None:
        """Scaled elliptical coordinates there: of the undeflected pixels, and what the deflection changes."""
        e1, e2 = scene.source_e1, scene.source_e2
        flatten = size.new_tensor([[1 - e1, -e2], [-e2, 1 + e1]]) / (1 - e1**2 - e2**2) ** 0.5
        flatten = flatten * size[..., None]  # (B, 2, 2)
        shear = law.shear_size * law.shear_turn
        sheared = _matrix(1 - shear.real, -shear.imag, -shear.imag, 1 + shear.real)
        columns = sheared[:, :, :1] * axis - torch.stack([of["source_x"], of["source_y"]], 1)  # (B, 2, n)
        self.source_columns = (flatten @ columns)[:, :, None]
        self.source_rows = (flatten @ (sheared[:, :, 1:] * axis))[..., None]
        turn = _matrix(law.axis.real, -law.axis.imag, law.axis.imag, law.axis.real)
        strength = law.squash * law.theta_E**law.t
        self.bend = -strength[..., None] * flatten @ turn  # (B, 2, 2)

    def light(self, rows: Rows) -> Tensor:
        """Surface brightness (b, 1, ny nx) of some systems [counts/s/arcsec^2]."""
        count = int(self.count[rows].max())
        along = (self.lens_columns[rows] + self.lens_rows[rows]).flatten(2)  # (b, 2, P)
        forms = (self.forms[rows, : 1 + count] @ (along * along)).clamp_min_(CENTRE**2)  # (b, 1 + n, P)
        squares = torch.empty_like(along)  # ln R^2 of the source, of the lens
        lens = torch.log(forms[:, 0], out=squares[:, 1])
        bent = self.factors[rows, :, :count] @ forms[:, 1:].reciprocal_()  # (b, 2, P)
        bent *= along
        bent *= (lens * self.mass_power[rows]).exp_()[:, None]
        source = (self.source_columns[rows] + self.source_rows[rows]).flatten(2)
        source.baddbmm_(self.bend[rows], bent)
        source *= source
        torch.add(source[:, 0], source[:, 1], out=squares[:, 0]).log_()
        squares = torch.maximum(squares, self.floor[rows]).mul_(self.power[rows]).add_(self.shift[rows])
        return self.amplitude[rows] @ squares.exp_().neg_().exp_()


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """(B, 2, 2) from four (B, 1)."""
    return torch.stack([torch.cat([a, b], 1), torch.cat([c, d], 1)], 1)


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
    size = size.clamp_min(SMOOTHING)
    b, radius = _b(index), torch.log(square.clamp_min(SMOOTHING**2)) - 2 * torch.log(size)
    power = torch.exp((radius / (2 * index)).clamp_max(math.log(LARGEST)))
    value = torch.exp(b - b * power)
    steepness = b * power / index * value
    by_square = torch.where(square > SMOOTHING**2, -steepness / (2 * square), 0)
    return _Sersic(value, by_square, steepness / size, steepness * radius / (2 * index) - 1.9992 * (power - 1) * value)


def galaxy_derivatives(law: PowerLaw, parameters: Tensor, position: Tensor, scene: SimpleNamespace) -> Tensor:
    """Light of both galaxies before the PSF and its derivatives by the ``COLUMNS``, (B, 18, P) [counts/s/arcsec^2].

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
    by["source_x"], by["source_y"] = -slope.real, -slope.imag
    slope = -slope.conj_physical()
    for name, partial in zip(MASS, bent.partial, strict=True):
        by[name] = (slope * partial).real
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

    Half a kernel of padding is enough: what wraps around the border falls on it.
    """

    def __init__(self, kernel: np.ndarray, pixels: int, dtype: torch.dtype, device: torch.device) -> None:
        margin = min(len(kernel) // 2, pixels - 1)  # nothing in the image is farther apart
        inner = slice(len(kernel) // 2 - margin, len(kernel) // 2 + margin + 1)
        kernel = kernel[inner, inner]
        self.pixels, self.side = pixels, _fast_length(pixels + margin)
        padded = torch.zeros(self.side, self.side, dtype=torch.float64, device=device)
        padded[: len(kernel), : len(kernel)] = torch.as_tensor(kernel, dtype=torch.float64)
        self.transform = torch.fft.rfft2(padded.roll((-margin, -margin), (0, 1))).to(dtype.to_complex())

    def __call__(self, images: Tensor) -> Tensor:
        """Convolved images (B, C, ny, nx)."""
        if images.device.type != "cpu":
            return self._convolved(images)
        result = torch.empty_like(images, memory_format=torch.contiguous_format)
        for image, target in zip(images.flatten(0, 1), result.flatten(0, 1), strict=True):
            target.copy_(self._convolved(image))  # one after the other, they stay in the cache
        return result

    def _convolved(self, image: Tensor) -> Tensor:
        half = torch.fft.rfft(image, self.side, dim=-1)
        whole = torch.fft.fft(half, self.side, dim=-2).mul_(self.transform)
        half = torch.fft.ifft(whole, dim=-2)[..., : self.pixels, :]
        return torch.fft.irfft(half, self.side, dim=-1)[..., : self.pixels]


def _fast_length(least: int) -> int:
    """An even length that both of torch's FFT libraries are fast at."""
    return 2 * next_fast_len((least + 1) // 2, real=True)


class Stencil(NamedTuple):
    """Point sources on a grid of (fine) pixels.

    corner : (B, M, 2) column and row of the lower left of the four pixels that a source is spread over.
    weights : (B, C, M, 4) its light in them, in C channels: (row, column), (row, column + 1), (row + 1, ...).
    place : (B, 4 M) index in the image of the pixels of sources that go through the convolution.
    before : (B, C, 4 M) their weights. after : the system and number of each source that does not.
    """

    corner: Tensor
    weights: Tensor
    place: Tensor
    before: Tensor
    after: list[tuple[int, int]]


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
    weighted sum of four of them is added to the image. So are native sources beyond the image's border.

    Parameters
    ----------
    kernel : (s k, s k), odd, on pixels of a fraction 1/s of the image's, 0 at its border.
    supersampling : s, odd. pixels : side of the image.
    """

    def __init__(
        self, kernel: np.ndarray, supersampling: int, pixels: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.supersampling, self.pixels, self.dtype = supersampling, pixels, dtype
        self.radius = len(kernel) // supersampling // 2 + 1
        self.phases = _phases(kernel, supersampling, self.radius).to(device, dtype)

    def stencil(self, pixel: Tensor, channels: Callable[[Tensor], Tensor]) -> Stencil:
        """Sources at ``pixel`` (B, M, 2), column and row.

        ``channels`` gives their light (B, C, M, 4) from the distance (B, M, 2) to the lower left fine pixel.
        """
        fine = pixel * self.supersampling + (self.supersampling - 1) // 2
        corner = torch.floor(fine)
        weights = channels(fine - corner)
        corner = corner.long()
        inside = ((corner >= 0) & (corner + 1 < self.pixels)).all(-1) & (self.supersampling == 1)
        across = corner.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
        column, row = torch.where(inside[..., None, None], corner[:, :, None] + across, 0).unbind(-1)  # (B, M, 4)
        before = torch.where(inside[:, None, :, None], weights, 0).to(self.dtype).flatten(2)
        present = (weights != 0).any(-1).any(1)
        after = torch.nonzero(present & ~inside).tolist()
        return Stencil(corner, weights.to(self.dtype), (row * self.pixels + column).flatten(1), before, after)

    def add_before(self, image: Tensor, stencil: Stencil, rows: Rows) -> None:
        """Add to images (b, C, ny, nx) of some systems what the convolution spreads, in place."""
        place = stencil.place[rows][:, None].expand(-1, image.shape[1], -1)
        image.view(*image.shape[:2], -1).scatter_add_(2, place, stencil.before[rows])

    def add_after(self, images: Tensor, stencil: Stencil) -> None:
        """Add the other sources to all convolved images (B, C, ny, nx), in place."""
        for system, source in stencil.after:
            self._add(images[system], *stencil.corner[system, source].tolist(), stencil.weights[system, :, source])

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
