"""The released network: adopted as it lies in the repository, right on lenses, and warned of what is none."""

import numpy as np
import pytest

import lensvit
from lensvit.observations.mock import camera_of, draw_mock
from lensvit.release.release import adopt
from tests.config.configs import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    [archive] = (ROOT / "paper/releases").glob("survey-resnet-*.tar.gz")
    assert archive.stat().st_size < 10e6
    adopt(archive, folder / "results", folder / "networks")
    return lensvit.load(folder / "networks/survey-resnet")


@pytest.mark.parametrize("scale", [0.04, 0.05])
def test_it_knows_lenses_of_another_simulation(released, scale):
    camera = camera_of(None, scale, round(4.9 / scale))
    mocks = [draw_mock(camera, 4, seed) for seed in range(500, 506)]
    table = released.predict([made.image.data for made in mocks], pixel_scale=scale).table
    for name in ("theta_E", "gamma", "e1", "e2"):
        z = (table[f"{name}_mean"] - [made.truth[name] for made in mocks]) / table[f"{name}_sigma"]
        assert z.abs().max() < 4 and np.sqrt((z**2).mean()) < 2, name
    assert (table["theta_E_sigma"] < 0.1).all() and table["warned"].mean() <= 0.5


def test_it_is_warned_of_what_is_no_lens(released):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:100, :100] - 49.5
    r, noise = np.hypot(x, y), 0.006 * rng.standard_normal((100, 100))

    def star(at, flux=100.0):
        return flux * np.exp(-((x - at) ** 2 + y**2) / 4)

    pictures = {
        "sky": 0 * r,
        "star": star(0, 200.0),
        "galaxy": np.exp(-7.67 * ((r / 16) ** 0.25 - 1)),
        "two stars": star(10) + star(-10, 80.0),
        "an image in counts": 1000 * np.exp(-r / 10),
        "a sky that was not taken off": 0 * r + 5,
        "a negative": -0.5 * np.exp(-r / 10),
        "a spiral": np.exp(-r / 15) * (1 + np.sin(3 * np.arctan2(y, x) + r / 4)),
    }
    images = [picture + noise for picture in pictures.values()]
    table = released.predict(images, pixel_scale=0.05, names=list(pictures)).table
    assert table["warned"].all(), table.loc[~table["warned"], "name"].tolist()
