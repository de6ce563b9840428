r"""Coordinates of a lens in which the positions of its quasar's images are straight, exactly.

Positions of the images are known far better than all else, and are curved functions of the coordinates x of the lens:
the posterior is a thin curved sheet. The charts of :mod:`lensvit.inference.chart` bend a normal distribution along it
to second order. Here the sheet is made flat. Around a maximum m, with Laplace's covariance :math:`L L^T`, the features
f (positions, in units of their errors) have the derivatives :math:`U S V^T` by :math:`z = L^{-1} (x - m)`. New
coordinates u have, in place of the components of :math:`V^T z` along which features change,

.. math:: u_k = \frac{1}{s_k} \sum_f U_{fk} \, (f(x) - f(m))_f,

and are :math:`V^T z` otherwise. x follows from u by Newton's method, which costs solutions of the lens equation and no
image; the volume of dx / du is the determinant of a small matrix. Where there is no such x, or an image of the quasar
has gone, u stands for nothing and has no density.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from lensvit.inference.chart import NEAR, WEAKEST, Chart, Features
from lensvit.inference.importance import FREEDOM
from lensvit.inference.target import SampledLens
from lensvit.jobs.processes import copies

HALVINGS = 6  # shorter steps that are tried
STEPS = 12  # most steps of Newton's method
STILL = 1e-6  # largest error of u
STEP = 1e-4  # of differences [standard deviations]
RETURNED = 0.01  # error of x that was mapped to u and back [standard deviations]
FAR = 2.0  # where widths are measured [standard deviations]
NARROWEST, WIDEST = 1 / 3, 2.0  # least and largest width that is measured [standard deviations]
LEAST_REST = 0.15  # of a direction that is new
OFF_CENTER = 0.55  # mean of a distribution with two widths, in units of their difference: less than the root of 2 / pi
LONGEST = 3.0  # step of Newton's method [standard deviations]
AT_ONCE = 64  # places whose densities one process computes at a time

Blocks = Callable[[Sequence[np.ndarray]], list[tuple[np.ndarray, int]]]


class FlatMap:
    """The map between coordinates x (n, d) and u (n, d) around a maximum.

    Parameters
    ----------
    mean
        The maximum (d,).
    covariance
        Laplace's covariance (d, d) there.
    features
        Function of places (n, d) that gives features (n, F), in units of their errors up to one factor, and whether a
        place has them, (n,).
    slopes
        Function of places (n, d) that gives the derivatives (n, F, d) of the features, and whether a place has them;
        None for differences.
    """

    def __init__(
        self, mean: np.ndarray, covariance: np.ndarray, features: Features, slopes: Features | None = None
    ) -> None:
        self.by_places = slopes
        self.mean, self.root, self.features = mean, np.linalg.cholesky(covariance), features
        size, step = len(mean), NEAR * np.eye(len(mean))
        ahead, known = features(mean + step @ self.root.T)
        behind, also = features(mean - step @ self.root.T)
        by_z = np.where((known & also)[:, None], (ahead - behind) / (2 * NEAR), 0.0).T
        left, values, right = np.linalg.svd(by_z, full_matrices=True)
        self.count = min(int((values > WEAKEST * values[0]).sum()), size) if values[0] > 0 else 0
        self.axes = right.T
        self.left = left[:, : self.count] / values[: self.count]  # (F, r): from features to u
        self.turned = self.root @ self.axes[:, : self.count]  # from the first components of z along the axes to x
        self.here = features(mean[None])[0][0]
        self.bends = Chart.straight(mean, covariance).bent(features).bends  # to begin near x

    def _place(self, straight: np.ndarray) -> np.ndarray:
        """The x (n, d) of components (n, d) of z along the axes."""
        return self.mean + straight @ self.axes.T @ self.root.T

    def _flat(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first r components (n, r) of u at x (n, d), and whether there are such."""
        values, known = self.features(places)
        return (values - self.here) @ self.left, known & np.isfinite(values).all(1)

    def to_flat(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The u (n, d) of x (n, d), and whether there is one, (n,)."""
        result = np.linalg.solve(self.root, (places - self.mean).T).T @ self.axes
        known = np.ones(len(places), dtype=bool)
        if self.count:
            result[:, : self.count], known = self._flat(places)
        return result, known

    def to_places(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""The x of u (n, d).

        Returns
        -------
        places : ndarray
            x (n, d); some place where there is none.
        log_volume : ndarray
            ln \|dx / du\|, (n,).
        known : ndarray
            Whether there is an x, (n,).
        """
        bent = np.einsum("na,kab,nb->nk", flat, self.bends, flat, optimize=True) / 2
        straight = flat + bent
        volume = np.full(len(flat), float(np.log(np.diag(self.root)).sum()))
        if not self.count:
            return self._place(flat), volume, np.ones(len(flat), dtype=bool)
        first = slice(0, self.count)
        now, known = self._flat(self._place(straight))
        if not known.all():
            straight[~known] = flat[~known]
            now[~known], known[~known] = self._flat(self._place(straight[~known]))
        rest = now - flat[:, first]
        going = np.flatnonzero(known)
        for _ in range(STEPS):
            going = going[np.abs(rest[going]).max(1) > STILL] if len(going) else going
            if not len(going):
                break
            slopes, good = self._slopes(straight[going], now[going])
            known[going[~good]] = False
            going, slopes = going[good], slopes[good]
            step = np.linalg.solve(slopes, rest[going][..., None])[..., 0]
            length = np.abs(step).max(1, keepdims=True) if len(going) else np.ones((0, 1))
            step *= np.minimum(1.0, LONGEST / np.maximum(length, 1e-300))
            trying = np.arange(len(going))
            for _ in range(HALVINGS):  # a step is taken if it leads nearer
                if not len(trying):
                    break
                rows = going[trying]
                trial = straight[rows]
                trial[:, first] -= step[trying]
                there, good = self._flat(self._place(trial))
                off = there - flat[rows, first]
                nearer = good & (np.square(off).sum(1) < np.square(rest[rows]).sum(1))
                done = rows[nearer]
                straight[done], now[done], rest[done] = trial[nearer], there[nearer], off[nearer]
                trying = trying[~nearer]
                step[trying] /= 2
            known[going[trying]] = False  # no step leads nearer
            going = np.setdiff1d(going, going[trying])
        known &= np.abs(rest).max(1) <= STILL
        rows, jacobian = np.flatnonzero(known), np.tile(np.eye(self.count), (len(flat), 1, 1))
        if len(rows):
            jacobian[rows], good = self._slopes(straight[rows], now[rows])
            known[rows[~good]] = False
        sign, log = np.linalg.slogdet(jacobian)
        known &= sign > 0  # elsewhere the map has turned over
        return self._place(straight), volume - log, known

    def _slopes(self, straight: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives (n, r, r) of the first components of u by those of z, and whether they are known, (n,)."""
        count = len(straight)
        if self.by_places is not None:
            by, good = self.by_places(self._place(straight))
            slopes = self.left.T @ by @ self.turned
            return self._regular(slopes, good & np.isfinite(slopes).all((1, 2)))
        near = np.repeat(straight, self.count, axis=0)
        near[np.arange(len(near)), np.tile(np.arange(self.count), count)] += STEP
        ahead, known = self._flat(self._place(near))
        slopes = (ahead.reshape(count, self.count, self.count) - now[:, None]) / STEP
        return self._regular(slopes.swapaxes(1, 2), np.asarray(known.reshape(count, self.count).all(1)))

    def _regular(self, slopes: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slopes (n, r, r) with 1 in place of those that are not good or have no inverse, and which are, (n,)."""
        slopes[~good] = np.eye(self.count)
        singular = np.abs(np.linalg.det(slopes)) < 1e-8
        slopes[singular] = np.eye(self.count)
        return slopes, good & ~singular


class StraightenedLens:
    """The posterior of a lens by the coordinates u of a :class:`FlatMap`, for :mod:`lensvit.inference.importance`.

    Parameters
    ----------
    lens
        The posterior by its free coordinates x.
    mean
        The maximum (d,).
    covariance
        Laplace's covariance (d, d) there.
    """

    def __init__(self, lens: SampledLens, mean: np.ndarray, covariance: np.ndarray) -> None:
        features = lens.features(mean)
        self.lens, self.map = lens, FlatMap(mean, covariance, features, getattr(features, "slopes", None))
        self.blocks: Blocks = lambda blocks: [self._block(block) for block in blocks]

    @contextmanager
    def shared(self, processes: int) -> Iterator[None]:
        """Compute densities in so many copies of this process, see :func:`lensvit.jobs.processes.copies`.

        They are the same, to the last digit, for any number.
        """
        alone = self.blocks
        with copies(self._block, processes) as self.blocks:
            try:
                yield
            finally:
                self.blocks = alone

    @property
    def calls(self) -> int:
        """Likelihood calls so far, see :class:`lensvit.inference.target.SampledLens`."""
        return self.lens.calls

    def chart(self) -> Chart:
        """The chart around the maximum."""
        size = len(self.map.mean)
        return Chart.straight(np.zeros(size), np.eye(size))

    def measured(self) -> Chart:
        """The chart around the maximum, as wide as the density itself is, which costs four calls a dimension.

        Laplace's widths are those of the curvature at the maximum. Where a posterior is far from normal, as where an
        amplitude comes near 0 or a prior ends, it falls otherwise two standard deviations away. Widths and centre are
        measured there, on both sides, along orthogonal directions: that in which the density differs most from what
        the curvature leads to expect, of those along which one coordinate x moves with all that follow it, then the
        next, without what lies along the ones before.
        """
        size, root = len(self.map.mean), self.map.root
        directions = root / np.linalg.norm(root, axis=1, keepdims=True) @ self.map.axes
        ahead, behind = self._falls(directions)
        chosen = np.zeros((0, size))
        for row in np.argsort(-np.maximum(np.abs(np.log(ahead)), np.abs(np.log(behind)))):
            rest = directions[row] - chosen.T @ (chosen @ directions[row])
            length = np.linalg.norm(rest)
            if length > LEAST_REST:
                chosen = np.vstack([chosen, rest / length])
        basis = np.concatenate([chosen, np.linalg.svd(chosen)[2][len(chosen) :]])
        ahead, behind = self._falls(basis)
        center = OFF_CENTER * (1 / ahead - 1 / behind) @ basis
        widths = (1 / ahead + 1 / behind) / 2
        return Chart.straight(center, basis.T * widths**2 @ basis)

    def _falls(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far the density falls along unit vectors (m, d), and against them, in units of a normal one's, (m,) each.

        These are inverse widths.
        """
        count, size = directions.shape
        places = np.concatenate([np.zeros((1, size)), FAR * directions, -FAR * directions])
        density = self.log_density(places)
        lower = np.clip(density[0] - density[1:], 0.0, (FAR / NARROWEST) ** 2)  # infinite where there is no density
        falls = np.clip(np.sqrt(2 * lower) / FAR, 1 / WIDEST, 1 / NARROWEST)
        return falls[:count], falls[count:]

    def log_density(self, places: np.ndarray) -> np.ndarray:
        """Log densities (n,) at u (n, d), minus infinity where there is none."""
        parts = self.blocks([places[first : first + AT_ONCE] for first in range(0, len(places), AT_ONCE)])
        self.lens.calls += sum(calls for _, calls in parts)
        return np.concatenate([np.zeros(0), *(density for density, _ in parts)])

    def _block(self, places: np.ndarray) -> tuple[np.ndarray, int]:
        """Log densities (n,) at some of the places (n, d), and how many likelihood calls they took, not yet counted."""
        before, result = self.lens.calls, np.full(len(places), -np.inf)
        where, volume, known = self.map.to_places(places)
        if known.any():
            result[known] = self.lens.log_density(where[known]) + volume[known]
        calls, self.lens.calls = self.lens.calls - before, before
        return result, calls

    def lost(self, chart: Chart, count: int, seed: int) -> float:
        """The share of the posterior's mass at x that no u leads to, of which a sample by u knows nothing.

        Parameters
        ----------
        chart
            A chart in x around the maximum, by which places are drawn and weighted.
        count
            Number of places.
        seed
            Seed of the draws.
        """
        random, size = np.random.default_rng(seed), len(self.map.mean)
        scale = np.sqrt(random.chisquare(FREEDOM, (count, 1)) / FREEDOM)
        standard = random.standard_normal((count, size)) / scale
        places = chart.places(standard)
        proposed = -(FREEDOM + size) / 2 * np.log1p(np.square(standard).sum(1) / FREEDOM)
        log = self.lens.log_density(places) - proposed
        if not np.isfinite(log).any():
            return 1.0
        weights = np.exp(log - log.max())
        flat, known = self.map.to_flat(places)
        again = np.full(count, False)
        back, _, good = self.map.to_places(flat[known])
        error = np.abs(np.linalg.solve(self.map.root, (back - places[known]).T)).max(0)
        again[known] = good & (error < RETURNED)
        return float(weights[~again].sum() / weights.sum())

    def local(self, places: np.ndarray) -> Sequence[Chart]:
        """Charts at u (n, d), as wide as the curvature of the log density there."""
        where, _, known = self.map.to_places(places)
        return self._charts(self.lens.local(where[known])) if known.any() else ()

    def climbed(self, places: np.ndarray) -> Sequence[Chart]:
        """Charts around the maxima to which searches from u (n, d) have led."""
        where, _, known = self.map.to_places(places)
        return self._charts(self.lens.climbed(where[known])) if known.any() else ()

    def _charts(self, charts: Sequence[Chart]) -> list[Chart]:
        """Charts in u of charts in x."""
        result = []
        for chart in charts:
            center, known = self.map.to_flat(chart.mean[None])
            if not known[0]:
                continue
            size = len(chart.mean)
            step = STEP * chart.root.T  # one row a direction
            ahead, good = self.map.to_flat(chart.mean + step)
            if not good.all():
                continue
            root = ((ahead - center) / STEP).T  # (d, d): u by standard deviations of the chart
            matrix = root @ root.T
            if np.isfinite(matrix).all() and np.linalg.matrix_rank(matrix) == size:
                result.append(Chart.straight(center[0], matrix))
        return result
