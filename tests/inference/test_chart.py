"""A chart straightens what its features bend, keeps volumes, and makes do with features that are missing."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from lensvit.inference.chart import FAR, Chart

SIZE = 5


@pytest.fixture
def random():
    return np.random.default_rng(7)


def straight_chart(random):
    """A chart of correlated coordinates of different widths."""
    factor = random.standard_normal((SIZE, SIZE)) * 10 ** random.uniform(-1, 1, (SIZE, 1))
    return Chart.straight(random.standard_normal(SIZE), factor @ factor.T + 1e-3 * np.eye(SIZE))


def bent_chart(random):
    bends = random.standard_normal((SIZE, SIZE, SIZE))
    later = np.arange(SIZE) > np.arange(SIZE)[:, None]  # of each coordinate those behind it
    bends = (bends + bends.swapaxes(1, 2)) * later[:, :, None] * later[:, None, :]
    return straight_chart(random)._replace(axes=ortho_group.rvs(SIZE, random_state=random), bends=bends)


class Banana:
    """Data that are one curved function of coordinates in any directions, with the posterior that they make.

    The prior is a standard normal in z; the data know f = z.a + bend (z.b)^2 / 2 to 1 / sharpness.
    """

    def __init__(self, random, sharpness=30.0, bend=0.8):
        self.chart = straight_chart(random)
        self.first, self.second = ortho_group.rvs(SIZE, random_state=random)[:2]
        self.sharpness, self.bend = sharpness, bend
        information = np.eye(SIZE) + sharpness**2 * np.outer(self.first, self.first)
        root = self.chart.root @ np.linalg.cholesky(np.linalg.inv(information))
        self.laplace = Chart.straight(self.chart.mean, root @ root.T)

    def known(self, places):
        z = np.linalg.solve(self.chart.root, (places - self.chart.mean).T).T
        return self.sharpness * (z @ self.first + self.bend * np.square(z @ self.second) / 2), z

    def features(self, places):
        return self.known(places)[0][:, None], np.ones(len(places), dtype=bool)

    def log_density(self, places):
        """What the features do not know is a normal distribution in the direction across."""
        data, z = self.known(places)
        along = data / self.sharpness
        rest = np.square(z).sum(1) - np.square(z @ self.first)
        return -(np.square(data) + rest + np.square(along)) / 2


def test_coordinates_are_those_of_the_places(random):
    for chart in (straight_chart(random), bent_chart(random)):
        standard = random.standard_normal((50, SIZE))
        np.testing.assert_allclose(chart.standard(chart.places(standard)), standard, atol=1e-7)
        np.testing.assert_allclose(chart.places(np.zeros((1, SIZE))), chart.mean[None], atol=1e-12)
    assert chart.bends.any()


def test_volumes_are_kept(random):
    chart, step = bent_chart(random), 1e-4
    for at in random.standard_normal((10, SIZE)):
        ahead, behind = (chart.places(at + sign * step * np.eye(SIZE)) for sign in (1, -1))
        _, volume = np.linalg.slogdet((ahead - behind) / (2 * step))
        assert volume == pytest.approx(chart.log_volume(), abs=1e-6)


def test_a_banana_is_a_normal_distribution(random):
    """Along any directions, in coordinates of any widths."""
    for _ in range(3):
        banana = Banana(random)
        chart = banana.laplace.bent(banana.features)
        standard = random.standard_normal((200, SIZE))
        constant, curved = (
            banana.log_density(one.places(standard)) + np.square(standard).sum(1) / 2 for one in (chart, banana.laplace)
        )
        np.testing.assert_allclose(constant, constant[0], atol=1e-6)
        assert np.ptp(curved) > 5


def test_several_features_are_straightened_together(random):
    """Each of two is a quadratic of three directions, of which the others' bends take no notice."""
    chart, axes = straight_chart(random), ortho_group.rvs(SIZE, random_state=random)
    mixed = ortho_group.rvs(2, random_state=random)
    bends = random.standard_normal((2, 3, 3))

    def features(places):
        z = np.linalg.solve(chart.root, (places - chart.mean).T).T @ axes
        later = z[:, 2:]
        return (z[:, :2] + np.einsum("na,kab,nb->nk", later, bends, later)) @ mixed, np.ones(len(z), dtype=bool)

    bent = chart.bent(features)
    standard = random.standard_normal((100, SIZE))
    found, _ = features(bent.places(standard))
    slope = np.linalg.lstsq(standard, found, rcond=None)[0]
    np.testing.assert_allclose(standard @ slope, found, atol=1e-6)


def test_where_features_end_steps_are_shorter(random):
    banana, asked = Banana(random, bend=0.3), []

    def reach(limit):
        def features(places):
            z = banana.laplace.standard(places)
            asked.append(np.linalg.norm(z, axis=1).max())
            found, known = banana.features(places)
            near = np.linalg.norm(z, axis=1) < limit
            return np.where(near[:, None], found, np.nan), known & near

        return features

    whole = banana.laplace.bent(banana.features)
    shorter = banana.laplace.bent(reach(np.sqrt(2) * FAR[1] + 0.01))  # a step along two axes
    np.testing.assert_allclose(shorter.axes, whole.axes)
    np.testing.assert_allclose(shorter.bends, whole.bends, atol=1e-4 * np.abs(whole.bends).max())
    none = banana.laplace.bent(reach(FAR[-1] / 2))
    assert not none.bends.any() and max(asked) > 1
    np.testing.assert_allclose(none.axes, whole.axes)
    standard = random.standard_normal((20, SIZE))
    np.testing.assert_allclose(none.standard(none.places(standard)), standard, atol=1e-9)


def test_without_features_a_chart_stays_straight(random):
    chart = straight_chart(random)
    for features in (
        lambda places: (np.ones((len(places), 3)), np.ones(len(places), dtype=bool)),
        lambda places: (np.full((len(places), 3), np.nan), np.zeros(len(places), dtype=bool)),
        lambda places: (np.empty((len(places), 0)), np.ones(len(places), dtype=bool)),
    ):
        assert chart.bent(features) is chart
