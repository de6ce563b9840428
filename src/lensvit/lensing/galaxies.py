"""Surface brightness of the lensed source galaxy and of the lens galaxy, and its derivatives, in torch.

Both are elliptical Sersic profiles. There are two ways to the same light: :class:`Galaxies` is the faster one, and
:func:`galaxy_derivatives` also gives the derivatives by all parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.brightness import B_OFFSET, B_SLOPE, LEAST_B
from lensvit.lensing.power_law import CENTRE, MASS, Expansion, PowerLaw
from lensvit.lensing.settings import Light
from lensvit.parameters import NAMES

AMPLITUDES = ("source_amp", "lens_amp", "quasar_amp")  # further parameters, where a system has its own
COLUMNS = NAMES + AMPLITUDES
SOURCE_LIGHT = (*MASS, "source_x", "source_y", "source_R_sersic", "source_n_sersic", "source_amp")
SOURCE_SHAPE = ("source_e1", "source_e2")
LENS_LIGHT = ("center_x", "center_y", "e1", "e2", "R_sersic", "n_sersic", "lens_amp")  # what the lens light depends on
SMOOTHING = 1e-4  # lenstronomy's least radius of a Sersic profile [arcsec]
TOLERANCE = {torch.float32: 1e-7, torch.float64: 1e-15}  # relative error of the deflection by the images' precision
LARGEST = 1e4  # largest (R / R_sersic)^(1/n); the light beyond is 0 for every n within its bounds


class Galaxies(NamedTuple):
    r"""Light of the lens and source galaxies of B systems before the PSF, in real arithmetic.

    All coordinates are sums of a term of the pixel's column and one of its row. Scales and exponents are factors of
    these terms, so that a pixel costs five exponentials, two logarithms and a few small matrix products.

    Parameters
    ----------
    terms
        The number of terms of the deflection of each lens, B of them; T is the largest.
    lens_columns, lens_rows
        (B, 2, 1, n) and (B, 2, n, 1) terms of W of :mod:`lensvit.lensing.power_law`.
    forms
        (B, 1 + T, 2) R^2 and the \|V_j\|^2 as quadratic forms of W.
    factors
        (B, 2, T) see :class:`lensvit.lensing.power_law.PowerLaw`.
    mass_power
        (B, 1) exponent of R^2 in the deflection.
    power, floor, shift
        (B, 2, 1) of both Sersic profiles, the source's first: p, least value of ln R^2, and c in
        a exp(-exp(p ln R^2 + c)).
    amplitude
        (B, 1, 2) the a of both.
    source_columns, source_rows
        (B, 2, 1, n) and (B, 2, n, 1) terms of scaled elliptical coordinates in the source plane without deflection.
    bend
        (B, 2, 2) effect of the deflection on them.
    """

    terms: list[int]
    lens_columns: Tensor
    lens_rows: Tensor
    forms: Tensor
    factors: Tensor
    mass_power: Tensor
    power: Tensor
    floor: Tensor
    shift: Tensor
    amplitude: Tensor
    source_columns: Tensor
    source_rows: Tensor
    bend: Tensor

    @classmethod
    def of(
        cls, parameters: Tensor, axis: Tensor, scene: Light, dtype: torch.dtype, ellipticity: Tensor | None = None
    ) -> Galaxies:
        """The galaxies of systems.

        Parameters
        ----------
        parameters
            (B, 17) parameters in the order of :data:`COLUMNS`, float64, on the CPU.
        axis
            (n,) coordinates of the columns and of the rows of pixels [arcsec], on the CPU.
        scene
            What is the same in all systems.
        dtype
            Precision of the light.
        ellipticity
            (B, 2) e1 and e2 of the sources, float64, on the CPU; those of the scene by default.
        """
        law = PowerLaw(parameters, TOLERANCE[dtype], slopes=False)
        column = dict(zip(COLUMNS, parameters[..., None].unbind(1), strict=True))  # (B, 1)
        profiles, size = _profiles(column)
        flatten = _flattened(
            size.new_tensor([[scene.source_e1, scene.source_e2]]) if ellipticity is None else ellipticity
        )
        parts = {**_lens_plane(law, axis), **profiles, **_source_plane(law, column, axis, flatten, size)}
        return cls(law.count.tolist(), **{name: value.to(dtype) for name, value in parts.items()})

    def light(self, rows: slice) -> Tensor:
        """Surface brightness (b, 1, ny nx) of the galaxies of some systems [counts/s/arcsec^2]."""
        count = max(self.terms[rows])
        along = (self.lens_columns[rows] + self.lens_rows[rows]).flatten(2)  # (b, 2, P)
        forms = (self.forms[rows, : 1 + count] @ (along * along)).clamp_min_(CENTRE**2)  # (b, 1 + count, P)
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


class CompiledGalaxies:
    """The light of galaxies by a compiled loop over pixels, in float32 on a CPU.

    Parameters
    ----------
    galaxies
        The galaxies of B systems.
    """

    def __init__(self, galaxies: Galaxies) -> None:
        self._terms = np.array(galaxies.terms)
        self._parts = [part.contiguous().numpy() for part in galaxies[1:]]

    def light(self, rows: slice) -> Tensor:
        """Surface brightness (b, 1, ny nx) of the galaxies of some systems, as of :meth:`Galaxies.light`."""
        from lensvit.lensing import compiled  # numba takes a second to import

        terms, side = self._terms[rows], self._parts[0].shape[3]
        result = torch.empty(len(terms), 1, side * side)
        compiled.light(result.numpy().reshape(-1, side, side), rows.start, terms, *self._parts)
        return result


def _lens_plane(law: PowerLaw, axis: Tensor) -> dict[str, Tensor]:
    """What :class:`Galaxies` has of the lens plane."""
    x, y = axis - law.center.real, axis - law.center.imag  # (B, n)
    cos, sin, low, high = law.axis.real, law.axis.imag, 1 - law.size, 1 + law.size
    return {
        "lens_columns": torch.stack([low * cos * x, -high * sin * x], 1)[:, :, None],
        "lens_rows": torch.stack([low * sin * y, high * cos * y], 1)[..., None],
        "forms": torch.cat([(1 / law.squash)[..., None].expand(-1, 1, 2), law.forms], 1),
        "factors": law.factors,
        "mass_power": 1 - law.t / 2,
    }


def _profiles(of: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """What :class:`Galaxies` has of both profiles, and the scale (B, 1) in the source plane that makes c = 0 there."""
    index = torch.stack([of["source_n_sersic"], of["n_sersic"]], 1)  # (B, 2, 1)
    radius = torch.stack([of["source_R_sersic"], of["R_sersic"]], 1).clamp_min(SMOOTHING)
    amplitude = torch.cat([of["source_amp"], of["lens_amp"]], 1)
    b = b_n(index)
    shift = torch.log(b) - torch.log(radius) / index
    size = torch.exp(shift[:, 0] * of["source_n_sersic"])
    floor = torch.full_like(size, 2 * math.log(SMOOTHING))
    parts = {
        "power": 0.5 / index,
        "floor": torch.stack([floor + 2 * torch.log(size), floor], 1),
        "shift": torch.stack([torch.zeros_like(size), shift[:, 1]], 1),
        "amplitude": (amplitude * torch.exp(b[..., 0]))[:, None],
    }
    return parts, size


def _source_plane(
    law: PowerLaw, of: Mapping[str, Tensor], axis: Tensor, flatten: Tensor, size: Tensor
) -> dict[str, Tensor]:
    """What :class:`Galaxies` has of the source plane."""
    flatten = flatten * size[..., None]  # (B, 2, 2)
    shear = law.shear_size * law.shear_turn
    sheared = _matrix(1 - shear.real, -shear.imag, -shear.imag, 1 + shear.real)
    columns = sheared[:, :, :1] * axis - torch.stack([of["source_x"], of["source_y"]], 1)  # (B, 2, n)
    turn = _matrix(law.axis.real, -law.axis.imag, law.axis.imag, law.axis.real)
    strength = law.squash * law.theta_E**law.t
    return {
        "source_columns": (flatten @ columns)[:, :, None],
        "source_rows": (flatten @ (sheared[:, :, 1:] * axis))[..., None],
        "bend": -strength[..., None] * flatten @ turn,
    }


def _flattened(ellipticity: Tensor) -> Tensor:
    """Matrices (B, 2, 2) from positions to those in which ellipses of ellipticities (B, 2) are circles."""
    e1, e2 = ellipticity.unbind(1)
    rows = torch.stack([torch.stack([1 - e1, -e2], 1), torch.stack([-e2, 1 + e1], 1)], 1)
    return rows / (1 - e1**2 - e2**2)[:, None, None] ** 0.5


class LensLight(NamedTuple):
    """Light of B lens galaxies whose centre and ellipticity are their own, before the PSF.

    Parameters
    ----------
    columns, rows
        (B, 2, 1, n) and (B, 2, n, 1) terms of coordinates in which their ellipses are circles [arcsec].
    power, floor, shift
        (B, 1) as of :class:`Galaxies`.
    amplitude
        (B, 1) as of :class:`Galaxies`.
    """

    columns: Tensor
    rows: Tensor
    power: Tensor
    floor: Tensor
    shift: Tensor
    amplitude: Tensor

    @classmethod
    def of(cls, shape: Tensor, profile: Tensor, axis: Tensor, dtype: torch.dtype) -> LensLight:
        """The light of lens galaxies.

        Parameters
        ----------
        shape
            (B, 4) the two coordinates of the centre [arcsec], e1 and e2, float64, on the CPU.
        profile
            (B, 3) effective radius [arcsec], Sersic index and amplitude, likewise.
        axis
            (n,) coordinates of the columns and of the rows of pixels [arcsec], on the CPU.
        dtype
            Precision of the light.
        """
        flatten = _flattened(shape[:, 2:])
        radius, index, amplitude = profile[..., None].unbind(1)
        b = b_n(index)
        parts = (
            (flatten[:, :, :1] * (axis - shape[:, :1])[:, None])[:, :, None],
            (flatten[:, :, 1:] * (axis - shape[:, 1:2])[:, None])[..., None],
            0.5 / index,
            torch.full_like(index, 2 * math.log(SMOOTHING)),
            torch.log(b) - torch.log(radius.clamp_min(SMOOTHING)) / index,
            amplitude * torch.exp(b),
        )
        return cls(*(part.to(dtype) for part in parts))

    def light(self, rows: slice) -> Tensor:
        """Surface brightness (b, 1, ny nx) of some galaxies [counts/s/arcsec^2]."""
        along = (self.columns[rows] + self.rows[rows]).flatten(2)  # (b, 2, P)
        along *= along
        square = (along[:, 0] + along[:, 1]).log_()
        square = torch.maximum(square, self.floor[rows]).mul_(self.power[rows]).add_(self.shift[rows])
        return (self.amplitude[rows] * square.exp_().neg_().exp_())[:, None]


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Matrices (B, 2, 2) with the rows (a, b) and (c, d), each (B, 1)."""
    return torch.stack([torch.cat([a, b], 1), torch.cat([c, d], 1)], 1)


def b_n(index: Tensor) -> Tensor:
    """The factor b_n of lenstronomy that makes R_sersic about the half-light radius, at the Sersic index n."""
    return (B_SLOPE * index + B_OFFSET).clamp_min(LEAST_B)


def log_sersic_flux(log_radius: Tensor, index: Tensor) -> Tensor:
    """The logarithm of :func:`lensvit.lensing.brightness.sersic_flux`.

    Parameters
    ----------
    log_radius
        Logarithms of effective radii [arcsec].
    index
        Sersic indices, of the same shape.
    """
    b = b_n(index)
    return np.log(2 * np.pi) + index.log() + 2 * log_radius + b - 2 * index * b.log() + torch.lgamma(2 * index)


class _Sersic(NamedTuple):
    """A Sersic profile of amplitude 1 and its derivatives by R^2, by R_sersic and by the index, each (B, P)."""

    value: Tensor
    by_square: Tensor
    by_size: Tensor
    by_index: Tensor


def _sersic(square: Tensor, size: Tensor, index: Tensor) -> _Sersic:
    """The profile at R^2 (B, P) [arcsec^2] for R_sersic (B, 1) [arcsec] and n (B, 1)."""
    size = size.clamp_min(SMOOTHING)
    b, radius = b_n(index), torch.log(square.clamp_min(SMOOTHING**2)) - 2 * torch.log(size)
    power = torch.exp((radius / (2 * index)).clamp_max(math.log(LARGEST)))
    value = torch.exp(b - b * power)
    steepness = b * power / index * value
    by_square = torch.where(square > SMOOTHING**2, -steepness / (2 * square), 0)
    return _Sersic(value, by_square, steepness / size, steepness * radius / (2 * index) - B_SLOPE * (power - 1) * value)


def galaxy_derivatives(law: PowerLaw, parameters: Tensor, position: Tensor, scene: Light) -> Tensor:
    """Light of both galaxies before the PSF, and its derivatives by all parameters.

    Parameters
    ----------
    law
        The B lenses, in the precision of the result.
    parameters
        (B, 17) parameters in the order of :data:`COLUMNS`, in the precision of the result.
    position
        (1, P) positions of the pixels, complex [arcsec].
    scene
        What is the same in all systems.

    Returns
    -------
    Tensor
        (B, 18, P) light [counts/s/arcsec^2], then its derivatives in the order of :data:`COLUMNS`.
    """
    of = dict(zip(COLUMNS, parameters[..., None].unbind(1), strict=True))
    epsilon, squash = complex(scene.source_e1, scene.source_e2), 1 - scene.source_e1**2 - scene.source_e2**2
    source, by_source = source_derivatives(law.expansion(position), of, position, epsilon, squash)
    by = dict.fromkeys(COLUMNS, torch.zeros_like(source)) | {name: by_source[name] for name in SOURCE_LIGHT}
    lens, by_lens = lens_derivatives(of, position)
    for name, slope in by_lens.items():
        by[name] = by[name] + slope
    return torch.stack([source + lens, *by.values()], 1)


def source_derivatives(
    bent: Expansion, of: Mapping[str, Tensor], position: Tensor, epsilon: complex | Tensor, squash: float | Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Light of the lensed source galaxy before the PSF, and its derivatives by the parameters that it depends on.

    Parameters
    ----------
    bent
        The deflection of the B lenses at the positions, in the precision of the result.
    of
        Name of a parameter to its values (B, 1), in the precision of the result; of :data:`COLUMNS`, those of the
        source count.
    position
        (1, P) positions of the pixels, complex [arcsec].
    epsilon
        Ellipticity of the source, e1 + i e2: of all, or (B, 1).
    squash
        1 - e1^2 - e2^2 of it.

    Returns
    -------
    light : Tensor
        (B, P) light [counts/s/arcsec^2].
    derivatives : dict[str, Tensor]
        Parameter to the derivative of the light by it, (B, P): those of :data:`SOURCE_LIGHT`, and of
        :data:`SOURCE_SHAPE` where ``epsilon`` is a tensor.
    """
    by = {}
    offset = position - bent.alpha - torch.complex(of["source_x"], of["source_y"])
    flat = offset - epsilon * offset.conj()
    square = (flat.real**2 + flat.imag**2) / squash
    source = _sersic(square, of["source_R_sersic"], of["source_n_sersic"])
    steep = 2 / squash * of["source_amp"] * source.by_square
    slope = steep * (flat - epsilon * flat.conj())  # by x + i by y
    by["source_x"], by["source_y"] = -slope.real, -slope.imag
    slope = -slope.conj_physical()
    for name, partial in zip(MASS, bent.partial, strict=True):
        by[name] = (slope * partial).real
    by["source_R_sersic"] = of["source_amp"] * source.by_size
    by["source_n_sersic"] = of["source_amp"] * source.by_index
    by["source_amp"] = source.value
    if isinstance(epsilon, Tensor):
        product = flat * offset
        by["source_e1"] = steep * (square * epsilon.real - product.real)
        by["source_e2"] = steep * (square * epsilon.imag - product.imag)
    return of["source_amp"] * source.value, by


def lens_derivatives(of: Mapping[str, Tensor], position: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Light of the lens galaxy before the PSF, and its derivatives by the parameters that it depends on.

    Parameters
    ----------
    of
        Name of a parameter to its values (B, 1), in the precision of the result; those of :data:`LENS_LIGHT` count.
    position
        (1, P) positions of the pixels, complex [arcsec].

    Returns
    -------
    light : Tensor
        (B, P) light [counts/s/arcsec^2].
    derivatives : dict[str, Tensor]
        Parameter to the derivative of the light by it, (B, P), in the order of :data:`LENS_LIGHT`.
    """
    e1, e2, amplitude = of["e1"], of["e2"], of["lens_amp"]
    squash = 1 - e1**2 - e2**2
    x, y = position.real - of["center_x"], position.imag - of["center_y"]
    flat_x, flat_y = (1 - e1) * x - e2 * y, (1 + e1) * y - e2 * x
    square = (flat_x**2 + flat_y**2) / squash
    profile = _sersic(square, of["R_sersic"], of["n_sersic"])
    steep = 2 * amplitude * profile.by_square / squash
    slopes = (
        -steep * ((1 - e1) * flat_x - e2 * flat_y),
        -steep * ((1 + e1) * flat_y - e2 * flat_x),
        steep * (square * e1 - (flat_x * x - flat_y * y)),
        steep * (square * e2 - (flat_x * y + flat_y * x)),
        amplitude * profile.by_size,
        amplitude * profile.by_index,
        profile.value,
    )
    return amplitude * profile.value, dict(zip(LENS_LIGHT, slopes, strict=True))
