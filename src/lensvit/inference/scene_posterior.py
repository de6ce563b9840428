"""The posterior density of one scene with free amplitudes, by the parameters that are not linear.

It is a :class:`lensvit.inference.posterior.Posterior` of one system, so that searches and samplers take it as any
other. Its images are those of the scene's parts, (K, N), and its likelihood marginalises their amplitudes.

Where ellipticity and shear nearly cancel, a caustic is so small and its quasar so magnified that any four images of a
symmetric lens are explained. The prior is flat in the position of the source, so that such a needle in parameter space
is next to nothing of the posterior, and yet a search for its maximum would end in it. Searches therefore maximise the
density by positions of images, which is lower by the magnification, and samplers leave this factor out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lensvit.inference.bulge_share import BulgeShare
from lensvit.inference.coordinates import sheared, to_parameters
from lensvit.inference.following import Follower, QuasarSolver, solve_quasar_images
from lensvit.inference.likelihood import Equations, by_coordinates
from lensvit.inference.linear import LinearLikelihood, Solution
from lensvit.inference.posterior import Models, Posterior, possible
from lensvit.inference.prior import LogPrior
from lensvit.lensing.parts import Parts
from lensvit.lensing.power_law import PowerLaw
from lensvit.lensing.structure import FLATTEST, LENS_SHAPE, SOURCE_SHAPE
from lensvit.parameters import NAMES
from lensvit.psf.kernel import FWHM_IN_SIGMAS, fwhm

WORST_MEAN = 1.5  # largest chi^2 per pixel of an image that is explained


class ScenePosterior(Posterior):
    """The posterior density of a scene, given its noisy image or images.

    Methods take ``coordinates`` (b, P) in the order of the names of the scene's structure, and ``rows`` (b,), which are
    all 0.

    Parameters
    ----------
    parts
        What the images consist of.
    data
        The N pixels of all exposures [counts/s per pixel].
    variance
        Variance of their noise (N,), infinite where a pixel does not count.
    scale
        Standard deviation of the prior of each amplitude (K,); amplitudes of light are known to be positive.
    prior
        Prior of the parameters.
    by_images
        Whether densities are those by positions of images in place of the source's.
    together
        Number of pixels that count as one in ``variance``, see :mod:`lensvit.observations.noise_model`.
    quasars
        As of :class:`lensvit.inference.posterior.Posterior`.
    """

    def __init__(
        self,
        parts: Parts,
        data: Tensor,
        variance: Tensor,
        scale: Tensor,
        prior: LogPrior,
        together: float = 1.0,
        by_images: bool = True,
        quasars: QuasarSolver | None = None,
    ) -> None:
        self.parts, self.data, self.noise, self.scale = parts, data[None], variance, scale
        self.together, self.by_images = together, by_images
        self.prior, self.max_images, self.table = prior, parts.structure.most_images, parts.structure.table
        self.quasars = quasars or solve_quasar_images
        self.share = BulgeShare(parts.structure.names) if parts.structure.bulge else None
        self.magnified = not parts.structure.quasar_fluxes
        self.renderer = parts  # type: ignore[assignment]  # the images of this posterior are parts

    @property
    def width(self) -> float:
        """Width of the PSF of the first exposure, as a standard deviation [arcsec]."""
        exposure = self.parts.exposures[0]
        return fwhm(exposure.native_kernel, exposure.pixel_scale) / FWHM_IN_SIGMAS

    @property
    def nothing(self) -> Tensor:
        """The parts of no models, (0, K, N)."""
        return self.data.new_zeros(0, self.parts.count, self.data.shape[1])

    def near(self, coordinates: Tensor, row: int = 0) -> ScenePosterior:
        """The posterior by the source's position, whose quasar images are followed from those at coordinates (m, P)."""
        reference = to_parameters(coordinates)[:, : len(NAMES)]
        return ScenePosterior(
            self.parts,
            self.data[0],
            self.noise,
            self.scale,
            self.prior,
            self.together,
            False,
            Follower(reference),
        )

    def likelihood(self, rows: Tensor, model_error: float = 0.0) -> LinearLikelihood:  # type: ignore[override]
        """The likelihood, with a further error of the model image relative to the data."""
        [data] = self.data
        variance = self.noise + (model_error * data.clamp_min(0)) ** 2
        return LinearLikelihood(data, variance, self.scale**-2, self.parts.light, self.parts.known, self.parts.powers)

    def density_of(self, models: Models, rows: Tensor, model_error: float = 0.0) -> Tensor:
        """Log posterior (b,) of models without a constant; minus infinity where there is no image."""
        density = super().density_of(models, rows, model_error)
        if self.share is not None and models.good.any():
            density[models.good] += self.share.log_density(to_parameters(models.coordinates[models.good]))
        if self.by_images and models.good.any():
            magnification = models.magnification
            if len(magnification) == len(rows):
                magnification = magnification[models.good]
            density[models.good] -= magnification.abs().sum(1).log()
        return density

    def possible(self, coordinates: Tensor) -> Tensor:
        """Whether scenes at coordinates (b, P) can be computed at all, (b,)."""
        names, result = self.parts.structure.names, possible(coordinates, self.table)
        for shape in (LENS_SHAPE[2:], SOURCE_SHAPE):
            if shape[0] in names:
                columns = [names.index(name) for name in shape]
                result = result & (coordinates[:, columns].norm(dim=1) <= FLATTEST)
        return result

    def equations(
        self, models: Models, rows: Tensor, model_error: float = 0.0, slopes: Tensor | None = None
    ) -> Equations:
        """Gradient and information of the posterior by the coordinates, as of any posterior."""
        parameters, likelihood = sheared(to_parameters(models.coordinates)), self.likelihood(rows, model_error)
        found = []
        for row in range(len(rows)):
            one = models.rows(slice(row, row + 1))
            by = self.slopes(one) if slopes is None else slopes[row : row + 1]
            found.append(likelihood.equations(one.images, by))
        whole = Equations(*(torch.cat(part) for part in zip(*found, strict=True)))
        if self.by_images:
            brightened = self._brightened(parameters, models)
            whole = Equations(whole.gradient - brightened, whole.information)
        if self.share is not None:
            whole = Equations(whole.gradient + self.share.gradient(parameters), whole.information)
        return by_coordinates(whole + self.prior.equations(parameters), parameters)

    def _brightened(self, parameters: Tensor, models: Models) -> Tensor:
        """Derivatives (b, P) of the log of the whole magnification by the parameters."""
        result, lensed = torch.zeros_like(parameters), parameters[:, : len(NAMES)]
        law, present = PowerLaw(lensed), models.magnification != 0
        position = torch.complex(*models.positions.unbind(-1))
        position = torch.where(present, position, law.center + law.theta_E)  # anywhere but at the centre
        size = models.magnification.abs()
        share = size / size.sum(1, keepdim=True)
        result[:, : len(NAMES)] = (law.moving_images(position)[1] * share[..., None]).sum(1)
        return result

    def _goodness(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """chi^2 per pixel of parts (g, K, N), and whether it is what the errors of the model lead to expect, (g,)."""
        squares = self.likelihood(rows).residuals(images).square().sum(1) * self.together
        mean = squares / int(self.noise.isfinite().sum())
        return mean, mean < WORST_MEAN

    def solution(self, coordinates: Tensor) -> tuple[Tensor, Solution]:
        """The parts (K, N) at coordinates (P,), and their amplitudes."""
        [part] = self.models(coordinates[None]).images
        return part, self.likelihood(torch.zeros(1, dtype=torch.long)).solve(part)
