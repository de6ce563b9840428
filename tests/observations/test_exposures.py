"""Several exposures of one lens, and fits from Python."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import lensvit
from lensvit.errors import LensvitError
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import Structure
from lensvit.observations.cosmography import Redshifts
from lensvit.observations.fitting import fit_scene, registered
from lensvit.observations.observation import Observation, ObservedImage
from lensvit.observations.peaks import find_peaks
from tests.lensing.scenes import gaussian, images, parameters
from tests.observations import simulated
from tests.observations.simulated import AMPLITUDES, BACKGROUND, EXPOSURE, FLUXES, KERNEL, PIXELS, QUAD, SCALE

CENTERS = (0.0, 0.0), (0.061, -0.047)
SCALES = 0.12  # coarse pixels, on which the PSF is badly sampled


def dithered() -> Observation:
    """Two exposures on coarse pixels with a PSF on finer ones, moved by half a pixel."""
    kernel = gaussian(61, 3.6)  # on pixels of 0.03 arcsec
    structure, random, found = Structure(sky=False), np.random.default_rng(4), []
    for center in CENTERS:
        exposure = Exposure(36, SCALES, kernel, 4, fine=True, supersampling=8, center=center)
        part = images(Parts([exposure], structure), parameters(QUAD, structure))[0]
        clean = (torch.tensor([*AMPLITUDES.values(), *FLUXES], dtype=torch.float64) @ part).reshape(36, 36).numpy()
        variance = (2 * BACKGROUND) ** 2 + clean / EXPOSURE
        noisy = clean + np.sqrt(variance) * random.standard_normal(clean.shape)
        found.append(ObservedImage(noisy, variance, SCALES, kernel, 4))
    return Observation("dithered", tuple(found))


def test_exposures_are_registered_by_their_peaks() -> None:
    observation = dithered()
    first = observation.images[0]
    peaks = find_peaks(first.data, first.variance, first.exposure())
    _, other = registered(observation.images, peaks)
    assert np.hypot(other[0] - CENTERS[1][0], other[1] - CENTERS[1][1]) < 0.01
    empty = dataclasses.replace(first, data=np.random.default_rng(0).standard_normal(first.data.shape) * BACKGROUND)
    with pytest.raises(LensvitError, match="image 2 does not show the peaks"):
        registered([first, empty], peaks)


def test_exposures_are_fitted_together_and_moved_to_where_they_are() -> None:
    fit = fit_scene(dithered())
    other = fit.posterior.parts.exposures[1].center
    assert np.hypot(other[0] - CENTERS[1][0], other[1] - CENTERS[1][1]) < 0.001
    information = fit.rounds[-1].fit.information[0]
    sigma = dict(zip(fit.names, np.sqrt(np.diag(np.linalg.inv(information.numpy()))), strict=True))
    for name in ("theta_E", "gamma", "e1", "e2"):
        assert abs(fit.parameters[name] - QUAD[name]) < 4 * sigma[name], name
    assert fit.parameters["theta_E"] == pytest.approx(QUAD["theta_E"], rel=0.01)


def test_a_fit_from_python_is_that_of_the_file(tmp_path: Path) -> None:
    data = simulated.image()
    path = simulated.write(tmp_path / "lens.fits", data)
    known = {"pixel_scale": SCALE, "exposure_time": EXPOSURE, "background_rms": BACKGROUND}
    by_array = lensvit.fit(data, KERNEL, samples=False, redshifts=Redshifts(0.5), **known)
    by_file = lensvit.fit(path, samples=False)
    assert by_array.redshifts == (0.5, None, 0.3) and by_file.redshifts == (None, None, 0.3)
    for result in (by_array, by_file):
        assert result.sample is None and len(result.images) == 4
        assert result.table.loc["theta_E", "most_probable"] == pytest.approx(QUAD["theta_E"], rel=0.01)
    np.testing.assert_allclose(by_array.table["most_probable"], by_file.table["most_probable"], rtol=1e-6)


def test_wrong_arguments_are_one_line() -> None:
    flat = np.random.default_rng(0).standard_normal((PIXELS, PIXELS))
    with pytest.raises(LensvitError, match="needs a PSF in an array"):
        lensvit.fit(flat, pixel_scale=SCALE)
    with pytest.raises(LensvitError, match="2 values for 1 exposures"):
        lensvit.fit([flat], KERNEL, pixel_scale=[0.1, 0.1])
    with pytest.raises(LensvitError, match="no image"):
        lensvit.fit([])
    with pytest.raises(AttributeError, match="no attribute"):
        lensvit.nothing  # noqa: B018
