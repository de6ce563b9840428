"""A search leaves what cannot be imaged where it is."""

import pytest
import torch

from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.goodness import explained
from lensvit.inference.search import climb
from tests.builders import noisy_posterior, parameter_tensor

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_cannot_be_imaged_has_no_density(space_camera):
    density = noisy_posterior(space_camera)
    wrong = start_from(parameter_tensor(space_camera[2]))[:3]
    wrong[0, COORDINATES.index("R_sersic")] = -1.0
    wrong[1, COORDINATES.index("gamma")] = 5.0
    found = density.log_density(wrong, torch.arange(3))
    assert found.isinf().tolist() == [True, True, False]
    fit = climb(density, wrong[:2], torch.arange(2), 5)
    assert not fit.at_maximum().any() and torch.equal(fit.coordinates, wrong[:2])
    assert not explained(density, wrong[:2], torch.arange(2))[1].any()
