"""The contact sheet shows the systems that the run will simulate, before it does."""

import itertools

import h5py
import numpy as np
import pytest
import yaml
from matplotlib import image

from lensvit.bench.simulation import moffat
from lensvit.chapters.data import preview
from lensvit.errors import LensvitError
from lensvit.lensing.noise import noise
from lensvit.psf import kernel
from lensvit.simulation.simulate import simulate
from tests.simulation.test_simulate import SETTINGS

WIDTHS = {"hst_a": 0.15, "hst_b": 0.25}  # FWHM [arcsec]
SPOTS = [(0.5, 0.5), (0.03, 0.03), (0.97, 0.97), (0.03, 0.97), (0.97, 0.03)]  # of a panel: its middle, and corners
CAMERA = {"label": "$HST", "pixels": 60, "pixel_scale": 0.1}


@pytest.fixture
def sheet(tmp_path):
    for name, fwhm in WIDTHS.items():
        kernel.write_kernel(tmp_path / f"{name}.fits", kernel.Kernel(moffat(21, 0.1, fwhm), 0.1, 1.0), {})
    settings = {name: SETTINGS | {"name": name} for name in WIDTHS}
    (tmp_path / "preview.yaml").write_text(
        yaml.safe_dump({"systems": settings, "cameras": dict.fromkeys(settings, CAMERA)})
    )
    return tmp_path


def test_it_shows_the_systems_of_the_run(sheet, monkeypatch):
    shown = []
    monkeypatch.setattr(preview, "draw", lambda rows: shown.extend(rows))
    monkeypatch.setattr(preview.style, "save", lambda figure, outputs: None)
    preview.preview(sheet / "preview.yaml", [sheet / "hst_b.fits", sheet / "hst_a.fits"], [sheet / "sheet.png"])
    assert [row.label for row in shown] == ["$HST\nhst_a", "$HST\nhst_b"]
    (sheet / "one.yaml").write_text(yaml.safe_dump(SETTINGS))
    simulate(sheet / "one.yaml", sheet / "hst_a.fits", "test", 0, preview.SYSTEMS, sheet / "test-0000.h5")
    with h5py.File(sheet / "test-0000.h5") as file:
        for number, example in enumerate(shown[0].examples):
            of = {name: file["systems"][name][number] for name in ("sigma_bkg", "seed", "theta_E", "n_images")}
            clean = file["image"][number]
            np.testing.assert_array_equal(
                example.image, noise(clean, float(of["sigma_bkg"]), SETTINGS["scene"]["exposure"], int(of["seed"]))
            )
            caption = shown[0].captions[number]
            assert f"{of['theta_E']:.2f}" in caption and f"{of['n_images']} images" in caption


def test_the_picture_has_a_line_for_each_psf(sheet, monkeypatch):
    """Each with its own kernel at the left, in the middle of a dark sky, and its own systems beside it."""
    figures, save = [], preview.style.save
    monkeypatch.setattr(preview.style, "save", lambda figure, outputs: figures.append(figure) or save(figure, outputs))
    preview.preview(sheet / "preview.yaml", [sheet / "hst_a.fits", sheet / "hst_b.fits"], [sheet / "sheet.png"])
    lines = np.reshape(figures[0].axes, (2, 1 + preview.SYSTEMS))
    assert [axes.get_ylabel() for axes in lines[:, 0]] == [r"\$HST" + f"\n{name}" for name in WIDTHS]
    picture = image.imread(sheet / "sheet.png")[::-1, :, :3].mean(axis=-1)  # from below, as figures count
    height, width = picture.shape
    assert width == 1950
    for panel, fwhm in zip(lines[:, 0], WIDTHS.values(), strict=True):
        (drawn,) = panel.images
        light = moffat(21, 0.1, fwhm)
        np.testing.assert_allclose(drawn.get_array(), np.maximum(light / light.max(), preview.DEEPEST), rtol=1e-6)
        box = panel.get_position()
        at = [[int((box.y0 + y * box.height) * height), int((box.x0 + x * box.width) * width)] for x, y in SPOTS]
        middle, *corners = (picture[y, x] for y, x in at)
        assert middle > 0.9 and max(corners) < 0.4
    shown = [axes.images[0].get_array() for axes in lines[:, 1:].flat]
    assert all(not np.array_equal(one, other) for one, other in itertools.combinations(shown, 2))


def test_a_psf_that_is_not_given_is_one_line(sheet):
    with pytest.raises(LensvitError, match="no kernel of the PSF hst_b"):
        preview.preview(sheet / "preview.yaml", [sheet / "hst_a.fits"], [sheet / "sheet.png"])


def test_a_psf_of_another_pixel_scale_is_one_line(sheet):
    kernel.write_kernel(sheet / "hst_a.fits", kernel.Kernel(moffat(21, 0.05, 0.15), 0.05, 1.0), {})
    with pytest.raises(LensvitError, match="hst_a"):
        preview.preview(sheet / "preview.yaml", [sheet / "hst_a.fits", sheet / "hst_b.fits"], [sheet / "sheet.png"])
