"""The simulation stage: the same id is the same system; what cannot be imaged is drawn again, and said so."""

import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.bench.simulation import moffat, notebook_image
from lensvit.config.run import load
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.io.tables import CATALOG, read_catalog
from lensvit.lensing.brightness import sersic_flux
from lensvit.lensing.lens_equation import solve, solve_each
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.settings import Scene
from lensvit.parameters import NAMES, uniform
from lensvit.psf import kernel
from lensvit.simulation.catalog import catalog
from lensvit.simulation.sampler import Sampler
from lensvit.simulation.settings import SimulateSettings
from lensvit.simulation.simulate import simulate

SETTINGS = {
    "seed": 11, "name": "hst_a", "engine": "lenstronomy", "supersampling": 1, "external_shear": True,
    "priors": {},
    "instrument": {"pixels": 60, "pixel_scale": 0.1},
    "scene": {
        "source_amp": 5000.2, "source_e1": 0.0, "source_e2": 0.5, "lens_amp": 1000.0, "quasar_amp": 1500.0,
        "max_images": 4, "exposure": 1000.0, "sigma_bkg_low": 0.04, "sigma_bkg_high": 4.0,
    },
}  # fmt: skip
FREE = SETTINGS["scene"] | {
    "lens_light": "free", "source_shape": "free", "bulge": True,
    "magnitudes": {
        "zero_point": 25.0, "lens": [18.0, 21.0], "source": [22.0, 24.0], "quasar": [20.0, 23.0],
        "bulge_share": [0.1, 0.3], "microlensing": 0.3,
    },
}  # fmt: skip


@pytest.fixture
def psf(tmp_path):
    path = tmp_path / "psf" / "hst_a.fits"
    kernel.write_kernel(path, kernel.Kernel(moffat(21, 0.1, 0.15), 0.1, 1.0), {})
    return path


@pytest.fixture
def run(tmp_path, psf):
    def run(first, count, chunk="train-0000", split="train", **changes):
        settings = tmp_path / "settings.yaml"
        settings.write_text(yaml.safe_dump(SETTINGS | changes))
        output = tmp_path / "images" / "hst_a" / f"{chunk}.h5"
        simulate(settings, psf, split, first, count, output)
        return output

    return run


def content(path):
    with h5py.File(path) as file:
        columns = {
            name: values.asstr()[:] if values.dtype == object else values[:] for name, values in file["systems"].items()
        }
        return file["image"][:], columns


# lenses of which a fifth are too flat to be imaged
FLAT = dict.fromkeys(("e1", "e2"), vars(uniform(-1.0, 1.0)))


def sampler(split="train", **changes):
    return Sampler(SimulateSettings(**SETTINGS | changes), split, solve_each)


def test_settings_are_those_of_the_config(request):
    resolved = stage_settings(load(request.config.rootpath / "config.yaml"), "simulate/hst_a")
    assert set(resolved) == set(SETTINGS)
    assert set(resolved["scene"]) == set(SETTINGS["scene"])


def test_file(run, psf):
    path = run(0, 3)
    images, columns = content(path)
    assert images.shape == (3, 60, 60) and images.dtype == np.float32
    assert set(columns) == set(CATALOG)
    assert list(columns["id"]) == [f"hst_a-train-00000{i}" for i in range(3)]
    assert list(columns["chunk"]) == ["train-0000"] * 3 and list(columns["row"]) == [0, 1, 2]
    assert files.manifest_path(path).read_text() == f"{files.sha256(path)}  train-0000.h5\n"
    with h5py.File(path) as file:
        assert file.attrs["pixel_scale"] == 0.1 and file.attrs["exposure"] == 1000.0
        assert file.attrs["unit"] == "counts/s per pixel"
        assert file["systems/theta_E"].attrs["unit"] == "arcsec"
        assert file["systems/seed"].dtype == np.int64 and (file["systems/seed"][:] >= 0).all()


def test_image_is_that_of_the_columns(run, psf):
    images, columns = content(run(4, 2))
    for row in range(2):
        parameters = {name: float(columns[name][row]) for name in NAMES}
        found = solve(parameters).brightest(4)
        scene = Scene(**SETTINGS["scene"])
        expected = notebook_image(parameters, found, 60, 0.1, kernel.read_kernel(psf).native, scene)
        assert np.abs(images[row] - expected).max() <= 1e-6 * expected.max()
        assert columns["n_images"][row] == len(found)


def test_a_system_does_not_depend_on_its_chunk(run):
    images, columns = content(run(0, 8))
    parts = [content(run(first, 4)) for first in (0, 4)]
    np.testing.assert_array_equal(images, np.concatenate([part[0] for part in parts]))
    for name in set(CATALOG) - {"row"}:
        joined = np.concatenate([part[1][name] for part in parts])
        np.testing.assert_array_equal(columns[name], joined, err_msg=name)


def test_the_same_settings_give_the_same_bytes(run):
    first = run(0, 3).read_bytes()
    assert run(0, 3).read_bytes() == first


def test_other_splits_psfs_and_seeds_are_other_systems():
    reference = sampler().parameters(0)
    for other in (sampler("test"), sampler(name="hst_b"), sampler(seed=12)):
        assert all(other.parameters(0)[name] != reference[name] for name in ("theta_E", "e1", "source_x"))
        assert other.noise_seed(0) != sampler().noise_seed(0)
        assert other.sigma_bkg(0) != sampler().sigma_bkg(0)


def test_a_change_of_width_keeps_the_other_parameters():
    reference = sampler().parameters(3)
    wider = sampler(priors={"e1": {"sd": 0.3}}).parameters(3)
    assert wider["e1"] != reference["e1"]
    assert all(wider[name] == reference[name] for name in NAMES if name != "e1")


def test_draws_follow_the_priors():
    draws = [sampler().parameters(index) for index in range(3000)]
    theta = np.array([draw["theta_E"] for draw in draws])
    assert theta.mean() == pytest.approx(1.25, abs=4 * 0.3 / np.sqrt(3000))
    assert theta.std() == pytest.approx(0.3, rel=0.06)
    assert np.mean([draw["gamma"] == 1.85 for draw in draws]) == pytest.approx(0.2266, abs=0.03)
    sigma = np.array([sampler().sigma_bkg(index) for index in range(3000)])
    assert 0.04 <= sigma.min() < 0.1 and 3.9 < sigma.max() <= 4.0
    assert sigma.mean() == pytest.approx(2.02, abs=0.09)


def test_without_external_shear():
    with_shear, without = sampler().parameters(2), sampler(external_shear=False).parameters(2)
    assert without["gamma_ext"] == 0.0 < with_shear["gamma_ext"]
    assert all(without[name] == with_shear[name] for name in NAMES if name != "gamma_ext")


def test_at_most_max_images(run):
    scene = SETTINGS["scene"] | {"max_images": 2}
    _, columns = content(run(0, 6, scene=scene))
    assert list(columns["n_images"]) == [2] * 6
    system = sampler(scene=scene).draw(0)
    full = solve(system.parameters)
    np.testing.assert_array_equal(system.quasar_images.magnification, full.magnification[:2])


def test_what_cannot_be_imaged_is_drawn_again_and_said_so(run, capsys):
    images, columns = content(run(0, 6, priors=FLAT))
    assert columns["redraws"].sum() > 0 and columns["redraws"].min() == 0
    assert np.isfinite(images).all() and (np.hypot(columns["e1"], columns["e2"]) < 0.9999).all()
    said = [line for line in capsys.readouterr().out.splitlines() if "drawn again" in line]
    assert len(said) == columns["redraws"].sum()
    assert any("drawn again, |e| = " in line for line in said)


def _flatness(parameters):
    return np.hypot(parameters["e1"], parameters["e2"])


def test_a_redraw_has_its_own_stream():
    ours = sampler(priors=FLAT)
    system = next(ours.draw(index) for index in range(20) if _flatness(ours.parameters(index)) >= 0.9999)
    assert system.redraws > 0
    index = next(i for i in range(20) if ours.parameters(i, system.redraws) == system.parameters)
    assert ours.parameters(index, 0)["theta_E"] != system.parameters["theta_E"]


def test_an_image_that_is_not_finite_is_drawn_again(run, monkeypatch, capsys):
    expected = sampler().draw(1, attempt=1).parameters
    spoiled = sampler().parameters(1)["theta_E"]
    render = LenstronomyRenderer.render

    def overflow(self, systems):
        images = render(self, systems)
        for system, image in zip(systems, images, strict=True):
            if system.parameters["theta_E"] == spoiled:
                image[30, 30] = 1e300
        return images

    monkeypatch.setattr(LenstronomyRenderer, "render", overflow)
    images, columns = content(run(0, 3))
    assert list(columns["redraws"]) == [0, 1, 0] and columns["theta_E"][1] == expected["theta_E"]
    assert np.isfinite(images).all()
    assert "hst_a-train-000001: drawn again, its image is not finite" in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["lenstronomy", "torch"])
@pytest.mark.parametrize(
    ("priors", "reason"),
    [
        ({"theta_E": vars(uniform(19, 21))}, "no image of the quasar lies within the 6 arcsec"),
        ({"e1": vars(uniform(0.8, 1.0)), "e2": vars(uniform(0.8, 1.0))}, r"\|e\| = 1"),
        ({"source_x": {"sd": 1e4}}, r"source_x -?[\d.e+]+ is not in -30 to 30 arcsec"),
        ({"e1": {"mean": -3.0}}, "e1: mean -3: ellipticity, first component is possible from -1 to 1"),
        ({"n_sersic": vars(uniform(-1, 0))}, "n_sersic: low -1: .*from 0.3 to 12"),
    ],
)
def test_impossible_priors_are_refused_by_both_engines(run, tmp_path, engine, priors, reason):
    with pytest.raises(LensvitError, match=reason):
        run(0, 25, engine=engine, priors=priors)
    assert not list((tmp_path / "images").rglob("*.*"))


@pytest.mark.parametrize(
    "priors", [{"theta_E": {"mean": 3.0}}, {"n_sersic": {"mean": 0.6, "sd": 0.6, "low": 0.3}}, {"gamma": {"mean": 2.8}}]
)
def test_what_lies_out_of_bounds_or_out_of_view_is_redrawn_alike_by_both_engines(run, priors):
    (_, columns), (_, other) = (content(run(0, 12, engine=name, priors=priors)) for name in ("lenstronomy", "torch"))
    for name in CATALOG:
        np.testing.assert_array_equal(columns[name], other[name], err_msg=name)
    assert columns["redraws"].any() == ("n_sersic" not in priors)


def test_draws_that_fail_are_counted():
    """Where a share of draws fails that is no more than half, the rest is taken as it is."""
    ours = sampler(priors={"theta_E": {"mean": 3.2, "sd": 0.4}})
    ours.draws(range(40))
    assert 0 < ours.failed < ours.draw_count / 2 and ours.draw_count == 40 + ours.failed


def test_a_psf_of_another_pixel_scale(run):
    with pytest.raises(LensvitError, match=r"0.1 arcsec, the instrument of 0.05"):
        run(0, 1, instrument={"pixels": 60, "pixel_scale": 0.05})


def test_no_fine_kernel_for_supersampling(run):
    with pytest.raises(LensvitError, match=r"simulation.supersampling"):
        run(0, 1, supersampling=5)


@pytest.mark.parametrize("changes", [{}, {"external_shear": False}, {"priors": {"e1": {"sd": 0.45}}}])
def test_both_engines_make_the_same_file(run, changes):
    """Also where systems are drawn again, or left by torch to lenstronomy."""
    reference, columns = content(run(0, 12, **changes))
    images, other = content(run(0, 12, engine="torch", **changes))
    for name in CATALOG:
        np.testing.assert_array_equal(columns[name], other[name], err_msg=name)
    for image, expected in zip(images, reference, strict=True):
        assert np.abs(image - expected).max() <= 1e-6 * expected.max()


def test_redraws_are_those_of_both_engines(run, capsys):
    reference, columns = content(run(0, 6, priors=FLAT))
    said = capsys.readouterr().out
    images, other = content(run(0, 6, priors=FLAT, engine="torch"))
    assert columns["redraws"].sum() > 0
    for name in CATALOG:
        np.testing.assert_array_equal(columns[name], other[name], err_msg=name)
    assert sorted(_redrawn(said)) == sorted(_redrawn(capsys.readouterr().out))
    assert (np.abs(images - reference).max((1, 2)) <= 1e-6 * reference.max((1, 2))).all()


def _redrawn(text):
    return [line for line in text.splitlines() if "drawn again" in line]


def test_torchs_systems_do_not_depend_on_their_chunk(run):
    images, columns = content(run(0, 8, engine="torch"))
    parts = [content(run(first, 4, engine="torch")) for first in (0, 4)]
    joined = np.concatenate([part[0] for part in parts])
    assert (np.abs(images - joined).max((1, 2)) <= 1e-7 * images.max((1, 2))).all()
    for name in set(CATALOG) - {"row"}:
        np.testing.assert_array_equal(columns[name], np.concatenate([part[1][name] for part in parts]), err_msg=name)


def test_both_engines_with_a_fine_kernel(run, psf):
    offset = (np.arange(105) - 52) / 5
    light = np.exp(-(offset[:, None] ** 2 + offset**2))
    kernel.write_kernel(psf, kernel.from_supersampled(light / light.sum(), 0.1), {})
    reference, _ = content(run(0, 3, supersampling=5))
    images, _ = content(run(0, 3, supersampling=5, engine="torch"))
    assert (np.abs(images - reference).max((1, 2)) <= 1e-6 * reference.max((1, 2))).all()


def test_lenstronomys_engine_does_without_torch():
    code = "import sys, lensvit.simulation.simulate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "False"


def test_supersampling_changes_the_quasars_alone(run, psf):
    offset = (np.arange(105) - 52) / 5
    light = np.exp(-(offset[:, None] ** 2 + offset**2))
    kernel.write_kernel(psf, kernel.from_supersampled(light / light.sum(), 0.1), {})
    native, _ = content(run(0, 2))
    fine, _ = content(run(0, 2, supersampling=5))
    assert np.abs(fine - native).max() > 0.01 * native.max()
    no_quasar = SETTINGS["scene"] | {"quasar_amp": 0.0}
    np.testing.assert_array_equal(
        content(run(0, 2, scene=no_quasar))[0], content(run(0, 2, scene=no_quasar, supersampling=5))[0]
    )


@pytest.mark.parametrize("engine", ["lenstronomy", "torch"])
def test_free_scene(run, psf, engine):
    """The columns are what the image is made of: magnitudes within their ranges, fluxes about their magnifications."""
    images, columns = content(run(0, 40, scene=FREE, engine=engine, light_samples=3))
    further = {"light_x", "light_e2", "source_e1", "host_y", "bulge_R_sersic", "lens_amp", "bulge_amp", "flux_4"}
    assert set(CATALOG) | further <= set(columns) and "flux_5" not in columns
    present = np.stack([columns[f"flux_{k}"] > 0 for k in range(1, 5)], 1)
    np.testing.assert_array_equal(present.sum(1), columns["n_images"])
    light = {}
    for name, radius, index in (
        ("lens", "R_sersic", "n_sersic"), ("source", "source_R_sersic", "source_n_sersic"),
        ("bulge", "bulge_R_sersic", ""),
    ):  # fmt: skip
        indices = columns[index] if index else [1.5] * 40
        light[name] = [
            amplitude * sersic_flux(size, n)
            for amplitude, size, n in zip(columns[f"{name}_amp"], columns[radius], indices, strict=True)
        ]
    lens = 25 - 2.5 * np.log10(light["lens"])
    host = 25 - 2.5 * np.log10(np.add(light["source"], light["bulge"]))
    share = np.divide(light["bulge"], np.add(light["source"], light["bulge"]))
    for values, low, high in ((lens, 18, 21), (host, 22, 24), (share, 0.1, 0.3)):
        assert low <= values.min() < low + 0.3 * (high - low) and high - 0.3 * (high - low) < values.max() <= high
    drawn = Sampler(SimulateSettings(**SETTINGS | {"scene": FREE, "engine": engine}), "train", solve_each).draws(
        range(40)
    )
    scatter = [
        np.log(system.fluxes / np.abs(system.quasar_images.magnification)) for system in drawn if len(system.fluxes) > 1
    ]
    assert 0.2 < np.sqrt(np.mean([one.var(ddof=1) for one in scatter])) < 0.4
    np.testing.assert_allclose([system.fluxes[0] for system in drawn], columns["flux_1"], rtol=1e-10)
    assert np.isfinite(images).all() and (images.sum((1, 2)) > 0).all()


def test_free_scene_has_the_lenses_of_the_papers(run):
    """What a scene has beside the paper's changes no other number of its systems."""
    _, paper = content(run(0, 5))
    _, free = content(run(0, 5, scene=FREE))
    for name in (*NAMES, "n_images", "sigma_bkg", "seed"):
        np.testing.assert_array_equal(paper[name], free[name])


def test_catalogue_of_a_free_scene(run, tmp_path):
    catalog([run(0, 3, scene=FREE)], tmp_path / "catalog.parquet", tmp_path / "scaler.json")
    assert {"light_x", "bulge_amp", "flux_1"} <= set(read_catalog(tmp_path / "catalog.parquet").columns)


def test_catalogue_of_simulated_chunks(run, tmp_path):
    paths = [run(0, 3), run(3, 2, chunk="train-0001"), run(0, 2, chunk="test-0000", split="test")]
    catalog(paths, tmp_path / "catalog.parquet", tmp_path / "scaler.json")
    table = pd.read_parquet(tmp_path / "catalog.parquet")
    training = [f"hst_a-train-00000{i}" for i in range(5)]
    assert list(table["id"]) == ["hst_a-test-000000", "hst_a-test-000001", *training]
    assert list(table["row"]) == [0, 1, 0, 1, 2, 0, 1]
