"""Fits of simulated observations: starts, verdicts, results, and what cannot be fitted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

import lensvit
from lensvit import cli
from lensvit.errors import LensvitError
from lensvit.inference.delays import fermat_potentials
from lensvit.inference.following import solve_quasar_images
from lensvit.inference.settings import ImportanceSettings
from lensvit.inference.straightened import StraightenedLens
from lensvit.inference.target import SampledLens
from lensvit.lensing.structure import Structure
from lensvit.observations.coolest import priors, template
from lensvit.observations.cosmography import (
    ARCSEC,
    DAY,
    LIGHT,
    MPC,
    Delays,
    Redshifts,
    doubts,
    expected_delays,
    hubble,
    read_delays,
    time_delay_distance,
)
from lensvit.observations.fitting import SceneFit, fit_scene, sample_scene
from lensvit.observations.noise_model import Errors, Light, estimate
from lensvit.observations.observation import Observation, ObservedImage
from lensvit.observations.result import LensResult
from lensvit.observations.run import check_monitored, fit_images, report
from lensvit.observations.survey import POSITION_ERROR
from lensvit.parameters import NAMES, normal
from tests.lensing.scenes import gaussian, parameters
from tests.observations import simulated
from tests.observations.simulated import BACKGROUND, EXPOSURE, KERNEL, PIXELS, QUAD, SCALE


def observed(data: np.ndarray, name: str = "lens", kernel: np.ndarray = KERNEL) -> Observation:
    variance = BACKGROUND**2 + data.clip(0) / EXPOSURE
    return Observation(name, (ObservedImage(data, variance, SCALE, kernel),))


@pytest.fixture(scope="module")
def quad() -> SceneFit:
    return fit_scene(observed(simulated.image()))


def _true_images() -> tuple[np.ndarray, np.ndarray]:
    position, magnification, _ = solve_quasar_images(parameters(QUAD, Structure())[:, :14], 4)
    return position[0].numpy(), magnification[0].numpy()


def test_a_quad_is_fitted_to_its_noise(quad: SceneFit) -> None:
    assert quad.converged and len(quad.hypothesis.fluxes) == 4
    information = quad.rounds[-1].fit.information[0]
    sigma = dict(zip(quad.names, np.sqrt(np.diag(np.linalg.inv(information.numpy()))), strict=True))
    for name in ("theta_E", "gamma", "center_x", "center_y", "e1", "e2", "gamma_ext"):
        assert abs(quad.parameters[name] - QUAD[name]) < 4 * sigma[name], name
    assert sigma["theta_E"] < 0.01 and sigma["gamma"] < 0.15
    assert quad.errors.galaxies < 0.05 and quad.errors.together < 1.3


def test_a_bulge_that_is_not_seen_has_an_amplitude_within_its_error_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays in the scene: without it the errors of the host and the mass would be too small."""
    monkeypatch.setitem(simulated.AMPLITUDES, "bulge", 0.0)
    fit = fit_scene(observed(simulated.image()))
    assert fit.converged and "bulge_R_sersic" in fit.names and fit.errors.galaxies < 0.05
    _, solution = fit.posterior.solution(fit.coordinates)
    place = fit.posterior.parts.names.index("bulge")
    assert float(solution.amplitudes[place]) < 3 * float(solution.covariance[place, place].sqrt())
    assert fit.parameters["theta_E"] == pytest.approx(QUAD["theta_E"], abs=0.01)


def test_a_scene_without_a_bulge_is_said_as_it_is() -> None:
    fit = fit_scene(observed(simulated.image()), Structure(position_error=POSITION_ERROR, bulge=False))
    assert "bulge_R_sersic" not in fit.names
    result = LensResult(fit, None, None, 0.0, sampled=False)
    assert result.summary()["galaxies"] == ["lens", "source"]
    assert ("bulge", "theta_eff") not in priors(fit.prior, fit.posterior.parts.structure)
    [source] = [part for part in template(result)["lensing_entities"] if "quasar" in part["name"]]
    assert [profile["type"] for profile in source["light_model"]] == ["Sersic", "LensedPS"]


def test_light_far_from_the_mass_is_said(quad: SceneFit, monkeypatch: pytest.MonkeyPatch) -> None:
    result = LensResult(quad, None, None, 0.0, sampled=False)
    assert not any("from the mass" in sentence for sentence in result.verdict)
    moved = quad.parameters | {"light_x": quad.parameters["center_x"] + 0.4}
    monkeypatch.setattr(SceneFit, "parameters", property(lambda fit: moved))
    [said] = [sentence for sentence in result.verdict if "from the mass" in sentence]
    assert "0.4" in said and "halo" in said


def test_errors_of_the_psf_are_found_and_do_not_drag_the_mass() -> None:
    wrong = gaussian(31, 1.2)  # the true one has 1.1 pixels
    fit = fit_scene(observed(simulated.image(), kernel=wrong))
    assert fit.errors.psf > 0.03
    assert fit.parameters["theta_E"] == pytest.approx(QUAD["theta_E"], rel=0.02)


def test_errors_are_those_of_the_residuals() -> None:
    random = np.random.default_rng(0)
    row = np.linspace(-3, 3, 80)
    galaxies = 0.5 * np.exp(-(row**2 + row[:, None] ** 2) / 4)
    quasars = 400 * np.exp(-((row - 1) ** 2 + (row[:, None] - 1) ** 2) * 8)
    light = Light(np.full((80, 80), 0.01**2), quasars, galaxies)
    truth = Errors(0.06, 0.12)
    residual = np.sqrt(light.variance(truth)) * random.standard_normal((80, 80))
    found = estimate([residual], [light], Errors())
    assert found.psf == pytest.approx(0.06, rel=0.2) and found.galaxies == pytest.approx(0.12, rel=0.1)
    assert 1 <= found.together < 1.4
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(random.standard_normal((80, 80)), 1.0) * np.sqrt(4 * np.pi)
    found = estimate([np.sqrt(light.variance(truth)) * smooth], [light], Errors())
    assert found.together == pytest.approx(4 * np.pi, rel=0.35)  # the area of the correlation


def test_h0_follows_from_delays(quad: SceneFit) -> None:
    truth = parameters(QUAD, Structure())[:, :14].numpy()
    images = _true_images()[0]
    potential = fermat_potentials(truth, images)[0]
    distance = time_delay_distance(72.0, 0.5, 1.5, 0.3)
    days = (potential[1:] - potential[0]) * ARCSEC**2 * distance * MPC / LIGHT / DAY
    random = np.random.default_rng(0)
    draws = np.repeat(truth, 400, 0)
    draws[:, NAMES.index("gamma")] += 0.02 * random.standard_normal(400)
    delays = Delays(images, days, np.full(3, 0.3), 0.5, 1.5)
    exact = hubble(truth, delays)
    assert exact.h0 == pytest.approx(72.0, abs=0.1 * exact.h0_sigma) and exact.chi_square < 1e-6
    assert exact.distance == pytest.approx(distance, rel=0.01) and exact.h0_low < 72 < exact.h0_high
    # one delay cannot tell lenses apart: H0 has the scatter of their potentials, which is that of gamma - 1
    one = Delays(images[:2], days[:1], np.abs(days[:1]) * 1e-4, 0.5, 1.5)
    found = hubble(draws, one)
    potentials = fermat_potentials(draws, images[:2])
    ratio = (potentials[:, 1] - potentials[:, 0]) / (potential[1] - potential[0])
    assert found.h0_sigma == pytest.approx(72 * ratio.std(), rel=0.15)
    assert ratio.std() == pytest.approx(0.02 / 1.05, rel=0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"days": np.zeros(2)}, "give a delay"),
        ({"errors": np.zeros(3)}, "above 0"),
        ({"lens_redshift": 2.0}, "behind"),
        ({"omega_m": 3.0}, "matter density"),
    ],
)
def test_wrong_delays_are_one_line(changes: dict, words: str) -> None:
    known = Delays(_true_images()[0], np.ones(3), np.ones(3), 0.5, 1.5)._replace(**changes)
    with pytest.raises(LensvitError, match=words):
        hubble(parameters(QUAD, Structure())[:, :14].numpy(), known)


def test_delays_that_are_mixed_up_are_said() -> None:
    images = _true_images()[0]
    truth = parameters(QUAD, Structure())[:, :14].numpy()
    days = expected_delays(truth[0], images, 70.0, 0.5, 1.5)
    right = Delays(images, days, np.full(3, 0.3), 0.5, 1.5)
    assert doubts(hubble(truth, right), 3) == []
    for wrong in (-days, days / 10, days * 10):
        assert any("with the sign of each image" in one for one in doubts(hubble(truth, right._replace(days=wrong)), 3))
    mixed = doubts(hubble(truth, right._replace(days=days[[2, 0, 1]])), 3)
    assert any("No draw of the posterior explains the delays" in one for one in mixed)


def test_a_file_of_impossible_delays_is_one_line(tmp_path: Path) -> None:
    content = {"images": [[0, 1], [1, 0]], "days": [1, 2], "errors": [1], "lens_redshift": 0.5, "source_redshift": 1.7}
    (tmp_path / "delays.json").write_text(json.dumps(content))
    with pytest.raises(LensvitError, match=r"delays.json: 2 images, 2 delays and 1 errors"):
        read_delays(tmp_path / "delays.json")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"delays": {"days": [1.0]}}, "delays are a dict"),
        ({"delays": Delays(np.eye(2), np.ones(1), np.full(1, np.inf), 0.5, 1.5)}, "errors above 0"),
        ({"delays": Delays(np.eye(2), np.ones(1), np.ones(1), 0.5, 1.5), "samples": False}, "--no-samples"),
        ({"redshifts": (0.5, 1.5)}, "redshifts are a tuple"),
        ({"priors": [2.0]}, "priors are a list"),
        ({"priors": {"gamma": (2.0, 0.1)}}, "lensvit.parameters.normal"),
        ({"name": "a/b"}, "without a slash"),
        ({"pixelscale": 0.06}, "do you mean pixel_scale"),
        ({"unit": "counts"}, "no option 'unit' for arrays"),
    ],
)
def test_what_python_is_given_wrongly_is_one_line(options: dict, words: str) -> None:
    with pytest.raises(LensvitError, match=words):
        lensvit.fit(simulated.image(), KERNEL, **({"pixel_scale": SCALE, "exposure_time": EXPOSURE} | options))


def test_arrays_and_files_are_not_mixed(tmp_path: Path) -> None:
    path = simulated.write(tmp_path / "lens.fits", simulated.image())
    for options, words in (({"psf": KERNEL}, "psf is a ndarray"), ({"mask": KERNEL}, "mask is a ndarray")):
        with pytest.raises(LensvitError, match=words):
            lensvit.fit(path, **options)
    with pytest.raises(LensvitError, match="an image is a NoneType"):
        lensvit.fit(None)
    with pytest.raises(LensvitError, match="needs pixel_scale"):
        lensvit.fit(simulated.image(), KERNEL)


def test_monitored_images_are_those_of_the_fit() -> None:
    settled = simulated.settled()
    seen = settled.images[["x", "y"]].to_numpy()
    known = Delays(seen, np.zeros(3), np.ones(3), 0.5, 1.5)
    check_monitored(settled, known)
    with pytest.raises(LensvitError, match="the same image of the quasar"):
        check_monitored(settled, known._replace(images=seen[[0, 0, 1, 2]]))
    with pytest.raises(LensvitError, match="no image of the quasar lies at"):
        check_monitored(settled, known._replace(images=seen + 5))


def test_a_report_has_what_was_found_in_the_file() -> None:
    settled = simulated.settled()
    observation = dataclasses.replace(settled.fit.observation, notes=("Pixels are wide.",))
    told = dataclasses.replace(settled, fit=dataclasses.replace(settled.fit, observation=observation))
    assert "  - Pixels are wide." in report(told)


def test_redshifts_are_checked() -> None:
    for possible in (Redshifts(), Redshifts(0.5), Redshifts(None, 1.5), Redshifts(0.5, 1.5)):
        assert possible.checked() == possible
    for wrong, words in (
        (Redshifts(1.5, 1.5), "behind"), (Redshifts(0.0), "for the lens"), (Redshifts(None, np.inf), "for the quasar"),
        (Redshifts(0.5, 1.5, 0.0), "matter density"),
    ):  # fmt: skip
        with pytest.raises(LensvitError, match=words):
            wrong.checked()


def _sky() -> np.ndarray:
    return BACKGROUND * np.random.default_rng(1).standard_normal((PIXELS, PIXELS))


def _star(x: int, y: int, flux: float = 100.0) -> np.ndarray:
    result = np.zeros((PIXELS, PIXELS))
    result[y - 15 : y + 16, x - 15 : x + 16] += flux * KERNEL
    return result


@pytest.mark.parametrize("kind", ["an empty sky", "a star", "a galaxy"])
def test_what_shows_no_lensed_quasar_is_refused(kind: str) -> None:
    row = (np.arange(PIXELS) - 31.5) * SCALE
    galaxy = 5 * np.exp(-3 * np.hypot(row, row[:, None]))
    data = _sky() + {"an empty sky": 0.0, "a star": _star(30, 33), "a galaxy": galaxy}[kind]
    with pytest.raises(LensvitError, match="two images at least"):
        fit_scene(observed(data))


def test_two_stars_are_not_called_a_lens() -> None:
    result = fit_images(observed(_sky() + _star(22, 30) + _star(42, 34, 60.0)), sampling=None)
    assert any("No lens galaxy is seen" in sentence for sentence in result.verdict)


def test_draws_of_the_posterior_are_around_the_truth(quad: SceneFit) -> None:
    settings = ImportanceSettings(effective=100, draws=250, max_calls=1200)
    drawn, other = (sample_scene(quad, settings, 0, 200, processes) for processes in (2, 1))
    assert drawn is not None and other is not None and drawn.drawn.effective > 50
    assert drawn.drawn.calls == other.drawn.calls
    for one, same in zip(drawn[1:4], other[1:4], strict=True):  # whatever the number of processes
        np.testing.assert_array_equal(one, same)
    assert drawn.parameters.shape == (200, len(quad.names)) and drawn.amplitudes.shape == (
        200,
        quad.posterior.parts.count - 1,
    )
    for name in ("theta_E", "gamma", "e1", "R_sersic", "n_sersic"):
        values = drawn.parameters[:, quad.names.index(name)]
        assert abs(values.mean() - QUAD[name]) < 5 * values.std(), name
    fluxes = drawn.amplitudes[:, quad.posterior.parts.quasars]
    assert (abs(fluxes.mean(0) - np.array(simulated.FLUXES)) < 6 * fluxes.std(0)).all()
    assert drawn.images.shape == (200, 4, 3)
    np.testing.assert_array_equal(drawn.images[..., 2], fluxes)
    places, scatter = drawn.images[..., :2].mean(0), drawn.images[..., :2].std(0)
    assert (scatter > 0).all() and (scatter < 0.003).all()
    assert (abs(places - _true_images()[0]) < 5 * scatter).all()


def test_the_posterior_is_normal_along_the_positions_of_bright_images() -> None:
    """Where bright images are expanded around the model's places, the density along them has a quartic term."""
    bright = tuple(10 * flux for flux in simulated.FLUXES)
    fit = fit_scene(observed(simulated.image(fluxes=bright)))
    last = fit.rounds[-1].fit
    lens = SampledLens(fit.posterior, last.coordinates)
    free = lens.free.numpy()
    spread = np.linalg.inv(last.information[0].numpy()[np.ix_(free, free)])
    straight = StraightenedLens(lens, fit.coordinates.numpy()[free], spread)
    places = np.eye(len(spread))[: straight.map.count]
    here = straight.log_density(np.zeros((1, len(spread))))
    for step in (-2.0, 2.0):
        np.testing.assert_allclose(straight.log_density(step * places) - here, -2.0, atol=0.6)


def test_priors_of_users_are_checked() -> None:
    some = observed(_sky())
    with pytest.raises(LensvitError, match="no such parameter"):
        fit_images(some, priors={"mass": normal(1, 1)})
    with pytest.raises(LensvitError, match="lognormal"):
        fit_images(some, priors={"R_sersic": normal(1, 1)})
    with pytest.raises(LensvitError, match="rayleigh"):
        fit_images(some, priors={"gamma_ext": normal(0, 1)})
    with pytest.raises(LensvitError, match="2, 3 or 4"):
        fit_images(some, images=5)


def test_the_command_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = simulated.write(tmp_path / "quad.fits", simulated.image())
    out = tmp_path / "out"
    redshifts = ["--lens-redshift", "0.5", "--source-redshift", "1.7"]
    assert cli.main(["fit", "--image", str(path), "--output", str(out), "--no-samples", *redshifts]) == 0
    assert "theta_E" in capsys.readouterr().out
    summary = json.loads((out / "quad.json").read_text())
    assert summary["parameters"]["theta_E"]["most_probable"] == pytest.approx(QUAD["theta_E"], rel=0.02)
    assert summary["posterior"] is None and summary["notes"]
    table = pd.read_csv(out / "quad.csv", index_col="parameter")
    assert table.loc["gamma", "most_probable"] == pytest.approx(summary["parameters"]["gamma"]["most_probable"])
    images = pd.read_csv(out / "quad_images.csv")
    truth, magnification = _true_images()
    for place, size in zip(truth, magnification, strict=True):
        nearest = images.iloc[int(np.hypot(images["x"] - place[0], images["y"] - place[1]).argmin())]
        assert np.hypot(nearest["x"] - place[0], nearest["y"] - place[1]) < 0.003
        assert np.sign(nearest["magnification"]) == np.sign(size)
    with fits.open(out / "quad_model.fits") as units:
        assert [unit.name for unit in units[1:6]] == ["MODEL", "RESIDUAL", "CHI2", "CHI2_SMOOTHED", "LENS"]
        assert np.square(units["RESIDUAL"].data).mean() < 1.1
    exchanged = json.loads((out / "quad_coolest.json").read_text())
    assert [entity["redshift"] for entity in exchanged["lensing_entities"]] == [0.5, 1.7, 0.5]
    assert exchanged["observation"]["exposure_time"] == EXPOSURE
    assert (out / "quad_coolest_psf.fits").exists() and (out / "quad_coolest_noise.fits").exists()
    assert (out / "quad.pdf").stat().st_size > 5000 and (out / "quad.png").exists()


def test_several_images_go_on_after_one_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = simulated.write(tmp_path / "good.fits", simulated.image())
    sky = simulated.write(tmp_path / "sky.fits", _sky())
    out = tmp_path / "out"
    assert cli.main(["fit", "--image", str(sky), str(good), "--output", str(out), "--no-samples"]) == 1
    said = capsys.readouterr()
    assert "no point-like peak" in said.out and "1 of 2 images" in said.err and (out / "good.json").exists()
    twice = ["fit", "--image", str(good), str(good), "--output", str(out)]
    assert cli.main(twice) == 1 and "two images are named" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delays", "1", "2", "3"], "H0 needs"),
        (["--psf", "a", "b", "c"], "3 files for 1 images"),
        (["--name", "a", "--image", "x", "y"], "--name is for one lens"),
        (["--lens-redshift", "2", "--source-redshift", "1"], "the quasar lies behind the lens"),
        (["--lens-redshift", "-1"], "a redshift of -1 for the lens"),
        (["--lens-redshift", "0.5", "--image", "x", "y"], "redshifts are those of one lens"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", "--image", "x.fits", "--output", str(tmp_path), *options]
    assert cli.main(arguments) == 1
    assert words in capsys.readouterr().err
