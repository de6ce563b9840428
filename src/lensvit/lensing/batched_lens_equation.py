r"""Images of many point sources at once, behind power laws with shear, in torch.

With y the source and :math:`r e^{i\theta}` an image, both relative to the centre of mass, the lens equation
is :math:`r m(\theta) - r^{1-t} a(\theta) = y`, where m is a direction after the external shear and a the
deflection at radius 1. Crossed with a and with m it gives

.. math::
    r^t = (a \times y) / (m \times y), \qquad r^{1-t} (a \times m) = m \times y,

so that the images are the roots of one function of the angle. It lives on the two arcs where a x y and m x y
have the same sign. Roots are bracketed on a grid of angles that is fine at the ends of the arcs; close pairs,
between which no angle of the grid falls, are looked for at each extremum near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lensvit.lensing import lens_equation
from lensvit.lensing.lens_equation import FAINTEST, RESIDUAL, SEPARATION, NoSolution, QuasarImages
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.parameters import NAMES

FLATTEST = 0.9  # largest |e| that is left to this module; 1 in 25,000 of the paper's systems is flatter
INNER, OUTER = 128, 32  # angles in the middle of an arc and towards each of its ends
END = 0.1  # share of the arc that counts as its end
NEAREST = 1e-3  # the angle nearest to an end, as a share of the gap between the arcs
ROUGH = 1e-10  # relative error of deflections until the last steps
GOLDEN = (math.sqrt(5) - 1) / 2
CLOSE = 24  # steps of the search for an extremum
FOLLOWING = 12  # Newton steps after a change of the parameters
STEPS, CLOSE_ENOUGH = 30, 1e-11  # of the search for a root: most steps, and the last one's size [rad]
CENTRAL = 1e-8  # distance [arcsec] from the centre within which an image is far fainter than FAINTEST
ON_AXIS = 1e-8  # gap [rad] below which the function has roots at the very ends of the arcs
NUDGE = {"e1": 1e-6, "e2": 1.3e-6}  # widens it; the last steps are done without
SLOTS = 8  # images that a system has room for: 4, a faint one in the centre, and spare ones

Function = Callable[[Tensor], Tensor]


def solve(systems: Sequence[Mapping[str, float]]) -> list[QuasarImages | NoSolution]:
    """What :func:`lens_equation.solve` returns or raises for each system's parameters.

    The few that are too flat for this search, or whose images it is not sure of, are left to that one.
    """
    if not systems:
        return []
    parameters = torch.tensor([[system[name] for name in NAMES] for system in systems], dtype=torch.float64)
    result: list = [None] * len(systems)
    fit = torch.hypot(*(parameters[:, NAMES.index(name)] for name in ("e1", "e2"))) <= FLATTEST
    rows = torch.nonzero(inside(parameters) & fit)[:, 0]
    if len(rows):
        positions, magnification, sure = find(parameters[rows])
        for row, *images in zip(rows[sure].tolist(), positions[sure].numpy(), magnification[sure].numpy(), strict=True):
            result[row] = _listed(*images)
    left = [row for row, images in enumerate(result) if images is None]
    for row, images in zip(left, lens_equation.solve_each([systems[row] for row in left]), strict=True):
        result[row] = images
    return result


def _listed(positions: np.ndarray, magnification: np.ndarray) -> QuasarImages:
    count = np.count_nonzero(magnification)
    return QuasarImages(positions[:count, 0].copy(), positions[:count, 1].copy(), magnification[:count].copy())


@torch.no_grad()
def find(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All images with \\|magnification\\| of at least 1e-3, the brightest first.

    Parameters
    ----------
    parameters : (B, 14) in the order of ``parameters.NAMES``; ``power_law.inside`` must hold.

    Returns
    -------
    positions (B, M, 2) [arcsec], magnification (B, M), signed and 0 for an absent image, and whether the
    images are sure to be all (B,): every root led to an image, and the parities obey the sum rule.
    """
    parameters = parameters.double()
    search = _Search(parameters)
    on_axis = search.gap.abs() < ON_AXIS
    if bool(on_axis.any()):
        nudge = parameters.new_tensor([NUDGE.get(name, 0.0) for name in NAMES])
        search = _Search(parameters + torch.where(on_axis, nudge, 0))
    return search.images(parameters)


@torch.no_grad()
def follow(parameters: Tensor, positions: Tensor, magnification: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images after a small change of the parameters, by Newton's method from where they were.

    Parameters
    ----------
    parameters : (B, 14) or more columns, the new ones. positions, magnification : as :func:`find` gives them,
        from parameters nearby.

    Returns
    -------
    positions, magnification and whether each system's images are all there (B,): where they are not,
    because one met its partner at a fold, :func:`find` knows better. No new images are looked for.
    """
    present = magnification != 0
    search = _Search(parameters.double(), tolerance=1e-15)
    start = torch.complex(positions[..., 0], positions[..., 1])
    start = torch.where(present, start, search.law.center + search.law.theta_E)
    position, determinant, residual = search._polished(start, FOLLOWING)
    kept = (residual < RESIDUAL) & (torch.sign(determinant) == torch.sign(magnification))
    positions = torch.where(present[..., None], torch.stack([position.real, position.imag], -1), 0)
    magnification = torch.where(present, 1 / determinant, 0)
    return positions, magnification, (kept | ~present).all(1) & (_nearest(position, present) > SEPARATION)


def _nearest(position: Tensor, present: Tensor) -> Tensor:
    """The least distance (B,) [arcsec] between two images of a system."""
    distance = (position[:, :, None] - position[:, None]).abs()
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return torch.where(present[:, :, None] & present[:, None], distance, torch.inf).amin((1, 2))


class _Search:
    """The search for B systems."""

    def __init__(self, parameters: Tensor, tolerance: float = ROUGH) -> None:
        self.law = PowerLaw(parameters, tolerance, slopes=False)
        source_x, source_y = (parameters[:, NAMES.index(name), None] for name in ("source_x", "source_y"))
        self.source = torch.complex(source_x, source_y)  # (B, 1)
        self.shear = self.law.shear_size * self.law.shear_turn
        self.y = self.source - self.law.center + self.shear * self.law.center.conj()
        self.start = (self.y + self.shear * self.y.conj()).angle()  # where m is along y

    def rows(self, rows: Tensor) -> _Search:
        """The same for some of the systems."""
        part = object.__new__(_Search)
        part.law = self.law[rows]
        part.source, part.shear, part.y = self.source[rows], self.shear[rows], self.y[rows]
        return part

    def images(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :func:`find`, for parameters that may differ a little from those of the search."""
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
        exact = _Search(parameters, tolerance=1e-15)
        return exact._finished(slots, filled, sure)

    def _obeys_sum_rule(self, system: Tensor, magnification: Tensor, central: Tensor) -> Tensor:
        """Whether the parities of each system's images add up to 1, or to 0 without the one in a cusp, (B,).

        A centre steeper than isothermal deflects without bound: it has no image but, for sources far away,
        a faint saddle point near it, where a shallower one has a faint maximum.
        """
        cusp = self.law.t[:, 0] < 1
        total = torch.zeros_like(self.law.t[:, 0]).index_add_(0, system, torch.sign(magnification))
        total = total.index_add_(0, central, torch.where(cusp, 1.0, -1.0)[central].to(total.dtype))
        return (total == 0) | ((total == 1) & cusp)

    def _crossed(self, angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A x m, m x y and a x y at angles (B, K)."""
        direction = torch.polar(torch.ones_like(angle), angle)
        a = self.law.mass_deflection(direction)
        m = direction - self.shear * direction.conj()
        return _cross(a, m), _cross(m, self.y), _cross(a, self.y)

    def _function(self, u: Tensor, p: Tensor, w: Tensor, arc: int | Tensor) -> Tensor:
        """The function of which images are roots; on the second arc m x y and a x y change their sign.

        It is bounded whatever the slope, also at an arc's ends, where p or w is 0.
        """
        t = self.law.t
        first = u * w.abs() ** ((1 - t) / t).clamp_min(0)
        second = p.abs() ** (1 / t) * w.abs() ** ((t - 1) / t).clamp_min(0)
        return first + (1 - 2 * arc) * second

    def _roots(self) -> tuple[Tensor, Tensor, Tensor]:
        """System, angle and arc (0 or 1) of each root, (R,)."""
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
        """Angles (B, K) on the first arc, ends included, and whether m x y is 0 at the lower end (B,)."""
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
        """From the angle at which m is along y to that at which a is, (B, 1)."""

        def off(angle: Tensor) -> Tensor:
            return _cross(self.law.mass_deflection(torch.polar(torch.ones_like(angle), angle)), self.y)

        low, high = self.start - torch.pi / 2, self.start + torch.pi / 2
        return _bracketed(off, low, high, off(low), off(high)) - self.start

    def _crossings(self, value: Tensor, angle: Tensor) -> tuple[Tensor, ...]:
        """Arc, system, two angles and the values there, (R,), wherever the function changes its sign."""
        arc, system, place = torch.nonzero(value[..., :-1] * value[..., 1:] < 0, as_tuple=True)
        return (
            arc, system, angle[system, place], angle[system, place + 1],
            value[arc, system, place], value[arc, system, place + 1],
        )  # fmt: skip

    def _close_pairs(self, value: Tensor, angle: Tensor) -> list[tuple[Tensor, ...]]:
        """Brackets of pairs of roots around an extremum, as :meth:`_crossings`."""
        before, at, after = value[..., :-2], value[..., 1:-1], value[..., 2:]
        same = (before * at > 0) & (at * after > 0)
        low = (at.abs() <= before.abs()) & (at.abs() <= after.abs())
        depth = torch.maximum((before - at).abs(), (after - at).abs())  # more than a parabola reaches below
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
        search = self.rows(system)

        def function(angle: Tensor) -> Tensor:
            return search._function(*search._crossed(angle), arc[:, None])

        return _bracketed(function, *(part[:, None] for part in (low, high, at_low, at_high)))[:, 0]

    def _polished(self, position: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Positions (B, P) after Newton steps that bring the ray nearer; 1 / magnification; distance left."""
        off, determinant, step = self._step(position)
        for _ in range(steps):
            moved = position + step
            new_off, new_determinant, new_step = self._step(moved)
            nearer = new_off < off
            position = torch.where(nearer, moved, position)
            step = torch.where(nearer, new_step, 0.25 * step)
            determinant = torch.where(nearer, new_determinant, determinant)
            off = torch.where(nearer, new_off, off)
        return position, determinant, off

    def _step(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distance from the source [arcsec], 1 / magnification, and the step of Newton's method."""
        alpha, kappa, gamma = self.law.focusing(position)
        determinant = (1 - kappa) ** 2 - gamma.abs() ** 2
        off = self.source - position + alpha
        return off.abs(), determinant, ((1 - kappa) * off + gamma * off.conj()) / determinant

    def _gathered(
        self, system: Tensor, position: Tensor, magnification: Tensor, residual: Tensor, sure: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Positions in the slots of their systems (B, SLOTS) and whether there is one, from R images in any order.

        What does not fit makes ``sure`` (B,) false.
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
        """The last Newton steps."""
        position, determinant, residual = self._polished(slots, 2)
        magnification = torch.where(filled & (determinant.abs() <= 1 / FAINTEST), 1 / determinant, 0)
        order = torch.argsort(magnification.abs(), dim=1, descending=True, stable=True)
        position, magnification = position.gather(1, order), magnification.gather(1, order)
        present = magnification != 0
        sure = sure & (_nearest(position, present) > SEPARATION) & ~((residual >= RESIDUAL) & filled).any(1)
        positions = torch.where(present[..., None], torch.stack([position.real, position.imag], -1), 0)
        return positions, magnification, sure


def _cross(a: Tensor, b: Tensor) -> Tensor:
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
    """Where the function is least between two angles, by golden sections."""
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
