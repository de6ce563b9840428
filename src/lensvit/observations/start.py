"""Which peaks of an image are the quasar's, where the lens galaxy is, and lenses that explain it.

Every choice of two to four of the brightest peaks may be the images of one quasar, and one of the other peaks the lens
galaxy. Lenses are sought for each choice whose rays meet (:mod:`lensvit.inference.quasar_match`). Four images leave
little freedom, so that a good match of four is believed before one of three, and that before one of two. A peak may
also be the galaxy, or belong to an arc: where the image is not explained, fewer images are tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import QuasarMatcher, bounded
from lensvit.inference.starts import from_prior
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.spline_points import SplinePoints
from lensvit.observations.peaks import PSF_ERROR, Peaks
from lensvit.psf.kernel import fwhm

MOST_PEAKS = {4: 6, 3: 5, 2: 4}  # the brightest, among which so many images are sought
DRAWS = 16  # starts of a match
WITH_DRAWS = 10  # the first so many parameters and coordinates that starts differ in: those of the mass
ERROR = 0.005  # of positions in a match [arcsec]
# 1 / magnification of a typical image, and its errors, absolute and relative: microlensing and dust change fluxes by
# half and more, and no image of a lens that is found is magnified a hundredfold for certain
DETERMINANT, DETERMINANT_ERROR, FLUX_ERROR = 0.15, 0.1, 0.7
GOOD = {4: 25.0, 3: 12.0, 2: 50.0}  # largest chi^2 of a match with so many images that is believed
UNSEEN = 6.0  # chi^2 that speaks against a lens galaxy elsewhere than where one is seen
NUCLEUS = 1 / 3  # distance of a peak that is the lens galaxy's, in units of that of the nearest image of the quasar
APART = 2.0  # least distance of the lens galaxy from images of the quasar [FWHM of the PSF]
WIDER, STANDS_OUT = 3.0, 5.0  # what a galaxy is compared with [FWHM], and its least contrast [standard deviations]
FLAT = 1e4  # width of the prior of amplitudes, in units of what the image holds
GUESSED, LEAST_VARIANCE = 6, 1e-8  # parameters of a guess, and what is added to their variances
INSIDE = 0.8  # farthest distance of the lens galaxy from the middle of the images, in units of theirs


class Guess(NamedTuple):
    """What is thought of the mass of a lens before it is fitted, as by a network.

    Parameters
    ----------
    mean
        Values (6,) of theta_E, gamma, center_x, center_y, e1 and e2.
    covariance
        Their covariance (6, 6).
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, draws: np.ndarray) -> Guess:
        """The mean and the covariance of draws (n, 6 or more) of these parameters and perhaps others."""
        own = draws[:, :GUESSED]
        return cls(own.mean(0), np.atleast_2d(np.cov(own, rowvar=False)) + np.eye(GUESSED) * LEAST_VARIANCE)

    def draws(self, count: int, seed: int) -> np.ndarray:
        """The mean and draws around it, (count, 6) together."""
        rng = np.random.default_rng(seed)
        drawn = rng.multivariate_normal(self.mean, self.covariance, count - 1, method="eigh")
        return np.concatenate([self.mean[None], drawn])


class Hypothesis(NamedTuple):
    """Which peaks are the images of the quasar, and lenses that explain them.

    Parameters
    ----------
    positions
        Positions (M, 2) of the images [arcsec].
    fluxes
        Their fluxes (M,) [counts/s].
    center
        Where the lens galaxy is, (2,) [arcsec].
    seen
        Whether a peak shows it there.
    coordinates
        Coordinates (K, P) of lenses, the best first.
    cost
        chi^2 of each, (K,).
    """

    positions: np.ndarray
    fluxes: np.ndarray
    center: np.ndarray
    seen: bool
    coordinates: Tensor
    cost: Tensor


def galaxy_center(rest: np.ndarray, variance: np.ndarray, exposure: Exposure, images: np.ndarray) -> np.ndarray | None:
    """Where a galaxy is seen between images of a quasar, (2,) [arcsec]; None if none is.

    What is left of an image without the quasar's images is smoothed to the width of the PSF, and the brightest place
    between them is taken that stands out from its noise and from what lies around it.

    Parameters
    ----------
    rest
        Image (n, n) without the quasar's images [counts/s per pixel].
    variance
        Variance of its pixels, infinite where one does not count.
    exposure
        Its pixels.
    images
        Positions (M, 2) of the quasar's images [arcsec].
    """
    middle, width = images.mean(0), fwhm(exposure.native_kernel, 1.0)
    reach = float(np.hypot(*(images - middle).T).max())
    axis = (np.arange(exposure.pixels) - (exposure.pixels - 1) / 2) * exposure.pixel_scale
    x, y = axis + exposure.center[0], (axis + exposure.center[1])[:, None]
    counted = np.isfinite(variance)
    near = np.min([np.hypot(x - one[0], y - one[1]) for one in images], 0) <= APART * width * exposure.pixel_scale
    allowed = (np.hypot(x - middle[0], y - middle[1]) <= INSIDE * reach) & ~near & counted
    if not allowed.any():
        return None
    light = ndimage.gaussian_filter(np.where(counted, rest, 0.0), width)
    around = ndimage.gaussian_filter(np.where(counted, rest, 0.0), WIDER * width)
    noise = np.sqrt(
        ndimage.gaussian_filter(np.where(counted, variance, 0.0), width / np.sqrt(2)) / (4 * np.pi * width**2)
    )
    contrast = np.where(allowed, light - around, -np.inf)
    row, column = np.unravel_index(contrast.argmax(), contrast.shape)
    if contrast[row, column] < STANDS_OUT * noise[row, column]:
        return None
    return np.array([x[column], y[row, 0]])


def point_sources(exposure: Exposure, positions: np.ndarray) -> np.ndarray:
    """Images (M, n, n) of point sources of flux 1."""
    points = SplinePoints(exposure.kernel, exposure.oversampling, exposure.pixels, exposure.degree)
    return points.images(pixels_of(exposure, positions), slopes=False)[:, 0].numpy()


def pixels_of(exposure: Exposure, positions: np.ndarray) -> Tensor:
    """Column and row (M, 2) of positions (M, 2) [arcsec]."""
    offset = (positions - np.array(exposure.center)) / exposure.pixel_scale
    return torch.as_tensor(offset + (exposure.pixels - 1) / 2)


def galaxy_between(
    data: np.ndarray, variance: np.ndarray, exposure: Exposure, peaks: Peaks
) -> Callable[[list[int]], np.ndarray | None]:
    """Where a galaxy is seen between some of the peaks, as a function of their numbers.

    Parameters
    ----------
    data
        Image (n, n) [counts/s per pixel].
    variance
        Variance of its pixels, infinite where one does not count.
    exposure
        Its pixels and PSF.
    peaks
        Its peaks.
    """
    pointlike = point_sources(exposure, peaks.position)

    def galaxy(chosen: list[int]) -> np.ndarray | None:
        light = np.tensordot(peaks.flux[chosen], pointlike[chosen], 1)
        return galaxy_center(data - light, variance + (PSF_ERROR * light) ** 2, exposure, peaks.position[chosen])

    return galaxy


def hypotheses(
    peaks: Peaks,
    galaxy: Callable[[list[int]], np.ndarray | None],
    prior: Callable[[np.ndarray, bool, float], LogPrior],
    seed: int,
    images: int | None = None,
    guess: Guess | None = None,
) -> Iterator[Hypothesis]:
    """What the peaks may be, the most credible first, each sought when it is asked for; nothing for fewer than two.

    Parameters
    ----------
    peaks
        Peaks of an image.
    galaxy
        From the peaks that are images of the quasar to the place (2,) of a galaxy between them, None if there is none.
    prior
        From the place of the lens galaxy (2,), whether it is seen, and the largest distance of the images from their
        middle [arcsec] to the prior of the scene.
    seed
        Seed of the starts.
    images
        How many images the quasar has, if this is known.
    guess
        What is thought of the mass; half of the starts are drawn from it.
    """
    seconds = list[Hypothesis]()
    for count in (4, 3, 2) if images is None else (images,):
        some = list[Hypothesis]()
        for chosen in map(list, itertools.combinations(range(min(len(peaks.flux), MOST_PEAKS[count])), count)):
            center = galaxy(chosen)
            for place in [None] if center is None else [center, None]:
                some.append(_matched(peaks, chosen, place, prior, seed, guess))
        some.sort(key=lambda one: _badness(one, peaks))
        good = [one for one in some if images is not None or float(one.cost[0]) <= GOOD[count]]
        yield from good[:1]
        seconds += good[1:2]
    yield from seconds


def _badness(one: Hypothesis, peaks: Peaks) -> float:
    """What is small for a credible hypothesis: chi^2, unless bright peaks are left out, or a galaxy that is seen.

    Among matches that are as good as it gets the brighter peaks are more likely the quasar's. A peak where the lens
    galaxy is seen is not left out: it is the nucleus of that galaxy.
    """
    chosen = np.hypot(*(peaks.position[:, None] - one.positions).transpose(2, 0, 1)).min(1) == 0
    distance = np.hypot(*(peaks.position - one.center).T)
    nucleus = ~chosen & one.seen & (distance < NUCLEUS * distance[chosen].min())
    weight = 1 + np.log(peaks.flux / peaks.flux.min())  # whatever the unit of fluxes, positive
    return float(one.cost[0]) - 2 * float(weight[chosen | nucleus].sum()) + UNSEEN * (not one.seen)


def _matched(
    peaks: Peaks,
    chosen: list[int],
    place: np.ndarray | None,
    prior: Callable[[np.ndarray, bool, float], LogPrior],
    seed: int,
    guess: Guess | None = None,
) -> Hypothesis:
    """Lenses that explain some peaks as the images of a quasar."""
    positions, fluxes = peaks.position[chosen], peaks.flux[chosen]
    middle = positions.mean(0)
    reach = float(np.hypot(*(positions - middle).T).max())
    seen = place is not None
    thought = middle if guess is None else guess.mean[2:4]
    center = thought if place is None else place
    known = from_prior(prior(center, seen, reach))
    generator = torch.Generator().manual_seed(seed)
    draws = torch.cat([known.mean[None], known.draw(DRAWS - 1, generator)])
    draws[:, WITH_DRAWS + 2 :] = known.mean[WITH_DRAWS + 2 :]
    draws[:, 6:8] = known.mean[6:8]
    draws[:, 0] = reach
    if guess is not None:
        half = DRAWS // 2
        draws[:half, :6] = torch.as_tensor(guess.draws(half, seed))
    magnification = torch.as_tensor(fluxes / fluxes.mean() / DETERMINANT)
    uncertain = torch.hypot(DETERMINANT_ERROR * torch.ones_like(magnification), FLUX_ERROR / magnification)
    matcher = QuasarMatcher(torch.as_tensor(positions), magnification, ERROR, uncertain)
    matched = matcher.match(known, bounded(draws))
    return Hypothesis(positions, fluxes, center, seen, matched.coordinates, matched.cost)
