r"""The limit of systems of free scenes, which have shapes, amplitudes and fluxes of their own.

The unknowns are the parameters of :attr:`lensvit.lensing.structure.Structure.names`, sizes and indices by their
logarithms, then the amplitudes of the galaxies and those of the quasar: the flux of each of its images, or the one
flux that their magnifications multiply.

Where each image has its own flux :math:`f_k`, microlensing and dust make its logarithm normal, with a scatter s,

.. math:: \ln f_k = \ln F + \ln |\mu_k| + s\, \epsilon_k,

so that fluxes tell of the magnifications, and these of the lens, as far as this goes. The quasar's own flux F is one
more unknown.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lensvit.chapters.limit.inputs import counted, input_information
from lensvit.chapters.limit.settings import LimitStage
from lensvit.inference.coordinates import LEAST_SHEAR, SIZE
from lensvit.inference.likelihood import Equations, Likelihood, by_coordinates, covariance
from lensvit.inference.prior import LogPrior
from lensvit.lensing.cameras import exposure_of
from lensvit.lensing.parts import Parts
from lensvit.lensing.power_law import PowerLaw
from lensvit.lensing.renderer import BatchedRenderer, system_tensors
from lensvit.lensing.settings import full_priors
from lensvit.lensing.structure import LOGARITHMS
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, Prior

LEAST_SCATTER = 1e-5  # of the logarithm of a flux about its magnification; no image tells a smaller one from none


class FreeLimit:
    """Limits of systems of a free scene, for one camera and PSF.

    Parameters
    ----------
    renderer
        The renderer of the camera.
    settings
        Priors, shear, scene and inputs.
    """

    def __init__(self, renderer: BatchedRenderer, settings: LimitStage) -> None:
        self.settings, self.scene, self.structure = settings, settings.scene, settings.scene.structure
        self.parts = Parts([exposure_of(renderer)], self.structure)
        self.side, self.exposure_map = renderer.pixels, renderer.exposure_map
        self.priors = full_priors(settings.priors, self.structure.names)

    def of(
        self, systems: list[System], sigma_bkg: Tensor, exposure: np.ndarray
    ) -> tuple[dict[str, list[Tensor]], Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The limits of B systems.

        Parameters
        ----------
        systems
            The systems.
        sigma_bkg
            (B,) background noise [counts/s per pixel].
        exposure
            (B,) exposure times [s].

        Returns
        -------
        spreads : dict[str, list[Tensor]]
            Treatment of the amplitudes to covariances (B, 14, 14) by the coordinates of
            :mod:`lensvit.inference.coordinates`, from the image and from each input of a network. With "known" ones,
            those of the galaxies and the quasar's own flux are known, and fluxes of images scatter about it.
        signal : Tensor
            (B, 4) ratios of signal to noise, see :func:`lensvit.chapters.limit.compute.signals`.
        tensors : tuple[Tensor, Tensor, Tensor]
            Parameters (B, 14), positions and magnifications of the quasar's images.
        """
        tensors = system_tensors(systems)
        spreads: dict[str, list[list[Tensor]]] = {"known": [], "marginalised": []}
        signal = []
        for row, system in enumerate(systems):
            one = tuple(tensor[row] for tensor in tensors)
            every, ratios = self._information(system, one[1], one[2], sigma_bkg[row : row + 1], float(exposure[row]))
            signal.append(ratios)
            for treatment, found in spreads.items():
                found.append([self._spread(system, one, information, treatment) for information in every])
        by_input = {name: [torch.stack(part) for part in zip(*found, strict=True)] for name, found in spreads.items()}
        return by_input, torch.stack(signal), tensors

    def _information(
        self, system: System, positions: Tensor, magnification: Tensor, sigma_bkg: Tensor, exposure: float
    ) -> tuple[list[Tensor], Tensor]:
        """Fisher information (P + A, P + A) of the image and of each input, and ratios of signal to noise (4,)."""
        values = torch.tensor([self.values(system)], dtype=torch.float64)
        most = self.structure.most_images
        places, sizes = positions.new_zeros(1, most, 2), magnification.new_zeros(1, most)
        places[0, : len(positions)], sizes[0, : len(positions)] = positions[:most], magnification[:most]
        [parts], [slopes] = self.parts.jacobian(values, places, sizes)
        amplitudes = torch.tensor(self.amplitudes(system), dtype=torch.float64)
        image = (amplitudes @ parts).reshape(1, self.side, self.side)
        by_parameters = (amplitudes[:, None] * slopes).sum(1)
        jacobian = torch.cat([by_parameters, parts]).reshape(1, -1, self.side, self.side)
        likelihood = Likelihood(image, sigma_bkg, exposure, exposure_map=self.exposure_map)
        variance = likelihood.variance(image)
        every = [likelihood.equations(image, jacobian).information[0]]
        for grid in self.settings.inputs:
            left = input_information(*counted(jacobian, variance, self.exposure_map), grid.image_size, grid.resize)
            every.append(every[0] if left is None else left[0])
        lights = amplitudes[:, None] * parts
        galaxies = len(self.structure.galaxies)
        whole = torch.stack([lights.sum(0), lights[1:galaxies].sum(0), lights[0], lights[galaxies:].sum(0)])
        return every, (whole.square() / variance.flatten()).sum(1).sqrt()

    def _spread(self, system: System, tensors: tuple[Tensor, ...], information: Tensor, treatment: str) -> Tensor:
        """Covariance (14, 14) by the coordinates, sizes and indices themselves."""
        parameters, positions, magnification = tensors
        count, parts, galaxies = len(self.structure.names), self.parts.count, len(self.structure.galaxies)
        whole = information.new_zeros(count + parts + 1, count + parts + 1)  # the last one is ln F
        whole[:-1, :-1] = information
        values = torch.tensor([self.values(system)], dtype=torch.float64)
        values[:, SIZE].clamp_(min=LEAST_SHEAR)
        whole[:count, :count] += self._prior(values[0]).equations(values).information[0]
        present = torch.nonzero(magnification)[:, 0]
        kept = [*range(count)]
        if treatment == "marginalised":
            kept += range(count, count + galaxies)
        if system.fluxes is None:
            kept += [count + galaxies] * (treatment == "marginalised")
        else:
            whole += self._scatter(parameters, positions[present], torch.as_tensor(system.fluxes), len(whole))
            kept += [count + galaxies + place for place in present.tolist()]
            kept += [count + parts] * (treatment == "marginalised")
        whole = whole[kept][:, kept][None]
        padded = torch.cat([values, values.new_ones(1, len(kept) - count)], 1)
        coordinates = by_coordinates(Equations(torch.zeros_like(padded), whole), padded).information
        result = covariance(coordinates)[0][0, : len(NAMES), : len(NAMES)]
        scale = torch.ones(len(NAMES), dtype=torch.float64)
        for name in set(LOGARITHMS) & set(NAMES):
            scale[NAMES.index(name)] = system.parameters[name]
        return scale[:, None] * result * scale

    def _prior(self, values: Tensor) -> LogPrior:
        """The priors at values (P,) as normal ones of the same precision there, sizes and indices by logarithms."""
        local = {}
        for name, value in zip(self.structure.names, values.tolist(), strict=True):
            prior = self.priors[name]
            if name in LOGARITHMS and prior.kind == "normal":
                prior = Prior("normal", value, (prior.sd or 0.0) / float(np.exp(value)))
            elif name in LOGARITHMS and prior.kind == "uniform" and prior.low == prior.high:
                prior = Prior("normal", value, 0.0)
            elif name in LOGARITHMS and prior.kind == "uniform":
                prior = Prior("uniform", low=-100.0, high=100.0)  # no information
            local[name] = prior
        return LogPrior(local, self.settings.external_shear, names=self.structure.names)

    def _scatter(self, parameters: Tensor, positions: Tensor, fluxes: Tensor, size: int) -> Tensor:
        """What the scatter of fluxes (m,) about magnifications adds to the information (size, size)."""
        assert self.scene.magnitudes is not None  # fluxes come from them
        count, galaxies = len(self.structure.names), len(self.structure.galaxies)
        _, brightened = PowerLaw(parameters[None]).moving_images(torch.complex(*positions.unbind(1))[None])
        rows = torch.zeros(len(fluxes), size, dtype=torch.float64)
        rows[:, : len(NAMES)] = -brightened[0]
        for name in set(LOGARITHMS) & set(NAMES):
            rows[:, NAMES.index(name)] = 0  # magnifications do not depend on the light
        rows[torch.arange(len(fluxes)), count + galaxies + torch.arange(len(fluxes))] = 1 / fluxes
        rows[:, -1] = -1
        return rows.T @ rows / max(self.scene.magnitudes.microlensing, LEAST_SCATTER) ** 2

    def values(self, system: System) -> list[float]:
        """The parameters of a system in the structure's order, sizes and indices by their logarithms."""
        values = ((name, system.parameters[name]) for name in self.structure.names)
        return [float(np.log(value)) if name in LOGARITHMS else value for name, value in values]

    def amplitudes(self, system: System) -> list[float]:
        """The amplitudes of the parts of a system."""
        own = {"lens_amp": self.scene.lens_amp, "source_amp": self.scene.source_amp, **system.parameters}
        galaxies = [own[f"{name}_amp"] for name in self.structure.galaxies]
        if system.fluxes is None:
            return [*galaxies, self.scene.quasar_amp]
        fluxes = np.zeros(self.structure.most_images)
        fluxes[: len(system.fluxes)] = system.fluxes
        return [*galaxies, *fluxes.tolist()]
