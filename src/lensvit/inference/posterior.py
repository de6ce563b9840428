"""The posterior density of systems seen by one camera, with its gradient and its information.

It is the product of the likelihood (:mod:`lensvit.inference.likelihood`) of the model image at some coordinates
(:mod:`lensvit.inference.coordinates`) and of the prior density of the parameters there
(:mod:`lensvit.inference.prior`). The quasar images of a model come from the lens equation, solved for each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lensvit.inference.coordinates import sheared, to_parameters
from lensvit.inference.likelihood import Equations, Likelihood, by_coordinates
from lensvit.inference.prior import LogPrior
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.power_law import inside
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.parameters import NAMES

QuasarSolver = Callable[[Tensor, int], tuple[Tensor, Tensor, Tensor]]
# smallest values that a system is computed for
LEAST = {"theta_E": 0.02, "R_sersic": 0.02, "n_sersic": 0.3, "source_R_sersic": 0.005, "source_n_sersic": 0.17}


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
        Function of parameters (b, 14) and ``max_images`` in place of :func:`solve_quasar_images`.
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
        self.quasars = quasars or solve_quasar_images

    def __len__(self) -> int:
        return len(self.data)

    def likelihood(self, rows: Tensor, model_error: float = 0.0) -> Likelihood:
        """The likelihood of some systems, see :class:`lensvit.inference.likelihood.Likelihood`."""
        return Likelihood(self.data[rows], self.sigma_bkg[rows], self.exposure, model_error)

    def log_density(self, coordinates: Tensor, rows: Tensor, model_error: float = 0.0) -> Tensor:
        """Log posterior (b,) without a constant; minus infinity where no image can be computed."""
        result = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        model, good = self.model_images(coordinates)
        if good.any():
            density = self.likelihood(rows[good], model_error).log_density(model)
            density = density + self.prior.log_density(to_parameters(coordinates[good]))
            result[good] = torch.where(density.isfinite(), density, -torch.inf)
        return result

    def model_images(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Model images where they can be computed.

        Parameters
        ----------
        coordinates
            Coordinates (b, 14).

        Returns
        -------
        images : Tensor
            Images (g, ny, nx) [counts/s per pixel] of the g coordinates that have one.
        good : Tensor
            Whether each of the coordinates has one, (b,).
        """
        good = possible(coordinates)
        parameters = to_parameters(coordinates[good])
        positions, magnification, solved = self.quasars(parameters, self.max_images)
        good[good.clone()] = solved
        if not good.any():
            return self.data[:0], good
        return self.renderer.images(parameters[solved], positions[solved], magnification[solved]), good

    def equations(self, coordinates: Tensor, rows: Tensor, model_error: float = 0.0) -> Equations:
        """Gradient and information of the posterior by the coordinates.

        Parameters
        ----------
        coordinates
            Coordinates (b, 14) for each of which an image can be computed.
        rows
            The systems that they belong to, (b,).
        model_error
            A further relative error of the model image, see :class:`lensvit.inference.likelihood.Likelihood`.
        """
        parameters = sheared(to_parameters(coordinates))
        positions, magnification, _ = self.quasars(parameters, self.max_images)
        parts = []
        for row in range(len(rows)):  # derivatives of one image are large
            here = slice(row, row + 1)
            image, slopes = self.renderer.jacobian(parameters[here], positions[here], magnification[here])
            parts.append(self.likelihood(rows[here], model_error).equations(image, slopes))
        whole = Equations(*(torch.cat(part) for part in zip(*parts, strict=True)))
        return by_coordinates(whole + self.prior.equations(parameters), parameters)


def possible(coordinates: Tensor) -> Tensor:
    """Whether a system can be computed at all, (B,), for coordinates (B, 14)."""
    good = inside(to_parameters(coordinates))
    for name, least in LEAST.items():
        good = good & (coordinates[:, NAMES.index(name)] >= least)
    return good


def solve_quasar_images(parameters: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The brightest quasar images of systems.

    Parameters
    ----------
    parameters
        Parameters (B, 14).
    most
        Largest number of images of a system.

    Returns
    -------
    positions : Tensor
        Positions (B, most, 2) [arcsec].
    magnification : Tensor
        Magnifications (B, most); 0 where a system has fewer images.
    solved : Tensor
        Whether a system's images were found, (B,).
    """
    positions = parameters.new_zeros(len(parameters), most, 2)
    magnification = parameters.new_zeros(len(parameters), most)
    solved = torch.ones(len(parameters), dtype=torch.bool)
    systems = [dict(zip(NAMES, values, strict=True)) for values in parameters.tolist()]
    for row, images in enumerate(solve(systems)):
        if not isinstance(images, QuasarImages):
            solved[row] = False
            continue
        images = images.brightest(most)
        positions[row, : len(images), 0] = torch.as_tensor(images.x)
        positions[row, : len(images), 1] = torch.as_tensor(images.y)
        magnification[row, : len(images)] = torch.as_tensor(images.magnification)
    return positions, magnification, solved
