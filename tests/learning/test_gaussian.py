"""The Gaussian of a network's outputs and its loss against torch's own, and the full one against the diagonal one."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from lensvit.learning import gaussian
from lensvit.learning.gaussian import LOG_2_PI, gaussian_nll, mean_squared_error
from lensvit.learning.symmetries import target_matrices
from lensvit.parameters import TARGET_NAMES

K = 8


def full_output(count=20, seed=0, size=1.0, dtype=torch.float64):
    """Outputs (count, 44) with couplings of about the given size."""
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn(count, gaussian.output_count("full", K), generator=generator, dtype=dtype)
    output[:, 2 * K :] *= size / gaussian.UNIT
    return output


def covariance(output):
    """(B, K, K), inverted by another way than that of the draws."""
    _, log_variance, coupling = gaussian.split_output(output, K)
    root = (torch.eye(K) + coupling) @ torch.diag_embed((-log_variance / 2).exp())
    return torch.linalg.inv(root.mT @ root)


def test_how_many_outputs():
    assert gaussian.output_count("diagonal", K) == 16 and gaussian.output_count("full", K) == 44
    assert gaussian.output_count("full", 2) == 5
    with pytest.raises(ValueError, match="17 outputs are no posterior of 8 targets"):
        gaussian.split_output(torch.zeros(1, 17), K)


def test_the_loss_is_torchs_multivariate_normal():
    output, target = full_output(), torch.randn(20, K, dtype=torch.float64)
    expected = MultivariateNormal(output[:, :K], covariance(output)).log_prob(target)
    assert gaussian_nll(output, target).item() == pytest.approx(-expected.mean().item() / K, rel=1e-10)


def test_without_couplings_it_is_the_diagonal_posterior():
    output = full_output(size=0.0)
    target, normal = torch.randn(20, K, dtype=torch.float64), np.random.default_rng(0).standard_normal((20, K))
    diagonal = output[:, : 2 * K]
    assert gaussian_nll(output, target).item() == pytest.approx(gaussian_nll(diagonal, target).item(), rel=1e-12)
    assert mean_squared_error(output, target) == mean_squared_error(diagonal, target)
    for one, other in zip(gaussian.draw_targets(output, normal), gaussian.draw_targets(diagonal, normal), strict=True):
        assert one == pytest.approx(other, rel=1e-12)


def test_the_diagonal_posterior_is_bit_for_bit_what_it_was():
    """The loss and the draws as they stood before there was a choice."""
    output, target = torch.randn(500, 2 * K), torch.randn(500, K)
    mean, log_variance = output.chunk(2, dim=-1)
    loss = 0.5 * ((-log_variance).exp() * (target - mean) ** 2 + log_variance + LOG_2_PI).mean()
    assert torch.equal(gaussian_nll(output, target), loss)
    wide, normal = output.double(), np.random.default_rng(0).standard_normal((500, K))
    mean, variance = wide[:, :K].numpy(), wide[:, K:].exp().numpy()
    expected = mean, variance, mean + np.sqrt(variance) * normal
    for one, other in zip(gaussian.draw_targets(wide, normal), expected, strict=True):
        assert np.array_equal(one, other)


def test_draws_have_the_mean_and_the_covariance():
    output = full_output(count=1, seed=3, size=0.5)
    normal = np.random.default_rng(1).standard_normal((200_000, K))
    mean, variance, draws = gaussian.draw_targets(output.expand(len(normal), -1), normal)
    expected = covariance(output)[0].numpy()
    assert variance[0] == pytest.approx(expected.diagonal(), rel=1e-9)
    assert mean[0] == pytest.approx(output[0, :K].numpy(), rel=1e-15)
    sigma = np.sqrt(expected.diagonal())
    assert (draws.mean(0) - mean[0]) / sigma == pytest.approx(np.zeros(K), abs=0.01)
    correlation = expected / np.outer(sigma, sigma)
    assert np.abs(correlation - np.eye(K)).max() > 0.5
    assert np.cov(draws.T) / np.outer(sigma, sigma) == pytest.approx(correlation, abs=0.02)


@pytest.mark.parametrize("symmetry", range(4))
def test_a_symmetry_of_the_targets_is_one_of_the_posterior(symmetry):
    """Turned targets have a turned Gaussian of the same likelihood: images that are turned need no other loss."""
    output, target = full_output(seed=4), torch.randn(20, K, dtype=torch.float64)
    matrix = target_matrices(TARGET_NAMES)[symmetry].double()
    precision = matrix @ torch.linalg.inv(covariance(output)) @ matrix.T
    # lower triangular, its transpose times itself the precision: Cholesky's from the other end
    root = torch.linalg.cholesky(precision.flip(-1, -2)).flip(-1, -2).mT
    sigma = 1 / root.diagonal(dim1=-1, dim2=-2)
    row, column = torch.tril_indices(K, K, offset=-1)
    coupling = (root * sigma.unsqueeze(-2))[:, row, column]
    assert coupling.abs().max() < gaussian.LARGEST_COUPLING
    raw = gaussian.LARGEST_COUPLING * torch.atanh(coupling / gaussian.LARGEST_COUPLING) / gaussian.UNIT
    turned = torch.cat([output[:, :K] @ matrix.T, 2 * sigma.log(), raw], -1)
    expected = gaussian_nll(output, target).item()
    assert gaussian_nll(turned, target @ matrix.T).item() == pytest.approx(expected, rel=1e-9)


def test_the_loss_is_least_at_the_true_correlation():
    """Two targets with correlation 0.8: coupling -rho / sqrt(1 - rho^2), log-variance of the second given the first."""
    rho = 0.8
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    target = torch.randn(40_000, 2, dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
    output = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([output], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = gaussian_nll(output.expand(len(target), -1), target)
        loss.backward()
        return loss

    optimizer.step(closure)
    _, log_variance, coupling = gaussian.split_output(output.detach(), 2)
    assert coupling[1, 0].item() == pytest.approx(-rho / math.sqrt(1 - rho**2), abs=0.05)
    assert log_variance.tolist() == pytest.approx([0, math.log(1 - rho**2)], abs=0.03)


def test_extreme_outputs_stay_finite():
    """Couplings and log-variances far beyond what a network gives: loss, gradient and draws in float32."""
    output = full_output(size=1e4, dtype=torch.float32)
    output[:, K : 2 * K] = torch.linspace(-40, 40, K)
    output.requires_grad_()
    loss = gaussian_nll(output, torch.randn(20, K))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(output.grad).all()
    _, _, coupling = gaussian.split_output(output.detach(), K)
    assert coupling.abs().max() <= gaussian.LARGEST_COUPLING and (coupling.triu() == 0).all()
    for values in gaussian.draw_targets(output.detach().double(), np.ones((20, K))):
        assert np.isfinite(values).all()


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
