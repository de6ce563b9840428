"""Images of lenses as an observer has them, simulated: for tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits

from lensvit.inference.coordinates import to_coordinates
from lensvit.inference.importance import ImportanceSample
from lensvit.inference.prior import LogPrior
from lensvit.inference.scene_posterior import ScenePosterior
from lensvit.inference.search import Fit
from lensvit.lensing.exposure import Cusp, Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import Structure
from lensvit.observations.fitting import FLAT, PosteriorSample, Round, SceneFit
from lensvit.observations.noise_model import Errors
from lensvit.observations.observation import Observation, ObservedImage
from lensvit.observations.peaks import Peaks
from lensvit.observations.result import LensResult
from lensvit.observations.start import Hypothesis
from lensvit.observations.survey import POSITION_ERROR, survey_priors
from tests.lensing.scenes import gaussian, images, parameters

QUAD = {
    "theta_E": 1.0, "gamma": 2.05, "center_x": 0.03, "center_y": -0.02, "e1": 0.08, "e2": -0.05, "R_sersic": 0.7,
    "n_sersic": 3.0, "gamma_ext": 0.05, "psi_ext": 0.7, "source_x": 0.06, "source_y": 0.03, "source_R_sersic": 0.25,
    "source_n_sersic": 1.2, "light_x": 0.03, "light_y": -0.02, "light_e1": 0.08, "light_e2": 0.02, "source_e1": 0.1,
    "source_e2": -0.1, "host_x": 0.01, "host_y": -0.02, "bulge_R_sersic": 0.06,
}  # fmt: skip
PIXELS, SCALE, EXPOSURE, BACKGROUND = 64, 0.06, 1400.0, 0.006
KERNEL = gaussian(31, 1.1)
AMPLITUDES = {"lens": 20.0, "source": 12.0, "bulge": 10.0}
FLUXES = 90.0, 120.0, 60.0, 40.0
SKY = 0.004


def image(values: dict[str, float] = QUAD, seed: int = 0, fluxes: tuple[float, ...] = FLUXES) -> np.ndarray:
    """A noisy image (n, n) [counts/s per pixel]; fluxes are those of the images in the order of their magnification."""
    structure = Structure()
    cusps = np.array([[values["light_x"], values["light_y"]]])
    exposure = Exposure(
        PIXELS, SCALE, KERNEL, supersampling=3, cusps=(Cusp(cusps, 0.3, 9), Cusp(cusps, 0.15, 31)), degree=3
    )
    parts = Parts([exposure], structure)
    part = images(parts, parameters(values, structure))[0]
    amplitudes = torch.tensor([*AMPLITUDES.values(), *fluxes, SKY], dtype=torch.float64)
    clean = (amplitudes @ part).reshape(PIXELS, PIXELS).numpy()
    sigma = np.sqrt(BACKGROUND**2 + clean.clip(0) / EXPOSURE)
    return clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)


def write(path: Path, data: np.ndarray, kernel: np.ndarray | None = KERNEL, **header: object) -> Path:
    """Write an image with its PSF as an extension and a header that says all, or what is given instead."""
    primary = fits.PrimaryHDU(np.asarray(data))
    known = {"PIXSCALE": SCALE, "EXPTIME": EXPOSURE, "BKGRMS": BACKGROUND, "BUNIT": "electrons/s"} | header
    for key, value in known.items():
        if value is not None:
            primary.header[key] = value
    units = [primary] + ([] if kernel is None else [fits.ImageHDU(kernel, name="PSF")])
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def settled(
    structure: Structure | None = None, values: dict[str, float] = QUAD, draws: int = 0, **changes: object
) -> LensResult:
    """What a fit of an image would give that ended at the truth, without any search.

    ``draws`` are as many draws of the posterior, of made-up widths; ``changes`` are of the observed image.
    """
    structure = structure or Structure(position_error=POSITION_ERROR)
    data = image(values)
    known = {"data": data, "variance": BACKGROUND**2 + data.clip(0) / EXPOSURE, "pixel_scale": SCALE, "kernel": KERNEL}
    observed = ObservedImage(**known | changes)  # type: ignore[arg-type]
    center = np.array([values["light_x"], values["light_y"]])
    cusps = Cusp(center[None], 0.3, 9), Cusp(center[None], 0.15, 31)
    exposure = dataclasses.replace(observed.exposure(), supersampling=3 * observed.oversampling, cusps=cusps)
    parts, prior = Parts([exposure], structure), survey_priors(center, 0.05, {})
    scale = torch.full((parts.count,), FLAT * 100, dtype=torch.float64)
    scale[parts.shifts] = structure.position_error or 1.0
    pixels, noise = (torch.as_tensor(plane.ravel()) for plane in (observed.data, observed.variance))
    posterior = ScenePosterior(parts, pixels, noise, scale, LogPrior(prior, names=structure.names))
    coordinates = to_coordinates(parameters(values, structure))
    none = torch.zeros(1)
    end = Fit(coordinates, none, coordinates * 0, torch.eye(len(structure.names))[None], none, none, none)
    empty, nowhere = np.zeros((0, 2)), np.zeros(0)
    fit = SceneFit(
        Observation("quad", (observed,)), posterior, prior, Hypothesis(empty, nowhere, center, True, coordinates, none),
        Peaks(empty, nowhere, nowhere), (Round(end, Errors(0.01, 0.01)),), (),
    )  # fmt: skip
    result = LensResult(fit, None, None, 1.0, sampled=draws > 0)
    if not draws:
        return result
    random = np.random.default_rng(2)
    row = np.array([values[name] for name in structure.names])
    amplitudes = posterior.solution(fit.coordinates)[1].amplitudes.numpy()[: parts.count - parts.known]
    seen = result.images[["x", "y", "flux"]].to_numpy()
    sample = PosteriorSample(
        ImportanceSample(np.zeros((draws, 1)), np.ones(draws) / draws, 0, 0.1, 400.0, 0.0, 0.1, 1, 1, ""),
        row + 0.01 * random.standard_normal((draws, len(row))),
        amplitudes * (1 + 0.01 * random.standard_normal((draws, len(amplitudes)))),
        seen * (1 + 0.01 * random.standard_normal((draws, *seen.shape))),
        1.0,
    )
    return dataclasses.replace(result, sample=sample)
