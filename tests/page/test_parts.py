"""Symbols, PNG files, pictures and posteriors of the page, on small made inputs."""

import io

import numpy as np
import pytest
import torch
import yaml
from matplotlib.image import imread

from lensvit.inference.coordinates import start_from
from lensvit.lensing import cameras
from lensvit.lensing.noise import noise
from lensvit.page import assets, document, pictures, posteriors
from lensvit.page.png import encode
from lensvit.page.settings import PageSettings
from lensvit.page.symbols import symbol
from lensvit.parameters import FURTHER, NAMES, PARAMETERS, TARGET_NAMES
from tests.builders import SCENE, parameter_tensor
from tests.page.conftest import page_settings

# ---------------------------------------------------------------- symbols and numbers


def test_every_parameter_has_a_symbol_without_latex():
    found = {parameter.name: symbol(parameter.label) for parameter in PARAMETERS}
    assert found["theta_E"] == ("θ", "E") and found["gamma"] == ("γ′", "") and found["e1"] == ("e", "1")
    assert found["n_sersic"] == ("n", "sérsic") and found["R_sersic"] == ("R", "eff")
    assert all(symbol(parameter.label).below for parameter in FURTHER if "_" in parameter.label and "{1," not in
               parameter.label and "{2," not in parameter.label)  # fmt: skip


@pytest.mark.parametrize("label", [r"\nonsense_1", r"a^2", r"\frac{a}{b}"])
def test_latex_that_is_not_known_is_an_error_and_no_symbol(label):
    with pytest.raises(ValueError, match="no label"):
        symbol(label)


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (0.1179, 0.0039, "0.1179(39)"),
        (62.3, 1.2, "62.3(1.2)"),
        (0.1232, None, "0.1232"),
        (None, None, "–"),
        (12345.0, 12.0, "12,345(12)"),
        (5e-7, None, "5.0 × 10<sup>-7</sup>"),
        (1e-7, None, "1.0 × 10<sup>-7</sup>"),
    ],
)
def test_a_number_of_table_1_as_html(value, error, shown):
    assert document.cell(value, error) == shown


def test_text_of_a_row_is_escaped():
    assert document.heading({"target": "<b>", "label": None, "unit": ""}) == "&lt;b&gt;"
    assert document.heading({"target": "e1", "label": "e_1", "unit": "a<b"}) == "<i>e</i><sub>1</sub> [a&lt;b]"


@pytest.mark.parametrize(("seconds", "shown"), [(0.44, "0.4 s"), (45, "45 s"), (210, "3.5 min"), (7560, "2.1 h")])
def test_a_time_in_words(seconds, shown):
    assert document.duration(seconds) == shown


# ---------------------------------------------------------------- files


def test_the_digest_is_that_of_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("x")
    found = {assets.digest(tmp_path)}
    (tmp_path / "a/b").write_text("y")
    found.add(assets.digest(tmp_path))
    (tmp_path / "a/b").rename(tmp_path / "a/c")
    found.add(assets.digest(tmp_path))
    assert len(found) == 3


def test_libraries_are_small_and_lie_there_with_their_licences():
    files = list((assets.FOLDER / "vendor").iterdir())
    assert sum(path.stat().st_size for path in files) < 1e6
    assert {path.name.partition(".")[0] for path in files} == {library.key for library in assets.LIBRARIES}
    for library in assets.LIBRARIES:
        assert "Permission is hereby granted, free of charge" in library.licence_text and library.licence == "MIT"
        assert library.version in (assets.FOLDER / f"vendor/{library.key}.min.js").read_text(encoding="utf-8")[:200]


# ---------------------------------------------------------------- PNG files


def test_a_png_file_shows_what_was_put_into_it():
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (50, 3))
    smooth = np.add.outer(np.arange(30), np.arange(20)).astype(np.uint8)  # by differences to the line above
    every = [rng.integers(0, 50, (40, 20)).astype(np.uint8), smooth, np.zeros((1, 20), np.uint8), smooth[:, ::-1]]
    seen = imread(io.BytesIO(encode(every, palette)), "png")
    assert np.array_equal(np.round(255 * seen[..., :3]).astype(int), palette[np.concatenate(every)])


def test_each_picture_is_compressed_in_its_own_way():
    rng = np.random.default_rng(1)
    palette = np.zeros((256, 3))
    rough = rng.integers(0, 16, (100, 100)).astype(np.uint8)
    smooth = np.add.outer(np.arange(100), np.arange(100)).astype(np.uint8)
    assert len(encode([rough], palette)) < 100 * 100 * 4.3 / 8 + 900  # four bits a pixel
    assert len(encode([smooth], palette)) < 1500
    assert len(encode([rough, smooth, rough], palette)) < 2 * 100 * 100 * 4.3 / 8 + 2000


def test_a_level_without_a_colour_is_an_error():
    with pytest.raises(ValueError, match="level 3 of a palette of 3"):
        encode([np.full((2, 2), 3, np.uint8)], np.zeros((3, 3)))


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("pixels", "expected"), [(60, (60, 1, 0.1)), (120, (120, 1, 0.1)), (121, (60, 2, 0.2)), (300, (100, 3, 0.3))]
)
def test_large_images_are_binned_to_120_pixels_at_most(pixels, expected):
    assert pictures.geometry(pixels, 0.1) == pytest.approx(expected)


def test_a_binned_image_keeps_its_light_but_for_what_is_cut():
    image = np.arange(49.0).reshape(7, 7)
    found = pictures.binned(image, 3)
    assert found.shape == (2, 2) and found.sum() == image[:6, :6].sum() and found[0, 1] == image[:3, 3:6].sum()


def test_shades_go_from_black_below_the_noise_to_white_at_the_brightest():
    found = pictures.shades(np.array([-50.0, -3.0, 0.0, 30.0, 900.0]), 900.0)
    assert list(found[[0, 1, 4]]) == [0, 0, pictures.SHADES - 1] and 0 < found[2] < found[3] < pictures.SHADES - 1
    assert len(set(pictures.shades(np.arange(-3.0, 4.0), 900.0))) == 7  # one sigma of the background is told apart


def test_residuals_are_centred_and_cut_at_five_sigma():
    middle = (pictures.STEPS - 1) // 2
    assert list(pictures.steps(np.array([-99.0, -5.0, 0.0, 5.0]))) == [0, 0, middle, pictures.STEPS - 1]


def test_the_palette_has_a_colour_for_each_level_and_no_residual_is_white():
    colours = pictures.palette()
    assert colours.shape == (pictures.SHADES + pictures.STEPS, 3)
    middle = colours[pictures.SHADES + (pictures.STEPS - 1) // 2]
    assert middle.min() > 240 and colours[0].max() == 0 and colours[pictures.SHADES - 1].min() == 255


def test_pictures_of_a_system_stand_upside_up_and_a_wrong_model_shows(space_camera):
    images = space_camera[-1]
    noisy = noise(images[0], 1.0, SCENE.exposure, 1)
    seen, model, residual = pictures.pictures_of(noisy, images[0], 1.0, SCENE.exposure)
    middle = pictures.SHADES + (pictures.STEPS - 1) / 2
    sigmas = (residual.astype(float) - middle) * 2 * pictures.WIDEST / (pictures.STEPS - 1)
    assert sigmas.std() == pytest.approx(1.0, abs=0.1) and abs(sigmas.mean()) < 0.1
    assert residual.min() >= pictures.SHADES > max(seen.max(), model.max())
    bright = np.unravel_index(images[0].argmax(), images[0].shape)
    assert seen[::-1][bright] >= pictures.SHADES - 2 and model[::-1][bright] >= pictures.SHADES - 2
    other = pictures.pictures_of(noisy, images[1], 1.0, SCENE.exposure)[2].astype(float)
    assert np.std(other) > 2 * np.std(residual.astype(float))
    assert len(pictures.pictures_of(noisy, None, 1.0, SCENE.exposure)) == 1


def test_a_model_image_is_that_of_the_simulation_and_a_lens_that_has_none_is_left_out(space_camera):
    _, renderer, systems, images = space_camera
    coordinates = start_from(parameter_tensor(systems)).numpy()
    impossible = np.full(len(NAMES), 50.0)
    found = pictures.model_images(renderer, [None, coordinates[2], impossible, coordinates[4]], 4)
    assert found[0] is None and found[2] is None
    for place, system in ((1, 2), (3, 4)):
        np.testing.assert_allclose(found[place], images[system], atol=1e-4 * images[system].max())


@pytest.mark.usefixtures("one_thread")
def test_sheets_have_every_system_once_and_models_where_there_are_fits(made_run):
    settings = PageSettings.model_validate(yaml.safe_load(page_settings()))
    rows = made_run.systems
    coordinates = start_from(torch.tensor(rows[list(NAMES)].to_numpy(dtype=float))).numpy()
    fits = dict(zip(rows["id"][:5], coordinates[:5], strict=True))
    kernels = cameras.read_kernels(made_run.arguments["psfs"], rows["psf"])
    found = list(pictures.sheets(rows, made_run.arguments["images"], kernels, fits, settings))
    assert [name for sheet in found for name in sheet.ids] == list(rows["id"])
    assert [name for sheet in found for name, has in zip(sheet.ids, sheet.modelled, strict=True) if has] == list(fits)
    assert found[0].places[:7] == [0, 3, 6, 9, 12, 15, 16]


# ---------------------------------------------------------------- posteriors


def test_correlations_are_those_of_the_covariances():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((3, 500, 8)) @ rng.standard_normal((8, 8))
    expected = [np.corrcoef(part, rowvar=False)[posteriors.PAIRS] for part in values]
    np.testing.assert_allclose(posteriors.correlations(posteriors._scatter(values)), expected, atol=1e-12)


def test_what_does_not_vary_has_no_correlation():
    assert not posteriors.correlations(np.zeros((1, 8, 8))).any()


def test_every_method_says_what_its_file_has(made_run):
    given, rows = made_run.arguments, made_run.systems
    ids = list(rows["id"])
    fits, exact = posteriors.of_fits(given["refined"], ids), posteriors.of_exact(given["importance"], ids)
    limit = posteriors.of_limit(given["limit"], "known", rows)
    assert (fits.ids, exact.ids, limit.ids) == (ids[:14], ids[:9], ids)
    truth = rows[list(TARGET_NAMES)].to_numpy()
    np.testing.assert_allclose(fits.mean[0] - truth[0], 0.5e-3, rtol=1e-6)
    np.testing.assert_allclose(limit.mean, truth)
    np.testing.assert_allclose(limit.sigma, 1e-3)
    assert posteriors.PAIRS[0][0] == 0 and posteriors.PAIRS[1][0] == 1
    np.testing.assert_allclose(fits.correlation[:, 0], 0.8)
    assert exact.correlation[:, 0].mean() == pytest.approx(0.8, abs=0.05)
    assert posteriors.of_fits(given["refined"], ids[3:5]).ids == ids[3:5]  # of those that are shown
    assert fits.block.shape == (14, 8 + 8 + 28)
