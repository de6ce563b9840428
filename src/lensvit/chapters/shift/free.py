"""The residual of a system of a free scene: what a lens with the predicted targets leaves of its image.

Shear, source, and the shapes of all light but the lens galaxy's size and index, which are targets, are fitted under the
training's priors with the targets held, and all amplitudes are solved for. The search starts as that of a fit to all
pixels: from peaks that may be the quasar's images. As the mass is held, a choice of peaks leaves the shear and the
source alone to make their rays meet.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import QuasarMatcher, bounded
from lensvit.inference.scene_posterior import ScenePosterior
from lensvit.inference.search import climb
from lensvit.inference.starts import from_prior
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.settings import LensModel, full_priors
from lensvit.lensing.structure import LOGARITHMS
from lensvit.observations.free_system import ONLY
from lensvit.observations.peaks import Peaks, find_peaks
from lensvit.observations.start import DETERMINANT, DETERMINANT_ERROR, ERROR, FLAT, FLUX_ERROR, GOOD, MOST_PEAKS
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES, Prior, lognormal, normal

HELD = 1e-5  # standard deviation of a target that a fit shall not move, in its unit, or of its logarithm
DRAWS = 4  # of shear and source, from which lenses are sought that explain some peaks
KEPT = 2  # choices of peaks with each number of images from whose lenses the search may start
LENSES = 3  # of each of them, of which the one whose image is most like the observed one starts it
STEPS = 8  # of the search on all pixels with each model error
MODEL_ERRORS = (0.1, 0.03)  # relative, of the model image in that search, lest quasar images that miss dominate it


class FreeResidual:
    """Computes the residual of systems of one camera.

    Parameters
    ----------
    settings
        Priors and scene of the training.
    exposure
        The camera's pixels and PSF, as the images were made.
    """

    def __init__(self, settings: LensModel, exposure: Exposure) -> None:
        self.structure, self.exposure = settings.scene.structure, exposure
        self.external_shear = settings.external_shear
        self.known = full_priors(settings.priors, self.structure.names)
        self.parts = Parts([exposure], self.structure)

    def of(self, image: np.ndarray, sigma_bkg: float, exposure_time: float, mean: np.ndarray, seed: int) -> float:
        """The chi^2 a pixel of a noisy image (n, n) given predicted targets (K,); infinite where these allow none.

        Parameters
        ----------
        image
            [counts/s per pixel].
        sigma_bkg
            Background noise [counts/s per pixel].
        exposure_time
            Exposure time [s].
        mean
            Predicted targets, in physical units.
        seed
            Seed of the starts.
        """
        known = self._holding(mean)
        if known is None:
            return np.inf
        prior = LogPrior(known, self.external_shear, names=self.structure.names)
        data = image.astype(float)
        peaks = find_peaks(data, self.exposure.noise(data, sigma_bkg, exposure_time), self.exposure)
        pixels = torch.as_tensor(data.ravel())
        brightest = float(peaks.flux.max(initial=data.max()))
        scale = torch.full((self.parts.count,), FLAT * max(brightest, sigma_bkg), dtype=torch.float64)

        def posterior(light: Tensor) -> ScenePosterior:
            noise = self.exposure.noise(light, sigma_bkg, exposure_time)
            return ScenePosterior(self.parts, pixels, noise, scale, prior)

        search = posterior(pixels)
        starts = prior.clamped(self._starts(prior, peaks, seed))
        density = search.log_density(starts, ONLY.expand(len(starts)), MODEL_ERRORS[0])
        if not density.isfinite().any():
            return np.inf
        fit = climb(search, starts[density.argmax()][None], ONLY, STEPS, MODEL_ERRORS)
        part, solution = search.solution(fit.coordinates[0])
        return float(posterior(solution.amplitudes @ part).explained(fit.coordinates, ONLY)[0])

    def _holding(self, mean: np.ndarray) -> dict[str, Prior] | None:
        """The training's priors with targets (K,) held; None if no galaxy has such a size or index."""
        coordinates = torch.zeros(1, len(self.structure.names), dtype=torch.float64)
        coordinates[0, TARGET_COLUMNS] = torch.as_tensor(np.array(mean, dtype=float))
        held = dict(zip(TARGET_NAMES, bounded(coordinates)[0, TARGET_COLUMNS].tolist(), strict=True))
        if min(held[name] for name in held if name in LOGARITHMS) <= 0:
            return None
        return self.known | {
            name: lognormal(value, HELD) if name in LOGARITHMS else normal(value, HELD) for name, value in held.items()
        }

    def _starts(self, prior: LogPrior, peaks: Peaks, seed: int) -> Tensor:
        """Coordinates (k, P) of lenses with the held targets that explain some peaks; of the prior if none is seen."""
        known, generator = from_prior(prior), torch.Generator().manual_seed(seed)
        draws = torch.cat([known.mean[None], known.draw(DRAWS, generator)])
        open_ = [column for column in range(draws.shape[1]) if column not in TARGET_COLUMNS]
        free = torch.zeros_like(draws, dtype=torch.bool)
        free[:, open_[:4]] = True  # shear and source
        draws = bounded(torch.where(free, draws, known.mean))
        found = list[Tensor]()
        most = min(len(peaks.flux), self.structure.most_images, max(MOST_PEAKS))
        for count in range(most, min(most, 2) - 1, -1) if most else ():
            several = list[tuple[float, float, Tensor]]()
            among = range(min(len(peaks.flux), MOST_PEAKS.get(count, 1)))
            for chosen in map(list, itertools.combinations(among, count)):
                flux = peaks.flux[chosen]
                magnification = torch.as_tensor(flux / flux.mean() / DETERMINANT)
                error = torch.hypot(torch.full_like(magnification, DETERMINANT_ERROR), FLUX_ERROR / magnification)
                matcher = QuasarMatcher(torch.as_tensor(peaks.position[chosen]), magnification, ERROR, error)
                match = matcher.match(known, draws)
                several.append((float(match.cost[0]), float(np.log(flux).sum()), match.coordinates[:LENSES]))
            # among matches that are as good as it gets the brighter peaks are more likely the quasar's
            several.sort(key=lambda one: one[0] - 2 * one[1])
            found += [start for _, _, start in several[:KEPT]]
            if several[0][0] <= GOOD.get(count, 0.0):
                break  # images that a held mass explains are no chance
        return torch.cat(found or [draws])
