"""Weighted means of several predictions of the same systems."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls


def least_square_weights(errors: np.ndarray) -> np.ndarray:
    """The weights of several predictions whose weighted mean has the smallest mean squared error.

    They sum to one and none is negative, so that a weighted mean lies between the predictions. Errors that go together
    count: a prediction that errs as a better one does gets no weight. A row of ones beside the errors keeps the weights
    from vanishing; whatever their sum then is, their ratios are those of the smallest error.

    Parameters
    ----------
    errors
        (M, n, K) errors of M predictions of K quantities for n systems.

    Returns
    -------
    (M, K)
    """
    found = np.empty((errors.shape[0], errors.shape[2]))
    for target in range(errors.shape[2]):
        each = errors[..., target].T  # (n, M)
        scale = np.sqrt(np.square(each).mean()) or 1.0
        rows = np.vstack([each / (scale * np.sqrt(len(each))), np.ones(each.shape[1])])
        some = nnls(rows, np.append(np.zeros(len(each)), 1.0))[0]
        found[:, target] = some / some.sum()
    return found
