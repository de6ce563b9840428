"""The residual of a rendered lens tells a wrong lens from a right one; no score looks at the truth."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.shift.compute import ResidualScorer, first_test_systems, shift_scores, uncertainties
from lensvit.chapters.shift.settings import ShiftSettings
from lensvit.errors import LensvitError
from lensvit.io.tables import CATALOG
from lensvit.lensing.noise import noise
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf import kernel
from tests.builders import NETWORK_ERRORS, SCENE, SPACE, filled

pytestmark = pytest.mark.usefixtures("one_thread")

SIGMA = 1.0
ROWS = [0, 2, 4]  # of the camera's systems
FIELDS = ("source_amp", "source_e1", "source_e2", "lens_amp", "quasar_amp", "max_images", "exposure")


@pytest.fixture(scope="module")
def settings():
    return {
        "priors": {}, "external_shear": True, "supersampling": 1,
        "scene": {name: getattr(SCENE, name) for name in FIELDS},
        "options": {"space": {"name": "hst", "pixels": SPACE.pixels, "pixel_scale": SPACE.pixel_scale, "systems": 3}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(space_camera, settings, tmp_path_factory):
    """Files of a few systems, their predictions being the truth."""
    folder = tmp_path_factory.mktemp("run")
    known, _, systems, images = space_camera
    kernel.write_kernel(folder / "space.fits", known, {})
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    (folder / "images" / "space").mkdir(parents=True)
    with h5py.File(folder / "images" / "space" / "test-0000.h5", "w") as file:
        file["image"] = images[ROWS].astype(np.float32)
        file.attrs["exposure"] = SCENE.exposure
    table = pd.DataFrame([systems[row].parameters for row in ROWS], columns=NAMES).assign(
        id=[f"space-test-{number:06d}" for number in range(len(ROWS))], split="test", psf="space", chunk="test-0000",
        row=range(len(ROWS)), sigma_bkg=SIGMA, seed=range(len(ROWS)), n_images=4,
    )  # fmt: skip
    filled(table, CATALOG).to_parquet(folder / "catalog.parquet")
    write_predictions(folder, table, table[list(TARGET_NAMES)].to_numpy())
    return folder


def write_predictions(folder, table, mean, name="predictions"):
    columns = {"id": table["id"], "psf": table["psf"]}
    for number, target in enumerate(TARGET_NAMES):
        columns |= {
            f"{target}_truth": table[target], f"{target}_mean": mean[:, number],
            f"{target}_sigma": 0.1, f"{target}_aleatoric": 0.08, f"{target}_epistemic": 0.06,
        }  # fmt: skip
    pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet")
    (folder / "config.json").write_text(json.dumps({"scaler": {"sd": dict.fromkeys(TARGET_NAMES, 0.2)}}))


def scored(run, predictions="predictions", **changes):
    arguments = {
        "settings": run / "settings.yaml", "catalog": run / "catalog.parquet", "images": run / "images",
        "psfs": [run / "space.fits"], "predictions": run / f"{predictions}.parquet", "model": run,
        "output": run / "scores.parquet", **changes,
    }  # fmt: skip
    shift_scores(**arguments)
    return pd.read_parquet(run / "scores.parquet")


def test_true_parameters_leave_noise_alone_and_a_wrong_slope_does_not(run):
    table = pd.read_parquet(run / "catalog.parquet")
    right = scored(run)
    # chi^2 a pixel has a standard deviation of sqrt(2 / pixels)
    np.testing.assert_allclose(right["residual"], 1, atol=5 * np.sqrt(2) / SPACE.pixels)
    np.testing.assert_allclose(right[["epistemic", "predicted"]], [[0.3, 0.5]] * len(ROWS))
    assert (run / "scores.parquet.sha256").exists() and list(right["id"]) == list(table["id"])
    slope = table[list(TARGET_NAMES)].to_numpy(copy=True)
    slope[:, TARGET_NAMES.index("gamma")] += 0.3
    write_predictions(run, table, slope, "slope")
    wrong = scored(run, "slope")
    assert (wrong["residual"] > right["residual"] + 0.3).all()


def test_the_residual_grows_with_the_error_of_the_network(space_camera, settings):
    known, _, systems, images = space_camera
    truth = np.array([[systems[row].parameters[name] for name in TARGET_NAMES] for row in ROWS])
    data = np.stack([noise(images[row], SIGMA, SCENE.exposure, row) for row in ROWS])
    scorer = ResidualScorer(ShiftSettings(**settings), "space", known)
    direction = np.random.default_rng(3).normal(size=truth.shape) * NETWORK_ERRORS
    sigma, exposures = np.full(len(ROWS), SIGMA), np.full(len(ROWS), SCENE.exposure)
    near, far = (scorer.residuals(data, sigma, exposures, truth + size * direction) for size in (0.5, 3))
    assert (far > near).all() and (near > 1).all()


def test_targets_that_allow_no_image_have_an_infinite_residual(space_camera, settings):
    known, _, systems, images = space_camera
    truth = np.array([[systems[0].parameters[name] for name in TARGET_NAMES]])
    truth[:, TARGET_NAMES.index("n_sersic")] = 0.1  # no Sersic profile that is rendered
    scorer = ResidualScorer(ShiftSettings(**settings), "space", known)
    assert scorer.residuals(images[:1], np.array([SIGMA]), np.array([SCENE.exposure]), truth).tolist() == [np.inf]


def test_the_first_systems_of_each_psf_are_scored():
    ids = [f"{psf}-{split}-{number:06d}" for psf in "ba" for split in ("train", "test") for number in range(4)]
    table = pd.DataFrame({"id": ids[::-1]})
    table["psf"], table["split"] = table["id"].str[0], table["id"].str.split("-").str[1]
    found = first_test_systems(table, {"a": 2, "b": 9})
    assert list(found["id"]) == [f"a-test-{n:06d}" for n in range(2)] + [f"b-test-{n:06d}" for n in range(4)]
    with pytest.raises(LensvitError, match="systems of the PSF b, and the settings have no camera of it"):
        first_test_systems(table, {"a": 2})


def test_errors_say_what_to_do(run, tmp_path):
    short = pd.read_parquet(run / "predictions.parquet").iloc[:2]
    short.to_parquet(run / "short.parquet")
    with pytest.raises(LensvitError, match="no prediction of space-test-000002: delete it"):
        scored(run, "short")
    with pytest.raises(LensvitError, match="no kernel of the PSF space"):
        scored(run, psfs=[])
    with pytest.raises(LensvitError, match=r"there is no file .*config.json|config.json is truncated or broken"):
        uncertainties(short, tmp_path)
