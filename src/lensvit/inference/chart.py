r"""Charts: coordinates around a maximum of a posterior in which it is nearly a standard normal.

A posterior with the maximum m and the covariance :math:`L L^T` of Laplace's approximation is a standard normal in
:math:`z = L^{-1} (x - m)`, as far as data depend linearly on the coordinates. A few data of a lens are known far better
than all others, the positions and fluxes of its quasar's images, and where these are curved functions f of z, so is
the posterior: a thin curved sheet, of which a multivariate normal or t distribution covers little. With the singular
value decomposition :math:`\partial f / \partial z = U S V^T` and the second derivatives H of f, the coordinates u
along V, those along which f changes most first, are bent into

.. math::
    y_k = u_k - \frac{1}{2 s_k} \sum_f U_{fk} \sum_{a, b > k} H_{f, ab} \, u_a u_b, \qquad x = m + L V y,

so that f is a linear function of u, but for terms that move nothing far. Since each :math:`y_k` depends on
:math:`u_k` and on those behind it only, volumes stay what they are, and u follows from y one by one (a triangular map,
Marzouk et al. 2016, arXiv:1602.05023). The second derivatives are differences of f, which costs no image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Features = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

NEAR = 0.05  # step of the first differences [standard deviations]
FAR = 1.0, 0.5, 0.25  # steps of the second differences, the longest that leads to no place without features
WEAKEST = 0.2  # smallest singular value, in units of the largest, of a direction that is bent


class Chart(NamedTuple):
    """A maximum, and the coordinates z (n, d) around it.

    Parameters
    ----------
    mean
        The maximum (d,).
    root
        Lower Cholesky factor (d, d) of the covariance there.
    axes
        (d, d) orthonormal directions of z, one a column.
    bends
        (d, d, d) the second derivatives of each y by u, 0 unless both of these come later.
    """

    mean: np.ndarray
    root: np.ndarray
    axes: np.ndarray
    bends: np.ndarray

    @classmethod
    def straight(cls, mean: np.ndarray, covariance: np.ndarray) -> Chart:
        """The chart of a normal distribution of this mean (d,) and covariance (d, d)."""
        size = len(mean)
        return cls(mean, np.linalg.cholesky(covariance), np.eye(size), np.zeros((size, size, size)))

    def bent(self, features: Features) -> Chart:
        """The chart in which features are as linear as a quadratic makes them.

        Parameters
        ----------
        features
            Function of places (n, d) that gives features (n, F), in units of their errors up to one factor, and
            whether a place has them, (n,).
        """
        axes, slopes, left = self._directions(features)
        if axes is None:
            return self
        second = self._second(features, axes)
        used = slopes > WEAKEST * slopes[0]
        bends = np.zeros_like(self.bends)
        for k in np.flatnonzero(used):
            later = slice(k + 1, None)
            bends[k, later, later] = -np.einsum("f,fab->ab", left[:, k], second[:, later, later]) / slopes[k]
        return self._replace(axes=axes, bends=bends)

    def _directions(self, features: Features) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Axes (d, d), singular values (r,) and left vectors (F, r) of the features' derivatives; None for no axes."""
        size = len(self.mean)
        step = NEAR * np.eye(size)
        ahead, known = features(self._place(step))
        behind, also = features(self._place(-step))
        slopes = np.where((known & also)[:, None], (ahead - behind) / (2 * NEAR), 0.0).T
        left, values, right = np.linalg.svd(slopes, full_matrices=True)
        if not values.any():
            return None, values, left
        return right.T, values, left

    def _second(self, features: Features, axes: np.ndarray) -> np.ndarray:
        """Second derivatives (F, d, d) of the features along the axes."""
        size = len(self.mean)
        one, other = np.triu_indices(size, 1)
        steps = np.concatenate([axes.T, axes.T[one] + axes.T[other]])
        here, _ = features(self.mean[None])
        sums = np.zeros((len(steps), here.shape[1]))
        waiting = np.ones(len(steps), dtype=bool)
        for length in FAR:
            rows = np.flatnonzero(waiting)
            if not len(rows):
                break
            ahead, known = features(self._place(length * steps[rows]))
            behind, also = features(self._place(-length * steps[rows]))
            good = known & also
            sums[rows[good]] = ((ahead + behind - 2 * here) / length**2)[good]
            waiting[rows[good]] = False
        single, both = sums[:size], sums[size:]
        mixed = np.where(waiting[size:, None] | waiting[one, None] | waiting[other, None], 0.0, 1.0)
        mixed = mixed * (both - single[one] - single[other]) / 2
        result = np.zeros((here.shape[1], size, size))
        result[:, range(size), range(size)] = single.T
        result[:, one, other] = result[:, other, one] = mixed.T
        return result

    def _place(self, straight: np.ndarray) -> np.ndarray:
        """Places (n, d) of z (n, d) without bends."""
        return self.mean + straight @ self.root.T

    def places(self, standard: np.ndarray) -> np.ndarray:
        """Places (n, d) of coordinates u (n, d)."""
        moved = standard + np.einsum("na,kab,nb->nk", standard, self.bends, standard, optimize=True) / 2
        return self._place(moved @ self.axes.T)

    def standard(self, places: np.ndarray) -> np.ndarray:
        """Coordinates u (n, d) of places (n, d)."""
        result = np.linalg.solve(self.root, (places - self.mean).T).T @ self.axes
        for k in reversed(range(result.shape[1] - 1)):
            if self.bends[k].any():
                later = result[:, k + 1 :]
                result[:, k] -= np.einsum("na,ab,nb->n", later, self.bends[k, k + 1 :, k + 1 :], later) / 2
        return result

    def log_volume(self) -> float:
        """Logarithm of the volume in places of a unit of volume in u."""
        return float(np.log(np.diag(self.root)).sum())
