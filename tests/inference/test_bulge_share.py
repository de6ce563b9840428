"""The prior of a bulge's share of its host's light: against fluxes of profiles, and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lensvit.inference.bulge_share import BulgeShare
from lensvit.inference.coordinates import to_coordinates
from lensvit.inference.prior import LogPrior
from lensvit.inference.scene_posterior import ScenePosterior
from lensvit.lensing.brightness import sersic_flux
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.galaxies import log_sersic_flux
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import BULGE_INDEX, Structure
from lensvit.observations.survey import survey_priors
from tests.lensing.scenes import VALUES, gaussian, images, parameters


@pytest.mark.parametrize("index", [0.4, 1.5, 4.0, 9.0])
def test_the_logarithm_is_that_of_the_flux(index: float) -> None:
    found = log_sersic_flux(torch.tensor(0.7, dtype=torch.float64).log(), torch.tensor(index, dtype=torch.float64))
    assert float(found) == pytest.approx(np.log(sersic_flux(0.7, index)), abs=1e-9)


def test_shares_are_equally_probable() -> None:
    """By the share in place of the bulge's amplitude, the densities of host, bulge and the rest are 1 / host."""
    structure = Structure()
    place = parameters(VALUES, structure)
    names = structure.names
    value = BulgeShare(names).log_density(place)
    host = sersic_flux(VALUES["source_R_sersic"], VALUES["source_n_sersic"])
    bulge = sersic_flux(VALUES["bulge_R_sersic"], BULGE_INDEX)
    assert float(value) == pytest.approx(np.log(bulge / host), abs=1e-9)
    parts = Parts([Exposure(20, 0.2, gaussian(9, 1.2))], structure)
    powers = dict(zip(parts.names, parts.powers.tolist(), strict=True))
    # the share's differential is the bulge's amplitude's over the host's flux: one more power of the host's amplitude
    assert powers["source"] == 2 and powers["bulge"] == 0 and powers["lens"] == 1 and powers["sky_1"] == 0
    without = Parts([Exposure(20, 0.2, gaussian(9, 1.2))], Structure(bulge=False))
    assert without.powers.tolist() == without.light.double().tolist()


def test_the_gradient_of_a_posterior_has_that_of_the_share() -> None:
    structure = Structure()
    parts, place = Parts([Exposure(30, 0.12, gaussian(21, 1.2))], structure), parameters(VALUES, structure)
    truth = torch.tensor([30.0, 50, 50, 40, 30, 20, 10, 0.01], dtype=torch.float64)
    clean = truth @ images(parts, place)[0]
    prior = LogPrior(survey_priors(np.zeros(2), 0.5, {}), names=structure.names)
    posterior = ScenePosterior(parts, clean, torch.full_like(clean, 0.5), torch.full((parts.count,), 1e4), prior)
    coordinates, row = to_coordinates(place), torch.zeros(1, dtype=torch.long)
    found = posterior.equations(posterior.models(coordinates), row)
    for name in ("bulge_R_sersic", "source_R_sersic", "source_n_sersic", "R_sersic"):
        column = structure.names.index(name)
        step = torch.zeros_like(coordinates)
        step[0, column] = 1e-4
        high, low = (float(posterior.log_density(coordinates + sign * step, row)) for sign in (1, -1))
        assert float(found.gradient[0, column]) == pytest.approx((high - low) / 2e-4, rel=1e-3, abs=1e-3), name
