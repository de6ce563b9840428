"""Lenses that others have made or observed: a simulated quad whose truth is open, and a real one.

Their files lie beside the project on its developers' machines and in CI, and nowhere else.
"""

from __future__ import annotations

import numpy as np
import pytest

import lensvit
from lensvit.observations.cosmography import Delays
from tests.config.configs import ROOT

REAL = ROOT.parent / "shared/real"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not REAL.is_dir(), reason="no files of real lenses")]


def test_the_quad_of_rung_0_has_its_truth() -> None:
    """The Time Delay Lens Modelling Challenge's (Ding et al. 2018, arXiv:1801.01506), from its drizzled image."""
    folder = REAL / "rung0/f160w-seed3/drizzled_image"
    seen = np.array([[0.082, -1.101], [-1.169, -0.249], [1.212, 0.227], [-0.277, 1.059]])
    delays = Delays(seen, np.array([-16.668, -25.613, 0.82]), np.full(3, 0.25), 0.858, 2.175, 0.27)
    files = [folder / name for name in ("lens-image.fits", "psf.fits", "noise_map.fits")]
    result = lensvit.fit(
        files[0], files[1], noise=files[2], pixel_scale=0.08, unit="counts/s", name="rung0", delays=delays
    )
    mean, sigma = result.table["mean"], result.table["sigma"]
    assert mean["theta_E"] == pytest.approx(1.161, rel=0.01)
    assert abs(mean["gamma"] - 2.044) < min(0.05, 3 * sigma["gamma"])
    # TDLMC's shear has the opposite sign: -b (cos 2 phi, sin 2 phi)
    found = mean["gamma_ext"] * np.exp(2j * mean["psi_ext"])
    assert abs(found - -0.028 * np.exp(2j * 2.225)) < 0.02
    positions = result.images[["x", "y"]].to_numpy()
    assert np.hypot(*(seen[:, None] - positions).transpose(2, 0, 1)).min(1).max() < 0.005
    assert result.fit.errors.galaxies < 0.02  # the galaxies' light is explained
    hubble = result.hubble
    assert hubble is not None and abs(hubble.h0 - 72.032) < 2 * hubble.h0_sigma and hubble.h0_sigma < 0.1 * hubble.h0


def test_a_real_quad_has_its_published_einstein_radius() -> None:
    """DES J0259-1635, with the start value of a published pipeline (Gilman et al. 2025, arXiv:2511.07513)."""
    result = lensvit.fit(REAL / "quads/J0259-1635_F814W.fits", samples=False)
    assert result.table.loc["theta_E", "most_probable"] == pytest.approx(0.7414, rel=0.02)
    assert len(result.images) == 4 and result.fit.converged
