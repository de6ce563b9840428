"""The prior density of the parameters, with its gradient and its precision."""

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


# ---------------------------------------------------------------- prior


class LogPrior:
    """Independent priors of the P = 14 parameters, or 17 with amplitudes, on which the prior is flat.

    A clipped normal counts as the normal that it was before the floor and the ceiling: the systems that the
    clipping moved onto a bound are not told apart, and beyond it the density goes on. A uniform prior is
    flat within its limits and informs of nothing else. The density is that of the parameters, of size and
    angle of the shear, not of its components: these have a density with a pole at 0, which has no maximum.

    Parameters
    ----------
    priors : name to prior, see ``parameters.priors``.
    external_shear : False if it is known to be 0.
    amplitudes : whether parameters have the columns of the amplitudes.
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
        """(B,) of parameters (B, P), without a constant; minus infinity beyond the limits of a uniform prior."""
        offset = self._offset(parameters)
        result = -((offset / self.sd.to(offset)) ** 2).sum(1) / 2
        return torch.where((offset.abs() <= self.reach.to(offset)).all(1), result, -torch.inf)

    def equations(self, parameters: Tensor) -> Equations:
        """Gradient (B, P) and precision (B, P, P), by the parameters."""
        offset = self._offset(parameters)
        precision = self.sd.to(offset) ** -2
        return Equations(-precision * offset, torch.diag(precision).expand(len(offset), -1, -1))

    def _offset(self, parameters: Tensor) -> Tensor:
        offset = parameters - self.center.to(parameters)
        half = torch.pi / 2  # a shear turned by 180 degrees is the same
        offset[:, ANGLE] = torch.remainder(offset[:, ANGLE] + half, 2 * half) - half
        return offset


def _gaussian(prior: Prior) -> tuple[float, float, float]:
    """Centre, standard deviation and largest distance from the centre."""
    if prior.kind == "uniform" and prior.high > prior.low:
        return (prior.low + prior.high) / 2, np.inf, (prior.high - prior.low) / 2
    return (prior.low if prior.kind == "uniform" else prior.mean), max(prior.sd or 0.0, KNOWN), np.inf
