r"""The most probable parameters of systems, given their noisy images: Levenberg-Marquardt on the posterior.

With the gradient g and the information I of the log posterior, a step d maximises

.. math:: g \cdot d - \tfrac12 \, d^T (I + \lambda \, \mathrm{diag}\, I) \, d

within the limits of uniform priors, with a damping :math:`\lambda` that falls after each step that leads upwards and
grows after each that does not. A maximum may lie on a limit. It is one if the gradient points outwards there, and
vanishes along all directions in which the parameters are free (Karush 1939, Kuhn & Tucker 1951): then d is 0.

Many systems are searched at once, each with its own damping. An image of the model is cheap and its derivatives are
not, so that these are computed again only where a step was accepted, and serve for all errors of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.inference.posterior import Models, Posterior
from lensvit.inference.prior import Bounds

ROUGH = 1.0  # squared distance to the maximum that ends a search with a model error, in standard deviations
STILL = 1e-3  # the same for the search that counts
DAMPING = 1e-3  # at first
EASIER, HARDER = 1 / 8, 6.0  # factors on the damping after a step that was accepted or not
STRONGEST = 1e7  # damping at which no step leads upwards
NEAR = 0.1  # squared distance to the maximum of a converged fit, in standard deviations
RIDGE = 4.0  # the same where no step leads upwards: at a kink, as where a quasar crosses a pixel's centre
CHANGES = 30  # most changes of the limits that a step ends on


class Fit(NamedTuple):
    """Results of B fits.

    Parameters
    ----------
    coordinates
        Coordinates (B, 14) where a search ended.
    density
        Log posterior there, (B,); minus infinity where no image can be computed.
    gradient
        Its gradient there, (B, 14).
    information
        Its information there, (B, 14, 14); 0 where no image can be computed.
    distance
        Squared distance from there to the maximum of the parabola that touches the log posterior, within the limits of
        the prior, (B,), in standard deviations.
    stuck
        Whether a search ended because no step led upwards, (B,).
    iterations
        Number of steps that were tried, (B,).
    """

    coordinates: Tensor
    density: Tensor
    gradient: Tensor
    information: Tensor
    distance: Tensor
    stuck: Tensor
    iterations: Tensor

    def at_maximum(self) -> Tensor:
        """Whether the gradient vanishes or points out of the prior, as well as an image of pixels lets it, (B,)."""
        return (self.distance < NEAR) | (self.stuck & (self.distance < RIDGE))


def climb(
    posterior: Posterior, start: Tensor, rows: Tensor, iterations: int, model_errors: Sequence[float] = (0.0,)
) -> Fit:
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
        Most steps of a search with one model error.
    model_errors
        Further relative errors of the model image, see :class:`lensvit.inference.likelihood.Likelihood`, one search
        after the other. The results are those of the last.
    """
    places, tried = _Places(posterior, start), torch.zeros(len(start), dtype=torch.long)
    for number, error in enumerate(model_errors):
        search = _Search(posterior, places, rows, error, STILL if number == len(model_errors) - 1 else ROUGH)
        search.run(iterations)
        tried += search.iterations
    return Fit(
        places.models.coordinates, search.density, search.gradient, search.information, search.distance, search.stuck,
        tried,
    )  # fmt: skip


class _Places:
    """Where b searches are: the models there, and their derivatives where they were asked for."""

    def __init__(self, posterior: Posterior, start: Tensor) -> None:
        self.posterior = posterior
        self.models = posterior.models(start.clone()).spread()
        self.slopes = self.models.images.new_zeros(*start.shape, *self.models.images.shape[1:])
        self.stale = torch.ones(len(start), dtype=torch.bool)  # whether the slopes are not those of the model

    def move(self, rows: Tensor, models: Models) -> None:
        """Go on to other models of the searches ``rows`` (r,)."""
        self.models.replace(rows, models)
        self.stale[rows] = True

    def derive(self, rows: Tensor) -> None:
        """Compute the slopes of the searches ``rows`` (r,), where they have moved since."""
        stale = rows[self.stale[rows]]
        if len(stale):
            self.slopes[stale] = self.posterior.slopes(self.models.rows(stale))
            self.stale[stale] = False


class _Search:
    """Searches from b places on with one error of the model, which end at a squared distance ``still`` from a maximum.

    Where no image can be computed there is no search, and the equations are 0.
    """

    def __init__(self, posterior: Posterior, places: _Places, rows: Tensor, model_error: float, still: float) -> None:
        self.posterior, self.places, self.rows = posterior, places, rows
        self.model_error, self.still = model_error, still
        self.density = posterior.density_of(places.models, rows, model_error)
        count, size = places.models.coordinates.shape
        self.gradient = torch.zeros(count, size, dtype=torch.float64)
        self.information = torch.zeros(count, size, size, dtype=torch.float64)
        self.distance = torch.full_like(self.density, torch.inf)
        self.damping = torch.full_like(self.density, DAMPING)
        self.iterations = torch.zeros(count, dtype=torch.long)
        self.going = self.density.isfinite()
        self.changed = self.going.clone()  # whether the equations are not those of the place
        self.stuck = torch.zeros_like(self.going)

    def run(self, iterations: int) -> None:
        """Try at most so many steps in each of the searches."""
        for _ in range(iterations):
            self.refresh()
            going = torch.nonzero(self.going)[:, 0]
            if not len(going):
                return
            self.step(going)
        self.refresh()

    def refresh(self) -> None:
        """Compute the equations again where they have changed, and end a search where the maximum is near."""
        changed = torch.nonzero(self.changed)[:, 0]
        if not len(changed):
            return
        self.places.derive(changed)
        for row in changed.tolist():
            one = slice(row, row + 1)
            self.gradient[one], self.information[one] = self.posterior.equations(
                self.places.models.rows(one), self.rows[one], self.model_error, self.places.slopes[one]
            )
        _, self.distance[changed] = self._steps(changed)
        self.going[changed] &= self.distance[changed] > self.still
        self.changed[changed] = False

    def step(self, going: Tensor) -> None:
        """Try one step in each of the searches ``going`` (g,)."""
        self.iterations[going] += 1
        step, _ = self._steps(going, self.damping[going])
        trial = self.places.models.coordinates[going] + step
        models = self.posterior.models(self.posterior.prior.clamped(trial)).spread()
        density = self.posterior.density_of(models, self.rows[going], self.model_error)
        better = density > self.density[going]
        up, down = going[better], going[~better]
        self.places.move(up, models.rows(better))
        self.density[up] = density[better]
        self.damping[up] *= EASIER
        self.changed[up] = True
        self.damping[down] *= HARDER
        self.stuck[down] = self.damping[down] > STRONGEST
        self.going[down] = ~self.stuck[down]

    def _steps(self, rows: Tensor, damping: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What :func:`best_steps` gives for some of the searches (r,), with dampings (r,)."""
        bounds = self.posterior.prior.bounds(self.places.models.coordinates[rows])
        return best_steps(self.gradient[rows], self.information[rows], bounds, damping)


def best_steps(
    gradient: Tensor, information: Tensor, bounds: Bounds, damping: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Steps to the maxima of parabolas within bounds.

    They are found by the primal-dual method of active sets (Hintermüller, Ito & Kunisch 2003, SIAM J. Optim. 13, 865),
    in units in which the information has a diagonal of 1.

    Parameters
    ----------
    gradient
        Gradients (b, P).
    information
        Informations (b, P, P).
    bounds
        How far the steps may go.
    damping
        Dampings (b,) of the steps; None for none.

    Returns
    -------
    steps : Tensor
        Steps (b, P); 0 where there is none.
    distance : Tensor
        (b,) twice what the parabola without damping gains by a step: its squared length in standard deviations, where
        neither damping nor a bound makes it shorter.
    """
    axes = bounds.axes
    gradient, information = (axes @ gradient[..., None])[..., 0], axes @ information @ axes.mT
    scale = torch.diagonal(information, dim1=1, dim2=2).rsqrt()
    pull, scaled = scale * gradient, scale[:, :, None] * information * scale[:, None]
    if damping is not None:
        scaled = scaled + torch.diag_embed(damping[:, None].expand_as(scale))
    low, high = bounds.low / scale, bounds.high / scale
    side = torch.zeros_like(scale)  # 1 on the upper bound, -1 on the lower, 0 between
    step = torch.zeros_like(scale)
    for _ in range(CHANGES):
        fixed = side != 0
        step = torch.where(side > 0, high, torch.where(side < 0, low, 0.0))
        rest = torch.where(fixed, 0.0, pull - (scaled @ step[..., None])[..., 0])
        unit = torch.diag_embed(torch.ones_like(scale))
        matrix = torch.where(fixed[:, :, None] | fixed[:, None], unit, scaled)
        step = torch.where(fixed, step, torch.linalg.solve_ex(matrix, rest[..., None])[0][..., 0])
        beyond = step + pull - (scaled @ step[..., None])[..., 0]
        before, side = side, (beyond > high).to(scale) - (beyond < low).to(scale)
        if torch.equal(side, before):
            break
    step = torch.nan_to_num(scale * torch.minimum(torch.maximum(step, low), high))
    distance = 2 * (gradient * step).sum(1) - (step * (information @ step[..., None])[..., 0]).sum(1)
    return (axes.mT @ step[..., None])[..., 0], distance
