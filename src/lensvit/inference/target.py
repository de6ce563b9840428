"""Log densities of one system by the coordinates that its prior leaves free, as samplers take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.inference.coordinates import ANGLE, SIZE, to_parameters
from lensvit.inference.goodness import explained
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import KNOWN, LogPrior
from lensvit.lensing.observed import noisy_images
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import LensModel, full_priors

AT_ONCE = 16  # images at a time, so that they and their noise stay in the cache
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
        if self.shear:
            prior = prior - parameters[:, SIZE].log()
        return prior.numpy(), likelihood.numpy()

    def explained(self, values: np.ndarray) -> tuple[float, bool]:
        """The chi^2 a pixel at free coordinates (d,), and whether the image there explains the data."""
        mean, good = explained(self.posterior, self.coordinates(values[None]), ONLY_SYSTEM)
        return float(mean), bool(good)


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
    data, exposure = noisy_images(images / system["psf"] / f"{system['chunk']}.h5", row)
    prior = LogPrior(full_priors(settings.priors), settings.external_shear)
    sigma = torch.tensor(row["sigma_bkg"].to_numpy(dtype=float))
    return Posterior(renderer, torch.as_tensor(data), sigma, exposure, prior, settings.scene.max_images)
