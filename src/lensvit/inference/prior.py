"""The prior density of the parameters, with its gradient and its precision.

A posterior is maximised, so that the prior must be a smooth density. A clipped normal therefore counts as the normal
that it was before the floor and the ceiling: the systems that the clipping moved onto a bound are not told apart, and
beyond it the density goes on. A uniform prior is flat within its limits and informs of nothing else. The density is
that of the parameters, of size and angle of the shear, not of its components: these have a density with a pole at 0,
which has no maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.coordinates import ANGLE, LEAST_SHEAR, SIZE, to_coordinates, to_parameters
from lensvit.inference.likelihood import Equations
from lensvit.lensing.galaxies import AMPLITUDES
from lensvit.parameters import NAMES, Parameter, Prior

KNOWN = 1e-9  # standard deviation of what is not free, in the parameter's unit
ROUNDING = 1e-12  # relative distance beyond a limit that counts as none
HALF = torch.pi / 2  # a shear turned by 180 degrees is the same


class Bounds(NamedTuple):
    """How far B places may go along P axes.

    Parameters
    ----------
    axes
        (B, P, P) unit vectors in the coordinates, one a row.
    low
        (B, P) the least step along each axis, 0 or negative.
    high
        (B, P) the largest step along each axis, 0 or positive.
    """

    axes: Tensor
    low: Tensor
    high: Tensor


class LogPrior:
    """Independent priors of the P = 14 parameters, of 17 with the amplitudes, on which the prior is flat, or of others.

    Parameters
    ----------
    priors
        Name to prior of all parameters, see :func:`lensvit.parameters.priors`.
    external_shear
        False if the external shear is known to be 0.
    amplitudes
        Whether parameters have the columns of the amplitudes after the others.
    names
        Names of the parameters in their order, the 14 first. One with a lognormal prior stands for its logarithm.
    limits
        Rows of a table of some parameters, beyond whose bounds the density is 0.

    Attributes
    ----------
    isotropic : bool
        Whether the prior of the shear is normal in its two components, so that its density is that of these.
    """

    def __init__(
        self,
        priors: Mapping[str, Prior],
        external_shear: bool = True,
        amplitudes: bool = False,
        names: Sequence[str] = NAMES,
        limits: Sequence[Parameter] = (),
    ) -> None:
        center, sd, reach = zip(*(_gaussian(priors[name]) for name in names), strict=True)
        self.isotropic = priors["gamma_ext"].kind == "rayleigh" and external_shear
        flat = len(AMPLITUDES) * amplitudes
        self.center = torch.tensor([*center, *[0.0] * flat], dtype=torch.float64)  # (P,)
        self.sd = torch.tensor([*sd, *[torch.inf] * flat], dtype=torch.float64)
        self.reach = torch.tensor([*reach, *[torch.inf] * flat], dtype=torch.float64)
        if not external_shear:
            self.center[SIZE], self.center[ANGLE] = LEAST_SHEAR, 0.0  # what coordinates make of no shear
            self.sd[[SIZE, ANGLE]], self.reach[[SIZE, ANGLE]] = KNOWN, torch.inf
        if self.reach[ANGLE] >= HALF * (1 - ROUNDING):
            self.reach[ANGLE] = torch.inf  # all directions
        self.low, self.high = -self.reach, self.reach.clone()  # limits of the distance from the centre
        for row in limits:
            column = list(names).index(row.name)
            self.low[column] = max(float(self.low[column]), row.low - float(self.center[column]))
            self.high[column] = min(float(self.high[column]), row.high - float(self.center[column]))

    def log_density(self, parameters: Tensor) -> Tensor:
        """Log density (B,) of parameters (B, P), without a constant.

        It is minus infinity beyond the limits of a uniform prior.
        """
        offset = self._offset(parameters)
        result = -((offset / self.sd.to(offset)) ** 2).sum(1) / 2
        low, high = (
            limit + sign * ROUNDING * (1 + self.center.abs() + limit.abs())
            for limit, sign in ((self.low, -1), (self.high, 1))
        )
        inside = ((offset >= low.to(offset)) & (offset <= high.to(offset))).all(1)
        return torch.where(inside, result, -torch.inf)

    def equations(self, parameters: Tensor) -> Equations:
        """Gradient and precision by the parameters, at parameters (B, P)."""
        offset = self._offset(parameters)
        precision = self.sd.to(offset) ** -2
        matrix = torch.diag(precision).expand(len(offset), -1, -1)
        if self.isotropic:  # also across the shear, by which its angle is known
            matrix = matrix.clone()
            matrix[:, ANGLE, ANGLE] = 4 * parameters[:, SIZE] ** 2 * precision[SIZE]
        return Equations(-precision * offset, matrix)

    def bounds(self, coordinates: Tensor) -> Bounds:
        """How far coordinates (B, P) may go before a uniform prior ends.

        Limits of the shear hold for its size and its angle, whose directions follow those of the shear. A shear that
        may have any angle and size 0 goes through 0 without a limit.
        """
        parameters = to_parameters(coordinates)
        offset = self._offset(parameters)
        low, high = (self.low - offset).clamp_max(0), (self.high - offset).clamp_min(0)
        axes = torch.eye(offset.shape[1], dtype=torch.float64).repeat(len(offset), 1, 1)
        if self.reach[[SIZE, ANGLE]].isfinite().any():
            if self.reach[ANGLE].isinf() and self.center[SIZE] <= self.reach[SIZE]:
                low[:, SIZE] = -torch.inf
            size, twice = parameters[:, SIZE], 2 * parameters[:, ANGLE]
            low[:, ANGLE] *= 2 * size
            high[:, ANGLE] *= 2 * size
            axes[:, SIZE, SIZE] = axes[:, ANGLE, ANGLE] = torch.cos(twice)
            axes[:, SIZE, ANGLE] = torch.sin(twice)
            axes[:, ANGLE, SIZE] = -torch.sin(twice)
        return Bounds(axes, low, high)

    def clamped(self, coordinates: Tensor) -> Tensor:
        """Coordinates (B, P) moved to where no uniform prior has ended."""
        offset = self._offset(to_parameters(coordinates))
        moved = torch.minimum(torch.maximum(offset, self.low), self.high)
        outside = moved != offset
        if not outside.any():
            return coordinates
        result = torch.where(outside, self.center + moved, coordinates)
        turned = outside[:, SIZE] | outside[:, ANGLE]
        sheared = to_coordinates(torch.where(outside, self.center + moved, to_parameters(coordinates)))
        shear = [SIZE, ANGLE]
        result[:, shear] = torch.where(turned[:, None], sheared[:, shear], coordinates[:, shear])
        return result

    def _offset(self, parameters: Tensor) -> Tensor:
        """Distance (B, P) of parameters from the centre of their prior, for the shear's angle the shorter way round."""
        offset = parameters - self.center.to(parameters)
        offset[:, ANGLE] = torch.remainder(offset[:, ANGLE] + HALF, 2 * HALF) - HALF
        return offset


def _gaussian(prior: Prior) -> tuple[float, float, float]:
    """Centre, standard deviation and largest distance from the centre, the last two infinite where there are none."""
    if prior.kind == "uniform":
        assert prior.low is not None and prior.high is not None  # as the config's schema checks
        if prior.high > prior.low:
            return (prior.low + prior.high) / 2, np.inf, (prior.high - prior.low) / 2
        return prior.low, KNOWN, np.inf
    if prior.kind == "rayleigh":
        return 0.0, max(prior.sd or 0.0, KNOWN), np.inf
    assert prior.mean is not None
    if prior.kind == "lognormal":  # of a parameter that stands for a logarithm
        return float(np.log(prior.mean)), max(prior.sd or 0.0, KNOWN), np.inf
    return prior.mean, max(prior.sd or 0.0, KNOWN), np.inf
