"""Equation 3 against torch's own loss."""

import math

import pytest
import torch

from lensvit.learning.gaussian import gaussian_nll, mean_squared_error


def test_the_loss_is_torchs_full_gaussian_nll():
    torch.manual_seed(0)
    output, target = torch.randn(20, 16), torch.randn(20, 8)
    mean, log_variance = output.chunk(2, dim=-1)
    expected = torch.nn.GaussianNLLLoss(full=True)(mean, target, log_variance.exp())
    assert gaussian_nll(output, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_loss_is_least_at_the_true_scatter():
    torch.manual_seed(0)
    target = 0.3 * torch.randn(100_000, 1)
    at = {s: gaussian_nll(torch.tensor([[0.0, s]]).expand(len(target), 2), target).item() for s in (-3.0, -2.408, -1.8)}
    assert at[-2.408] < min(at[-3.0], at[-1.8])
    assert at[-2.408] == pytest.approx(0.5 * (1 + 2 * math.log(0.3) + math.log(2 * math.pi)), abs=0.01)


def test_the_mean_squared_error_leaves_the_variance_out():
    output = torch.tensor([[1.0, 2.0, 99.0, -99.0]])
    assert mean_squared_error(output, torch.tensor([[0.0, 0.0]])).item() == pytest.approx(2.5)
