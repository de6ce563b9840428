r"""The most probable parameters of systems, given their noisy images: Levenberg-Marquardt on the posterior.

With the gradient g and the information I of the log posterior, a step d solves

.. math:: (I + \lambda \, \mathrm{diag}\, I) \, d = g

with a damping :math:`\lambda` that falls after each step that leads upwards and grows after each that does not.
Many systems are searched at once, each with its own damping. An image of the model is cheap and its derivatives are
not, so that these are computed again only where a step was accepted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.inference.posterior import Posterior

STILL = 0.01  # squared distance to the maximum that ends a search, in standard deviations
DAMPING = 1e-3  # at first
EASIER, HARDER = 1 / 8, 6.0  # factors on the damping after a step that was accepted or not
STRONGEST = 1e7  # damping at which no step leads upwards
NEAR = 0.1  # squared distance to the maximum of a converged fit, in standard deviations
RIDGE = 4.0  # the same where no step leads upwards: at a kink, as where a quasar crosses a pixel's centre


class Fit(NamedTuple):
    """Results of B fits.

    Parameters
    ----------
    coordinates
        Coordinates (B, 14) where a search ended.
    density
        Log posterior there, (B,); minus infinity where no image can be computed.
    distance
        Squared distance from there to the maximum of the parabola that touches the log posterior, (B,), in standard
        deviations.
    stuck
        Whether a search ended because no step led upwards, (B,).
    iterations
        Number of steps that were tried, (B,).
    """

    coordinates: Tensor
    density: Tensor
    distance: Tensor
    stuck: Tensor
    iterations: Tensor

    def at_maximum(self) -> Tensor:
        """Whether the gradient vanishes, as well as an image made of pixels lets it, (B,)."""
        return (self.distance < NEAR) | (self.stuck & (self.distance < RIDGE))


def climb(posterior: Posterior, start: Tensor, rows: Tensor, iterations: int, model_error: float = 0.0) -> Fit:
    """Search upwards for the maximum of the log posterior.

    A step is taken if the log posterior itself grows, so that it does not matter how far the parabola
    holds; where a quasar image vanishes behind a caustic, a shorter step follows.

    Parameters
    ----------
    posterior
        The posterior of the systems.
    start
        Coordinates (b, 14) to start from.
    rows
        The systems of the posterior that these belong to, (b,).
    iterations
        Most steps of a search.
    model_error
        A further relative error of the model image, see :class:`lensvit.inference.likelihood.Likelihood`.
    """
    state = _State(posterior, start, rows, model_error)
    for _ in range(iterations):
        state.refresh()
        going = torch.nonzero(state.going)[:, 0]
        if not len(going):
            break
        state.step(going)
    else:
        state.refresh()
    return Fit(state.value, state.density, state.distance, state.stuck, state.iterations)


class _State:
    """The state of b searches: where they are, their equations there, and which go on."""

    def __init__(self, posterior: Posterior, start: Tensor, rows: Tensor, model_error: float) -> None:
        self.posterior, self.rows, self.model_error = posterior, rows, model_error
        count, size = start.shape
        self.value = start.clone()
        self.density = posterior.log_density(start, rows, model_error)
        self.damping = torch.full((count,), DAMPING, dtype=torch.float64)
        self.gradient = torch.zeros(count, size, dtype=torch.float64)
        self.information = torch.zeros(count, size, size, dtype=torch.float64)
        self.distance = torch.full((count,), torch.inf, dtype=torch.float64)
        self.iterations = torch.zeros(count, dtype=torch.long)
        self.going = self.density.isfinite()
        self.moved, self.stuck = self.going.clone(), torch.zeros(count, dtype=torch.bool)

    def refresh(self) -> None:
        """Compute the equations again where a search has moved, and end it where the maximum is near."""
        moved = torch.nonzero(self.moved)[:, 0]
        if len(moved):
            parts = self.posterior.equations(self.value[moved], self.rows[moved], self.model_error)
            self.gradient[moved], self.information[moved] = parts
            self.distance[moved] = (parts.gradient * _newton(*parts)).sum(1)
            self.going[moved] &= self.distance[moved] > STILL
            self.moved[moved] = False

    def step(self, going: Tensor) -> None:
        """Try one step in each of the searches ``going`` (g,)."""
        self.iterations[going] += 1
        trial = self.value[going] + _newton(self.gradient[going], self.information[going], self.damping[going])
        density = self.posterior.log_density(trial, self.rows[going], self.model_error)
        better = density > self.density[going]
        up, down = going[better], going[~better]
        self.value[up], self.density[up] = trial[better], density[better]
        self.damping[up] *= EASIER
        self.moved[up] = True
        self.damping[down] *= HARDER
        self.stuck[down] = self.damping[down] > STRONGEST
        self.going[down] = ~self.stuck[down]


def _newton(gradient: Tensor, information: Tensor, damping: Tensor | None = None) -> Tensor:
    """Steps (b, P) of Newton's method, damped if dampings (b,) are given; 0 where there is none.

    They are computed in units in which the information has a diagonal of 1.
    """
    scale = torch.diagonal(information, dim1=1, dim2=2).rsqrt()
    scaled = scale[:, :, None] * information * scale[:, None]
    if damping is not None:
        scaled = scaled + torch.diag_embed(damping[:, None].expand_as(scale))
    step = torch.linalg.solve_ex(scaled, (scale * gradient)[..., None])[0][..., 0]
    return torch.nan_to_num(scale * step)
