"""Systems drawn from the priors, each from its own random stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lensvit.errors import LensvitError
from lensvit.jobs import seeds
from lensvit.lensing.lens_equation import NoSolution, solve_each
from lensvit.lensing.settings import full_priors
from lensvit.lensing.system import System
from lensvit.simulation.engines import Engine, Solver
from lensvit.simulation.settings import SystemSettings

ATTEMPTS = 100  # draws of one system before the priors are called impossible


class Sampler:
    """Draws systems: the one of an index is the same whenever, wherever and among whichever others it is drawn.

    Parameters
    ----------
    options : the stage's settings. split : train, validation or test. solve : an engine's.
    """

    def __init__(self, options: SystemSettings, split: str, solve: Solver = solve_each) -> None:
        self.options, self.prefix, self.solve = options, f"{options.name}-{split}", solve
        self.split, self.psf = split, options.name
        self.priors = full_priors(options.priors)

    def id(self, index: int) -> str:
        """The system's name, from the PSF, the split and the index."""
        return f"{self.prefix}-{index:06d}"

    def noise_seed(self, index: int) -> int:
        """The 63-bit seed of the one noise realisation that the system has."""
        return seeds.derive(self.options.seed, self.id(index), "noise")

    def sigma_bkg(self, index: int) -> float:
        """Standard deviation of the background noise [counts/s per pixel]."""
        scene = self.options.scene
        return float(self._stream(index, "background").uniform(scene.sigma_bkg_low, scene.sigma_bkg_high))

    def parameters(self, index: int, attempt: int = 0) -> dict[str, float]:
        """The 14 parameters of one draw, by name."""
        rng = self._stream(index, "parameters", attempt)
        parameters = {name: prior.draw(rng) for name, prior in self.priors.items()}
        if not self.options.external_shear:
            parameters["gamma_ext"] = 0.0
        return parameters

    def draw(self, index: int, attempt: int = 0) -> System:
        """The first system from ``attempt`` on that can be imaged; see :meth:`draws`."""
        return self.draws([index], attempt)[0]

    def draws(self, indices: Sequence[int], attempt: int = 0) -> list[System]:
        """For each index the first system from ``attempt`` on that can be imaged.

        Raises
        ------
        LensvitError
            If one has none in 100 attempts.
        """
        found: dict[int, System] = {}
        for redraws in range(attempt, ATTEMPTS):
            waiting = [index for index in indices if index not in found]
            drawn = [self.parameters(index, redraws) for index in waiting]
            for index, parameters, images in zip(waiting, drawn, self.solve(drawn), strict=True):
                if isinstance(images, NoSolution):
                    print(f"{self.id(index)}: drawn again, {images}", flush=True)
                else:
                    brightest = images.brightest(self.options.scene.max_images)
                    found[index] = System(parameters, brightest, redraws)
            if len(found) == len(indices):
                return [found[index] for index in indices]
        missing = next(index for index in indices if index not in found)
        raise LensvitError(
            f"{self.id(missing)}: none of {ATTEMPTS} draws can be imaged (reasons above): change `priors`, "
            "which leave no room for a multiply imaged quasar"
        )

    def _stream(self, index: int, *purpose: int | str) -> np.random.Generator:
        return np.random.default_rng(seeds.derive(self.options.seed, self.id(index), *purpose))


def imaged(sampler: Sampler, engine: Engine, indices: Sequence[int]) -> tuple[list[System], np.ndarray]:
    """Systems and their noise-free images (n, ny, nx) float32 [counts/s per pixel], all finite.

    Raises
    ------
    LensvitError
        If the priors allow no system that can be imaged.
    """
    systems = sampler.draws(indices)
    with np.errstate(over="ignore", invalid="ignore"):
        images = engine.render(systems).astype(np.float32)
        for row, index in enumerate(indices):
            while not np.isfinite(images[row]).all():
                print(f"{sampler.id(index)}: drawn again, its image is not finite", flush=True)
                systems[row] = sampler.draw(index, systems[row].redraws + 1)
                images[row] = engine.render([systems[row]])[0]
    return systems, images
