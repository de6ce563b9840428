"""Log densities of one system by the coordinates that its prior leaves free, as samplers take them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.inference.chart import Chart
from lensvit.inference.coordinates import ANGLE, SIZE, coordinate_jacobian, sheared, to_parameters
from lensvit.inference.likelihood import covariance
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import KNOWN, LogPrior
from lensvit.inference.search import climb
from lensvit.lensing.observed import noisy_images
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import LensModel, full_priors
from lensvit.parameters import NAMES

AT_ONCE = 16  # images at a time, so that they and their noise stay in the cache
CLIMB = 20  # most steps of a search that starts far out
ONLY_SYSTEM = torch.zeros(1, dtype=torch.long)  # the row of a posterior of one system


class FreeCoordinates:
    """The coordinates of a lens that its prior leaves free, d of the 14.

    Parameters
    ----------
    prior
        The prior; what it knows exactly is held, and both components of the shear are free if one of them is.
    """

    def __init__(self, prior: LogPrior) -> None:
        free = prior.sd > KNOWN
        shear = [SIZE, ANGLE]
        self.shear = bool(free[shear].any())
        free[shear] = self.shear
        self.free = torch.nonzero(free)[:, 0]
        self.rest = prior.center.clone()
        self.rest[ANGLE] = 0.0  # the second component of a shear of known size 0

    def coordinates(self, values: np.ndarray) -> Tensor:
        """Coordinates (n, 14) from the free ones (n, d)."""
        result = self.rest.repeat(len(values), 1)
        result[:, self.free] = torch.as_tensor(values)
        return result

    def values(self, coordinates: Tensor) -> np.ndarray:
        """The free coordinates (n, d) of coordinates (n, 14)."""
        return coordinates[:, self.free].numpy()

    def parameters(self, values: np.ndarray) -> np.ndarray:
        """Parameters (n, 14) from the free coordinates (n, d); the shear's angle lies between 0 and pi."""
        return to_parameters(self.coordinates(values)).numpy()


class LensTarget(FreeCoordinates):
    """Log prior and log likelihood of one system by its free coordinates.

    The prior is that of the parameters, among them the size g and the angle of the shear. Chains walk in the
    components of the shear, in which the density of the same prior has a factor 1 / g. A search for the maximum
    (:mod:`lensvit.inference.search`) leaves this factor out, and a sampler needs it.

    Parameters
    ----------
    posterior
        The posterior of the system.
    """

    def __init__(self, posterior: Posterior) -> None:
        super().__init__(posterior.prior)
        self.posterior = posterior

    def __call__(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log prior (n,) and log likelihood (n,) at free coordinates (n, d)."""
        coordinates = self.coordinates(values)
        parameters = to_parameters(coordinates)
        prior = self.posterior.prior.log_density(parameters)
        parts = [self.posterior.log_density(part, ONLY_SYSTEM.expand(len(part))) for part in coordinates.split(AT_ONCE)]
        likelihood = torch.cat(parts) - prior
        if self.shear and not self.posterior.prior.isotropic:
            prior = prior - parameters[:, SIZE].log()
        return prior.numpy(), likelihood.numpy()

    def explained(self, values: np.ndarray) -> tuple[float, bool]:
        """The chi^2 a pixel at free coordinates (d,), and whether the image there explains the data."""
        mean, good = self.posterior.explained(self.coordinates(values[None]), ONLY_SYSTEM)
        return float(mean), bool(good)


class SampledLens(LensTarget):
    """The posterior of one system as :mod:`lensvit.inference.importance` samples it, by its free coordinates.

    Parameters
    ----------
    posterior
        The posterior of the system.
    maxima
        Coordinates (m, 14) of the maxima that are known, near which densities cost less.

    Attributes
    ----------
    calls : int
        Likelihood calls so far, the derivatives of one image counting as one for each free coordinate.
    """

    def __init__(self, posterior: Posterior, maxima: Tensor) -> None:
        super().__init__(posterior.near(maxima))
        self.whole, self.calls = posterior, 0

    def log_density(self, places: np.ndarray) -> np.ndarray:
        """Log densities (n,) at free coordinates (n, d), minus infinity where there is no image."""
        result = np.full(len(places), -np.inf)
        inside = np.isfinite(self.posterior.prior.log_density(to_parameters(self.coordinates(places))).numpy())
        self.calls += int(inside.sum())
        if inside.any():
            density = np.add(*self(places[inside]))
            result[inside] = np.where(np.isfinite(density), density, -np.inf)
        return result

    def chart(self, mean: np.ndarray, spread: np.ndarray) -> Chart:
        """The chart around a maximum, in which positions and fluxes of the quasar's images are linear.

        Parameters
        ----------
        mean
            The maximum (d,).
        spread
            Covariance (d, d) there.
        """
        return Chart.straight(mean, spread).bent(self.features(mean))

    def features(self, mean: np.ndarray) -> ImageFeatures:
        """Positions and log fluxes of the quasar's images as functions of free coordinates, in units of their errors.

        An image of the magnification m is known in proportion to the root of m, in position as to the width of the
        PSF, in log flux as to 1, or not at all where fluxes are free. A place has features if it has all images of the
        maximum (d,).
        """
        return ImageFeatures(self, mean)

    def images(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, magnifications and success of the quasar's images, as of a solver of the lens equation."""
        parameters = to_parameters(self.coordinates(places))[:, : len(NAMES)]
        found = self.posterior.quasars(parameters, self.posterior.max_images)
        position, magnification, solved = (part.numpy() for part in found)
        return position, magnification, solved

    def local(self, places: np.ndarray) -> Sequence[Chart]:
        """Charts at free coordinates (n, d), as wide as the curvature of the log density there."""
        models = self.whole.models(self.coordinates(places))
        if not models.good.all():
            return self.local(places[models.good.numpy()]) if models.good.any() else ()
        self.calls += len(places) * (1 + places.shape[1])
        information = self.whole.equations(models, ONLY_SYSTEM.expand(len(places))).information
        return self._charts(places, information)

    def climbed(self, places: np.ndarray) -> Sequence[Chart]:
        """Charts around the maxima that explain the image to which searches from free coordinates (n, d) have led."""
        rows = ONLY_SYSTEM.expand(len(places))
        fit = climb(self.whole, self.coordinates(places), rows, CLIMB)
        self.calls += int(fit.iterations.sum()) * (1 + places.shape[1])
        good = fit.at_maximum() & self.whole.explained(fit.coordinates, rows)[1]
        found = self._charts(self.values(fit.coordinates[good]), fit.information[good])
        return [chart.bent(self.features(chart.mean)) for chart in found]

    def _charts(self, places: np.ndarray, information: Tensor) -> list[Chart]:
        """Charts at those free coordinates (n, d) whose information (n, 14, 14) has an inverse."""
        information = information[:, self.free][:, :, self.free]
        good = torch.linalg.cholesky_ex(information)[1] == 0  # else data and prior leave a direction open
        spread = covariance(information[good])[0].numpy()
        return [Chart.straight(place, matrix) for place, matrix in zip(places[good.numpy()], spread, strict=True)]


class ImageFeatures:
    """Positions and log fluxes of a quasar's images as functions of places, see :meth:`SampledLens.features`.

    Parameters
    ----------
    lens
        The lens.
    mean
        The maximum (d,).
    """

    def __init__(self, lens: SampledLens, mean: np.ndarray) -> None:
        self.lens, self.mean = lens, mean
        self.width = lens.posterior.width if lens.posterior.magnified else 0.0
        here, size, _ = lens.images(mean[None])
        present = size[0] != 0
        self.here, self.size = here[:, present], size[:, present]
        self.weight = np.sqrt(np.abs(self.size))

    def __call__(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, F) of places (n, d), and whether a place has them, (n,)."""
        position, magnification, same = self._matched(places)
        flux = np.log(np.abs(np.where(magnification == 0, 1.0, magnification)))
        parts = [
            (position * self.weight[..., None]).reshape(len(places), 2 * position.shape[1]),
            flux * self.weight * self.width,
        ]
        return np.concatenate(parts, 1), same

    def slopes(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives (n, F, d) of the features by the places (n, d), and whether a place has them, (n,)."""
        position, magnification, same = self._matched(places)
        lensed = slice(0, len(NAMES))
        same = same & inside(to_parameters(self.lens.coordinates(places))[:, lensed]).numpy()
        places = np.where(same[:, None], places, self.mean)
        parameters = sheared(to_parameters(self.lens.coordinates(places)))
        law = PowerLaw(parameters[:, lensed])
        there = torch.complex(*torch.as_tensor(position).unbind(-1))
        there = torch.where(torch.as_tensor(magnification == 0), law.center + law.theta_E, there)
        moved, brightened = law.moving_images(there)  # (n, M, 14)
        weight = torch.as_tensor(self.weight)[..., None]
        by_position = torch.stack([moved.real, moved.imag], 2) * weight[..., None]  # (n, M, 2, 14)
        by = torch.cat([by_position.flatten(1, 2), brightened * weight * self.width], 1)
        change = coordinate_jacobian(parameters)[:, lensed][:, :, self.lens.free]
        return (by @ change).numpy(), same

    def _matched(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions (n, M, 2) and magnifications (n, M) of the images of the maximum, and whether all are there."""
        position, magnification, solved = self.lens.images(places)
        distance = np.linalg.norm(position[:, None] - self.here[:, :, None], axis=-1)  # (n, M, slots)
        nearest = np.where(magnification[:, None] != 0, distance, np.inf).argmin(2)
        position = np.take_along_axis(position, nearest[..., None], 1)
        magnification = np.take_along_axis(magnification, nearest, 1)
        own = np.diff(np.sort(nearest, 1), axis=1).all(1)  # no image stands for two
        return position, magnification, solved & own & (np.sign(magnification) == np.sign(self.size)).all(1)


def observed_posterior(settings: LensModel, row: pd.DataFrame, images: Path, renderer: BatchedRenderer) -> Posterior:
    """The posterior of one system of the catalogue.

    Parameters
    ----------
    settings
        What is known of the lenses.
    row
        The system's row of the catalogue, a table of one row.
    images
        The run's folder of images.
    renderer
        Renderer of the system's camera.

    Raises
    ------
    LensvitError
        If the image file is absent or broken.
    """
    system = row.iloc[0]
    data, [exposure] = noisy_images(images / system["psf"] / f"{system['chunk']}.h5", row)
    prior = LogPrior(full_priors(settings.priors), settings.external_shear)
    sigma = torch.tensor(row["sigma_bkg"].to_numpy(dtype=float))
    return Posterior(renderer, torch.as_tensor(data), sigma, exposure, prior, settings.scene.max_images)
