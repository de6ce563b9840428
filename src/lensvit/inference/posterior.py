"""The posterior density of systems seen by one camera, with its gradient and its information.

It is the product of the likelihood (:mod:`lensvit.inference.likelihood`) of the model image at some coordinates
(:mod:`lensvit.inference.coordinates`) and of the prior density of the parameters there
(:mod:`lensvit.inference.prior`). The quasar images of a model come from the lens equation, solved for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lensvit.inference.coordinates import sheared, to_parameters
from lensvit.inference.following import Follower, QuasarSolver, solve_quasar_images
from lensvit.inference.goodness import WORST, chi_square
from lensvit.inference.likelihood import Equations, Likelihood, by_coordinates
from lensvit.inference.prior import ROUNDING, LogPrior
from lensvit.lensing.power_law import inside
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.parameters import NAMES, PARAMETERS, Parameter
from lensvit.psf.kernel import FWHM_IN_SIGMAS, fwhm


class Models(NamedTuple):
    """Model images of b coordinates, of which g have one.

    Parameters
    ----------
    coordinates
        Coordinates (b, 14).
    good
        Whether each of them has an image, (b,).
    images
        Images (g, ny, nx) [counts/s per pixel].
    positions
        Positions (g, M, 2) of the quasar images [arcsec].
    magnification
        Their magnifications (g, M), 0 for an absent one.
    """

    coordinates: Tensor
    good: Tensor
    images: Tensor
    positions: Tensor
    magnification: Tensor

    def rows(self, rows: slice | Tensor) -> Models:
        """Some of the models, if the images are spread over all coordinates or each has one."""
        return Models(*(part[rows] for part in self))

    def spread(self) -> Models:
        """The same with images and quasar images of all b coordinates, 0 where there is none."""
        if len(self.images) == len(self.good):
            return self
        parts = [part.new_zeros(len(self.good), *part.shape[1:]) for part in self[2:]]
        for whole, part in zip(parts, self[2:], strict=True):
            whole[self.good] = part
        return Models(self.coordinates, self.good, *parts)

    def replace(self, rows: Tensor, models: Models) -> None:
        """Put other models in place of some rows (r,)."""
        for part, other in zip(self, models, strict=True):
            part[rows] = other


class Posterior:
    """The posterior density of B systems seen by one camera.

    Methods take ``coordinates`` (b, 14), and ``rows`` (b,), the systems that these belong to.

    Parameters
    ----------
    renderer
        Renderer of the camera.
    data
        Noisy images (B, ny, nx) [counts/s per pixel].
    sigma_bkg
        Standard deviation of the background noise of each image, (B,) [counts/s per pixel].
    exposure
        Exposure time [s].
    prior
        Prior of the parameters.
    max_images
        Number of the brightest quasar images that an image shows.
    quasars
        Function of parameters (b, 14) and ``max_images`` in place of
        :func:`lensvit.inference.following.solve_quasar_images`.
    """

    magnified = True  # whether the quasar images' fluxes are those that the lens gives them
    table: Sequence[Parameter] = PARAMETERS  # rows of the table of the parameters behind the coordinates

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
        self.quasars = quasars or solve_quasar_images

    def __len__(self) -> int:
        return len(self.data)

    @property
    def width(self) -> float:
        """Width of the PSF, as a standard deviation [arcsec]."""
        return fwhm(self.renderer.kernel, self.renderer.pixel_scale) / FWHM_IN_SIGMAS

    @property
    def nothing(self) -> Tensor:
        """The images of no models, (0, ny, nx)."""
        return self.data[:0]

    def near(self, coordinates: Tensor, row: int = 0) -> Posterior:
        """The posterior of one system, faster for many draws near some places such as its maxima.

        Its densities are the same but for rounding, everywhere; see :class:`NearPosterior`.

        Parameters
        ----------
        coordinates
            Coordinates (m, 14) of the places.
        row
            The system.
        """
        one = slice(row, row + 1)
        return NearPosterior(
            self.renderer.compiled(), self.data[one], self.sigma_bkg[one], self.exposure, self.prior, self.max_images,
            Follower(to_parameters(coordinates)),
        )  # fmt: skip

    def likelihood(self, rows: Tensor, model_error: float = 0.0) -> Likelihood:
        """The likelihood of some systems, see :class:`lensvit.inference.likelihood.Likelihood`."""
        return Likelihood(self.data[rows], self.sigma_bkg[rows], self.exposure, model_error, self.renderer.exposure_map)

    def log_density(self, coordinates: Tensor, rows: Tensor, model_error: float = 0.0) -> Tensor:
        """Log posterior (b,) without a constant; minus infinity where no image can be computed."""
        return self.density_of(self.models(coordinates), rows, model_error)

    def models(self, coordinates: Tensor) -> Models:
        """The model images of coordinates (b, 14), where they can be computed."""
        good, parameters, positions, magnification = self._systems(coordinates)
        images = self.renderer.images(parameters, positions, magnification) if good.any() else self.nothing
        return Models(coordinates, good, images, positions, magnification)

    def _systems(self, coordinates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Which of the coordinates have an image, and their parameters, quasar images and magnifications of these."""
        good = self.possible(coordinates)
        parameters = to_parameters(coordinates[good])
        positions, magnification, solved = self.quasars(parameters[:, : len(NAMES)], self.max_images)
        good[good.clone()] = solved
        if not solved.all():
            parameters, positions, magnification = parameters[solved], positions[solved], magnification[solved]
        return good, parameters, positions, magnification

    def possible(self, coordinates: Tensor) -> Tensor:
        """Whether systems at coordinates (b, 14) can be computed at all, (b,)."""
        return possible(coordinates, self.table)

    def density_of(self, models: Models, rows: Tensor, model_error: float = 0.0) -> Tensor:
        """Log posterior (b,) of models without a constant; minus infinity where there is no image."""
        result = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        good = models.good
        if good.any():
            images = models.images if len(models.images) < len(good) or good.all() else models.images[good]
            density = self.likelihood(rows[good], model_error).log_density(images)
            density = density + self.prior.log_density(to_parameters(models.coordinates[good]))
            result[good] = torch.where(density.isfinite(), density, -torch.inf)
        return result

    def explained(self, coordinates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the model images at some coordinates explain the data, see :mod:`lensvit.inference.goodness`.

        Parameters
        ----------
        coordinates
            Coordinates (b, 14).
        rows
            The systems that these belong to, (b,).

        Returns
        -------
        mean : Tensor
            chi^2 per pixel, (b,); infinity where no image can be computed.
        good : Tensor
            Whether no part of the image deviates, (b,).
        """
        mean = torch.full((len(rows),), torch.inf, dtype=torch.float64)
        good = torch.zeros(len(rows), dtype=torch.bool)
        models = self.models(coordinates)
        computed = models.good
        if computed.any():
            mean[computed], good[computed] = self._goodness(models.images, rows[computed])
        return mean, good

    def _goodness(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """chi^2 per pixel and verdict (g,) of model images (g, ny, nx)."""
        mean, worst = chi_square(self.likelihood(rows).residuals(images), self.renderer.exposure_map)
        return mean, worst < WORST

    def slopes(self, models: Models) -> Tensor:
        """Derivatives (b, 14, ny, nx) by the parameters of the images of models that all have one."""
        parameters = sheared(to_parameters(models.coordinates))
        return self.renderer.jacobian(parameters, models.positions, models.magnification)[1]

    def equations(
        self, models: Models, rows: Tensor, model_error: float = 0.0, slopes: Tensor | None = None
    ) -> Equations:
        """Gradient and information of the posterior by the coordinates.

        Parameters
        ----------
        models
            Models of b coordinates that all have an image.
        rows
            The systems that they belong to, (b,).
        model_error
            A further relative error of the model image, see :class:`lensvit.inference.likelihood.Likelihood`.
        slopes
            Derivatives (b, 14, ny, nx) as of :meth:`slopes`; None to compute them, for one image after the other.
        """
        parameters = sheared(to_parameters(models.coordinates))
        parts = []
        for row in range(len(rows)):
            one = models.rows(slice(row, row + 1))
            by = self.slopes(one) if slopes is None else slopes[row : row + 1]
            parts.append(self.likelihood(rows[row : row + 1], model_error).equations(one.images, by))
        whole = Equations(*(torch.cat(part) for part in zip(*parts, strict=True)))
        return by_coordinates(whole + self.prior.equations(parameters), parameters)


class NearPosterior(Posterior):
    """The posterior density of one system, whose densities cost less.

    Quasar images are followed, see :class:`lensvit.inference.following.Follower`. On a CPU compiled loops compute the
    light of galaxies and the sum over pixels, and one image after the other is kept no longer than for its sum.
    """

    def log_density(self, coordinates: Tensor, rows: Tensor, model_error: float = 0.0) -> Tensor:
        """Log posterior (b,) without a constant; minus infinity where no image can be computed."""
        plain = self.renderer.device.type == "cpu" and self.renderer.dtype == torch.float32
        if not plain or self.renderer.exposure_map is not None:
            return super().log_density(coordinates, rows, model_error)
        good, parameters, positions, magnification = self._systems(coordinates)
        likelihood, sums = self.likelihood(torch.arange(1), model_error).compiled(), [0.0] * int(good.sum())

        def visit(place: int, image: Tensor) -> None:
            sums[place] = likelihood(image)

        self.renderer.visit(parameters, positions, magnification, visit)
        density = torch.tensor(sums, dtype=torch.float64) + self.prior.log_density(parameters)
        result = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        result[good] = torch.where(density.isfinite(), density, -torch.inf)
        return result


def possible(coordinates: Tensor, table: Sequence[Parameter] = PARAMETERS) -> Tensor:
    """Whether a system can be computed at all, (B,), by the bounds of the parameters and of the ellipticity.

    Parameters
    ----------
    coordinates
        Coordinates (B, P).
    table
        Rows of the table of the P parameters.
    """
    parameters = to_parameters(coordinates)
    low, high = torch.tensor([[row.low, row.high] for row in table], dtype=torch.float64).unbind(1)
    low, high = low - ROUNDING * (1 + low.abs()), high + ROUNDING * (1 + high.abs())
    return inside(parameters) & ((parameters >= low) & (parameters <= high)).all(1)
