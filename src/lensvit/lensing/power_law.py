r"""Deflection of many elliptical power laws with external shear and its derivatives, in torch.

Positions are complex numbers, x + i y in arcsec. With the ellipticity :math:`\epsilon = e_1 + i e_2`,
:math:`N = 1 - |\epsilon|^2`, :math:`t = \gamma - 1` and the offset z from the centre, the deflection of
Tessore & Metcalf (2015, A&A 580, A79, eq. 13) reads

.. math::
    \alpha = \Lambda W F(-\bar\epsilon W / \bar W), \quad W = z - \epsilon \bar z, \quad
    \Lambda = (\theta_E^2 N / |W|^2)^{t/2}, \quad F(u) = {}_2F_1(1, t/2; 2 - t/2; u)

which has no angle in it and is smooth where the mass is round. Their series of F in u converges slowly for a flat
mass. Euler's integral of F (DLMF 15.6.1) by Gauss-Jacobi quadrature, :math:`\sum_j w_j / (1 - x_j u)`, reaches the
same precision with three to ten times fewer terms. Multiplied by W, a term is :math:`w_j |W|^2 / V_j` with
:math:`V_j = \bar W + x_j \bar\epsilon W`. In the frame of the axes its components have the signs of those of W, so that
no terms cancel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.lensing.structure import FLATTEST
from lensvit.parameters import NAMES

STEEPEST = 2.98  # largest slope; at 3 the mass within any radius is infinite
SHALLOWEST = 1.02  # least slope; at 1 the mass is a uniform sheet
CENTRE = 1e-9  # distance from the centre [arcsec] within which the deflection falls to 0, as in lenstronomy
# parameters that the deflection depends on
MASS = ("theta_E", "gamma", "center_x", "center_y", "e1", "e2", "gamma_ext", "psi_ext")


def inside(parameters: Tensor) -> Tensor:
    """Whether this module computes a system, (B,), by its parameters (B, 14) in the order of ``parameters.NAMES``."""
    column = dict(zip(NAMES, parameters.unbind(1), strict=False))
    slope = (column["gamma"] >= SHALLOWEST) & (column["gamma"] <= STEEPEST)
    return slope & (torch.hypot(column["e1"], column["e2"]) <= FLATTEST) & torch.isfinite(parameters).all(1)


def terms(ellipticity: Tensor, tolerance: float) -> Tensor:
    r"""The number of terms of the quadrature (B,).

    The error falls with each term by a factor \|(1 - r) / (1 + r)\|^2, where r^2 = 1 - \|e\|, as that of every Padé
    approximant to F.

    Parameters
    ----------
    ellipticity
        (B,) sizes of the ellipticity, \|e\|.
    tolerance
        Relative error of F.
    """
    root = torch.sqrt(1 - ellipticity)
    gain = torch.log(((1 - root) / (1 + root)).clamp_min(1e-6)) * 2
    return (math.log(tolerance) / gain).ceil().long() + 1


def quadrature(slope: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the quadrature of F, (B, count) each.

    They are computed as by Golub & Welsch (1969), for the weight function x^(t/2 - 1) (1 - x)^(1 - t) between 0 and 1,
    normalised to an integral of 1.

    Parameters
    ----------
    slope
        (B,) values of t between 0 and 2, float64.
    count
        The number of nodes.
    """
    x, vectors = torch.linalg.eigh(_recurrence(slope, count))
    return x, vectors[:, 0] ** 2


def quadrature_slopes(slope: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Derivatives by t of the nodes and weights of :func:`quadrature`, (B, count) each, for the same arguments."""
    step = 1e-100  # a derivative along the imaginary axis has no rounding error, however small the step
    jacobi = _recurrence(slope + 1j * step, count)
    x, vectors = torch.linalg.eigh(jacobi.real)
    change = vectors.mT @ (jacobi.imag / step) @ vectors
    gap = x[:, None, :] - x[:, :, None]
    gap.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    first_change = (vectors[:, :1] @ (change / gap))[:, 0]
    return change.diagonal(dim1=1, dim2=2), 2 * vectors[:, 0] * first_change


def _recurrence(slope: Tensor, count: int) -> Tensor:
    """Jacobi matrices (B, count, count) of the orthogonal polynomials on [0, 1] for t (B,)."""
    k = torch.arange(count, dtype=torch.float64, device=slope.device)
    alpha, beta = 1 - slope[:, None], slope[:, None] / 2 - 1
    sum_, twice = alpha + beta, 2 * k + alpha + beta
    diagonal = (1 + sum_ * (beta - alpha) / (twice * (twice + 2))) / 2
    k, twice = k[1:], twice[:, 1:]
    beside = torch.sqrt(k * (k + alpha) * (k + beta) * (k + sum_) / (twice**2 * (twice**2 - 1)))
    return torch.diag_embed(diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)


class Expansion(NamedTuple):
    """The deflection at P positions for each of B lenses, with the external shear.

    Parameters
    ----------
    alpha
        (B, P) deflection, complex [arcsec].
    kappa
        (B, P) convergence.
    gamma
        (B, P) shear, complex.
    partial
        Derivatives (B, P) of ``alpha`` by each parameter of :data:`MASS` at a fixed position, complex.
    """

    alpha: Tensor
    kappa: Tensor
    gamma: Tensor
    partial: tuple[Tensor, ...]


class PowerLaw:
    r"""B power laws with external shear.

    Attributes are tensors (B, 1), except for these. ``nodes`` and ``weights`` (B, n) and their derivatives by t have
    weights of 0 for systems that need fewer terms than n; ``count`` (B,) is the number of terms of each system.
    ``forms`` (B, n, 2) are the coefficients of (Re W)^2 and (Im W)^2, in the frame of the axes, in the \|V_j\|^2 of
    the denominators V_j of the terms. ``factors`` (B, 2, n) are those of the 1 / \|V_j\|^2 in the sums for the two
    components of the deflection.

    Parameters
    ----------
    parameters
        (B, 14) parameters in the order of :data:`lensvit.parameters.NAMES`; further columns count for nothing here.
    tolerance
        Relative error of the deflection, for which the number of terms is chosen.
    slopes
        Whether :meth:`expansion` is needed.

    Raises
    ------
    ValueError
        If a system is not :func:`inside`.
    """

    def __init__(self, parameters: Tensor, tolerance: float = 1e-15, slopes: bool = True) -> None:
        if not bool(inside(parameters).all()):
            raise ValueError(f"|e| > {FLATTEST}, or gamma not between {SHALLOWEST} and {STEEPEST}, or not finite")
        column = dict(zip(NAMES, parameters.double()[..., None].unbind(1), strict=False))  # each (B, 1)
        self.theta_E, self.t = column["theta_E"], column["gamma"] - 1
        self.center = torch.complex(column["center_x"], column["center_y"])
        self.ellipticity = torch.complex(column["e1"], column["e2"])
        self.size = self.ellipticity.abs()
        self.axis = torch.polar(torch.ones_like(self.size), self.ellipticity.angle() / 2)  # of the major axis
        self.squash = 1 - self.size**2
        self.shear_size = column["gamma_ext"]
        self.shear_turn = torch.polar(torch.ones_like(self.size), 2 * column["psi_ext"])
        self.count = terms(self.size[:, 0], tolerance)
        self.nodes, self.weights = self._each(quadrature)
        if slopes:
            self.node_slopes, self.weight_slopes = self._each(quadrature_slopes)
        product = self.nodes * self.size
        self.forms = torch.stack([1 + product, 1 - product], 2) ** 2
        self.factors = torch.stack([self.weights * (1 + product), self.weights * (1 - product)], 1)

    def _each(self, rule: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> Tensor:
        """What a rule such as :func:`quadrature` gives for all lenses, (2, B, n)."""
        counts = self.count.tolist()
        result = self.t.new_zeros(2, len(counts), max(counts, default=1))
        for count in set(counts):
            rows = torch.tensor([row for row, other in enumerate(counts) if other == count], device=self.t.device)
            result[:, rows, :count] = torch.stack(rule(self.t[rows, 0], count))
        return result

    def __getitem__(self, rows: slice | Tensor) -> PowerLaw:
        """Some of the lenses, with no more terms than they need."""
        part = self._map(lambda tensor: tensor[rows])
        count = max(part.count.tolist(), default=1)
        for name in ("nodes", "weights", "node_slopes", "weight_slopes", "forms"):
            if hasattr(part, name):
                setattr(part, name, getattr(part, name)[:, :count])
        part.factors = part.factors[:, :, :count]
        return part

    def to(self, dtype: torch.dtype) -> PowerLaw:
        """The same lenses in another real precision."""
        kinds = {True: dtype.to_complex(), False: dtype}
        return self._map(lambda tensor: tensor.to(kinds[tensor.is_complex()]) if tensor.dtype != torch.long else tensor)

    def _map(self, function: Callable[[Tensor], Tensor]) -> PowerLaw:
        """Lenses with other attributes, which are given by a function of these lenses'."""
        other = copy.copy(self)
        vars(other).update({name: function(tensor) for name, tensor in vars(self).items()})
        return other

    def along(self, offset: Tensor) -> Tensor:
        """W in the frame of the axes at an offset from the centre [arcsec], both (B, P) complex."""
        turned = offset * self.axis.conj()
        return torch.complex((1 - self.size) * turned.real, (1 + self.size) * turned.imag)

    def focusing(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Deflection (complex) [arcsec], convergence and shear (complex), (B, P) each, at positions (B, P) complex."""
        alpha, kappa, gamma = self.mass_focusing(position - self.center)
        shear = self.shear_size * self.shear_turn
        return alpha + shear * position.conj(), kappa, gamma + shear

    def mass_focusing(self, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same without the external shear, at offsets (B, P) from the centre."""
        alpha = self.mass_deflection(offset)
        norm = (offset - self.ellipticity * offset.conj()).abs() ** 2
        kappa = (1 - self.t / 2) * (self.theta_E**2 * self.squash / norm) ** (self.t / 2)
        return alpha, kappa, ((1 - self.t) * alpha - kappa * offset) / offset.conj()  # see moving_images

    def mass_deflection(self, offset: Tensor) -> Tensor:
        """Deflection (B, P) complex [arcsec] without that of the external shear, at offsets (B, P) from the centre."""
        along = self.along(offset)
        squares = torch.stack([along.real, along.imag], 1) ** 2  # (B, 2, P)
        sums = self.factors @ (self.forms @ squares).clamp_min_(CENTRE**2).reciprocal_()  # (B, 2, P)
        norm = squares.sum(1).clamp_min_(CENTRE**2)
        scale = norm * (self.theta_E**2 * self.squash / norm) ** (self.t / 2)
        return scale * torch.complex(along.real * sums[:, 0], along.imag * sums[:, 1]) * self.axis

    def expansion(self, position: Tensor) -> Expansion:
        """Deflection and its derivatives by position and by parameters, at positions (B, P) complex [arcsec]."""
        offset, epsilon, half = position - self.center, self.ellipticity, self.t / 2
        flat = offset - epsilon * offset.conj()  # W
        norm = (flat.real**2 + flat.imag**2).clamp_min_(CENTRE**2)
        log_ratio = torch.log(self.theta_E**2 * self.squash / norm)
        scale = torch.exp(half * log_ratio)  # Lambda
        alpha, moment, alpha_t = self._angular(self.along(offset), scale * norm)
        kappa = (1 - half) * scale
        phase = (offset.real**2 + offset.imag**2).clamp_min_(CENTRE**2).reciprocal_() * offset  # 1 / conj(z), quickly
        gamma = ((1 - self.t) * alpha - kappa * offset) * phase  # see moving_images
        by_flat = kappa + epsilon.conj() * gamma  # N times the derivative by W; those by z are kappa and gamma
        by_conjugate = gamma + epsilon * kappa
        bent = half * alpha
        by_e = offset.conj() * by_flat + epsilon.conj() * bent
        by_e_conjugate = offset * by_conjugate + epsilon * bent + (bent - (1 - half) * moment) * flat * phase
        twist = self.shear_turn * position.conj()
        partial = (
            self.t / self.theta_E * alpha,
            alpha * log_ratio / 2 + alpha_t,
            -(kappa + gamma),
            -1j * (kappa - gamma),
            (by_e + by_e_conjugate) * (-1 / self.squash),
            (by_e_conjugate - by_e) * (1j / self.squash),
            twist,
            2j * self.shear_size * twist,
        )
        shear = self.shear_size * self.shear_turn
        return Expansion(alpha + self.shear_size * twist, kappa, gamma + shear, partial)

    def _angular(self, along: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Lambda W times F, times Q = (F - 1) / u, and times the derivative of F by t, (B, P) complex each.

        A hypergeometric function with a = 1 obeys the differential equation F' = (t / 2 F - (1 - t / 2) Q) / (1 - u),
        by which F and Q give the derivative by u, also where u = 0.

        Parameters
        ----------
        along
            (B, P) W in the frame of the axes.
        scale
            (B, P) Lambda \|W\|^2.
        """
        x, y = along.real, along.imag
        squares = torch.stack([x, y], 1) ** 2  # (B, 2, P)
        inverse = (self.forms @ squares).clamp_min_(CENTRE**2).reciprocal_()  # (B, n, P)
        product, weights = self.nodes * self.size, [self.weights, self.weights * self.nodes, self.weight_slopes]
        rows = [weight * (1 + sign * product) for weight in weights for sign in (1, -1)]
        sums = torch.stack(rows, 1) @ inverse  # (B, 6, P)
        F, Q, F_t = (torch.complex(x * sums[:, row], y * sums[:, row + 1]) for row in (0, 2, 4))
        drift = self.weights * self.node_slopes
        rows = [drift * (1 + product) ** 2, -drift * (1 - product) ** 2, 2 * drift * (1 - product**2)]
        sums = torch.stack(rows, 1) @ inverse.square_()
        moved = torch.complex(squares[:, 0] * sums[:, 0] + squares[:, 1] * sums[:, 1], x * y * sums[:, 2])
        factor = scale * self.axis
        return F * factor, Q * factor, (F_t - self.size * along * moved) * factor

    def moving_images(self, position: Tensor) -> tuple[Tensor, Tensor]:
        r"""How images of the source's centre move and brighten when a parameter changes.

        The lens equation, beta(theta, p) = beta_s, is differentiated implicitly, and the magnification along the path
        of the image. Second derivatives of the deflection need no formula of their own: the deflection is homogeneous
        of degree 1 - t in the offset z, so that kappa z + gamma conj(z) = (1 - t) alpha.

        Parameters
        ----------
        position
            (B, P) solutions of the lens equation, complex [arcsec].

        Returns
        -------
        tuple[Tensor, Tensor]
            (B, P, 14) derivatives of the position (complex) and of ln \|magnification\|, by the parameters in the
            order of :data:`lensvit.parameters.NAMES`.
        """
        value = self.expansion(position)
        offset = (position - self.center)[..., None]
        kappa, gamma = value.kappa[..., None], value.gamma[..., None]
        change = _Changes(value.partial, position)
        bent = change.source + change.alpha  # the ray's distance from the source if the image stayed where it is
        determinant = (1 - kappa) ** 2 - gamma.abs() ** 2
        moved = ((1 - kappa) * bent + gamma * bent.conj()) / determinant

        shear = (self.shear_size * self.shear_turn)[..., None]
        gamma = gamma - shear  # from here on of the power law alone
        alpha = value.alpha[..., None] - shear * position[..., None].conj()
        carried = moved - change.center
        by_alpha = kappa * carried + gamma * carried.conj() + change.shape_alpha
        by_kappa = kappa * self._log_kappa(offset, carried, change)
        by_gamma = (1 - self.t[..., None]) * by_alpha - alpha * change.t
        by_gamma = (by_gamma - by_kappa * offset - kappa * carried - gamma * carried.conj()) / offset.conj()
        by_gamma = by_gamma + change.shear(self)
        by_determinant = -2 * (1 - kappa) * by_kappa - 2 * ((gamma + shear).conj() * by_gamma).real
        return moved, -by_determinant / determinant

    def _log_kappa(self, offset: Tensor, carried: Tensor, change: _Changes) -> Tensor:
        r"""Derivatives (B, P, 14) of ln kappa = ln(1 - t / 2) + t / 2 ln(theta_E^2 N / \|W\|^2) along the image's path.

        Parameters
        ----------
        offset
            (B, P, 1) offsets of the images from the centre, complex [arcsec].
        carried
            (B, P, 14) derivatives of the offsets, complex.
        change
            What each parameter changes directly.
        """
        t, epsilon, squash = self.t[..., None], self.ellipticity[..., None], self.squash[..., None]
        flat = offset - epsilon * offset.conj()
        by_flat = carried - epsilon * carried.conj() - offset.conj() * change.ellipticity
        ratio = torch.log(self.theta_E[..., None] ** 2 * squash / flat.abs() ** 2)
        radial = change.theta_E / self.theta_E[..., None] - (by_flat / flat).real
        radial = radial - (epsilon.conj() * change.ellipticity).real / squash
        return change.t * (ratio / 2 - 1 / (2 - t)) + t * radial


class _Changes:
    """What each of the 14 parameters changes directly: unit vectors (14,), and deflections (B, P, 14).

    Parameters
    ----------
    partial
        As in :class:`Expansion`.
    position
        (B, P) positions, complex [arcsec].
    """

    def __init__(self, partial: tuple[Tensor, ...], position: Tensor) -> None:
        unit = torch.eye(len(NAMES), dtype=position.dtype, device=position.device)
        of = dict(zip(NAMES, unit, strict=True))
        self.theta_E, self.t = of["theta_E"].real, of["gamma"].real
        self.center = of["center_x"] + 1j * of["center_y"]
        self.ellipticity = of["e1"] + 1j * of["e2"]
        self.source = of["source_x"] + 1j * of["source_y"]
        self._shear_size, self._shear_angle = of["gamma_ext"], of["psi_ext"]
        parts = {name: value[..., None] * of[name] for name, value in zip(MASS, partial, strict=True)}
        self.alpha = sum(parts.values())
        self.shape_alpha = sum(parts[name] for name in ("theta_E", "gamma", "e1", "e2"))  # with a fixed centre

    def shear(self, law: PowerLaw) -> Tensor:
        """Derivatives of the external shear, (B, 1, 14) complex."""
        turn = law.shear_turn[..., None]
        return turn * self._shear_size + 2j * law.shear_size[..., None] * turn * self._shear_angle
