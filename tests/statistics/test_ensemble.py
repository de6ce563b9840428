"""Weights of predictions whose errors are known."""

import numpy as np
import pytest

from lensvit.statistics.ensemble import least_square_weights


def drawn(covariance, systems=200_000, scale=1.0):
    """Errors (M, n, 1) of exactly this covariance."""
    count = len(covariance)
    plain = np.random.default_rng(1).standard_normal((systems, count))
    plain = plain @ np.linalg.inv(np.linalg.cholesky(plain.T @ plain / systems)).T
    return scale * (plain @ np.linalg.cholesky(covariance).T).T[..., None]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("covariance", "expected"),
    [
        ([[1, 0], [0, 4]], [0.8, 0.2]),  # by the inverse variances
        ([[1, 0], [0, 1]], [0.5, 0.5]),
        ([[1, 0.5], [0.5, 4]], [3.5 / 4, 0.5 / 4]),
        ([[1, 1.5], [1.5, 4]], [1, 0]),  # the second knows nothing that the first does not
        ([[1, 0, 0], [0, 2, 0], [0, 0, 4]], [4 / 7, 2 / 7, 1 / 7]),
        ([[1, 0, 0.9], [0, 1, 0], [0.9, 0, 1]], [0.256, 0.487, 0.256]),  # two that are nearly one share its weight
    ],
)
def test_weights_minimise_the_mean_square(covariance, expected, scale):
    found = least_square_weights(drawn(covariance, 2000, scale))
    assert found[:, 0] == pytest.approx(np.array(expected), abs=2e-3)
    assert found.sum(0) == pytest.approx(1, abs=1e-12) and (found >= 0).all()


def test_each_target_has_its_own():
    errors = np.concatenate([drawn([[1, 0], [0, 4]], 500), drawn([[4, 0], [0, 1]], 500)], axis=-1)
    assert least_square_weights(errors) == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]), abs=1e-3)


def test_predictions_without_an_error_share_the_weight_in_some_way():
    found = least_square_weights(np.zeros((3, 10, 2)))
    assert found.sum(0) == pytest.approx(1) and np.isfinite(found).all()
