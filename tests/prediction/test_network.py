"""Networks on images of one's own: calibrated, warned of what they do not know, the same for every form of input."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits

import lensvit
from lensvit import cli
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.lensing.observed import noisy_images
from lensvit.observations.reading import Plain
from lensvit.parameters import TARGET_NAMES
from lensvit.prediction.cutouts import Cutout
from lensvit.prediction.network import CENTER, Network
from lensvit.prediction.passes import Looks
from lensvit.prediction.reference import SCORES, read_reference
from tests.observations import simulated
from tests.prediction.conftest import PIXELS, SCALE

pytestmark = pytest.mark.usefixtures("one_thread")
MEANS = [f"{name}_mean" for name in TARGET_NAMES]
SIGMAS = [f"{name}_sigma" for name in TARGET_NAMES]


@pytest.fixture(scope="module")
def network(served):
    return lensvit.load(served)


@pytest.fixture(scope="module")
def observed(one_camera):
    """The catalogue's validation systems, and their noisy images."""
    rows = tables.read_catalog(one_camera / "catalog.parquet")
    rows = rows[rows["split"] == "validation"].reset_index(drop=True)
    return rows, noisy_images(one_camera / "images/hst_a/validation-0000.h5", rows)[0]


@pytest.fixture(scope="module")
def predicted(network, observed):
    return network.predict(observed[1], pixel_scale=SCALE, passes=8)


def test_errors_are_calibrated_on_the_validation_systems(observed, predicted):
    truth = observed[0][list(TARGET_NAMES)].to_numpy(dtype=float)
    # centred on what the network sees, a cutout may differ from the image by a pixel
    z = (truth - predicted.table[MEANS].to_numpy()) / predicted.table[SIGMAS].to_numpy()
    assert np.sqrt((z**2).mean(0)) == pytest.approx(np.ones(8), abs=0.25)
    assert np.allclose(np.sqrt(np.diagonal(predicted.covariance, axis1=1, axis2=2)), predicted.table[SIGMAS])
    assert np.linalg.eigvalsh(predicted.covariance).min() > 0
    # theta_E is what the images show: the network knows more than the prior
    assert (predicted.table["theta_E_mean"] - observed[0]["theta_E"]).std() < 0.8 * observed[0]["theta_E"].std()


def test_the_reference_is_what_the_validation_systems_say(served, observed):
    known = read_reference(served)
    assert known.reference.systems == len(observed[0]) == 128
    assert set(known.reference.thresholds) == set(SCORES) and known.reference.background == (0.04, 0.5)
    assert list(known.reference.cameras) == ["24 x 0.25 arcsec"]
    assert all(0.3 < factor < 3 for factor in known.reference.scale.values())


def test_images_like_the_trainings_are_not_warned_of_and_others_are(network, observed, predicted):
    assert predicted.table["warned"].mean() < 0.1
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.2, (PIXELS, PIXELS))
    stripes = 40.0 * (np.arange(PIXELS) % 2) + noise
    bright = 300 * observed[1][0]
    loud = observed[1][0] + rng.normal(0, 5.0, (PIXELS, PIXELS))
    found = network.predict([stripes, bright, loud], pixel_scale=SCALE, passes=8).table
    assert found["warned"].all() and (found["distance"][:2] > 1).all()
    assert "unlike" in found["verdict"][0] and "noise" in found["verdict"][2]
    fine = network.predict(np.kron(observed[1][1], np.ones((4, 4))) / 16, pixel_scale=SCALE / 4, passes=8).table
    assert "pixels are 0.0625 arcsec wide" in fine["verdict"][0]
    small = network.predict(observed[1][1][:24, :24][4:-4, 4:-4].repeat(2, 0).repeat(2, 1) / 4, pixel_scale=0.05)
    assert "shows 1.6 arcsec" in small.table["verdict"][0]


def test_files_cubes_and_arrays_give_the_same(network, observed, predicted, tmp_path):
    images = observed[1][:3]
    paths = []
    for number, image in enumerate(images):
        paths.append(tmp_path / f"lens{number}.fits")
        fits.PrimaryHDU(image, fits.Header({"PIXSCALE": SCALE, "BUNIT": "counts/s"})).writeto(paths[-1])
    fits.PrimaryHDU(images, fits.Header({"PIXSCALE": SCALE, "BUNIT": "counts/s"})).writeto(tmp_path / "cube.fits")
    of_arrays = network.predict(list(images), pixel_scale=SCALE, passes=8).table
    of_files = network.predict(paths, passes=8).table
    of_cube = network.predict(tmp_path / "cube.fits", passes=8).table
    assert list(of_files["name"]) == ["lens0", "lens1", "lens2"]
    assert list(of_cube["name"]) == ["cube_0", "cube_1", "cube_2"] and list(of_arrays["name"]) == ["0", "1", "2"]
    for other in (of_files, of_cube):
        pd.testing.assert_frame_equal(of_arrays.drop(columns="name"), other.drop(columns="name"))
    named = network.predict(list(images), pixel_scale=SCALE, passes=8, names=["a", "b", "c"]).table
    assert list(named["name"]) == ["a", "b", "c"]
    # beside others an image gets the same
    columns = [*MEANS, *SIGMAS]
    assert np.allclose(predicted.table.loc[:2, columns], of_arrays[columns], rtol=1e-4, atol=1e-5)
    other = network.predict(list(images), pixel_scale=SCALE, passes=8, seed=1).table
    assert not np.allclose(other[MEANS], of_arrays[MEANS], rtol=1e-3)


def test_the_lens_is_brought_to_the_middle():
    place = np.array([0.6, -0.45])
    axis = (np.arange(80) - 39.5) * 0.05
    lens = np.exp(-((axis - place[0]) ** 2 + (axis - place[1])[:, None] ** 2) / 0.08)
    cut = Cutout(Plain(lens, np.zeros(lens.shape, bool), 0.05, (0, 0), None), 40, 0.05)

    def seen(images):
        """A network that says 60% of how far off the lens is."""
        mean = np.zeros((len(images), 8))
        places = (np.arange(40) - 19.5) * 0.05
        for row, image in enumerate(images.numpy()):
            mean[row, CENTER] = 0.6 * np.array([(image * places).sum(), (image * places[:, None]).sum()]) / image.sum()
        return Looks(mean, np.zeros((len(images), 1)), np.zeros(len(images)))

    asked = SimpleNamespace(
        known=SimpleNamespace(distance=SimpleNamespace(of=lambda features: np.zeros(len(features)))),
        config=SimpleNamespace(scaler=SimpleNamespace(sd={"center_x": 0.05})),
    )
    found, images = Network._centred(asked, [cut], lambda at, rows: torch.as_tensor(np.stack([cut.at(at[0])])), seen)
    assert found[0] == pytest.approx(place, abs=0.05)
    assert np.allclose(images[0], cut.at(found[0]))


@pytest.mark.parametrize(
    ("images", "given", "message"),
    [
        (np.ones((PIXELS, PIXELS)), {}, "need pixel_scale"),
        (np.ones((PIXELS, PIXELS)), {"pixel_scale": SCALE}, "image 0 .*all pixels have the same value"),
        (np.zeros((8, 8)), {"pixel_scale": SCALE}, "24 pixels a side are the least"),
        (np.full((30, 30), np.nan), {"pixel_scale": SCALE}, "100% of the pixels are NaN"),
        ([], {"pixel_scale": SCALE}, "no image is given"),
        (np.eye(30), {"pixel_scale": SCALE, "passes": 3}, "give 4 or more"),
        (np.eye(30), {"pixel_scale": SCALE, "names": ["a", "b"]}, "2 names for 1 images"),
        ("none.fits", {}, "there is no such file"),
        (np.eye(30), {"pixel_scale": -1.0}, r"not between 0\.001 and 1"),
    ],
)
def test_wrong_images_are_one_line(network, images, given, message):
    with pytest.raises(LensvitError, match=message) as error:
        network.predict(images, **given)
    assert "\n" not in str(error.value)


def test_a_network_without_its_reference_says_what_to_do(served, tmp_path):
    with pytest.raises(LensvitError, match="there is no such folder"):
        lensvit.load(tmp_path / "none")
    bare = tmp_path / "bare"
    shutil.copytree(served, bare)
    (bare / "features.safetensors").write_bytes(b"12")
    with pytest.raises(LensvitError, match=r"features.safetensors is truncated or broken"):
        lensvit.load(bare)
    (bare / "reference.json").unlink()
    with pytest.raises(LensvitError, match="make it in the network's run by `snakemake networks`"):
        lensvit.load(bare)


def test_the_command_writes_tables_and_fits_from_what_the_network_says(served, tmp_path, capsys):
    path = simulated.write(tmp_path / "quad.fits", simulated.image())
    asked = ["predict", "--model", str(served), "--image", str(path), "--output", str(tmp_path / "out"), "--fit"]
    assert cli.main([*asked, "--no-samples"]) == 0
    said = capsys.readouterr().out
    assert "Pixels are 0.06 arcsec wide (PIXSCALE)." in said  # what was found in the file
    assert "quad:" in said and "1 of 1 images are unlike those of the training" in said
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert table["name"].tolist() == ["quad"] and table["warned"].all()
    assert len(pd.read_csv(tmp_path / "out/predictions_covariance.csv").columns) == 1 + 36
    # a network that knows nothing of such images misleads no fit
    fit = json.loads((tmp_path / "out/quad.json").read_text())
    assert fit["parameters"]["theta_E"]["most_probable"] == pytest.approx(simulated.QUAD["theta_E"], abs=0.02)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--psf", "p.fits"], "are for fits: give --fit"),
        (["--mask", "a", "b"], "--mask: 2 files for 1 images"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_wrong_options_are_one_line(served, tmp_path, capsys, more, message):
    path = simulated.write(tmp_path / "quad.fits", simulated.image())
    assert cli.main(["predict", "--model", str(served), "--image", str(path), "--output", str(tmp_path), *more]) == 1
    assert message in capsys.readouterr().err
    assert (
        cli.main(["predict", "--model", str(served), "--image", str(path), str(path), "--output", str(tmp_path)]) == 1
    )
    assert "two images are named 'quad'" in capsys.readouterr().err
