"""Priors of lensed quasars as surveys have them, wide enough for what has been found so far.

The sizes and indices of galaxies, shears and ellipticities span those of some thirty quads that were modelled with
power laws (Shajib et al. 2019, MNRAS 483, 5649; Schmidt et al. 2023, MNRAS 518, 1260). The light of the lens galaxy and
of the host lies where the image shows it, so that its priors stand around what was measured there.

The prior of the bulge, the offset of the host and the sizes of shear and ellipticity were settled on while fits of
rung 0 of the Time Delay Lens Modelling Challenge (its truth was open) and of five quads with published models were
looked at. That these come out right is therefore a weaker test than mock lenses (:mod:`lensvit.observations.trial`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lensvit.parameters import Prior, lognormal, normal, rayleigh, uniform

CENTER_ERROR = 0.05  # of the lens galaxy about its peak [arcsec]
POSITION_ERROR = 0.003  # of quasar images about those of the lens equation, along each axis [arcsec]
UNSEEN_CENTER = 0.25  # the same about the middle of the quasar's images, in units of their largest distance from it

SURVEY = {
    "theta_E": normal(1.2, 0.6),
    "gamma": normal(2.0, 0.15),
    "e1": normal(0.0, 0.1),
    "e2": normal(0.0, 0.1),
    "R_sersic": lognormal(0.8, 0.8),
    "n_sersic": lognormal(4.0, 0.4),
    "gamma_ext": rayleigh(0.07),
    "psi_ext": uniform(0.0, math.pi),
    "source_R_sersic": lognormal(0.2, 0.5),
    "source_n_sersic": lognormal(1.2, 0.5),
    "light_e1": normal(0.0, 0.2),
    "light_e2": normal(0.0, 0.2),
    "source_e1": normal(0.0, 0.2),
    "source_e2": normal(0.0, 0.2),
    "host_x": normal(0.0, 0.05),
    "host_y": normal(0.0, 0.05),
    "bulge_R_sersic": lognormal(0.12, 0.3),  # a smaller one stands for errors of the PSF at the quasar
}


def survey_priors(center: np.ndarray, error: float, changes: Mapping[str, Prior]) -> dict[str, Prior]:
    """The priors of all parameters of a scene.

    Parameters
    ----------
    center
        Where the lens galaxy is (2,) [arcsec].
    error
        Error of this [arcsec].
    changes
        Priors that stand instead of these, by parameter.
    """
    result = dict(SURVEY)
    for axis, place in zip("xy", center.tolist(), strict=True):
        result[f"center_{axis}"] = result[f"light_{axis}"] = normal(place, error)
        result[f"source_{axis}"] = normal(place, 0.5)
    return result | dict(changes)
