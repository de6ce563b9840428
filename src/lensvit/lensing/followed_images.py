r"""Images of point sources near those of systems whose images are known, followed by Newton's method, in torch.

With :math:`z = r e^{i\varphi}` from the centre of mass, :math:`s = r^{-t}`, convergence :math:`s k(\varphi)` and shear
:math:`s g(\varphi) + \Gamma`, the determinant of the lens mapping is a parabola in s,

.. math:: \det = C - 2 B s + A s^2, \quad A = k^2 - |g|^2, \quad B = k + \mathrm{Re}(g \bar\Gamma), \quad
          C = 1 - |\Gamma|^2,

so that the critical curve, and the curves on which an image has a given magnification, have one point in each
direction. Outside of the tangential critical curve all images are minima. Their number is the degree of the mapping
there: 1 - w, w being how often the caustic winds around the source. So is the number of saddle points within, where the
source lies in a disk around the centre that all light with too faint images, or from near the centre, misses.

Two closed curves wind equally often around 0 if they are nowhere farther from each other than the first is from 0
("a dog on a leash"). So the caustic of a system nearby, with its source at 0, tells that the number of images is
the same as in a known system, without a path from one to the other and without a search. As many different solutions
of the lens equation are then all images.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.lensing.batched_lens_equation import LensEquation, find
from lensvit.lensing.power_law import inside
from lensvit.lensing.quasar_images import FAINTEST
from lensvit.parameters import NAMES

FLATTEST = 0.8  # largest |e| of a lens whose images are followed
DIRECTIONS = 64  # in which caustics are compared
DISK_DIRECTIONS = 4  # one of so many in which the disk is measured that no faint image lights
FINER = 16  # times as many for the distance of a known caustic from its source
LEASH = 0.5  # largest distance between two caustics, as a share of the first one's distance from the source
MARGIN = 0.8  # share of the disk around the centre in which a source may lie
STEPS, STILL = 8, 1e-12  # most steps of Newton's method, and the size of the last one that is not taken [arcsec]
STEEPEST = 1e-3  # least |1 / magnification| of an image that is followed
APART = 1e-4  # least distance between two images [arcsec]


class Followed(NamedTuple):
    """Images of B systems, the brightest first.

    Parameters
    ----------
    positions
        (B, M, 2) positions [arcsec].
    magnification
        (B, M) magnifications, signed; 0 for an absent image.
    sure
        (B,) whether these are surely all images.
    """

    positions: Tensor
    magnification: Tensor
    sure: Tensor


class KnownImages:
    """The images of m systems, from which those of systems nearby are followed.

    Parameters
    ----------
    parameters
        (m, 14) parameters in the order of :data:`lensvit.parameters.NAMES`.
    """

    def __init__(self, parameters: Tensor) -> None:
        parameters = parameters[_fit(parameters)].double()
        positions, magnification, sure = find(parameters)
        count = (magnification != 0).sum(1)
        caustics = _Caustics.of(LensEquation(parameters), DIRECTIONS * FINER)
        known = sure & caustics.clear & (count == 2 * (1 - caustics.windings()))
        self.count = count[known]
        self.positions = torch.complex(*positions[known].unbind(-1))[:, : max(self.count.tolist(), default=0)]
        self.caustics = caustics.offset[known, ::FINER]
        self.leash = LEASH * caustics.distances()[known]

    @torch.no_grad()
    def follow(self, parameters: Tensor) -> Followed:
        """The images of systems with parameters (B, 14)."""
        parameters = parameters.double()
        images = Followed(
            parameters.new_zeros(len(parameters), self.positions.shape[1], 2),
            parameters.new_zeros(len(parameters), self.positions.shape[1]),
            _fit(parameters),
        )
        if not len(self.count):
            return images._replace(sure=torch.zeros_like(images.sure))
        rows = torch.nonzero(images.sure)[:, 0]
        for part, found in zip(images, self._follow(parameters[rows]), strict=True):
            part[rows] = found
        return images

    def _follow(self, parameters: Tensor) -> Followed:
        """The images of systems that :func:`_fit`."""
        equation = LensEquation(parameters)
        caustics = _Caustics.of(equation, DIRECTIONS)
        apart = (caustics.offset[:, None] - self.caustics).abs()
        strain, nearest = (torch.maximum(apart, apart.roll(-1, 2)) - self.leash).amax(2).min(1)
        sure = caustics.clear & (strain < 0)
        count = self.count[nearest, None]
        absent = torch.arange(self.positions.shape[1]) >= count
        position = torch.where(absent, equation.law.center + equation.law.theta_E, self.positions[nearest])
        position, determinant, still = _newton(equation, position, absent | ~sure[:, None])
        magnification = torch.where(absent, 0, 1 / determinant)
        sure &= (absent | still & (determinant.abs() > STEEPEST) & (magnification.abs() >= FAINTEST)).all(1)
        sure &= _distance(position, absent) > APART
        magnification = torch.where(sure[:, None], magnification, 0)
        order = torch.argsort(magnification.abs(), dim=1, descending=True, stable=True)
        position, magnification = position.gather(1, order), magnification.gather(1, order)
        position = torch.where(magnification == 0, 0, position)
        return Followed(torch.view_as_real(position), magnification, sure)


def _fit(parameters: Tensor) -> Tensor:
    """Whether this module can follow images of systems, (B,)."""
    e1, e2 = (parameters[:, NAMES.index(name)] for name in ("e1", "e2"))
    return inside(parameters) & (torch.hypot(e1, e2) <= FLATTEST)


def _newton(equation: LensEquation, position: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (B, M) after steps of Newton's method, 1 / magnification there, and whether they are solutions.

    Parameters
    ----------
    equation
        The lens equations.
    position
        (B, M) positions to start from, complex [arcsec].
    ignored
        (B, M) which of them do not matter.
    """
    for _ in range(STEPS):
        _, determinant, step = equation.step(position)
        still = step.abs() < STILL
        if bool((still | ignored).all()):
            break
        position = torch.where(still, position, position + step)
    return position, determinant, still


def _distance(position: Tensor, absent: Tensor) -> Tensor:
    """The least distance (B,) [arcsec] between two images of a system at positions (B, M)."""
    distance = (position[:, :, None] - position[:, None]).abs()
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return torch.where(absent[:, :, None] | absent[:, None], torch.inf, distance).amin((1, 2))


class _Caustics(NamedTuple):
    """The caustics of the tangential critical curves of B systems, in K directions.

    Parameters
    ----------
    offset
        (B, K) points of the caustics, relative to the source, complex [arcsec].
    clear
        (B,) whether the source lies in the disk around the centre in which the caustic tells the number of images.
    """

    offset: Tensor
    clear: Tensor

    @classmethod
    def of(cls, equation: LensEquation, count: int) -> _Caustics:
        """The caustics in so many directions, an even number, all around."""
        angle = torch.arange(count // 2, dtype=torch.float64) * (2 * torch.pi / count)
        rays = _Rays.of(equation, torch.polar(torch.ones_like(angle), angle)[None])
        half = rays.mapped(rays.strength(0, outer=True))  # the other half is its mirror image in the centre
        return cls(torch.cat([half, -half], 1) - equation.y, rays.every(DISK_DIRECTIONS).clear(equation.y.abs()))

    def windings(self) -> Tensor:
        """How often each caustic winds around the source, (B,)."""
        return ((self.offset.roll(-1, 1) / self.offset).angle().sum(1) / (2 * torch.pi)).round().long()

    def distances(self) -> Tensor:
        """The least distance (B, DIRECTIONS) of each caustic from the source, from one direction to the next."""
        size = self.offset.abs()
        ends = torch.stack([size, size.roll(-1, 1)]).amin(0) - (self.offset.roll(-1, 1) - self.offset).abs() / 2
        return ends.unflatten(1, (DIRECTIONS, -1)).amin(2)


class _Rays(NamedTuple):
    """B lenses in K directions from their centres, for a strength s of their mass.

    Parameters
    ----------
    t
        (B, 1) slope.
    direction
        (B, K) where a ray at radius 1 meets the source plane without mass, complex.
    alpha
        (B, K) deflection at radius 1, complex.
    a, b, c
        Coefficients A, B, C of the determinant, (B, K) and (B, 1).
    """

    t: Tensor
    direction: Tensor
    alpha: Tensor
    a: Tensor
    b: Tensor
    c: Tensor

    @classmethod
    def of(cls, equation: LensEquation, direction: Tensor) -> _Rays:
        """The lenses in directions (1, K), complex numbers of size 1."""
        alpha, kappa, gamma = equation.law.mass_focusing(direction)
        t, shear = equation.law.t, equation.shear
        radial = (alpha * direction.conj()).real
        a = (1 - t) * (2 * kappa * radial - (1 - t) * alpha.abs() ** 2)  # kappa^2 - |gamma|^2, exact where t is 1
        b = kappa + (gamma * shear.conj()).real
        return cls(t, direction - shear * direction.conj(), alpha, a, b, 1 - shear.abs() ** 2)

    def every(self, number: int) -> _Rays:
        """The same in one of so many directions."""
        return _Rays(*(part if part.shape[1] == 1 else part[:, ::number] for part in self))

    def strength(self, determinant: float, outer: bool) -> Tensor:
        """The strength s, (B, K), at which the determinant has a value; NaN or negative where there is none.

        Parameters
        ----------
        determinant
            The determinant.
        outer
            Whether the outer of two radii is meant, at which the determinant falls inwards.
        """
        c = self.c - determinant
        root = torch.sqrt(self.b**2 - self.a * c)
        return c / (self.b + root) if outer else (self.b + root) / self.a

    def mapped(self, strength: Tensor) -> Tensor:
        """Where rays of these strengths (B, K) meet the source plane, relative to the centre, complex [arcsec]."""
        return strength ** (-1 / self.t) * (self.direction - strength * self.alpha)

    def clear(self, distance: Tensor) -> Tensor:
        """Whether only images that are too faint, and minima and saddle points around the centre, reach a source.

        The curves on which images are too faint, or on which saddle points end near the centre, must enclose it.

        Parameters
        ----------
        distance
            Distance (B, 1) of the source from the centre [arcsec].
        """
        shallow = self.t < 1
        faint = self.strength(-1 / FAINTEST, outer=True)
        faint = torch.where(faint.isnan(), self.strength(0, outer=False), faint)  # saddle points are bright up to there
        central = torch.where(shallow, self.strength(1 / FAINTEST, outer=False), faint)
        enclosed = self._radius(faint), self._radius(central)
        as_expected = ((self.a > 0) == shallow) & (self.c > 0)
        return (as_expected & (distance < MARGIN * torch.minimum(*enclosed))).all(1)

    def _radius(self, strength: Tensor) -> Tensor:
        """Radius (B, K) [arcsec] that rays of these strengths surely keep from the centre in the source plane."""
        return strength ** (-1 / self.t) * (strength * self.alpha.abs() - self.direction.abs())
