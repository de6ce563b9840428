"""Fitted lenses in COOLEST's terms: conventions against lenstronomy, and what COOLEST makes of them."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

from lensvit.lensing.lens_equation import lens_kwargs
from lensvit.lensing.structure import Structure
from lensvit.observations.coolest import angle, axis_ratio_and_angle, priors, profiles, statistics, template
from lensvit.observations.cosmography import Hubble, Redshifts
from lensvit.observations.observation import Sky
from lensvit.observations.result import LensResult
from lensvit.observations.survey import POSITION_ERROR, survey_priors
from lensvit.parameters import lognormal, normal, uniform
from tests.observations.simulated import KERNEL, PIXELS, QUAD, SCALE, settled

REDSHIFTS = Redshifts(0.5, 1.7)
X, Y = np.random.default_rng(0).uniform(-2, 2, (2, 50))
SHAPES = [(0.0, 0.0), (0.2, 0.0), (-0.2, 0.0), (0.0, 0.2), (0.0, -0.2), (0.13, 0.31), (-0.4, 0.05), (-0.1, -0.5)]


@pytest.fixture(scope="module")
def result() -> LensResult:
    sky = Sky(150.0, 2.0, 30.0, False)
    return dataclasses.replace(settled(draws=100, exposure_time=1400.0, sky=sky), redshifts=REDSHIFTS)


@pytest.fixture(autouse=True)
def _loudness() -> Iterator[None]:
    """coolest changes how much all loggers say."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


def converted(values: dict[str, float]) -> dict[str, dict[str, np.ndarray]]:
    """COOLEST's parameters of a lens."""
    light = dict.fromkeys(("lens", "source", "bulge"), 1.0)
    return profiles({name: np.array(value) for name, value in (values | light).items()}, np.zeros((0, 3)), Structure())


def along(phi: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the direction that lies phi degrees from +y towards -x, and across it, to its left."""
    turn = np.radians(phi)
    return -np.sin(turn) * x + np.cos(turn) * y, -np.cos(turn) * x - np.sin(turn) * y


# ---------------------------------------------------------------- conventions


def test_angles_are_counted_from_up_towards_the_left() -> None:
    right, up_right, up, up_left = (np.radians(degrees) for degrees in (0, 45, 90, 135))
    np.testing.assert_allclose(angle(np.array([right, up_right, up, up_left])), [90, -45, 0, 45], atol=1e-12)
    np.testing.assert_allclose(angle(np.array([up_left - np.pi, up_left + np.pi])), [45, 45])
    q, phi = axis_ratio_and_angle(np.array([-0.2, 0.0]), np.array([0.0, -0.2]))  # along y, and from top left
    np.testing.assert_allclose(q, 0.8 / 1.2)
    np.testing.assert_allclose(phi, [0, 45], atol=1e-12)


@pytest.mark.parametrize(("e1", "e2"), SHAPES)
def test_the_convergence_is_that_of_coolests_formula(e1: float, e2: float) -> None:
    """That of its documentation: an Einstein radius along the intermediate axis, and phi from +y towards -x."""
    values = QUAD | {"e1": e1, "e2": e2}
    mass = converted(values)["lens mass"]
    major, minor = along(mass["phi"], X - mass["center_x"], Y - mass["center_y"])
    radius = np.sqrt(mass["q"] * major**2 + minor**2 / mass["q"])
    kappa = (3 - mass["gamma"]) / 2 * (mass["theta_E"] / radius) ** (mass["gamma"] - 1)
    np.testing.assert_allclose(LensModel(["EPL"]).kappa(X, Y, lens_kwargs(values)[:1]), kappa, rtol=1e-10)


@pytest.mark.parametrize(("e1", "e2"), SHAPES)
@pytest.mark.parametrize("psi_ext", [0.0, 0.4, 1.9, 3.1])
def test_the_deflection_is_the_same_after_a_round_trip(e1: float, e2: float, psi_ext: float) -> None:
    values = QUAD | {"e1": e1, "e2": e2, "psi_ext": psi_ext}
    there = converted(values)
    mass, shear = there["lens mass"], there["shear"]
    assert -90 < mass["phi"] <= 90 and -90 < shear["phi_ext"] <= 90 and 0 < mass["q"] <= 1
    size = (1 - mass["q"]) / (1 + mass["q"])
    major, strong = (np.radians(2 * (phi + 90)) for phi in (mass["phi"], shear["phi_ext"]))
    power_law = {name: mass[name] for name in ("theta_E", "gamma", "center_x", "center_y")}
    back = [
        power_law | {"e1": size * np.cos(major), "e2": size * np.sin(major)},
        {"gamma1": shear["gamma_ext"] * np.cos(strong), "gamma2": shear["gamma_ext"] * np.sin(strong)},
    ]
    model = LensModel(["EPL", "SHEAR"])
    np.testing.assert_allclose(model.alpha(X, Y, back), model.alpha(X, Y, lens_kwargs(values)), rtol=0, atol=1e-8)


def test_the_shear_stretches_along_its_angle() -> None:
    """Deflections by a shear point outwards along its axis, and inwards across it."""
    shear = converted(QUAD | {"psi_ext": np.radians(135.0)})["shear"]
    assert shear["phi_ext"] == pytest.approx(45)
    alpha = LensModel(["SHEAR"]).alpha(-1.0, 1.0, lens_kwargs(QUAD | {"psi_ext": np.radians(135.0)})[1:])
    np.testing.assert_allclose(alpha, QUAD["gamma_ext"] * np.array([-1.0, 1.0]))


@pytest.mark.parametrize("name", ["lens light", "host", "bulge"])
def test_light_is_that_of_lenstronomy(name: str) -> None:
    light = converted(QUAD)[name]
    major, minor = along(light["phi"], X - light["center_x"], Y - light["center_y"])
    radius = np.sqrt(light["q"] * major**2 + minor**2 / light["q"])
    b = 1.9992 * light["n"] - 0.3271
    brightness = light["I_eff"] * np.exp(-b * ((radius / light["theta_eff"]) ** (1 / light["n"]) - 1))
    part = {
        "lens light": ("R_sersic", "n_sersic", "light_e1", "light_e2", QUAD["light_x"], QUAD["light_y"]),
        "host": ("source_R_sersic", "source_n_sersic", "source_e1", "source_e2", QUAD["source_x"] + QUAD["host_x"],
                 QUAD["source_y"] + QUAD["host_y"]),
        "bulge": ("bulge_R_sersic", 1.5, 0.0, 0.0, QUAD["source_x"], QUAD["source_y"]),
    }[name]  # fmt: skip
    keys = "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y"
    kwargs = {key: QUAD.get(value, value) for key, value in zip(keys, part, strict=True)} | {"amp": 1.0}
    expected = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(X, Y, [kwargs])
    np.testing.assert_allclose(brightness, expected, rtol=1e-8)


def test_statistics_of_angles_go_on_beyond_90_degrees() -> None:
    draws = np.array([88.0, 89.0, -90.0, -89.0, -88.0])  # around 90
    found = statistics("phi", draws, np.array(89.5))
    assert found["mean"] == pytest.approx(90) and found["median"] == pytest.approx(90)
    assert found["percentile_16th"] < 89.5 < found["percentile_84th"] < 92
    assert statistics("gamma", draws, np.array(0.0))["mean"] == pytest.approx(draws.mean())
    nothing = {"mean": None, "median": None, "percentile_16th": None, "percentile_84th": None}
    assert statistics("amps", np.array([[1.0, np.nan]]), np.ones(2)) == nothing
    assert statistics("amps", np.ones((5, 3)), np.ones(2)) == nothing  # a draw of other images
    assert statistics("amps", np.ones((5, 2)), np.ones(2))["median"] == [1.0, 1.0]


def test_priors_are_those_that_coolest_can_say() -> None:
    center = np.array([0.03, -0.02])
    known = survey_priors(center, 0.05, {"gamma": uniform(1.8, 2.2), "R_sersic": lognormal(0.5, 0.3)})
    found = priors(known, Structure())
    assert found["lens mass", "theta_E"] == {"type": "GaussianPrior", "mean": 1.2, "width": 0.6}
    assert found["lens mass", "gamma"] == {"type": "UniformPrior", "min_value": 1.8, "max_value": 2.2}
    assert found["lens light", "theta_eff"]["mean"] == pytest.approx(np.log(0.5))
    assert found["lens light", "theta_eff"]["type"] == "LogNormalPrior"
    assert found["lens mass", "phi"] == {"type": "UniformPrior", "min_value": -90, "max_value": 90}
    assert found["shear", "phi_ext"] == found["lens mass", "phi"]
    assert ("lens mass", "q") not in found and ("shear", "gamma_ext") not in found and ("bulge", "n") not in found
    # the host's centre is the quasar's and an offset
    assert found["host", "center_x"]["width"] == pytest.approx(np.hypot(0.5, 0.05))
    assert priors(known, Structure(host_offset=False))["host", "center_x"]["width"] == 0.5
    # a direction that is preferred, and a prior with an end, have no such form
    changed = priors(
        known | {"e1": normal(0.1, 0.1), "psi_ext": uniform(0.0, 1.0), "theta_E": normal(1, 1, 0)}, Structure()
    )
    assert not {("lens mass", "phi"), ("shear", "phi_ext"), ("lens mass", "theta_E")} & set(changed)


# ---------------------------------------------------------------- the file


def test_the_file_says_what_the_fit_has(result: LensResult) -> None:
    found = template(result)
    assert found["standard"] == "COOLEST" and found["mode"] == "MAP"
    assert found["coordinates_origin"] == {"ra": "10h00m00s", "dec": "+02d00m00s"}
    assert found["observation"]["exposure_time"] == 1400.0 and found["instrument"]["pixel_size"] == SCALE
    assert found["observation"]["pixels"]["field_of_view_x"] == pytest.approx([-PIXELS * SCALE / 2, PIXELS * SCALE / 2])
    lens, source, field = found["lensing_entities"]
    assert [entity["redshift"] for entity in (lens, source, field)] == [0.5, 1.7, 0.5]
    mass = lens["mass_model"][0]["parameters"]
    assert mass["theta_E"]["point_estimate"]["value"] == pytest.approx(QUAD["theta_E"])
    row = result.table.loc["theta_E"]
    assert mass["theta_E"]["posterior_stats"] == {
        "mean": pytest.approx(row["mean"]), "median": pytest.approx(row["median"]),
        "percentile_16th": pytest.approx(row["low"]), "percentile_84th": pytest.approx(row["high"]),
    }  # fmt: skip
    assert mass["theta_E"]["id"] == "0-galaxy-mass-0-PEMD-theta_E"
    assert [profile["type"] for profile in source["light_model"]] == ["Sersic", "Sersic", "LensedPS"]
    host, bulge, quasar = (profile["parameters"] for profile in source["light_model"])
    assert host["center_x"]["point_estimate"]["value"] == pytest.approx(QUAD["source_x"] + QUAD["host_x"])
    assert {key for key in bulge if bulge[key]["fixed"]} == {"n", "q", "phi"}
    images = result.images
    for key, column in (("ra_list", "x"), ("dec_list", "y"), ("amps", "flux")):
        assert quasar[key]["point_estimate"]["value"] == images[column].tolist()
        assert quasar[key]["posterior_stats"]["mean"] == pytest.approx(images[column].tolist(), rel=0.01)
    assert found["meta"]["quasar"]["magnification"] == images["magnification"].tolist()
    assert found["cosmology"]["Om0"] == 0.3 and "convention" in found["meta"]["cosmology"]


def test_what_is_not_known_is_null() -> None:
    found = template(settled())
    assert [entity["redshift"] for entity in found["lensing_entities"]] == [None] * 3
    assert found["observation"]["exposure_time"] is None and found["meta"]["sky"] is None
    stats = found["lensing_entities"][0]["mass_model"][0]["parameters"]["gamma"]["posterior_stats"]
    assert set(stats.values()) == {None} and len(stats) == 4


def test_an_index_that_coolest_does_not_allow_is_said(result: LensResult, tmp_path: Path) -> None:
    assert template(result)["meta"]["beyond"] == []
    flat = settled(values=QUAD | {"source_n_sersic": 0.4})
    found = template(flat)
    assert found["lensing_entities"][1]["light_model"][0]["parameters"]["n"]["point_estimate"][
        "value"
    ] == pytest.approx(0.4)
    assert found["meta"]["beyond"] == [
        "the Sersic index of the host is 0.40, and COOLEST has those from 0.5 to 10 alone"
    ]
    pytest.importorskip("coolest")
    from coolest.template.json import JSONSerializer

    flat.write(tmp_path)
    with pytest.raises(ValueError, match=r"smaller than 0\.5"):
        JSONSerializer(str(tmp_path / "quad_coolest")).load(verbose=False)


def test_h0_is_that_of_delays(result: LensResult) -> None:
    measured = dataclasses.replace(result, hubble=Hubble(72.5, 3.0, 69.0, 76.0, 4000.0, 100.0, 1.0))
    found = template(measured)
    assert found["cosmology"]["H0"] == 72.5 and "delays" in found["meta"]["cosmology"]


def test_a_number_that_is_none_is_null(result: LensResult, tmp_path: Path) -> None:
    nan = float("nan")
    dataclasses.replace(result, hubble=Hubble(nan, nan, nan, nan, nan, nan, 1.0)).write(tmp_path)
    text = (tmp_path / "quad_coolest.json").read_text()
    assert json.loads(text)["cosmology"]["H0"] is None and "NaN" not in text


def test_a_scene_with_less_has_less() -> None:
    """Light that follows the mass, a round host at the quasar without a bulge, and fluxes by magnification."""
    plain = Structure(False, False, False, False, False, position_error=POSITION_ERROR)
    lens, source, _ = template(settled(plain, draws=20))["lensing_entities"]
    light, mass = (lens[f"{kind}_model"][0]["parameters"] for kind in ("light", "mass"))
    for key in ("q", "phi", "center_x", "center_y"):
        assert light[key]["point_estimate"] == mass[key]["point_estimate"], key
    assert [profile["type"] for profile in source["light_model"]] == ["Sersic", "LensedPS"]
    host = source["light_model"][0]["parameters"]
    assert host["q"]["fixed"] and host["q"]["point_estimate"]["value"] == 1.0
    assert host["center_x"]["point_estimate"]["value"] == pytest.approx(QUAD["source_x"])


# ---------------------------------------------------------------- others that read it


@pytest.fixture(scope="module")
def written(result: LensResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all files of a lens."""
    folder = tmp_path_factory.mktemp("written")
    names = {path.name for path in result.write(folder)}
    assert {"quad_coolest.json", "quad_coolest_psf.fits", "quad_coolest_noise.fits"} <= names
    return folder


def test_coolest_reads_the_file_and_writes_the_same(written: Path) -> None:
    pytest.importorskip("coolest")
    from coolest.template.json import JSONSerializer

    found = JSONSerializer(str(written / "quad_coolest")).load(verbose=False)
    ours = json.loads((written / "quad_coolest.json").read_text())
    theirs = json.loads(found.to_JSON(exclude_keys=found.exclude_keys))
    assert _kept(theirs) == _kept(ours)
    noise = found.observation.noise.noise_map.get_pixels()
    assert noise.shape == (PIXELS, PIXELS) and (noise > 0).all()
    np.testing.assert_array_equal(found.instrument.psf.pixels.get_pixels(), KERNEL)


def _kept(template: dict) -> dict:
    """What COOLEST keeps of a file that it reads: neither what is fixed nor the true length of lists."""
    for entity in template["lensing_entities"]:
        for profile in [*entity.get("light_model", []), *entity["mass_model"]]:
            for parameter in profile["parameters"].values():
                parameter.pop("num_values", None)
                del parameter["fixed"]
    return template


def test_coolests_model_is_ours(written: Path, result: LensResult) -> None:
    pytest.importorskip("coolest")
    from coolest.api.analysis import Analysis
    from coolest.api.composable_models import ComposableLightModel, ComposableMassModel
    from coolest.api.util import get_coolest_object

    found = get_coolest_object(str(written / "quad_coolest"))
    mass = ComposableMassModel(found, str(written), entity_selection=[0, 2])
    ours, kwargs = LensModel(["EPL", "SHEAR"]), lens_kwargs(QUAD)
    np.testing.assert_allclose(mass.evaluate_deflection(X, Y), ours.alpha(X, Y, kwargs), rtol=0, atol=1e-8)
    np.testing.assert_allclose(mass.evaluate_magnification(X, Y), ours.magnification(X, Y, kwargs), rtol=1e-6)
    images = result.images
    magnification = mass.evaluate_magnification(images["x"].to_numpy(), images["y"].to_numpy())
    np.testing.assert_allclose(magnification, images["magnification"], rtol=0.1)  # seen 3 mas off the model's places
    radius = Analysis(found, str(written), supersampling=4).effective_einstein_radius()
    assert radius == pytest.approx(QUAD["theta_E"], abs=SCALE / 4)
    light = ComposableLightModel(found, str(written), entity_selection=[0])
    shape = {"R_sersic": QUAD["R_sersic"], "n_sersic": QUAD["n_sersic"], "e1": QUAD["light_e1"],
             "e2": QUAD["light_e2"], "center_x": QUAD["light_x"], "center_y": QUAD["light_y"]}  # fmt: skip
    amplitude = result.fit.posterior.solution(result.fit.coordinates)[1].amplitudes[0].item()
    expected = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(X, Y, [shape | {"amp": amplitude}])
    np.testing.assert_allclose(light.evaluate_surface_brightness(X, Y), expected * SCALE**2, rtol=1e-8)


def test_lenstronomy_reads_the_file(written: Path, result: LensResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """lenstronomy has its x axis to the left there, so that its lens is ours in a mirror."""
    pytest.importorskip("coolest")
    from lenstronomy.Util.coolest_interface import create_lenstronomy_from_coolest

    monkeypatch.chdir(written)  # it looks there for the FITS files
    found = create_lenstronomy_from_coolest(str(written / "quad_coolest"))
    model = LensModel(found["kwargs_model"]["lens_model_list"])
    mirrored = model.alpha(-X, Y, found["kwargs_result"]["kwargs_lens"])
    ours = LensModel(["EPL", "SHEAR"]).alpha(X, Y, lens_kwargs(QUAD))
    np.testing.assert_allclose([-mirrored[0], mirrored[1]], ours, rtol=0, atol=1e-8)
    quasar, images = found["kwargs_result"]["kwargs_ps"][0], result.images
    np.testing.assert_allclose([-quasar["ra_image"], quasar["dec_image"]], images[["x", "y"]].to_numpy().T)
    np.testing.assert_array_equal(found["kwargs_data"]["image_data"], result.fit.observation.images[0].data)
    np.testing.assert_array_equal(found["kwargs_psf"]["kernel_point_source"], KERNEL)
    assert found["kwargs_psf"]["point_source_supersampling_factor"] == 1 and found["redshift_list"] == [0.5, 1.7, 0.5]


@pytest.mark.parametrize("scale", [0.0396, 0.05, 0.065, 0.12])
@pytest.mark.parametrize("oversampling", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("side", [61, 101, 145])
def test_pixels_of_the_psf_are_never_taken_for_larger_ones(
    result: LensResult, scale: float, oversampling: int, side: int
) -> None:
    """lenstronomy cuts the ratio of both pixels to a whole number."""
    fit = result.fit
    image = fit.observation.images[0]
    image = dataclasses.replace(image, pixel_scale=scale, oversampling=oversampling, kernel=np.ones((side, side)))
    changed = copy.copy(fit.observation)
    object.__setattr__(changed, "images", (image,))
    found = template(dataclasses.replace(result, fit=dataclasses.replace(fit, observation=changed), sample=None))

    def pixel(grid: dict) -> float:
        return abs(grid["field_of_view_x"][0] - grid["field_of_view_x"][1]) / grid["num_pix_x"]

    ratio = pixel(found["observation"]["pixels"]) / pixel(found["instrument"]["psf"]["pixels"])
    assert int(ratio) == oversampling and ratio == pytest.approx(oversampling, rel=1e-9)
