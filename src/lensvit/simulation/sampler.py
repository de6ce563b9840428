"""Systems drawn from the priors, each from its own random stream, and their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lensvit.errors import LensvitError
from lensvit.jobs import seeds
from lensvit.lensing.brightness import counts, sersic_flux
from lensvit.lensing.quasar_images import NoSolution, QuasarImages
from lensvit.lensing.settings import full_priors
from lensvit.lensing.structure import BULGE_INDEX
from lensvit.lensing.system import System
from lensvit.simulation.engines import Engine, Solver
from lensvit.simulation.possible import in_view, outside_bounds
from lensvit.simulation.settings import SystemSettings, system_id

ATTEMPTS = 100  # draws of one system after which the priors are called impossible
ENOUGH = 20  # draws of all systems, from which on their share of failures counts
SURE = 3  # standard deviations by which failures must be more than half of the draws


class Sampler:
    """Draws of systems of one PSF and split.

    The system of an index does not depend on when, where and together with which others it is drawn.

    Parameters
    ----------
    settings
        What the systems are drawn from.
    split
        train, validation or test.
    solve
        The solver of the lens equation, which is an engine's.
    """

    def __init__(self, settings: SystemSettings, split: str, solve: Solver) -> None:
        self.settings, self.solve = settings, solve
        self.split, self.psf = split, settings.name
        self.priors = full_priors(settings.priors, settings.scene.structure.names)
        self.draw_count, self.failed = 0, 0  # draws of all systems so far, and those that could not be imaged

    def id(self, index: int) -> str:
        """The id of a system, made of the PSF, the split and the index."""
        return system_id(self.psf, self.split, index)

    def noise_seed(self, index: int) -> int:
        """The 63-bit seed of the one noise realisation of a system."""
        return seeds.derive(self.settings.seed, self.id(index), "noise")

    def sigma_bkg(self, index: int) -> float:
        """Standard deviation of the background noise of a system [counts/s per pixel]."""
        scene = self.settings.scene
        return float(self._stream(index, "background").uniform(scene.sigma_bkg_low, scene.sigma_bkg_high))

    def exposure(self, index: int) -> float:
        """Exposure time of a system [s]."""
        low, high = self.settings.scene.exposure, self.settings.scene.exposure_high
        return low if high is None else float(self._stream(index, "exposure").uniform(low, high))

    def parameters(self, index: int, attempt: int = 0) -> dict[str, float]:
        """The parameters of one draw of a system that its priors give, by name."""
        rng = self._stream(index, "parameters", attempt)
        parameters = {name: prior.draw(rng) for name, prior in self.priors.items()}
        if not self.settings.external_shear:
            parameters["gamma_ext"] = 0.0
        return parameters

    def draw(self, index: int, attempt: int = 0) -> System:
        """One system, see :meth:`draws`."""
        return self.draws([index], attempt)[0]

    def draws(self, indices: Sequence[int], attempt: int = 0) -> list[System]:
        """Systems, each from its first draw that can be imaged.

        Parameters
        ----------
        indices
            Indices of the systems.
        attempt
            The number of the first draw.

        Raises
        ------
        LensvitError
            If none of 100 draws of a system can be imaged, or most draws of all systems cannot.
        """
        found: dict[int, System] = {}
        for redraws in range(attempt, ATTEMPTS):
            waiting = [index for index in indices if index not in found]
            drawn = [self.parameters(index, redraws) for index in waiting]
            for index, parameters, images in zip(waiting, drawn, self._images(drawn), strict=True):
                self.draw_count += 1
                if isinstance(images, NoSolution):
                    self.reject(index, str(images))
                else:
                    found[index] = self._lit(index, System(parameters, images, redraws))
            if len(found) == len(indices):
                return [found[index] for index in indices]
        missing = next(index for index in indices if index not in found)
        raise LensvitError(
            f"{self.id(missing)}: none of {ATTEMPTS} draws can be imaged (reasons above): change `priors`, "
            "which leave no room for a multiply imaged quasar"
        )

    def _lit(self, index: int, system: System) -> System:
        """A system with amplitudes and fluxes of its own, where the scene has a brightness for each system."""
        magnitudes = self.settings.scene.magnitudes
        if magnitudes is None:
            return system
        rng, parameters = self._stream(index, "brightness", system.redraws), dict(system.parameters)
        lens, source, quasar = (
            counts(rng.uniform(*limits), magnitudes.zero_point)
            for limits in (magnitudes.lens, magnitudes.source, magnitudes.quasar)
        )
        share = rng.uniform(*magnitudes.bulge_share) if self.settings.scene.bulge else 0.0
        parameters["lens_amp"] = lens / sersic_flux(parameters["R_sersic"], parameters["n_sersic"])
        parameters["source_amp"] = (
            (1 - share) * source / sersic_flux(parameters["source_R_sersic"], parameters["source_n_sersic"])
        )
        if self.settings.scene.bulge:
            parameters["bulge_amp"] = share * source / sersic_flux(parameters["bulge_R_sersic"], BULGE_INDEX)
        scatter = magnitudes.microlensing * rng.standard_normal(self.settings.scene.max_images)
        size = np.abs(system.quasar_images.magnification)
        return replace(system, parameters=parameters, fluxes=quasar * size * np.exp(scatter[: len(size)]))

    def reject(self, index: int, reason: str) -> None:
        """Say that a draw of a system cannot be imaged, and count it.

        Parameters
        ----------
        index
            Index of the system.
        reason
            Why it cannot be imaged.

        Raises
        ------
        LensvitError
            If most draws of all systems cannot be imaged.
        """
        print(f"{self.id(index)}: drawn again, {reason}", flush=True)
        self.failed += 1
        if self.draw_count >= ENOUGH and self.failed - self.draw_count / 2 > SURE * np.sqrt(self.draw_count) / 2:
            raise LensvitError(
                f"{self.id(index)}: {self.failed} of {self.draw_count} draws cannot be imaged, the last one as "
                f"{reason}: change `priors`, or the camera"
            )

    def draw_again(self, index: int, redraws: int) -> System:
        """Another draw of a system whose image is not finite.

        Parameters
        ----------
        index
            Index of the system.
        redraws
            The number of draws before the one whose image is not finite.

        Raises
        ------
        LensvitError
            If the priors allow no system that can be imaged.
        """
        self.reject(index, "its image is not finite")
        return self.draw(index, redraws + 1)

    def _images(self, drawn: Sequence[Mapping[str, float]]) -> list[QuasarImages | NoSolution]:
        """The brightest images of the quasar of each draw, or why it cannot be imaged; the same for all engines."""
        reasons = [outside_bounds(parameters) for parameters in drawn]
        possible = [parameters for parameters, reason in zip(drawn, reasons, strict=True) if reason is None]
        solved = iter(self.solve(possible))
        return [self._in_view(next(solved)) if reason is None else NoSolution(reason) for reason in reasons]

    def _in_view(self, images: QuasarImages | NoSolution) -> QuasarImages | NoSolution:
        """The brightest images, unless none of them falls into the camera's image."""
        if isinstance(images, NoSolution):
            return images
        camera, brightest = self.settings.instrument, images.brightest(self.settings.scene.max_images)
        side = camera.pixels * camera.pixel_scale
        if in_view(brightest.x, brightest.y, side).any():
            return brightest
        return NoSolution(f"no image of the quasar lies within the {side:g} arcsec of the camera's image")

    def _stream(self, index: int, *purpose: int | str) -> np.random.Generator:
        """Random numbers for one purpose of a system."""
        return np.random.default_rng(seeds.derive(self.settings.seed, self.id(index), *purpose))


def imaged(sampler: Sampler, engine: Engine, indices: Sequence[int]) -> tuple[list[System], np.ndarray]:
    """Systems and their noise-free images, each from its first draw whose image is finite.

    Parameters
    ----------
    sampler
        Draws the systems.
    engine
        Computes their images.
    indices
        Indices of the n systems.

    Returns
    -------
    tuple[list[System], np.ndarray]
        The systems and their images (n, ny, nx), float32 [counts/s per pixel].

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
                systems[row] = sampler.draw_again(index, systems[row].redraws)
                images[row] = engine.render([systems[row]])[0]
    return systems, images
