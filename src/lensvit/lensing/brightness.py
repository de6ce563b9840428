"""Magnitudes, counts and the amplitudes of profiles."""

from __future__ import annotations

import numpy as np
from scipy.special import gamma

B_SLOPE, B_OFFSET, LEAST_B = 1.9992, -0.3271, 1e-5  # of lenstronomy's factor b_n


def b_n(index: float) -> float:
    """The factor b_n of lenstronomy that makes R_sersic about the half-light radius, at the Sersic index n."""
    return max(B_SLOPE * index + B_OFFSET, LEAST_B)


def sersic_flux(radius: float, index: float) -> float:
    """The flux of a Sersic profile of amplitude 1, lenstronomy's, at its effective radius; [arcsec^2].

    Graham & Driver 2005, PASA 22, 118, equation 4, with lenstronomy's b_n. A profile of lenstronomy has the same flux
    for every ellipticity.

    Parameters
    ----------
    radius
        Effective radius [arcsec].
    index
        Sersic index.
    """
    b = b_n(index)
    return float(2 * np.pi * index * radius**2 * np.exp(b) * b ** (-2 * index) * gamma(2 * index))


def counts(magnitude: float, zero_point: float) -> float:
    """Counts/s of a magnitude, where ``zero_point`` is that of 1 count/s."""
    return float(10 ** (-0.4 * (magnitude - zero_point)))
