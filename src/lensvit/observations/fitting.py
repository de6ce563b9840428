"""The fit of a scene to the images of a real lens: starts, maxima, errors of the model, and the exact posterior."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lensvit.errors import LensvitError
from lensvit.inference.coordinates import to_parameters
from lensvit.inference.importance import LOOKS, ImportanceSample, sample
from lensvit.inference.prior import LogPrior
from lensvit.inference.scene_posterior import ScenePosterior
from lensvit.inference.search import Fit, climb
from lensvit.inference.settings import ImportanceSettings
from lensvit.inference.straightened import StraightenedLens
from lensvit.inference.target import SampledLens
from lensvit.io.tables import MORE
from lensvit.jobs.processes import copies
from lensvit.lensing.exposure import Cusp, Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.spline_points import SplinePoints
from lensvit.lensing.structure import LENS_SHAPE, Structure
from lensvit.observations.noise_model import Errors, Light, estimate
from lensvit.observations.observation import Observation, ObservedImage
from lensvit.observations.peaks import Peaks, find_peaks
from lensvit.observations.start import (
    FLAT,
    Guess,
    Hypothesis,
    galaxy_between,
    hypotheses,
    pixels_of,
    point_sources,
)
from lensvit.observations.survey import CENTER_ERROR, POSITION_ERROR, UNSEEN_CENTER, survey_priors
from lensvit.parameters import NAMES, Parameter, Prior

ONLY = torch.zeros(1, dtype=torch.long)
ROUNDS = 3  # fits, each with the errors that the one before leaves
JOINT_ROUNDS = 6  # the same where exposures are moved between them
MODEL_ERRORS = (0.3, 0.0)  # of the first fit; see lensvit.inference.likelihood.Likelihood
CONVERGED = 0.5  # largest squared distance to the maximum [standard deviations]
ITERATIONS, LAST_ITERATIONS = 60, 240  # most steps of a search, and of that of the last round
CUSPS, SAMPLES = 0.25, 5  # radius around the quasar within which hosts are cuspy [arcsec], and samples along a pixel
CURVED = 0.02  # difference of a pixel's light from that of its middle at which it has more samples [its noise]
REGISTERED, SAME = 5, 0.12  # peaks by which images are registered, and how near they come [arcsec]
LOST = 0.05  # largest share of the posterior's mass that its coordinates do not reach
STEP = 1e-3  # of differences by the place of an image [arcsec]
TRIED = 3  # hypotheses that are fitted to the whole image
# errors of the model from which on another hypothesis is tried, by the number of images: two leave much freedom
UNLIKE = {4: 0.7, 3: 0.7, 2: 0.35}
UNFINISHED = 0.2  # what a search without an end counts for among these
EXPLAINED = 0.05  # largest relative error of the galaxies' light with which an image counts as explained


class Round(NamedTuple):
    """One fit of all rounds.

    Parameters
    ----------
    fit
        Where the search ended.
    errors
        The errors of the model that it was made with.
    """

    fit: Fit
    errors: Errors


@dataclasses.dataclass(frozen=True)
class SceneFit:
    """The most probable scene of an observation.

    Parameters
    ----------
    observation
        What was fitted.
    posterior
        The posterior of the scene, with the errors of its last round.
    prior
        Priors by parameter.
    hypothesis
        What the peaks are taken for.
    peaks
        All peaks.
    rounds
        All fits, the last one counts.
    lights
        What the errors of the model stand on, for each image.
    """

    observation: Observation
    posterior: ScenePosterior
    prior: Mapping[str, Prior]
    hypothesis: Hypothesis
    peaks: Peaks
    rounds: tuple[Round, ...]
    lights: tuple[Light, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self.posterior.parts.structure.names

    @property
    def coordinates(self) -> Tensor:
        """Coordinates (P,) of the maximum."""
        return self.rounds[-1].fit.coordinates[0]

    @property
    def converged(self) -> bool:
        """Whether the search ended at a maximum, but for an error that does not matter."""
        return float(self.rounds[-1].fit.distance) < CONVERGED

    @property
    def errors(self) -> Errors:
        """The errors of the model."""
        return self.rounds[-1].errors

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters at the maximum."""
        values = self.posterior.parts.structure.natural(to_parameters(self.coordinates[None])[0].numpy())
        return dict(zip(self.names, values.tolist(), strict=True))


def fit_scene(
    observation: Observation,
    structure: Structure | None = None,
    priors: Mapping[str, Prior] | None = None,
    seed: int = 0,
    images: int | None = None,
    guess: Guess | None = None,
) -> SceneFit:
    """Find the most probable scene of an observation, from what its first image shows.

    Parameters
    ----------
    observation
        The images of a lens.
    structure
        What the scene is made of; a power law with shear, elliptical galaxies of their own, and a bulge by default.
    priors
        Priors that stand instead of those of :mod:`lensvit.observations.survey`, by parameter.
    seed
        Seed of the starts.
    images
        How many images the quasar has, if this is known; else four, three or two, whatever explains the image.
    guess
        What is thought of the mass, as by a network, from which searches start too. It is no prior.

    Raises
    ------
    LensvitError
        If there are no two point-like peaks that may be images of a quasar.
    """
    structure = structure or Structure(position_error=POSITION_ERROR)
    first = observation.images[0]
    peaks = find_peaks(first.data, first.variance, first.exposure())
    if len(peaks.flux) < 2:
        count = "no point-like peak" if len(peaks.flux) == 0 else "one point-like peak"
        raise LensvitError(
            f"{observation.name}: {count} found, and a lensed quasar has two images at least: check that the PSF is "
            "that of the image"
        )
    centers = registered(observation.images, peaks)
    changes = priors or {}

    def known(center: np.ndarray, seen: bool, reach: float) -> dict[str, Prior]:
        return survey_priors(center, CENTER_ERROR if seen else UNSEEN_CENTER * reach, changes)

    def prior(center: np.ndarray, seen: bool, reach: float) -> LogPrior:
        return LogPrior(known(center, seen, reach), names=structure.names, limits=_limits(structure))

    galaxy = galaxy_between(first.data, first.variance, first.exposure(), peaks)
    fits = list[SceneFit]()
    for hypothesis in itertools.islice(hypotheses(peaks, galaxy, prior, seed, images, guess), TRIED):
        reach = float(np.hypot(*(hypothesis.positions - hypothesis.positions.mean(0)).T).max())
        chosen = known(hypothesis.center, hypothesis.seen, reach)
        fits.append(_fitted(observation, structure, chosen, hypothesis, peaks, centers))
        number = len(hypothesis.positions)
        believed = hypothesis.seen or (number == 4 and fits[-1].errors.galaxies < EXPLAINED)
        if fits[-1].converged and believed and _unlike(fits[-1]) < UNLIKE[number]:
            break
    if not fits:
        raise LensvitError(
            f"{observation.name}: no choice of the {len(peaks.flux)} point-like peaks can be the images of one quasar "
            "behind one galaxy"
        )
    return min(fits, key=_unlike)


def _unlike(fit: SceneFit) -> float:
    """How little an image looks like a fit of it: small for one of the right images of the quasar."""
    return fit.errors.galaxies + fit.errors.psf + UNFINISHED * (not fit.converged)


def _limits(structure: Structure) -> list[Parameter]:
    """The parameters whose priors end where no image can be computed, and that fits of galaxies run into."""
    return [row for row in structure.table if row.name not in ("gamma_ext", "psi_ext")]


def _fitted(
    observation: Observation,
    structure: Structure,
    prior: Mapping[str, Prior],
    hypothesis: Hypothesis,
    peaks: Peaks,
    centers: Sequence[tuple[float, float]],
) -> SceneFit:
    """The most probable scene of one hypothesis."""
    work = _Rounds(observation, structure, prior, hypothesis, centers)
    rounds = work.run()
    own = {name: prior[name] for name in structure.names}
    return SceneFit(observation, work.posterior, own, hypothesis, peaks, tuple(rounds), tuple(work.lights))


def registered(images: Sequence[ObservedImage], peaks: Peaks) -> list[tuple[float, float]]:
    """Where the middle of each image lies in the frame of the first one, by their peaks [arcsec].

    Parameters
    ----------
    images
        Images of one orientation.
    peaks
        Peaks of the first one.

    Raises
    ------
    LensvitError
        If the peaks of an image are not those of the first one.
    """
    result, bright = [(0.0, 0.0)], peaks.position[:REGISTERED]
    for number, image in enumerate(images[1:], start=2):
        found = find_peaks(image.data, image.variance, image.exposure()).position[: REGISTERED + 2]
        best = (-1, np.inf, np.zeros(2))
        for first, other in itertools.product(bright, found):
            shift = first - other  # of the image's frame
            distance = np.hypot(*(found[:, None] + shift - bright[None]).T).min(1)  # of each of the first one's peaks
            same = distance < SAME
            if (-same.sum(), distance[same].sum()) < (-best[0], best[1]):
                nearest = np.hypot(*(found[:, None] + shift - bright[None]).T).argmin(1)[same]
                best = int(same.sum()), float(distance[same].sum()), (bright[same] - found[nearest]).mean(0)
        if best[0] < min(2, len(bright)):
            raise LensvitError(
                f"image {number} does not show the peaks of the first one: is it of the same lens and orientation?"
            )
        result.append((float(best[2][0]), float(best[2][1])))
    return result


class _Rounds:
    """Fits of one hypothesis, each with the errors of the model that the one before leaves."""

    def __init__(
        self,
        observation: Observation,
        structure: Structure,
        prior: Mapping[str, Prior],
        hypothesis: Hypothesis,
        centers: Sequence[tuple[float, float]],
    ) -> None:
        self.images, self.hypothesis = observation.images, hypothesis
        self.exposures = [
            _sharpened(image, image.exposure(center), hypothesis.positions, hypothesis.center)
            for image, center in zip(self.images, centers, strict=True)
        ]
        self.structure, self.seen = structure, (hypothesis.positions, hypothesis.fluxes)
        self.parts = Parts(self.exposures, structure, self.seen)
        self.known, self.prior = prior, LogPrior(prior, names=structure.names, limits=_limits(structure))
        self.data = torch.as_tensor(np.concatenate([image.data.ravel() for image in self.images]))
        self.fluxes = hypothesis.fluxes
        self.kernels = [point_sources(exposure, hypothesis.positions) for exposure in self.exposures]
        self.given = [
            _given(image, exposure, hypothesis.positions)
            for image, exposure in zip(self.images, self.exposures, strict=True)
        ]
        self.scale = _scales(self.parts, structure, self.fluxes)
        self.lights = [
            self._light(number, np.clip(image.data - self._quasar_light(number), 0, None))
            for number, image in enumerate(self.images)
        ]
        self.posterior = self._posterior(Errors())

    def run(self) -> list[Round]:
        """All rounds."""
        errors, start, rounds = Errors(), self.hypothesis.coordinates[:1], list[Round]()
        count = ROUNDS if len(self.images) == 1 else JOINT_ROUNDS
        for number in range(count):
            self.posterior = self._posterior(errors)
            steps = ITERATIONS if number < count - 1 else LAST_ITERATIONS
            fit = climb(self.posterior, start, ONLY, steps, MODEL_ERRORS if number == 0 else (0.0,))
            rounds.append(Round(fit, errors))
            if not torch.isfinite(fit.density).all():
                break
            start = fit.coordinates
            if number < count - 1:
                errors = self._update(fit.coordinates[0], errors)
                self.seen = seen_images(self.posterior, fit.coordinates[0]) or self.seen
                if len(self.images) > 1:
                    self._register(fit.coordinates[0])
                self._sharpen(fit.coordinates[0])
                self.parts = Parts(self.exposures, self.structure, self.seen)
        return rounds

    def _update(self, coordinates: Tensor, errors: Errors) -> Errors:
        """The errors that a fit leaves; they stand on the light of the fit from here on."""
        part, solution = self.posterior.solution(coordinates)
        amplitudes = solution.amplitudes
        rest = (self.data - amplitudes @ part).numpy()
        galaxies = (amplitudes[self.parts.galaxies] @ part[self.parts.galaxies]).numpy()
        quasars = part[self.parts.quasars] * amplitudes[self.parts.quasars, None]
        residuals, ends = [], np.cumsum([0, *self.parts.pixels])
        for number, image in enumerate(self.images):
            block, shape = slice(ends[number], ends[number + 1]), image.data.shape
            residuals.append(rest[block].reshape(shape))
            squares = quasars[:, block].numpy().reshape(-1, *shape) ** 2
            light = self._light(number, galaxies[block].reshape(shape))
            self.lights[number] = light._replace(quasars=squares.sum(0))
        return estimate(residuals, self.lights, errors)

    def _sharpen(self, coordinates: Tensor) -> None:
        """Put more samples about where the lens galaxy's light has its centre, and where a host is curved."""
        names, parameters = self.structure.names, to_parameters(coordinates[None])[0]
        columns = [names.index(name) for name in (LENS_SHAPE[:2] if self.structure.lens_shape else NAMES[2:4])]
        amplitudes = self.posterior.solution(coordinates)[1].amplitudes[self.parts.galaxies]
        curvatures = self.parts.curvature(parameters, amplitudes)
        self.exposures = [
            dataclasses.replace(
                _sharpened(image, exposure, self.seen[0], parameters[columns].numpy()),
                curved=curvature > CURVED * _noise_of_cells(image),
            )
            for image, exposure, curvature in zip(self.images, self.exposures, curvatures, strict=True)
        ]

    def _register(self, coordinates: Tensor) -> None:
        """Move the images but the first by what their residuals ask for."""
        part, solution = self.posterior.solution(coordinates)
        rest, start = self.data - solution.amplitudes @ part, self.parts.pixels[0]
        models = self.posterior.models(coordinates[None])
        arguments = to_parameters(models.coordinates), models.positions, models.magnification
        for number in range(1, len(self.images)):
            block = slice(start, start + self.parts.pixels[number])
            start = block.stop
            exposure, slopes = self.exposures[number], []
            for axis in range(2):
                near = []
                for sign in (1, -1):
                    x, y = exposure.center
                    near_by = (x + sign * STEP * (axis == 0), y + sign * STEP * (axis == 1))
                    moved = Parts([dataclasses.replace(exposure, center=near_by)], self.structure, self.seen)
                    near.append(self._alone(number, solution.amplitudes) @ moved.images(*arguments)[0])
                slopes.append((near[0] - near[1]) / (2 * STEP))
            by, weight = torch.stack(slopes), 1 / self.posterior.noise[block]
            shift = torch.linalg.solve((by * weight) @ by.mT, by @ (weight * rest[block]))
            center = (exposure.center[0] + float(shift[0]), exposure.center[1] + float(shift[1]))
            self.exposures[number] = dataclasses.replace(exposure, center=center)
        positions = self.hypothesis.positions
        self.kernels = [point_sources(exposure, positions) for exposure in self.exposures]
        self.given = [
            _given(image, exposure, positions) for image, exposure in zip(self.images, self.exposures, strict=True)
        ]

    def _alone(self, number: int, amplitudes: Tensor) -> Tensor:
        """The amplitudes of the parts of one exposure alone, which has one sky."""
        skies = amplitudes[self.parts.skies][number : number + 1]
        return torch.cat([amplitudes[: self.parts.quasars.stop], skies, amplitudes[self.parts.shifts.start :]])

    def _quasar_light(self, number: int) -> np.ndarray:
        return np.tensordot(self.fluxes, self.kernels[number], 1)

    def _light(self, number: int, galaxies: np.ndarray) -> Light:
        """What the errors of one image stand on."""
        noise = self.images[number].variance + np.tensordot(self.fluxes**2, self.given[number], 1)
        quasars = np.tensordot(self.fluxes**2, self.kernels[number] ** 2, 1)
        return Light(noise, quasars, galaxies)

    def _posterior(self, errors: Errors) -> ScenePosterior:
        variance = np.concatenate([light.variance(errors).ravel() for light in self.lights])
        return ScenePosterior(self.parts, self.data, torch.as_tensor(variance), self.scale, self.prior, errors.together)


def _scales(parts: Parts, structure: Structure, fluxes: np.ndarray) -> Tensor:
    """Standard deviations (K,) of the prior of amplitudes, with fluxes (M,) of the quasar's images [counts/s]."""
    result = torch.full((parts.count,), FLAT * float(fluxes.max()), dtype=torch.float64)
    if parts.shifts.stop > parts.shifts.start:
        result[parts.shifts] = structure.position_error
    return result


def _noise_of_cells(image: ObservedImage) -> np.ndarray:
    """Errors of the light of cells, pixels or fine ones, that add up to the noise of a pixel (side, side)."""
    every = image.oversampling
    return np.repeat(np.repeat(np.sqrt(image.variance), every, 0), every, 1) / every**2


def _sharpened(image: ObservedImage, exposure: Exposure, quasars: np.ndarray, galaxy: np.ndarray) -> Exposure:
    """An exposure with more samples at images of the quasar (M, 2) and about the lens galaxy's centre (2,) [arcsec]."""
    hosts = () if image.oversampling > 1 else (Cusp(quasars, CUSPS, SAMPLES),)
    return dataclasses.replace(exposure, cusps=hosts, nuclei=galaxy[None])


def seen_images(posterior: ScenePosterior, coordinates: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the images of the quasar are seen, (M, 2) [arcsec], and their fluxes (M,) [counts/s], at coordinates (P,).

    None if one of them has no light.
    """
    models = posterior.models(coordinates[None])
    _, solution = posterior.solution(coordinates)
    return _seen(posterior.parts, models.positions[0], models.magnification[0], solution.amplitudes)


def _seen(
    parts: Parts, places: Tensor, magnification: Tensor, amplitudes: Tensor
) -> tuple[np.ndarray, np.ndarray] | None:
    """The same of a model whose images lie at places (most, 2) [arcsec], with amplitudes (K,)."""
    present = (magnification != 0).numpy()
    fluxes = amplitudes[parts.quasars].numpy()
    if not parts.structure.quasar_fluxes:
        fluxes = fluxes * magnification.abs().numpy()
    positions, shifts = places.numpy(), amplitudes[parts.shifts].reshape(-1, 2).numpy()
    if not (fluxes[present] > 0).all():
        return None
    if len(shifts):
        points = parts.expansion(places, magnification)
        offset, flux = points.offset.numpy(), points.flux.numpy()
        # to first order in the shift from where an image is expanded, whatever flux that was scaled with
        scale = (flux / np.where(present, fluxes, 1.0))[:, None]
        positions = positions - offset + (offset + shifts) * scale
    return positions[present], fluxes[present]


def _given(image: ObservedImage, exposure: Exposure, positions: np.ndarray) -> np.ndarray:
    """The given variances (M, n, n) of the PSF at point sources of flux 1."""
    if image.psf_variance is None:
        return np.zeros((len(positions), *image.data.shape))
    points = SplinePoints(image.psf_variance, 1, exposure.pixels, 1)
    return points.images(pixels_of(exposure, positions), slopes=False)[:, 0].numpy()


class PosteriorSample(NamedTuple):
    """Draws of the exact posterior of a scene.

    Parameters
    ----------
    drawn
        Weighted draws, and whether they are certified.
    parameters
        Parameters (S, P) of draws of equal weight.
    amplitudes
        Amplitudes (S, F) of their parts but the known ones, drawn from what the image says of them.
    images
        Where the M images of the quasar are seen in each draw, and their fluxes: x, y [arcsec] and flux [counts/s],
        (S, M, 3), in the order of the most probable scene. NaN for a draw in which one of them has no light.
    seconds
        How long it took [s].
    """

    drawn: ImportanceSample
    parameters: np.ndarray
    amplitudes: np.ndarray
    images: np.ndarray
    seconds: float


class DrawnScene(NamedTuple):
    """Weighted draws of a scene's posterior, in coordinates in which it is nearly normal.

    Parameters
    ----------
    sample
        The draws, and whether they are certified.
    lens
        The posterior by free coordinates.
    straight
        The same by the draws' coordinates.
    """

    sample: ImportanceSample
    lens: SampledLens
    straight: StraightenedLens

    @property
    def calls(self) -> int:
        """Likelihood calls so far."""
        return self.lens.calls

    def parameters(self, flat: np.ndarray) -> np.ndarray:
        """Parameters (n, P) of draws (n, d), sizes and indices by their logarithms."""
        return self.lens.parameters(self.straight.map.to_places(flat)[0])


def drawn_scene(
    posterior: ScenePosterior, fit: Fit, settings: ImportanceSettings, seed: int, processes: int = 1
) -> DrawnScene | None:
    """Draw from the exact posterior of a scene.

    Parameters
    ----------
    posterior
        The posterior.
    fit
        The search that ended at its maximum.
    settings
        Size and budget of the sampling.
    seed
        Seed of the draws.
    processes
        Copies of this process that compute densities, which change none.

    Returns
    -------
    DrawnScene or None
        The draws; None where the posterior has no density around the maximum.
    """
    lens = SampledLens(posterior, fit.coordinates)
    free = lens.free.numpy()
    mean, spread = fit.coordinates[0].numpy()[free], torch.linalg.inv(fit.information[0][free][:, free]).numpy()
    straight = StraightenedLens(lens, mean, spread)
    with straight.shared(processes):
        drawn = sample(straight, [straight.measured()], settings, seed, patient=True)
    if drawn is None:
        return None
    if not drawn.reason and straight.lost(lens.chart(mean, spread), LOOKS, seed) > LOST:
        drawn = drawn._replace(reason=MORE)
    return DrawnScene(drawn, lens, straight)


def sample_scene(
    fit: SceneFit, settings: ImportanceSettings, seed: int, count: int, processes: int = 1
) -> PosteriorSample | None:
    """Draw from the exact posterior of a fitted scene.

    Parameters
    ----------
    fit
        The fit.
    settings
        Size and budget of the sampling.
    seed
        Seed of the draws.
    count
        How many draws of equal weight are asked for.
    processes
        Copies of this process that share the work, which change no draw.

    Returns
    -------
    PosteriorSample or None
        The draws; None where the posterior has no density around the maximum.
    """
    started = time.perf_counter()
    scene = drawn_scene(fit.posterior, fit.rounds[-1].fit, settings, seed, processes)
    if scene is None:
        return None
    drawn, lens, straight = scene
    random = np.random.default_rng([seed, 1])
    places, _, _ = straight.map.to_places(drawn.resampled(count, random))
    parameters, likelihood = lens.parameters(places), fit.posterior.likelihood(ONLY)
    drawable = fit.posterior.parts.count - fit.posterior.parts.known
    seen = seen_images(fit.posterior, fit.coordinates)
    amplitudes = np.full((count, drawable), np.nan)
    images = np.full((count, 0 if seen is None else len(seen[0]), 3), np.nan)

    def solved(place: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Amplitudes, the root of their covariance, and positions and magnifications of the model's images."""
        models = lens.posterior.models(lens.coordinates(place[None]))
        solution = likelihood.solve(models.images[0])
        root = np.linalg.cholesky(solution.covariance[:drawable, :drawable].numpy())
        best = solution.amplitudes.numpy()[:drawable]
        return best, root, models.positions[0].numpy(), models.magnification[0].numpy()

    different, kind = np.unique(places, axis=0, return_inverse=True)
    with copies(solved, processes) as each:
        solutions = each(list(different))
    for row, number in enumerate(kind.reshape(-1)):
        best, root, positions, magnification = solutions[number]
        amplitudes[row] = best + root @ random.standard_normal(drawable)
        model = map(torch.as_tensor, (positions, magnification, amplitudes[row]))
        found = _seen(fit.posterior.parts, *model)
        if seen is not None and found is not None and len(found[0]) == len(seen[0]):
            _, order = linear_sum_assignment(np.hypot(*(seen[0][:, None] - found[0]).transpose(2, 0, 1)))
            images[row] = np.column_stack(found)[order]
    return PosteriorSample(
        drawn, fit.posterior.parts.structure.natural(parameters), amplitudes, images, time.perf_counter() - started
    )
