"""Peaks are the images of the quasar."""

import numpy as np
import pytest
import torch

from lensvit.inference.peaks import PeakFinder
from tests.builders import SCENE, SPACE, parameter_tensor, space_psf

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS, PIXEL_SCALE = SPACE.pixels, SPACE.pixel_scale
SIGMA = 1.0


def test_peaks_are_the_quasar_images(space_camera):
    known, renderer, systems, images = space_camera
    finder = PeakFinder(PIXELS, known)
    for system, image in zip(systems, images, strict=True):
        dark = torch.zeros(1, 1, dtype=torch.float64)
        amplitudes = torch.tensor([[0.0, SCENE.lens_amp, 0.0]], dtype=torch.float64)
        light = renderer.images(
            torch.cat([parameter_tensor([system]), amplitudes], 1), dark[..., None].expand(1, 1, 2), dark
        )
        peaks = finder.find(image - light[0].numpy(), SIGMA**2 + image / 1000, np.zeros(2), 0.1, 60.0)
        true = system.quasar_images
        distance = np.hypot(peaks.position[:2, :1] - true.x, peaks.position[:2, 1:] - true.y)  # of the two brightest
        assert len(peaks.flux) >= 2 and (np.diff(peaks.flux) <= 0).all() and (distance.min(1) < 0.1 * PIXEL_SCALE).all()
        flux = SCENE.quasar_amp * np.abs(true.magnification[distance.argmin(1)])
        np.testing.assert_allclose(peaks.flux[:2], flux, rtol=0.35)  # arcs lie under it


def test_two_peaks_less_than_the_width_of_the_psf_apart():
    known = space_psf(31)
    finder = PeakFinder(PIXELS, known)
    image = finder._image(np.array([[30.2, 30.6, 3000.0], [31.9, 31.0, 2000.0]]))
    peaks = finder.find(image, np.ones_like(image), np.array([-2.0, -2.0]), 0.1, 60.0)
    expected = (np.array([[30.2, 30.6], [31.9, 31.0]]) - (PIXELS - 1) / 2) * PIXEL_SCALE
    np.testing.assert_allclose(peaks.position, expected, atol=1e-3)
    np.testing.assert_allclose(peaks.flux, [3000, 2000], rtol=1e-2)


def test_no_peaks_in_noise():
    image = np.random.default_rng(0).normal(size=(PIXELS, PIXELS))
    assert len(PeakFinder(PIXELS, space_psf(31)).find(image, np.ones_like(image), np.zeros(2), 0.1, 1.0).flux) == 0
