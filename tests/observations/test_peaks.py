"""Point-like peaks: where they are found, also without their cores, and where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from lensvit.inference.following import solve_quasar_images
from lensvit.lensing.structure import Structure
from lensvit.observations.observation import ObservedImage
from lensvit.observations.peaks import Peaks, find_peaks
from tests.lensing.scenes import gaussian, parameters
from tests.observations import simulated
from tests.observations.simulated import BACKGROUND, EXPOSURE, KERNEL, PIXELS, QUAD, SCALE

PLACES = solve_quasar_images(parameters(QUAD, Structure())[:, :14], 4)[0][0].numpy()


def found(half: int | None, row: int = 0, column: int = 0) -> Peaks:
    """Peaks of a quad; of all images squares of 2 half + 1 pixels, or so moved, do not count."""
    data = simulated.image()
    variance = BACKGROUND**2 + data.clip(0) / EXPOSURE
    if half is not None:
        for x, y in np.round(PLACES / SCALE + (PIXELS - 1) / 2).astype(int):
            block = slice(y + row - half, y + row + half + 1), slice(x + column - half, x + column + half + 1)
            data[block], variance[block] = 0.0, np.inf
    image = ObservedImage(data, variance, SCALE, KERNEL)
    return find_peaks(image.data, image.variance, image.exposure())


def distances(peaks: Peaks) -> np.ndarray:
    """From each image of the quasar to the nearest peak [arcsec]."""
    return np.hypot(*(PLACES[:, None] - peaks.position).transpose(2, 0, 1)).min(1)


def test_peaks_are_the_images_of_the_quasar() -> None:
    assert distances(found(None)).max() < 0.01


@pytest.mark.parametrize(("half", "within"), [(0, 0.01), (1, 0.01), (2, 0.02)])
def test_images_without_their_cores_are_found_by_their_wings(half: int, within: float) -> None:
    assert distances(found(half)).max() < within


@pytest.mark.parametrize("half", [0, 1, 2])
def test_wings_have_the_flux_of_an_image(half: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a host, whose light counts as the image's where its core is missing."""
    for galaxy in ("source", "bulge"):
        monkeypatch.setitem(simulated.AMPLITUDES, galaxy, 0.0)
    np.testing.assert_allclose(found(half).flux[:4], sorted(simulated.FLUXES, reverse=True), rtol=0.05)


def test_images_beside_what_does_not_count_are_found() -> None:
    assert distances(found(1, row=3)).max() < 0.01 and distances(found(1, column=-2)).max() < 0.01


@pytest.mark.parametrize(("half", "peaks"), [(2, 1), (4, 0)])
def test_nothing_is_sought_in_a_mask_that_is_no_core(half: int, peaks: int) -> None:
    """A user masks what is not of the lens. A star's wings reach beyond its mask, and are no peak."""
    kernel = 0.7 * gaussian(31, 1.1) + 0.3 * gaussian(31, 4.0)
    data = BACKGROUND * np.random.default_rng(0).standard_normal((PIXELS, PIXELS))
    data[17:48, 17:48] += 3000 * kernel
    variance = BACKGROUND**2 + data.clip(0) / EXPOSURE
    core = slice(32 - half, 33 + half)
    variance[core, core] = np.inf
    image = ObservedImage(data, variance, SCALE, kernel)
    assert len(find_peaks(image.data, image.variance, image.exposure()).flux) == peaks
