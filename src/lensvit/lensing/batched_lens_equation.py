r"""Images of many point sources at once, behind power laws with external shear, in torch.

With y the source and :math:`r e^{i\theta}` an image, both relative to the centre of mass, the lens equation
is :math:`r m(\theta) - r^{1-t} a(\theta) = y`, where m is a direction after the external shear and a the
deflection at radius 1. Crossed with a and with m it gives

.. math::
    r^t = (a \times y) / (m \times y), \qquad r^{1-t} (a \times m) = m \times y,

so that the images are the roots of one function of the angle. It is defined on the two arcs where a x y and m x y
have the same sign. Roots are bracketed on a grid of angles that is fine at the ends of the arcs. Close pairs of roots,
between which no angle of the grid falls, are looked for at each extremum near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.lensing.quasar_images import FAINTEST, LARGEST, NUDGE, RESIDUAL, SEPARATION, NoSolution, QuasarImages
from lensvit.parameters import NAMES

FLATTEST = 0.9  # largest |e| of this search; 1 in 25,000 of the paper's systems is flatter
INNER, OUTER = 128, 32  # angles in the middle of an arc and towards each of its ends
END = 0.1  # share of the arc that counts as its end
NEAREST = 1e-3  # distance of the grid's nearest angle from an end, as a share of the gap between the arcs
ROUGH = 1e-10  # relative error of deflections until the last steps
EXACT = 1e-15  # the same in the last steps
GOLDEN = (math.sqrt(5) - 1) / 2  # share of an interval that is left by a step of the golden section
CLOSE = 24  # steps of the search for an extremum
STEPS, CLOSE_ENOUGH = 30, 1e-11  # most steps of the search for a root, and the size of its last step [rad]
CENTRAL = 1e-8  # distance from the centre [arcsec] within which an image is far fainter than FAINTEST
ON_AXIS = 1e-8  # gap between the arcs [rad] below which the function has roots at the very ends of the arcs
BEHIND = 1e-9  # distance [arcsec] of the quasar from the centre, below which all angles are roots
SLOTS = 8  # images that a system has room for: 4, a faint one in the centre, and spare ones

Function = Callable[[Tensor], Tensor]


def solve(systems: Sequence[Mapping[str, float]]) -> list[QuasarImages | NoSolution]:
    """What :func:`lensvit.lensing.lens_equation.solve` returns or raises for each system's parameters.

    The few systems that are too flat for the search of this module, or of whose images it is not sure, are left to
    that function.
    """
    if not systems:
        return []
    parameters = torch.tensor([[system[name] for name in NAMES] for system in systems], dtype=torch.float64)
    result: list[QuasarImages | NoSolution | None] = [None] * len(systems)
    fit = torch.hypot(*(parameters[:, NAMES.index(name)] for name in ("e1", "e2"))) <= FLATTEST
    rows = torch.nonzero(inside(parameters) & fit)[:, 0]
    if len(rows):
        positions, magnification, sure = find(parameters[rows])
        found = zip(rows[sure].tolist(), positions[sure].numpy(), magnification[sure].numpy(), strict=True)
        for row, places, sizes in found:
            result[row] = _listed(places, sizes)
    unsure = [systems[row] for row, images in enumerate(result) if images is None]
    left = iter(_solve_each(unsure) if unsure else ())
    return [next(left) if images is None else images for images in result]


def _solve_each(systems: Sequence[Mapping[str, float]]) -> list[QuasarImages | NoSolution]:
    from lensvit.lensing import lens_equation  # lenstronomy takes a second or two to import, and is seldom asked

    return lens_equation.solve_each(systems)


def _listed(positions: np.ndarray, magnification: np.ndarray) -> QuasarImages:
    """The images of one system without the absent ones, which come last."""
    count = np.count_nonzero(magnification)
    return QuasarImages(positions[:count, 0].copy(), positions[:count, 1].copy(), magnification[:count].copy())


@torch.no_grad()
def find(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""All images whose \|magnification\| is 1e-3 or more, the brightest first.

    Parameters
    ----------
    parameters
        (B, 14) parameters in the order of :data:`lensvit.parameters.NAMES`, which must be
        :func:`lensvit.lensing.power_law.inside`.

    Returns
    -------
    positions
        (B, M, 2) positions of the images [arcsec].
    magnification
        (B, M) magnifications, signed; 0 for an absent image.
    sure
        (B,) whether these are surely all images: every root led to an image, and the parities obey the sum rule.
    """
    parameters = parameters.double()
    search = _Search(parameters)
    behind = search.y.abs() < BEHIND
    on_axis = behind | (search.gap.abs() < ON_AXIS)
    if bool(on_axis.any()):  # looked for in a system that is less symmetric; the last steps are those of this one
        shape, place = (_nudge(parameters, names) for names in (("e1", "e2"), ("source_x", "source_y")))
        search = _Search(parameters + torch.where(on_axis, shape, 0) + torch.where(behind, place, 0))
    return search.images(parameters)


def _nudge(parameters: Tensor, names: tuple[str, ...]) -> Tensor:
    """The small change (14,) of some of the parameters that makes a system less symmetric."""
    return parameters.new_tensor([NUDGE[name] if name in names else 0.0 for name in NAMES])


def _nearest(position: Tensor, present: Tensor) -> Tensor:
    """The least distance (B,) [arcsec] between two images of a system."""
    distance = (position[:, :, None] - position[:, None]).abs()
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return torch.where(present[:, :, None] & present[:, None], distance, torch.inf).amin((1, 2))


class LensEquation:
    """The lens equations of B systems.

    Parameters
    ----------
    parameters
        (B, 14) parameters in the order of :data:`lensvit.parameters.NAMES`, float64.
    tolerance
        Relative error of deflections.
    """

    def __init__(self, parameters: Tensor, tolerance: float = EXACT) -> None:
        self.law = PowerLaw(parameters, tolerance, slopes=False)
        source_x, source_y = (parameters[:, NAMES.index(name), None] for name in ("source_x", "source_y"))
        self.source = torch.complex(source_x, source_y)  # (B, 1)
        self.shear = self.law.shear_size * self.law.shear_turn
        self.y = self.source - self.law.center + self.shear * self.law.center.conj()

    def step(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distance of the ray from the source [arcsec], 1 / magnification, and the step of Newton's method [arcsec].

        Parameters
        ----------
        position
            (B, P) positions, complex [arcsec].
        """
        alpha, kappa, gamma = self.law.focusing(position)
        determinant = (1 - kappa) ** 2 - gamma.abs() ** 2
        off = self.source - position + alpha
        return off.abs(), determinant, ((1 - kappa) * off + gamma * off.conj()) / determinant


class _Search(LensEquation):
    """The search for the images of B systems.

    Parameters
    ----------
    parameters
        (B, 14) parameters in the order of :data:`lensvit.parameters.NAMES`, float64.
    tolerance
        Relative error of deflections.
    """

    def __init__(self, parameters: Tensor, tolerance: float = ROUGH) -> None:
        super().__init__(parameters, tolerance)
        self.start = (self.y + self.shear * self.y.conj()).angle()  # the angle at which m is along y

    def rows(self, rows: Tensor) -> _Search:
        """The search for some of the systems."""
        part = object.__new__(_Search)
        part.law = self.law[rows]
        part.source, part.shear, part.y = self.source[rows], self.shear[rows], self.y[rows]
        return part

    def images(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What :func:`find` returns, for parameters that may differ a little from those of the search."""
        system, angle, arc = self._roots()
        _, p, w = self.rows(system)._crossed(angle[:, None])
        radius = (w / p).abs() ** (1 / self.law.t[system])  # (R, 1)
        apart = radius[:, 0] > CENTRAL
        central, system = system[~apart], system[apart]
        offset = torch.polar(radius, angle[:, None] + torch.pi * arc[:, None])[apart]
        position, determinant, residual = self.rows(system)._polished(offset + self.law.center[system], 2)
        magnification = 1 / determinant[:, 0]
        sure = self._obeys_sum_rule(system, magnification, central)
        slots, filled = self._gathered(system, position[:, 0], magnification, residual[:, 0], sure)
        exact = _Search(parameters, EXACT)
        return exact._finished(slots, filled, sure)

    def _obeys_sum_rule(self, system: Tensor, magnification: Tensor, central: Tensor) -> Tensor:
        """Whether the parities of each system's images add up to 1, or to 0 without the image in a cusp, (B,).

        A centre that is steeper than isothermal deflects without bound. It has no image itself but, for distant
        sources, a faint saddle point near it, where a shallower centre has a faint maximum.

        Parameters
        ----------
        system
            (R,) system of each image.
        magnification
            (R,) magnification of each image.
        central
            System of each image that is so near to the centre that it is left out.
        """
        cusp = self.law.t[:, 0] < 1
        total = torch.zeros_like(self.law.t[:, 0]).index_add_(0, system, torch.sign(magnification))
        total = total.index_add_(0, central, torch.where(cusp, 1.0, -1.0)[central].to(total.dtype))
        return (total == 0) | ((total == 1) & cusp)

    def _crossed(self, angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The products a x m, m x y and a x y, (B, K) each, at angles (B, K)."""
        direction = torch.polar(torch.ones_like(angle), angle)
        a = self.law.mass_deflection(direction)
        m = direction - self.shear * direction.conj()
        return _cross(a, m), _cross(m, self.y), _cross(a, self.y)

    def _function(self, u: Tensor, p: Tensor, w: Tensor, arc: int | Tensor) -> Tensor:
        """The function whose roots are the images, bounded for every slope, also at the ends of an arc.

        Parameters
        ----------
        u
            Values of a x m, (B, K).
        p
            Values of m x y, which is 0 at one end of an arc, (B, K).
        w
            Values of a x y, which is 0 at the other end of an arc, (B, K).
        arc
            0 for the first arc, 1 for the second, on which p and w have the other sign.
        """
        t = self.law.t
        first = u * w.abs() ** ((1 - t) / t).clamp_min(0)
        second = p.abs() ** (1 / t) * w.abs() ** ((t - 1) / t).clamp_min(0)
        return first + (1 - 2 * arc) * second

    def _roots(self) -> tuple[Tensor, Tensor, Tensor]:
        """System, angle [rad] and arc (0 or 1) of each root, (R,) each."""
        angle, low_is_p = self._grid()  # (B, K)
        u, p, w = self._crossed(angle)
        for end, is_p in ((0, low_is_p), (-1, ~low_is_p)):
            p[:, end].masked_fill_(is_p, 0)
            w[:, end].masked_fill_(~is_p, 0)
        value = torch.stack([self._function(u, p, w, arc) for arc in (0, 1)])  # (2, B, K)
        brackets = [self._crossings(value, angle), *self._close_pairs(value, angle)]
        arc, system, low, high, at_low, at_high = (torch.cat(part) for part in zip(*brackets, strict=True))
        return system, self._root(arc, system, low, high, at_low, at_high), arc

    def _grid(self) -> tuple[Tensor, Tensor]:
        """Angles (B, K) [rad] on the first arc with its ends, and whether m x y is 0 at the lower end, (B,)."""
        start, gap = self.start, self.gap
        length = torch.pi - gap.abs()
        nearest = torch.log((NEAREST * gap.abs() / length).clamp(1e-13, NEAREST))
        rise = torch.linspace(0, 1, OUTER, dtype=start.dtype, device=start.device)
        ends = torch.exp(nearest + rise * (math.log(END) - nearest))  # (B, OUTER), share of the arc
        middle = torch.linspace(END, 1 - END, INNER + 1, dtype=start.dtype, device=start.device)[1:-1]
        zero = torch.zeros_like(start)
        share = torch.cat([zero, ends, middle.expand(len(start), -1), 1 - ends.flip(1), zero + 1], 1)
        return start + gap.clamp_min(0) + share * length, (gap <= 0)[:, 0]

    @cached_property
    def gap(self) -> Tensor:
        """Difference (B, 1) [rad] between the angle at which a is along y and that at which m is."""

        def off(angle: Tensor) -> Tensor:
            return _cross(self.law.mass_deflection(torch.polar(torch.ones_like(angle), angle)), self.y)

        low, high = self.start - torch.pi / 2, self.start + torch.pi / 2
        return _bracketed(off, low, high, off(low), off(high)) - self.start

    def _crossings(self, value: Tensor, angle: Tensor) -> tuple[Tensor, ...]:
        """Arc, system, two angles and the values there, (R,) each, wherever the function changes its sign."""
        arc, system, place = torch.nonzero(value[..., :-1] * value[..., 1:] < 0, as_tuple=True)
        return (
            arc, system, angle[system, place], angle[system, place + 1],
            value[arc, system, place], value[arc, system, place + 1],
        )  # fmt: skip

    def _close_pairs(self, value: Tensor, angle: Tensor) -> list[tuple[Tensor, ...]]:
        """Brackets of pairs of roots around an extremum, in the form of :meth:`_crossings`."""
        before, at, after = value[..., :-2], value[..., 1:-1], value[..., 2:]
        same = (before * at > 0) & (at * after > 0)
        low = (at.abs() <= before.abs()) & (at.abs() <= after.abs())
        depth = torch.maximum((before - at).abs(), (after - at).abs())  # a parabola reaches less far below
        arc, system, place = torch.nonzero(same & low & (at.abs() <= depth), as_tuple=True)
        if len(arc) == 0:
            return []
        search = self.rows(system)
        sign = torch.sign(at[arc, system, place])[:, None]
        left, right = angle[system, place][:, None], angle[system, place + 2][:, None]

        def size(place: Tensor) -> Tensor:
            return sign * search._function(*search._crossed(place), arc[:, None])

        middle = _least(size, left, right)
        found = sign * size(middle)
        crossed = (found * sign)[:, 0] < 0
        values = value[arc, system, place], found[:, 0], value[arc, system, place + 2]
        sides = [(left[:, 0], middle[:, 0], *values[:2]), (middle[:, 0], right[:, 0], *values[1:])]
        return [tuple(part[crossed] for part in (arc, system, *side)) for side in sides]

    def _root(self, arc: Tensor, system: Tensor, low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor) -> Tensor:
        """The root (R,) [rad] in each bracket of :meth:`_crossings`."""
        search = self.rows(system)

        def function(angle: Tensor) -> Tensor:
            return search._function(*search._crossed(angle), arc[:, None])

        return _bracketed(function, *(part[:, None] for part in (low, high, at_low, at_high)))[:, 0]

    def _polished(self, position: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Positions after steps of Newton's method, those that bring the ray nearer to the source.

        Parameters
        ----------
        position
            (B, P) positions, complex [arcsec].
        steps
            The number of steps.

        Returns
        -------
        tuple[Tensor, Tensor, Tensor]
            (B, P) positions, 1 / magnification and distance of the ray from the source [arcsec].
        """
        off, determinant, step = self.step(position)
        for _ in range(steps):
            moved = position + step
            new_off, new_determinant, new_step = self.step(moved)
            nearer = new_off < off
            position = torch.where(nearer, moved, position)
            step = torch.where(nearer, new_step, 0.25 * step)
            determinant = torch.where(nearer, new_determinant, determinant)
            off = torch.where(nearer, new_off, off)
        return position, determinant, off

    def _gathered(
        self, system: Tensor, position: Tensor, magnification: Tensor, residual: Tensor, sure: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The images of each system, the brightest first, from R images in any order.

        Parameters
        ----------
        system
            (R,) system of each image.
        position
            (R,) positions, complex [arcsec].
        magnification
            (R,) magnifications.
        residual
            (R,) distances of the rays from the source [arcsec].
        sure
            (B,) whether the images are surely all; made false here where some do not fit.

        Returns
        -------
        tuple[Tensor, Tensor]
            (B, SLOTS) positions, and whether there is an image in a slot.
        """
        bright = magnification.abs() > FAINTEST / 2
        sure[system[bright & ~(residual < RESIDUAL)]] = False
        sure[system[~torch.isfinite(magnification)]] = False
        system, position, magnification = system[bright], position[bright], magnification[bright]
        order = torch.argsort(magnification.abs(), descending=True, stable=True)
        order = order[torch.argsort(system[order], stable=True)]
        system, position = system[order], position[order]
        slot = torch.arange(len(system), device=system.device) - torch.searchsorted(system, system)
        sure[system[slot >= SLOTS]] = False
        fits = slot < SLOTS
        slots = (self.law.center + self.law.theta_E).expand(-1, SLOTS).contiguous()
        filled = torch.zeros(slots.shape, dtype=torch.bool, device=slots.device)
        slots[system[fits], slot[fits]] = position[fits]
        filled[system[fits], slot[fits]] = True
        return slots, filled

    def _finished(self, slots: Tensor, filled: Tensor, sure: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What :func:`find` returns, after the last steps of Newton's method."""
        position, determinant, residual = self._polished(slots, 2)
        magnification = torch.where(filled & (determinant.abs() <= 1 / FAINTEST), 1 / determinant, 0)
        order = torch.argsort(magnification.abs(), dim=1, descending=True, stable=True)
        position, magnification = position.gather(1, order), magnification.gather(1, order)
        present = magnification != 0
        sure = sure & (_nearest(position, present) > SEPARATION) & ~((residual >= RESIDUAL) & filled).any(1)
        # every quasar has an image, and none that is infinitely bright
        sure = sure & present.any(1) & (magnification.abs() <= LARGEST).all(1)
        positions = torch.where(present[..., None], torch.stack([position.real, position.imag], -1), 0)
        return positions, magnification, sure


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """The cross product of two vectors, complex."""
    return a.real * b.imag - a.imag * b.real


def _bracketed(function: Function, low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor) -> Tensor:
    """Roots between angles at which the function has opposite signs, by the Illinois method."""
    for _ in range(STEPS):
        middle = high - at_high * (high - low) / (at_high - at_low)
        middle = torch.where(torch.isfinite(middle), middle, (low + high) / 2)
        if bool(((middle - high).abs() < CLOSE_ENOUGH).all()):
            return middle
        at_middle = function(middle)
        across = at_middle * at_high < 0
        low, at_low = torch.where(across, high, low), torch.where(across, at_high, at_low / 2)
        high, at_high = middle, at_middle
    return high


def _least(function: Function, low: Tensor, high: Tensor) -> Tensor:
    """The angle at which the function is least between two angles, by golden sections."""
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_inner, at_outer = function(inner), function(outer)
    for _ in range(CLOSE):
        left = at_inner < at_outer
        low, high = torch.where(left, low, inner), torch.where(left, outer, high)
        new = torch.where(left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_new = function(new)
        inner, at_inner, outer, at_outer = (
            torch.where(left, new, outer), torch.where(left, at_new, at_outer),
            torch.where(left, inner, new), torch.where(left, at_inner, at_new),
        )  # fmt: skip
    return torch.where(at_inner < at_outer, inner, outer)
