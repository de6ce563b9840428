"""Where a fit to an image starts: lenses that explain what is easily measured in it.

A quasar's image is a point, so that pixels tell nothing of a lens whose images fall a width of the PSF away.
Three steps therefore come before any fit to all pixels: the light of the lens galaxy is fitted away from the images;
peaks are found in what is left (:mod:`lensvit.inference.peaks`); and lenses are sought that map these peaks to one
quasar (:mod:`lensvit.inference.quasar_match`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.coordinates import ANGLE, COORDINATES, SIZE, to_parameters
from lensvit.inference.peaks import PeakFinder, Peaks
from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import Gaussian, Match, QuasarMatcher, bounded
from lensvit.lensing.noise import LEAST_SHARE
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.samples import sample_axis
from lensvit.parameters import TARGET_NAMES
from lensvit.psf.kernel import Kernel

WIDENING = 2.0  # factor on a network's sigma: it may be too sure
SHRINKAGE = 0.1  # part of a network's correlations that is left out, since few draws overestimate them

LIGHT = ("center_x", "center_y", "e1", "e2", "R_sersic", "n_sersic")
LIGHT_COLUMNS = [COORDINATES.index(name) for name in LIGHT]
LIGHT_ERROR = (0.01, 0.01, 0.05, 0.05, 0.03, 0.1)  # error of LIGHT in the fit of the lens light: arcs shine through
LIGHT_STEPS = 8  # most steps of this fit
LIGHT_STILL = 1e-3  # largest step that ends it, in units of LIGHT_ERROR
LONGEST_STEP = (0.02, 0.02, 0.15, 0.15, 0.1, 0.3)
WITHOUT_ARCS = (0.4, 2.2)  # the lens light is seen nearer to and farther from the centre [Einstein radii]
MODEL_ERROR = 0.05  # relative error of the lens light's model
TOO_BRIGHT = 3.0  # pixels so far above the lens light show something else [standard deviations]

CENTRAL = 0.1  # radius around the lens without peaks [arcsec]
FAINTEST = 0.1  # smallest flux of a peak, in units of the quasar's: the tips of arcs are fainter
MOST_PEAKS = 4
POOR = 60.0  # chi^2 of a match from which on the faintest peak may be no image of the quasar
FLUX_BIAS = 1.015  # measured over true flux of a peak, which stands on an arc's crest


def from_prior(prior: LogPrior) -> Gaussian:
    """The prior as a Gaussian in coordinates, for which the shear has no known direction."""
    mean, sd = prior.center.clone(), torch.where(prior.sd.isfinite(), prior.sd, prior.reach)
    component = sd[SIZE].clone() if prior.isotropic else torch.sqrt((mean[SIZE] ** 2 + sd[SIZE] ** 2) / 2)
    mean[[SIZE, ANGLE]], sd[[SIZE, ANGLE]] = 0.0, component
    return Gaussian(mean, torch.diag(sd**-2))


def from_draws(draws: np.ndarray, prior: LogPrior) -> Gaussian:
    """A network's draws of the targets as a Gaussian in coordinates, with the prior of what it does not predict.

    A single draw has no spread: the prior's stands around it.

    Parameters
    ----------
    draws
        Draws (passes, 8) of the targets.
    prior
        Prior of the parameters.
    """
    known = from_prior(prior)
    columns = [COORDINATES.index(name) for name in TARGET_NAMES]
    mean, precision = known.mean.clone(), known.precision.clone()
    mean[columns] = torch.as_tensor(draws.mean(0), dtype=torch.float64)
    if len(draws) < 2:
        return Gaussian(mean, precision)
    covariance = torch.as_tensor(np.cov(draws, rowvar=False)) * WIDENING**2
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * torch.diag(torch.diag(covariance))
    covariance = covariance + torch.diag(1e-4 / known.precision[columns, columns])  # draws may be all the same
    precision[np.ix_(columns, columns)] = torch.linalg.inv(covariance)
    return Gaussian(mean, precision)


class Starter:
    """Finds starts in the images of one camera.

    Parameters
    ----------
    renderer
        Renderer of the camera.
    kernel
        The camera's PSF.
    supersampling
        Supersampling of the quasar images, as the renderer's.
    """

    def __init__(self, renderer: BatchedRenderer, kernel: Kernel, supersampling: int = 1) -> None:
        self.renderer = renderer
        self.finder = PeakFinder(renderer.pixels, kernel, supersampling)
        self.axis = torch.as_tensor(sample_axis(renderer.pixels, renderer.pixel_scale, 1))  # of pixels, not of samples
        mapped = np.ones((1, 1)) if renderer.exposure_map is None else renderer.exposure_map
        every = torch.as_tensor(mapped, dtype=torch.float64).expand(renderer.pixels, renderer.pixels)
        self.share, self.seen = every.clamp_min(LEAST_SHARE), every > 0

    def candidates(
        self,
        image: np.ndarray,
        sigma_bkg: float,
        exposure: float,
        known: Gaussian,
        count: int,
        seed: int,
        thorough: bool = False,
    ) -> Tensor:
        """Coordinates (C, 14) to start from, in no order.

        Parameters
        ----------
        image
            Noisy image (ny, nx) [counts/s per pixel].
        sigma_bkg
            Standard deviation of the background noise [counts/s per pixel].
        exposure
            Exposure time [s].
        known
            What is known of the system apart from the image.
        count
            Number of draws from which lenses are matched to the peaks.
        seed
            Seed of these draws.
        thorough
            Whether the brighter peaks alone are matched too, however well all of them are matched.
        """
        data = torch.as_tensor(image, dtype=torch.float64)
        light = self.lens_light(data, sigma_bkg, exposure, known)
        known = known.updated(LIGHT_COLUMNS, light, torch.tensor(LIGHT_ERROR, dtype=torch.float64))
        peaks = self._peaks(data, sigma_bkg, exposure, bounded(known.mean[None]), light)
        generator = torch.Generator().manual_seed(seed)
        starts = torch.cat([known.mean[None], known.draw(count - 1, generator)])
        found = [bounded(known.mean[None])]
        most = len(peaks.flux)
        for number in range(most, min(most, 2) - 1, -1) if most else ():
            match = self._matched(peaks.brightest(number), known, starts)
            found.append(match.coordinates[match.cost.isfinite()])
            if match.cost[0] < POOR and not thorough:
                break
        return torch.cat(found)

    def lens_light(self, data: Tensor, sigma_bkg: float, exposure: float, known: Gaussian) -> Tensor:
        """The six coordinates ``LIGHT`` of the lens galaxy, from pixels in which nothing else is seen.

        Parameters
        ----------
        data
            Noisy image (ny, nx) [counts/s per pixel].
        sigma_bkg
            Standard deviation of the background noise [counts/s per pixel].
        exposure
            Exposure time [s].
        known
            What is known of the system apart from the image.
        """
        mean, precision = known.mean[LIGHT_COLUMNS], known.precision[LIGHT_COLUMNS, LIGHT_COLUMNS]
        axis = self.axis
        radius = torch.hypot(axis, axis[:, None]) / known.mean[COORDINATES.index("theta_E")].clamp_min(0.1)
        outside = ((radius < WITHOUT_ARCS[0]) | (radius > WITHOUT_ARCS[1])).flatten()
        data, share, seen = data.flatten(), self.share.flatten(), self.seen.flatten()
        longest = mean.new_tensor(LONGEST_STEP)
        value = mean.clone()
        for _ in range(LIGHT_STEPS):
            model, slopes = self._lens_galaxy(known, value, LIGHT)
            model, slopes = model.flatten(), slopes.flatten(1)
            spread = (sigma_bkg**2 + model.abs() / exposure) / share + (MODEL_ERROR * model) ** 2
            rest = data - model
            weight = (outside & seen & (rest < TOO_BRIGHT * spread.sqrt())) / spread
            normal = (slopes * weight) @ slopes.mT + torch.diag(precision)
            pull = slopes @ (weight * rest) + precision * (mean - value)
            before = value
            value = value + torch.linalg.solve(normal, pull).clamp(-longest, longest)
            value = self._with(known, value)[0, LIGHT_COLUMNS]
            if bool(((value - before).abs() < LIGHT_STILL * value.new_tensor(LIGHT_ERROR)).all()):
                break
        return value

    def _with(self, known: Gaussian, light: Tensor) -> Tensor:
        """Coordinates (1, 14) with another lens light, moved to where they can be computed."""
        value = known.mean[None].clone()
        value[0, LIGHT_COLUMNS] = light
        value[:, LIGHT_COLUMNS[-2:]] = value[:, LIGHT_COLUMNS[-2:]].clamp_min(0.3)
        return bounded(value)

    def _lens_galaxy(self, known: Gaussian, light: Tensor, by: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
        """The lens galaxy's image (ny, nx) and its derivatives (K, ny, nx) by some of ``LIGHT``, float64."""
        image, slopes = self.renderer.lens_light(to_parameters(self._with(known, light)), by)
        return image[0].double(), slopes[0].double()

    def _peaks(self, data: Tensor, sigma_bkg: float, exposure: float, mean: Tensor, light: Tensor) -> Peaks:
        """Peaks in an image without the lens galaxy's light."""
        model = self._lens_galaxy(Gaussian(mean[0], torch.empty(0)), light)[0]
        spread = (sigma_bkg**2 + data.abs() / exposure) / self.share + (MODEL_ERROR * model) ** 2
        least = FAINTEST * self.renderer.scene.quasar_amp
        image, variance, center = ((data - model) * self.seen).numpy(), spread.numpy(), light[:2].numpy()
        return self.finder.find(image, variance, center, CENTRAL, least, MOST_PEAKS)

    def _matched(self, peaks: Peaks, known: Gaussian, starts: Tensor) -> Match:
        """Lenses of which the peaks are the quasar images."""
        magnification = torch.as_tensor(peaks.flux) / FLUX_BIAS / self.renderer.scene.quasar_amp
        return QuasarMatcher(torch.as_tensor(peaks.position), magnification).match(known, starts)
