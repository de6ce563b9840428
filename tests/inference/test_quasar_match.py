"""Lenses that are matched to quasar images send them to one source."""

import numpy as np
import pytest
import torch

from lensvit.inference.coordinates import COORDINATES
from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import QuasarMatcher
from lensvit.inference.starts import from_prior
from lensvit.lensing.lens_equation import solve
from lensvit.parameters import priors
from tests.builders import SPACE_SEEDS, draw_parameters

pytestmark = pytest.mark.usefixtures("one_thread")

PRIOR = LogPrior(priors({}))


@pytest.mark.parametrize("seed", SPACE_SEEDS)
def test_matched_lenses_map_the_images_to_one_source(seed):
    images, known = solve(draw_parameters(seed)).brightest(4), from_prior(PRIOR)
    observed = QuasarMatcher(
        torch.tensor(np.stack([images.x, images.y], 1)), torch.tensor(np.abs(images.magnification))
    )
    match = observed.match(known, known.draw(6, torch.Generator().manual_seed(1)))
    best = match.coordinates[0]
    rays = observed._rays(best[None])[0][0]
    source = torch.complex(*best[[COORDINATES.index(name) for name in ("source_x", "source_y")]])
    assert (rays - source).abs().max() < 3e-3
    assert (match.cost.diff() >= 0).all()
