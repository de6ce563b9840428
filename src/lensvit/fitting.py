"""The most probable parameters of systems, given their noisy images: Levenberg-Marquardt on the posterior.

Many systems at once, each with its own damping. An image of the model is cheap and its derivatives are not,
so that these are computed anew only where a step was accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.batched_lens_equation import solve
from lensvit.lens_equation import Images
from lensvit.likelihood import (
    Equations,
    Likelihood,
    LogPrior,
    by_coordinates,
    regular,
    to_coordinates,
    to_parameters,
)
from lensvit.parameters import NAMES
from lensvit.power_law import inside
from lensvit.renderer import BatchedRenderer

QuasarSolver = Callable[[Tensor, int], tuple[Tensor, Tensor, Tensor]]
LEAST = {"theta_E": 0.02, "R_sersic": 0.02, "n_sersic": 0.3, "source_R_sersic": 0.005, "source_n_sersic": 0.17}

STILL = 0.01  # squared distance to the maximum that ends a search, in standard deviations
DAMPING = 1e-3  # at first, in units of the normal matrix's diagonal
EASIER, HARDER = 1 / 8, 6.0  # factors on the damping after a step that was accepted or not
STRONGEST = 1e7  # damping at which no step leads upwards
BLOCK = 10  # side of the squares whose chi^2 is looked at [pixel]
WORST = 5.0  # largest deviation of a chi^2 [standard deviations]
NEAR = 0.1  # squared distance to the maximum of a converged fit, in standard deviations
RIDGE = 4.0  # the same where no step leads upwards: at a kink, where a quasar crosses a pixel's centre


class Fit(NamedTuple):
    """Results of B fits.

    coordinates : (B, 14). density : (B,) log posterior, minus infinity where no image can be computed.
    distance : (B,) squared distance to the maximum of the parabola there, in standard deviations.
    stuck : (B,) whether no step led upwards. iterations : (B,).
    """

    coordinates: Tensor
    density: Tensor
    distance: Tensor
    stuck: Tensor
    iterations: Tensor

    def at_maximum(self) -> Tensor:
        """(B,) whether the gradient vanishes, as well as an image made of pixels lets it."""
        return (self.distance < NEAR) | (self.stuck & (self.distance < RIDGE))


class Posterior:
    """Of B systems seen by one camera; arguments ``rows`` (b,) say which of them ``coordinates`` (b, 14) are of.

    Parameters
    ----------
    renderer : of the camera. data : (B, ny, nx) noisy images [counts/s per pixel].
    sigma_bkg : (B,) [counts/s per pixel]. exposure : [s].
    prior : of the parameters. max_images : the brightest quasar images that an image shows.
    quasars : function of parameters (b, 14) and ``max_images``, see :func:`quasar_images`.
    """

    def __init__(
        self,
        renderer: BatchedRenderer,
        data: Tensor,
        sigma_bkg: Tensor,
        exposure: float,
        prior: LogPrior,
        max_images: int,
        quasars: QuasarSolver | None = None,
    ) -> None:
        self.renderer, self.data, self.sigma_bkg = renderer, data.to(renderer.dtype), sigma_bkg
        self.exposure, self.prior, self.max_images = exposure, prior, max_images
        self.quasars = quasars or quasar_images

    def __len__(self) -> int:
        return len(self.data)

    def likelihood(self, rows: Tensor, model_error: float = 0.0) -> Likelihood:
        """Of some systems."""
        return Likelihood(self.data[rows], self.sigma_bkg[rows], self.exposure, model_error)

    def log_density(self, coordinates: Tensor, rows: Tensor, model_error: float = 0.0) -> Tensor:
        """(b,) log posterior without a constant; minus infinity where no image can be computed."""
        result = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        model, good = self.images(coordinates)
        if good.any():
            density = self.likelihood(rows[good], model_error).log_density(model)
            density = density + self.prior.log_density(to_parameters(coordinates[good]))
            result[good] = torch.where(density.isfinite(), density, -torch.inf)
        return result

    def images(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Images (g, ny, nx) of those systems that can be computed, and which these are (b,)."""
        good = possible(coordinates)
        parameters = to_parameters(coordinates[good])
        positions, magnification, solved = self.quasars(parameters, self.max_images)
        good[good.clone()] = solved
        if not good.any():
            return self.data[:0], good
        return self.renderer.images(parameters[solved], positions[solved], magnification[solved]), good

    def equations(self, coordinates: Tensor, rows: Tensor, model_error: float = 0.0) -> Equations:
        """Gradient and information of the posterior, by the coordinates; where an image can be computed."""
        parameters = regular(to_parameters(coordinates))
        positions, magnification, _ = self.quasars(parameters, self.max_images)
        parts = []
        for row in range(len(rows)):  # derivatives of one image are large
            here = slice(row, row + 1)
            image, slopes = self.renderer.jacobian(parameters[here], positions[here], magnification[here])
            parts.append(self.likelihood(rows[here], model_error).equations(image, slopes))
        whole = Equations(*(torch.cat(part) for part in zip(*parts, strict=True)))
        return by_coordinates(whole + self.prior.equations(parameters), parameters)


def possible(coordinates: Tensor) -> Tensor:
    """(B,) whether a system can be computed at all."""
    good = inside(to_parameters(coordinates))
    for name, least in LEAST.items():
        good = good & (coordinates[:, NAMES.index(name)] >= least)
    return good


def quasar_images(parameters: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (B, most, 2) [arcsec], magnifications (B, most), 0 for none, and whether they were found (B,)."""
    positions = parameters.new_zeros(len(parameters), most, 2)
    magnification = parameters.new_zeros(len(parameters), most)
    solved = torch.ones(len(parameters), dtype=torch.bool)
    systems = [dict(zip(NAMES, values, strict=True)) for values in parameters.tolist()]
    for row, images in enumerate(solve(systems)):
        if not isinstance(images, Images):
            solved[row] = False
            continue
        images = images.brightest(most)
        positions[row, : len(images), 0] = torch.as_tensor(images.x)
        positions[row, : len(images), 1] = torch.as_tensor(images.y)
        magnification[row, : len(images)] = torch.as_tensor(images.magnification)
    return positions, magnification, solved


# ---------------------------------------------------------------- the search


def climb(posterior: Posterior, start: Tensor, rows: Tensor, iterations: int, model_error: float = 0.0) -> Fit:
    """From ``start`` (b, 14) of the systems ``rows`` (b,) upwards, at most so many steps.

    A step is taken if the log posterior itself grows, so that it does not matter how far the parabola
    holds; where a quasar image vanishes behind a caustic, a shorter step follows.
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
    """Of b searches: where they are, their equations there, and which go on."""

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
        """New equations where a search has moved; it ends where the maximum is near."""
        moved = torch.nonzero(self.moved)[:, 0]
        if len(moved):
            parts = self.posterior.equations(self.value[moved], self.rows[moved], self.model_error)
            self.gradient[moved], self.information[moved] = parts
            self.distance[moved] = (parts.gradient * _newton(*parts)).sum(1)
            self.going[moved] &= self.distance[moved] > STILL
            self.moved[moved] = False

    def step(self, going: Tensor) -> None:
        """One step of some searches, taken or not."""
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
    """Steps (b, P), in units in which the information has a diagonal of 1."""
    scale = torch.diagonal(information, dim1=1, dim2=2).rsqrt()
    scaled = scale[:, :, None] * information * scale[:, None]
    if damping is not None:
        scaled = scaled + torch.diag_embed(damping[:, None].expand_as(scale))
    step = torch.linalg.solve_ex(scaled, (scale * gradient)[..., None])[0][..., 0]
    return torch.nan_to_num(scale * step)


# ---------------------------------------------------------------- whether a fit explains its image


def chi_square(residuals: Tensor) -> tuple[Tensor, Tensor]:
    """chi^2 per pixel of whitened residuals (B, ny, nx), and the largest deviation of any square's from 1.

    The deviation (B,) is in standard deviations, by the cube root of Wilson & Hilferty (1931), over squares
    of 10 pixels and the whole image: a quasar image that the model lacks spoils one square and hardly the whole.
    """
    squares = residuals.double() ** 2
    ones = torch.ones_like(squares[:1])
    whole, pixels = squares.sum((1, 2)), torch.tensor(float(ones.numel()), dtype=torch.float64)
    part, counts = (_blocks(tensor) for tensor in (squares, ones))
    worst = _deviation(part, counts).flatten(1).abs().amax(1)
    return whole / pixels, torch.maximum(worst, _deviation(whole, pixels).abs())


def _blocks(image: Tensor) -> Tensor:
    mean = torch.nn.functional.avg_pool2d(image[:, None], BLOCK, ceil_mode=True, divisor_override=1)
    return mean[:, 0]


def _deviation(chi_square: Tensor, count: Tensor) -> Tensor:
    width = 2 / (9 * count)
    return ((chi_square / count) ** (1 / 3) - (1 - width)) / width.sqrt()


def explained(posterior: Posterior, coordinates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """chi^2 per pixel (b,), and whether no part of the image deviates (b,), from the data alone."""
    mean = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    good = torch.zeros(len(rows), dtype=torch.bool)
    model, computed = posterior.images(coordinates)
    if computed.any():
        mean[computed], worst = chi_square(posterior.likelihood(rows[computed]).residuals(model))
        good[computed] = worst < WORST
    return mean, good


def start_from(parameters: Tensor) -> Tensor:
    """Coordinates (B, 14) of parameters (B, 14)."""
    return to_coordinates(regular(parameters.double()))
