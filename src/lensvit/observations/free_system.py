"""Fits of systems of a run's free scenes, whose PSF, noise and priors are known.

They go as fits of observed lenses do (:mod:`lensvit.observations.fitting`): peaks, what these may be, a search from
there with all amplitudes free. Unlike there nothing is wrong with the model. The light is sampled as in the images, the
errors are those of photons and background, and the priors are those of the run. What the fits do not use is how bright
galaxies and quasars of the run may be, and that fluxes scatter about their magnifications.
"""

from __future__ import annotations

import itertools
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.coordinates import to_coordinates
from lensvit.inference.goodness import WORST, chi_square
from lensvit.inference.likelihood import covariance
from lensvit.inference.prior import LogPrior
from lensvit.inference.scene_posterior import ScenePosterior
from lensvit.inference.search import Fit, climb
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.settings import LensModel, full_priors
from lensvit.lensing.structure import LOGARITHMS, Structure
from lensvit.observations.peaks import find_peaks
from lensvit.observations.start import FLAT, Guess, galaxy_between, hypotheses

ONLY = torch.zeros(1, dtype=torch.long)
MODEL_ERRORS = (
    1.0,
    0.3,
    0.1,
    0.0,
)  # relative ones of the model image, from the search from afar to the one that counts
KICKS = {4: 1, 3: 3, 2: 4}  # searches from around a maximum for a higher one, by the number of the quasar's images
FAR = 3.0  # how far around, in standard deviations
HIGHER = 1.0  # log density by which another maximum counts as higher
TRIED = 3  # hypotheses that are fitted
STARTS = {4: 1, 3: 2, 2: 2}  # from so many lenses of a hypothesis searches start: few images leave a lens open
RESUMED = 200  # most steps of the search by which a fit is taken up again
TINY = 1e-12  # least variance, in units of the background's


class FreeFit(NamedTuple):
    """The most probable scene of one system.

    Parameters
    ----------
    posterior
        Its posterior, with the noise of its most probable image.
    fit
        Where the search ended.
    chi_square
        chi^2 per pixel.
    explained
        Whether no part of the image deviates from the model.
    tries
        Hypotheses that were fitted.
    iterations
        Steps of all searches.
    seconds
        How long it took [s].
    """

    posterior: ScenePosterior
    fit: Fit
    chi_square: float
    explained: bool
    tries: int
    iterations: int
    seconds: float

    @property
    def converged(self) -> bool:
        """Whether the search ended at a maximum that explains the image."""
        return bool(self.fit.at_maximum()[0]) and self.explained


class FreeSystem:
    """Fits of systems of one camera.

    Parameters
    ----------
    settings
        Priors and scene of the run.
    exposure
        The camera's pixels and PSF, as the images were made.
    """

    def __init__(self, settings: LensModel, exposure: Exposure) -> None:
        self.structure: Structure = settings.scene.structure
        self.exposure = exposure
        self.prior = LogPrior(
            full_priors(settings.priors, self.structure.names), settings.external_shear, names=self.structure.names
        )

    def fit(
        self,
        data: np.ndarray,
        sigma_bkg: float,
        exposure_time: float,
        steps: int,
        seed: int,
        guess: Guess | None = None,
    ) -> FreeFit | None:
        """Find the most probable scene of a noisy image.

        Parameters
        ----------
        data
            Image (n, n) [counts/s per pixel].
        sigma_bkg
            Standard deviation of the background noise [counts/s per pixel].
        exposure_time
            Exposure time [s].
        steps
            Most steps of a search.
        seed
            Seed of the starts.
        guess
            What is thought of the mass, as by a network.

        Returns
        -------
        FreeFit or None
            The fit, which may not have converged; None where the image does not show two images of a quasar.
        """
        started, noise = time.perf_counter(), self.exposure.noise(data, sigma_bkg, exposure_time)
        peaks = find_peaks(data, noise, self.exposure)
        found: list[FreeFit] = []
        if len(peaks.flux) < 2:
            return None
        galaxy = galaxy_between(data, noise, self.exposure, peaks)
        several = hypotheses(peaks, galaxy, lambda *_: self.prior, seed, None, guess)
        iterations = 0
        for number, hypothesis in enumerate(itertools.islice(several, TRIED), start=1):
            starts = hypothesis.coordinates[: STARTS.get(len(hypothesis.positions), 1)]
            one = self.climbed(
                data, sigma_bkg, exposure_time, starts, float(hypothesis.fluxes.max()), steps,
                KICKS.get(len(hypothesis.positions), 1), seed,
            )  # fmt: skip
            iterations += one.iterations
            found.append(one._replace(tries=number))
            if one.converged:
                break
        if not found:
            return None
        best = min(found, key=lambda one: (not one.converged, one.chi_square))
        return best._replace(tries=len(found), iterations=iterations, seconds=time.perf_counter() - started)

    def resumed(self, data: np.ndarray, sigma_bkg: float, exposure_time: float, scene: Tensor) -> FreeFit:
        """The maximum that a search from the coordinates (1, P) of a scene leads to, as one of :meth:`fit`.

        Parameters
        ----------
        data, sigma_bkg, exposure_time
            As of :meth:`fit`.
        scene
            The coordinates.
        """
        noise = self.exposure.noise(data, sigma_bkg, exposure_time)
        brightest = float(find_peaks(data, noise, self.exposure, most=1).flux.max(initial=1.0))
        return self.climbed(data, sigma_bkg, exposure_time, scene, brightest, RESUMED)

    def climbed(
        self,
        data: np.ndarray,
        sigma_bkg: float,
        exposure_time: float,
        start: Tensor,
        brightest: float,
        steps: int,
        kicks: int = 0,
        seed: int = 0,
    ) -> FreeFit:
        """The best maximum that searches from coordinates (m, P) lead to, with the noise of the image there.

        Parameters
        ----------
        data, sigma_bkg, exposure_time, steps
            As of :meth:`fit`.
        start
            Coordinates (m, P).
        brightest
            Flux of the brightest image of the quasar, about [counts/s].
        kicks
            Searches for a higher maximum around the one that was found.
        seed
            Seed of the places that they start from.
        """
        parts = Parts([self.exposure], self.structure)
        pixels = torch.as_tensor(np.asarray(data, dtype=float).ravel())
        scale = torch.full((parts.count,), FLAT * brightest, dtype=torch.float64)

        def posterior(light: Tensor) -> ScenePosterior:
            noise = self.exposure.noise(light, sigma_bkg * (1 + TINY / 2), exposure_time)
            return ScenePosterior(parts, pixels, noise, scale, self.prior)

        whole = posterior(pixels)
        fits = [climb(whole, one[None], ONLY, steps, MODEL_ERRORS) for one in start]
        fit = max(fits, key=lambda one: float(one.density))
        iterations = sum(int(one.iterations) for one in fits)
        if not torch.isfinite(fit.density).all():
            return FreeFit(whole, fit, np.inf, False, 1, iterations, 0.0)
        random = np.random.default_rng(seed)
        for _ in range(kicks):
            spread, _ = covariance(fit.information)
            far = FAR * random.multivariate_normal(np.zeros(spread.shape[1]), spread[0].numpy(), method="eigh")
            other = climb(whole, fit.coordinates + torch.as_tensor(far), ONLY, steps, (0.0,))
            iterations += int(other.iterations)
            if float(other.density) > float(fit.density) + HIGHER:
                fit = other
        for _ in range(2):  # the noise is that of the model, to which the image of the one before is near enough
            part, solution = whole.solution(fit.coordinates[0])
            whole = posterior(solution.amplitudes @ part)
            fit = climb(whole, fit.coordinates, ONLY, steps, (0.0,))
            iterations += int(fit.iterations)
        mean, explained = self.explained(whole, fit.coordinates)
        return FreeFit(whole, fit, mean, explained, 1, iterations, 0.0)

    def explained(self, posterior: ScenePosterior, coordinates: Tensor) -> tuple[float, bool]:
        """The chi^2 a pixel of the scene at coordinates (1, P), and whether no part of the image deviates from it."""
        part, solution = posterior.solution(coordinates[0])
        residual = (posterior.data[0] - solution.amplitudes @ part) / posterior.noise.sqrt()
        side = self.exposure.pixels
        mean, worst = chi_square(residual.reshape(1, side, side), self.exposure.exposure_map)
        return float(mean), bool(worst < WORST)

    def coordinates(self, parameters: dict[str, float]) -> Tensor:
        """Coordinates (1, P) of parameters by name."""
        names = self.structure.names
        row = [np.log(parameters[name]) if name in LOGARITHMS else parameters[name] for name in names]
        return to_coordinates(torch.tensor([row], dtype=torch.float64))

    def sizes(self, values: np.ndarray) -> np.ndarray:
        """Derivatives (P,) of parameters (P,) by their logarithms, where these are coordinates, and 1 elsewhere."""
        names = self.structure.names
        return np.array([value if name in LOGARITHMS else 1.0 for name, value in zip(names, values, strict=True)])
