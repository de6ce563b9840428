"""Mock observations: what is drawn, what is written, and that a fit reads it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from lensvit import cli
from lensvit.errors import LensvitError
from lensvit.inference.following import solve_quasar_images
from lensvit.lensing.structure import Structure
from lensvit.observations import trial
from lensvit.observations.cosmography import expected_delays, hubble, read_delays
from lensvit.observations.fitting import fit_scene
from lensvit.observations.mock import PIXELS, Camera, camera_of, draw_mock, mock, sersic_flux, write_mock
from lensvit.observations.observation import Observation
from lensvit.observations.reading import Given, read_image
from lensvit.observations.survey import POSITION_ERROR
from lensvit.observations.table import observations_table
from lensvit.parameters import NAMES, normal
from tests.lensing.scenes import gaussian, parameters

CAMERA = Camera(gaussian(31, 1.1), 0.06, 64)


@pytest.mark.parametrize("images", [2, 4])
def test_a_mock_has_its_images_where_the_lens_equation_puts_them(images: int) -> None:
    made = draw_mock(CAMERA, images, 3)
    place, magnification, _ = solve_quasar_images(parameters(made.truth, Structure())[:, :14], 4)
    present = magnification[0] != 0
    assert int(present.sum()) == images == len(made.positions)
    off = np.abs(made.positions - place[0][present].numpy())
    assert 0 < off.max() < 5 * POSITION_ERROR
    # what lies around an image of the quasar peaks there
    for x, y in made.positions:
        column, row = (round(at / CAMERA.pixel_scale + 31.5) for at in (x, y))
        around = made.clean[row - 3 : row + 4, column - 3 : column + 4]
        assert np.abs(np.array(np.unravel_index(around.argmax(), around.shape)) - 3).max() <= 1


def test_noise_is_as_large_as_it_says() -> None:
    made = draw_mock(CAMERA, 4, 5)
    sigma = np.sqrt(made.background_rms**2 + made.clean.clip(0) / made.exposure_time)
    assert ((made.image.data - made.clean) / sigma).std() == pytest.approx(1, abs=0.04)
    assert np.median(made.image.variance / sigma**2) == pytest.approx(1, abs=0.03)


def test_lenses_follow_the_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = {"gamma": normal(2.2, 0.01)}
    values = [draw_mock(CAMERA, 2, seed, narrow).truth["gamma"] for seed in range(6)]
    assert np.mean(values) == pytest.approx(2.2, abs=0.015) and 0.002 < np.std(values) < 0.03
    monkeypatch.setattr("lensvit.observations.mock.TRIES", 2)
    with pytest.raises(LensvitError, match="none has 4 images"):
        draw_mock(Camera(gaussian(31, 1.1), 0.06, 33), 4, 0, {"theta_E": normal(1.9, 0.001)})


def test_the_flux_of_a_sersic_profile_is_its_integral() -> None:
    radius, index = np.linspace(0, 400, 2_000_001), 2.5
    from scipy.special import gammaincinv

    light = np.exp(-gammaincinv(2 * index, 0.5) * ((radius / 0.7) ** (1 / index) - 1))
    assert sersic_flux(0.7, index) == pytest.approx(np.trapezoid(2 * np.pi * radius * light, radius), rel=1e-5)


def test_a_file_of_a_mock_is_read_as_it_was_made(tmp_path) -> None:
    made = draw_mock(CAMERA, 4, 7)
    image, _ = read_image(write_mock(made, tmp_path / "mock.fits"), Given())
    np.testing.assert_allclose(image.data, made.image.data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(image.variance, made.image.variance, rtol=1e-3)
    assert image.pixel_scale == CAMERA.pixel_scale
    with fits.open(tmp_path / "mock.fits") as units:
        truth = dict(zip(units["TRUTH"].data["parameter"], units["TRUTH"].data["value"], strict=True))
        assert truth == pytest.approx(made.truth) and len(units["IMAGES"].data) == 4


def test_mocks_are_written_by_their_command(tmp_path, capsys) -> None:
    assert cli.main(["mock", "--output", str(tmp_path), "--count", "2", "--seed", "4", "--pixels", "81"]) == 0
    table = pd.read_csv(tmp_path / "truth.csv").set_index("name")
    assert list(table.index) == ["mock_004", "mock_005"] and (tmp_path / "mock_005.fits").is_file()
    again = draw_mock(camera_of(None, None, 81), 4, 5)
    assert table.loc["mock_005", "theta_E"] == pytest.approx(again.truth["theta_E"], rel=1e-6)
    for options, words in (
        (["--quasar-images", "3"], "give 2 or 4"),
        (["--pixels", "20"], "give 33 or more"),
        (["--count", "0"], "give 1 or more"),
        (["--pixel-scale", "-1"], "give a number above 0"),
        (["--pixel-scale", "3"], "give --psf for another one"),
        (["--seed", "-1"], "--seed -1: give 0 or more"),
        (["--exposure-time", "nan"], "give a number above 0"),
        (["--psf", str(tmp_path / "no.fits")], "there is no such file"),
    ):
        assert cli.main(["mock", "--output", str(tmp_path), *options]) == 1
        assert words in capsys.readouterr().err

    (tmp_path / "file").touch()
    for stage in ("mock", "trial"):
        assert cli.main([stage, "--output", str(tmp_path / "file"), "--pixels", "81", "--count", "1"]) == 1
        assert "a folder is needed there" in capsys.readouterr().err


def test_a_psf_of_a_file_needs_a_scale(tmp_path) -> None:
    fits.PrimaryHDU(gaussian(31, 1.1)).writeto(tmp_path / "star.fits")
    with pytest.raises(LensvitError, match="give --pixel-scale"):
        camera_of(tmp_path / "star.fits", None, 64)
    assert camera_of(tmp_path / "star.fits", 0.06, 64).kernel.shape == (31, 31)


def test_a_peak_of_the_galaxy_is_not_taken_for_an_image_for_good() -> None:
    """With the galaxy as a third image this double has a lens too, which does not explain the image."""
    made = draw_mock(camera_of(None, None, 99), 2, 0)
    fit = fit_scene(Observation("double", (made.image,)))
    assert len(fit.peaks.flux) >= 3 and len(fit.hypothesis.fluxes) == 2 and fit.errors.galaxies < 0.05
    assert fit.parameters["theta_E"] == pytest.approx(made.truth["theta_E"], rel=0.01)


# ---------------------------------------------------------------- trials


def test_coverage_is_the_share_of_lenses_with_the_truth_inside() -> None:
    level = np.array([0.5, 0.2, 0.83, 0.9, 0.01])
    rows = pd.DataFrame({"parameter": "gamma", "level": level, "truth": 2.0, "mean": 2.1, "z": [1, -1, 1, -1, 2]})
    found = trial.coverage(rows).loc["gamma"]
    assert found["lenses"] == 5 and found["within68"] == pytest.approx(3 / 5) and found["within95"] == 4 / 5
    assert found["rms_z"] == pytest.approx(np.sqrt(8 / 5)) and found["median_error"] == pytest.approx(0.1)


@pytest.mark.parametrize("seed", [506, 507, 512])
def test_the_nucleus_of_a_lens_galaxy_is_no_image_of_the_quasar(seed: int) -> None:
    """It is a peak as bright as the fainter image of these doubles, or brighter; fits took it for one."""
    made = draw_mock(camera_of(None, None, PIXELS), 2, seed)
    fit = fit_scene(Observation("double", (made.image,)))
    distance = np.hypot(*(fit.hypothesis.positions[:, None] - made.positions).transpose(2, 0, 1))
    assert fit.converged and len(distance) == 2 and distance.min(0).max() < 0.03
    brightest = fit.peaks.position[fit.peaks.flux > 0.9 * fit.hypothesis.fluxes.min()]
    nucleus = np.array([made.truth["light_x"], made.truth["light_y"]])
    assert np.hypot(*(brightest - nucleus).T).min() < 0.05  # or the test is of nothing
    spread = np.linalg.inv(fit.rounds[-1].fit.information[0].numpy())
    sigma = np.sqrt(spread[fit.names.index("theta_E"), fit.names.index("theta_E")])
    assert abs(fit.parameters["theta_E"] - made.truth["theta_E"]) < 3 * sigma < 0.2 * made.truth["theta_E"]
    assert fit.errors.psf + fit.errors.galaxies < 0.1


@pytest.mark.parametrize(
    ("extra", "found"), [([], True), ([[0.4, 0.1, 0.3]], True), ([[0.4, 0.1, 3.0]], False), ([[1.01, 0.0, 3.0]], True)]
)
def test_a_lens_is_found_with_its_images_and_no_others_but_faint_ones(extra: list, found: bool) -> None:
    made = draw_mock(CAMERA, 2, 3)._replace(positions=np.array([[1.0, 0.0], [-0.5, 0.0]]))

    def result(rows: list, converged: bool = True) -> SimpleNamespace:
        images = pd.DataFrame(rows, columns=["x", "y", "flux"])
        return SimpleNamespace(images=images, fit=SimpleNamespace(converged=converged))

    both = [[1.002, 0.0, 100.0], [-0.5, 0.003, 0.5]]
    assert trial._found(made, result(both + extra)) is found
    assert not trial._found(made, result([])) and not trial._found(made, result(both[:1] + extra))
    assert not trial._found(made, result(both + extra, False))


def test_a_trial_finds_its_lenses(tmp_path, capsys) -> None:
    options = ["--count", "1", "--pixels", "65", "--no-samples", "--seed", "3"]
    assert cli.main(["trial", "--output", str(tmp_path), *options]) == 0
    lenses = pd.read_csv(tmp_path / "lenses.csv")
    assert lenses["found"].all() and list(lenses["lens"]) == ["mock_003"]
    rows = pd.read_csv(tmp_path / "parameters.csv").set_index(["lens", "parameter"])
    z = rows.xs("theta_E", level="parameter")["z"]
    assert (z.abs() < 5).all() and (rows.xs("theta_E", level="parameter")["sigma"] < 0.05).all()
    assert pd.read_csv(tmp_path / "coverage.csv")["lenses"].eq(1).all()
    assert "mock_003: found" in capsys.readouterr().out


def test_lenses_are_rows_of_one_table(tmp_path) -> None:
    from tests.test_broken_inputs import LENS

    posterior = {"certified": True, "effective_size": 400.0}
    other = LENS | {"name": "other", "posterior": posterior, "hubble": {"h0": 70.0, "h0_sigma": 2.0}}
    other["parameters"] = LENS["parameters"] | {"gamma": {"most_probable": 2.1, "mean": 2.0, "sigma": 0.1}}
    paths = []
    for lens in (LENS, other):
        paths.append(tmp_path / f"{lens['name']}.json")
        paths[-1].write_text(json.dumps(lens))
    observations_table(paths, tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv").set_index("name")
    assert table.loc["other", ["gamma", "gamma_sigma", "h0"]].tolist() == [2.0, 0.1, 70.0]
    assert table.loc["mine", "gamma"] == 1.0 and not table.loc["mine", "certified"]
    assert np.isnan(table.loc["mine", "gamma_sigma"]) and table.loc["other", "certified"]


def test_a_mock_has_the_delays_of_its_hubble_constant(tmp_path):
    mock(tmp_path, seed=7, pixels=64, h0=80.0, lens_redshift=0.4, source_redshift=2.0, delay_error=0.01)
    delays = read_delays(tmp_path / "mock_007_delays.json")
    truth = pd.read_csv(tmp_path / "truth.csv").iloc[0]
    assert len(delays.images) == 4 and (delays.lens_redshift, delays.source_redshift) == (0.4, 2.0)
    exact = truth[list(NAMES)].to_numpy(dtype=float)
    found = hubble(exact[None], delays)
    # the images lie 3 mas off those of the lens equation, as their fluxes are seen
    assert found.h0 == pytest.approx(80.0, rel=0.03)
    expected = expected_delays(exact, delays.images, 80.0, 0.4, 2.0)
    assert np.abs(delays.days - expected).max() < 0.06
    assert expected_delays(exact, delays.images, 40.0, 0.4, 2.0) == pytest.approx(2 * expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "truncated or broken"),
        ("{}", "lacks 'images'"),
        (json.dumps({"images": [1, 2], "days": [1], "errors": [1], "lens_redshift": 1, "source_redshift": 2}), "pairs"),
    ],
)
def test_a_file_of_delays_that_is_none_is_one_line(tmp_path, content, message):
    (tmp_path / "delays.json").write_text(content)
    with pytest.raises(LensvitError, match=message):
        read_delays(tmp_path / "delays.json")
    with pytest.raises(LensvitError, match=r"delays.json"):
        read_delays(tmp_path / "none" / "delays.json")


def test_delays_are_given_once(tmp_path, capsys):
    asked = ["fit", "--image", "a.fits", "--output", str(tmp_path), "--delay-file", "d.json", "--lens-redshift", "0.5"]
    assert cli.main(asked) == 1
    assert "--delay-file has all of the delays" in capsys.readouterr().err
    assert cli.main(["mock", "--output", str(tmp_path), "--h0", "-1"]) == 1
    assert "--h0 -1: give a number above 0" in capsys.readouterr().err


def test_a_psf_on_other_pixels_than_the_images_is_one_line(tmp_path) -> None:
    header = fits.Header({"PIXSCALE": 0.015})
    fits.PrimaryHDU(gaussian(31, 2.0), header).writeto(tmp_path / "psf.fits")
    with pytest.raises(LensvitError, match=r"0\.015 arcsec wide, and --pixel-scale is 0\.06"):
        camera_of(tmp_path / "psf.fits", 0.06, 64)
    assert camera_of(tmp_path / "psf.fits", None, 64).pixel_scale == 0.015
    parts = [fits.PrimaryHDU(np.ones((40, 40)), fits.Header({"PIXSCALE": 0.06}))]
    fits.HDUList([*parts, fits.ImageHDU(gaussian(31, 2.0), header, name="PSF")]).writeto(tmp_path / "lens.fits")
    assert camera_of(tmp_path / "lens.fits", None, 64).pixel_scale == 0.015
