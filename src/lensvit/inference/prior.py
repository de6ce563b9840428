"""The prior density of the parameters, with its gradient and its precision.

A posterior is maximised, so that the prior must be a smooth density. A clipped normal therefore counts as the normal
that it was before the floor and the ceiling: the systems that the clipping moved onto a bound are not told apart, and
beyond it the density goes on. A uniform prior is flat within its limits and informs of nothing else. The density is
that of the parameters, of size and angle of the shear, not of its components: these have a density with a pole at 0,
which has no maximum.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.coordinates import ANGLE, SIZE
from lensvit.inference.likelihood import Equations
from lensvit.lensing.galaxies import AMPLITUDES
from lensvit.parameters import NAMES, Prior

KNOWN = 1e-9  # standard deviation of what is not free, in the parameter's unit


class LogPrior:
    """Independent priors of the P = 14 parameters, or of 17 with the amplitudes, on which the prior is flat.

    Parameters
    ----------
    priors
        Name to prior of all 14 parameters, see :func:`lensvit.parameters.priors`.
    external_shear
        False if the external shear is known to be 0.
    amplitudes
        Whether parameters have the columns of the amplitudes after the others.
    """

    def __init__(self, priors: Mapping[str, Prior], external_shear: bool = True, amplitudes: bool = False) -> None:
        center, sd, reach = zip(*(_gaussian(priors[name]) for name in NAMES), strict=True)
        flat = len(AMPLITUDES) * amplitudes
        self.center = torch.tensor([*center, *[0.0] * flat], dtype=torch.float64)  # (P,)
        self.sd = torch.tensor([*sd, *[torch.inf] * flat], dtype=torch.float64)
        self.reach = torch.tensor([*reach, *[torch.inf] * flat], dtype=torch.float64)
        if not external_shear:
            self.center[SIZE], self.sd[[SIZE, ANGLE]], self.reach[[SIZE, ANGLE]] = 0.0, KNOWN, torch.inf

    def log_density(self, parameters: Tensor) -> Tensor:
        """Log density (B,) of parameters (B, P), without a constant.

        It is minus infinity beyond the limits of a uniform prior.
        """
        offset = self._offset(parameters)
        result = -((offset / self.sd.to(offset)) ** 2).sum(1) / 2
        return torch.where((offset.abs() <= self.reach.to(offset)).all(1), result, -torch.inf)

    def equations(self, parameters: Tensor) -> Equations:
        """Gradient and precision by the parameters, at parameters (B, P)."""
        offset = self._offset(parameters)
        precision = self.sd.to(offset) ** -2
        return Equations(-precision * offset, torch.diag(precision).expand(len(offset), -1, -1))

    def _offset(self, parameters: Tensor) -> Tensor:
        """Distance (B, P) of parameters from the centre of their prior, for the shear's angle the shorter way round."""
        offset = parameters - self.center.to(parameters)
        half = torch.pi / 2  # a shear turned by 180 degrees is the same
        offset[:, ANGLE] = torch.remainder(offset[:, ANGLE] + half, 2 * half) - half
        return offset


def _gaussian(prior: Prior) -> tuple[float, float, float]:
    """Centre, standard deviation and largest distance from the centre, the last two infinite where there are none."""
    if prior.kind == "uniform":
        assert prior.low is not None and prior.high is not None  # as the config's schema checks
        if prior.high > prior.low:
            return (prior.low + prior.high) / 2, np.inf, (prior.high - prior.low) / 2
        return prior.low, KNOWN, np.inf
    assert prior.mean is not None
    return prior.mean, max(prior.sd or 0.0, KNOWN), np.inf
