"""Coordinates in which features are straight: map, inverse and volume, and a density that is a thin sheet."""

from __future__ import annotations

import numpy as np
import pytest

from lensvit.inference.chart import Chart, Features
from lensvit.inference.importance import sample
from lensvit.inference.settings import ImportanceSettings
from lensvit.inference.straightened import FlatMap, StraightenedLens

MEAN = np.array([0.3, -0.2, 0.1, 0.5])
COVARIANCE = np.diag([0.1, 0.2, 0.3, 0.2]) ** 2 + 0.002


def features(places: np.ndarray, fold: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Two curved functions of places (n, 4), which have them where the first coordinate is above -1."""
    a, b, c, d = places.T
    values = np.stack([a + fold * b**2 + fold * np.sin(3 * c) * b + c**2, np.exp(b) + fold * d * a - d**2], 1)
    return values, a > -1


@pytest.fixture
def flat() -> FlatMap:
    return FlatMap(MEAN, COVARIANCE, features)


def test_the_map_has_its_inverse_and_straight_features(flat: FlatMap) -> None:
    random = np.random.default_rng(0)
    u = random.standard_normal((200, 4))
    places, _, known = flat.to_places(u)
    assert flat.count == 2 and known.mean() > 0.6
    back, good = flat.to_flat(places[known])
    assert good.all()
    np.testing.assert_allclose(back, u[known], atol=1e-5)
    straight = features(places[known])[0] - features(MEAN[None])[0]
    fit = np.linalg.lstsq(u[known], straight, rcond=None)[0]
    np.testing.assert_allclose(u[known] @ fit, straight, atol=1e-5)
    np.testing.assert_allclose(flat.to_places(np.zeros((1, 4)))[0][0], MEAN, atol=1e-12)


def test_its_volume_is_that_of_differences(flat: FlatMap) -> None:
    checked = 0
    for u in np.random.default_rng(1).standard_normal((12, 4)):
        _, volume, known = flat.to_places(u[None])
        (ahead, _, good), (behind, _, also) = (flat.to_places(u + sign * 1e-4 * np.eye(4)) for sign in (1, -1))
        if known.all() and good.all() and also.all():
            assert float(volume[0]) == pytest.approx(np.linalg.slogdet((ahead - behind) / 2e-4)[1], abs=2e-3)
            checked += 1
    assert checked >= 5


def test_places_without_features_have_none(flat: FlatMap) -> None:
    far = np.array([[0.0, 0.0, 0.0, 0.0], [-300.0, 0.0, 0.0, 0.0]])
    assert flat.to_places(far)[2].tolist() == [True, False]
    assert not flat.to_flat(np.array([[-2.0, 0.0, 0.0, 0.0]]))[1][0]


class Sheet:
    """A density that is thin across the features of places, and normal along them."""

    calls = 0

    def __init__(self, fold: float = 0.05) -> None:
        self.fold = fold

    def log_density(self, places: np.ndarray) -> np.ndarray:
        self.calls += len(places)
        values, known = features(places, self.fold)
        off = (values - features(MEAN[None], self.fold)[0]) / 0.004
        along = (places - MEAN) / [1.0, 1.0, 0.25, 0.25]
        return np.where(known, -np.square(off).sum(1) / 2 - np.square(along).sum(1) / 2, -np.inf)

    def features(self, mean: np.ndarray):
        return lambda places: features(places, self.fold)

    def local(self, places: np.ndarray):
        return ()

    def climbed(self, places: np.ndarray):
        return ()


def laplace(sheet: Sheet) -> np.ndarray:
    """Laplace's covariance at the maximum, by differences."""
    step, hessian = 1e-3, np.empty((4, 4))
    eye = step * np.eye(4)
    for row in range(4):
        for column in range(4):
            offsets = eye[row] + eye[column], eye[row] - eye[column], eye[column] - eye[row], -eye[row] - eye[column]
            hessian[row, column] = np.dot([1, -1, -1, 1], sheet.log_density(MEAN + np.array(offsets))) / (4 * step**2)
    covariance = np.linalg.inv(-hessian)
    return (covariance + covariance.T) / 2


def test_mass_that_no_coordinates_reach_is_seen() -> None:
    lost = []
    for fold in (0.05, 3.0):
        sheet = Sheet(fold)
        covariance = laplace(sheet)
        lens = StraightenedLens(sheet, MEAN, covariance)  # type: ignore[arg-type]
        chart = Chart.straight(MEAN, covariance).bent(sheet.features(MEAN))
        lost.append(lens.lost(chart, 3000, 0))
    assert lost[0] < 0.05 < lost[1]


def test_densities_and_their_number_are_the_same_from_copies_of_the_process() -> None:
    found = []
    for processes in (1, 2):
        sheet = Sheet()
        lens = StraightenedLens(sheet, MEAN, laplace(sheet))  # type: ignore[arg-type]
        before = lens.calls
        with lens.shared(processes):
            places = np.random.default_rng(0).standard_normal((300, 4))
            found.append((lens.log_density(places), lens.log_density(places[:0]), lens.calls - before))
        assert (lens.log_density(places[:7]) == found[-1][0][:7]).all()
    (alone, none, calls), (together, nothing, others) = found
    np.testing.assert_array_equal(alone, together)
    assert none.shape == nothing.shape == (0,)
    assert 0 < np.isfinite(alone).sum() <= calls == others <= 300


def test_a_thin_curved_sheet_is_sampled() -> None:
    sheet = Sheet()
    covariance = laplace(sheet)
    lens = StraightenedLens(sheet, MEAN, covariance)  # type: ignore[arg-type]
    drawn = sample(lens, [lens.chart()], ImportanceSettings(effective=600, draws=600, max_calls=6000), 0, patient=True)
    assert drawn is not None and not drawn.reason
    places, _, known = lens.map.to_places(drawn.places)
    mean = drawn.weights[known] @ places[known]
    # the truth: all along the sheet, by a fine grid over the two free directions and a solution across
    grid = np.linspace(-1.4, 1.4, 141)
    c, d = (part.ravel() for part in np.meshgrid(MEAN[2] + grid, MEAN[3] + grid))
    ab = np.tile(MEAN[:2], (len(c), 1))
    for _ in range(60):
        values, _ = features(np.column_stack([ab, c, d]))
        rest = values - features(MEAN[None])[0]
        slopes = np.empty((len(c), 2, 2))
        for axis in range(2):
            near = ab.copy()
            near[:, axis] += 1e-6
            slopes[:, :, axis] = (features(np.column_stack([near, c, d]))[0] - values) / 1e-6
        ab = ab - 0.5 * np.linalg.solve(slopes, rest[..., None])[..., 0]
    on = np.column_stack([ab, c, d])
    solved = np.abs(features(on)[0] - features(MEAN[None])[0]).max(1) < 1e-6
    log = sheet.log_density(on) - np.log(np.abs(np.linalg.det(slopes)))
    weight = np.where(solved, np.exp(log - log[solved].max()), 0.0)
    weight /= weight.sum()
    expected = weight @ on
    spread = np.sqrt(weight @ np.square(on - expected))
    np.testing.assert_allclose((mean - expected) / spread, 0, atol=0.2)
    found = np.sqrt(drawn.weights[known] @ np.square(places[known] - mean))
    np.testing.assert_allclose(found[2:] / spread[2:], 1, atol=0.12)


class Edged:
    """A density of x itself: normal, but along one rotated direction narrower ahead and wider behind."""

    calls = 0

    def __init__(self, ahead: float, behind: float) -> None:
        self.widths, self.axes = (ahead, behind), np.linalg.qr(np.random.default_rng(5).standard_normal((4, 4)))[0]
        self.root = np.linalg.cholesky(COVARIANCE)

    def features(self, mean: np.ndarray) -> Features:
        return lambda places: (np.zeros((len(places), 1)), np.ones(len(places), dtype=bool))

    def log_density(self, places: np.ndarray) -> np.ndarray:
        z = np.linalg.solve(self.root, (places - MEAN).T).T
        along = (z - z @ self.axes[:, :1] * self.axes[:, 0]), (z @ self.axes[:, 0])
        ahead, behind = self.widths
        return -np.square(along[0]).sum(1) / 2 - np.square(along[1] / np.where(along[1] > 0, ahead, behind)) / 2


def test_a_normal_density_is_as_wide_as_its_curvature() -> None:
    chart = StraightenedLens(Edged(1.0, 1.0), MEAN, COVARIANCE).measured()  # type: ignore[arg-type]
    np.testing.assert_allclose(chart.mean, 0, atol=1e-9)
    np.testing.assert_allclose(chart.root @ chart.root.T, np.eye(4), atol=1e-9)


def test_widths_are_measured_where_a_density_falls_otherwise_than_at_its_maximum() -> None:
    target = Edged(0.4, 1.5)
    lens = StraightenedLens(target, MEAN, COVARIANCE)  # type: ignore[arg-type]
    chart, random = lens.measured(), np.random.default_rng(6)
    z = random.standard_normal((20000, 4))
    along = np.abs(z @ target.axes[:, 0]) * np.where(random.random(len(z)) < 0.4 / 1.9, 0.4, -1.5)
    z += (along - z @ target.axes[:, 0])[:, None] * target.axes[:, 0]  # draws of the density
    u = z @ lens.map.axes
    off = np.linalg.norm(chart.mean - u.mean(0)), np.linalg.norm(u.mean(0))
    assert off[0] < 0.75 * off[1]
    places = 2 * random.standard_normal((2000, 4))

    def misfit(one: Chart) -> float:
        rest = lens.log_density(one.places(places)) + np.square(places).sum(1) / 2
        return float(np.abs(rest - np.median(rest)).mean())

    assert misfit(chart) < 0.8 * misfit(lens.chart())
