"""Fits, exact posteriors and chains of free scenes, from the simulation's own files."""

import dataclasses
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.importance.compute import importance
from lensvit.chapters.mcmc.compute import mcmc
from lensvit.chapters.refine.compute import refine
from lensvit.config.run import validate
from lensvit.errors import LensvitError
from lensvit.lensing.observed import noisy_images
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf import kernel
from lensvit.simulation.catalog import catalog
from lensvit.simulation.simulate import simulate
from tests.config.configs import overlaid

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS, SCALE = 44, 0.09
SIZES = {"kind": "lognormal", "sd": 0.3}
PRIORS = {
    "theta_E": {"mean": 0.9, "sd": 0.1},
    "gamma": {"mean": 2.0, "sd": 0.1},
    "gamma_ext": {"kind": "rayleigh", "sd": 0.05},
    "source_x": {"sd": 0.05},
    "source_y": {"sd": 0.05},
    "R_sersic": {**SIZES, "mean": 0.7},
    "n_sersic": {**SIZES, "mean": 3.0},
    "source_R_sersic": {**SIZES, "mean": 0.2},
    "source_n_sersic": {**SIZES, "mean": 1.2},
}
SCENE = {
    "source_amp": 1.0, "source_e1": 0.1, "source_e2": -0.1, "lens_amp": 1.0, "quasar_amp": 1.0, "max_images": 4,
    "exposure": 1200.0, "exposure_high": 2400.0, "lens_light": "free",
    "magnitudes": {"zero_point": 25.0, "lens": [19, 20], "source": [22, 23], "quasar": [20.5, 22], "microlensing": 0.2},
}  # fmt: skip
WHOLE = {**SCENE, "sigma_bkg_low": 0.004, "sigma_bkg_high": 0.008}
EXPOSURE_MAP = np.ones((PIXELS, PIXELS), np.float32)  # a corner with half the exposures, dead columns
EXPOSURE_MAP[:15, :15], EXPOSURE_MAP[:, 12:14] = 0.5, 0.0
CAMERA = {"pixels": PIXELS, "pixel_scale": SCALE}
LENS = {"priors": PRIORS, "external_shear": True, "scene": SCENE, "supersampling": 1, "light_samples": 1}


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """Three systems of a free scene: their files, fits from a network's draws, and exact posteriors."""
    folder = tmp_path_factory.mktemp("free")
    offset = (np.arange(155) - 77) / 5
    fine = np.exp(-(offset**2 + offset[:, None] ** 2) / 2.2)
    psf = dataclasses.replace(kernel.from_supersampled(fine / fine.sum(), SCALE), exposure_map=EXPOSURE_MAP)
    kernel.write_kernel(folder / "hst.fits", psf, {})
    simulated = {**LENS, "seed": 6, "name": "hst", "scene": WHOLE, "instrument": CAMERA, "engine": "torch"}
    (folder / "simulate.yaml").write_text(yaml.safe_dump(simulated))
    images = []
    for split, count in (("train", 1), ("test", 3)):
        images.append(folder / f"images/hst/{split}-0000.h5")
        simulate(folder / "simulate.yaml", folder / "hst.fits", split, 0, count, images[-1])
    catalog(images, folder / "catalog.parquet", folder / "scaler.json")
    rows = pd.read_parquet(folder / "catalog.parquet").query("split == 'test'")
    rng, spread = np.random.default_rng(2), np.array([0.03, 0.1, 0.02, 0.02, 0.05, 0.05, 0.2, 0.5])
    centre = rows[list(TARGET_NAMES)].to_numpy() + spread * rng.standard_normal((3, 8))
    with h5py.File(folder / "vit.h5", "w") as file:
        file["id"], file["draws"] = list(rows["id"]), centre + spread * rng.standard_normal((50, 3, 8))
    options = {"hst": {"name": "hst", **CAMERA}}
    common = {**LENS, "seed": 1, "options": options}
    (folder / "refine.yaml").write_text(yaml.safe_dump({**common, "systems": 2, "starts": 8, "max_iterations": 60}))
    sampling = {"systems": 1, "effective": 200, "draws": 300, "max_calls": 3000, "samples": 100}
    (folder / "importance.yaml").write_text(yaml.safe_dump({**common, **sampling}))
    files = folder / "catalog.parquet", folder / "images", [folder / "hst.fits"]
    refine(folder / "refine.yaml", *files, folder / "refined/vit.parquet", folder / "vit.h5")
    importance(folder / "importance.yaml", *files, [folder / "refined/vit.parquet"], folder / "importance.parquet")
    return folder


def test_fits_find_the_scene(free):
    table = pd.read_parquet(free / "refined/vit.parquet")
    assert table["converged"].all() and (table["chi_square"] - 1).abs().max() < 0.1
    for name in TARGET_NAMES:
        error = (table[f"{name}_mean"] - table[f"{name}_truth"]).abs()
        assert (error < 4 * table[f"{name}_sigma"]).all(), name
        assert np.allclose(table[f"{name}_sigma"], table[f"{name}_limit"], rtol=0.6), name
    with h5py.File(free / "refined/vit.h5") as file:
        spread, where, scene = (file[name][:] for name in ("covariance", "coordinates", "scene"))
    assert np.allclose(np.sqrt(spread[:, 0, 0]), table["theta_E_sigma"]) and scene.shape == (2, 18)
    assert np.allclose(where[:, 7], table["n_sersic_mean"]) and np.allclose(np.exp(scene[:, 7]), where[:, 7])
    catalogue = pd.read_parquet(free / "catalog.parquet")
    assert catalogue["exposure"].between(1200, 2400).all() and catalogue["exposure"].nunique() == 4


def test_pixels_without_exposure_are_zero_and_do_not_count(free):
    with h5py.File(free / "images/hst/test-0000.h5") as file:
        assert (file["exposure_map"][:] == EXPOSURE_MAP).all() and (file["image"][..., 12:14] != 0).any()
    rows = pd.read_parquet(free / "catalog.parquet").query("split == 'test'")
    data, _ = noisy_images(free / "images/hst/test-0000.h5", rows)
    assert (data[..., 12:14] == 0).all() and (data[..., 14] != 0).all()


def test_posteriors_are_about_the_fit(free):
    table, fits = pd.read_parquet(free / "importance.parquet"), pd.read_parquet(free / "refined/vit.parquet")
    fit = fits.set_index("id").loc[table["id"]].iloc[0]
    row = table.iloc[0]
    assert row["ess"] > 100 and (row["certified"] or row["reason"] == "curved")
    with h5py.File(free / "importance.h5") as file:
        samples = file["samples"][0]
        assert list(file.attrs["names"]) == list(NAMES)
    for name in TARGET_NAMES:
        assert abs(row[f"{name}_mean"] - fit[f"{name}_mean"]) < 1.5 * fit[f"{name}_sigma"], name
        assert 0.6 < row[f"{name}_sigma"] / fit[f"{name}_sigma"] < 1.8, name
        assert abs(samples[:, NAMES.index(name)].mean() - row[f"{name}_mean"]) < 0.5 * row[f"{name}_sigma"], name


def short_chains(run, path):
    """Write settings of short chains of one system of a run."""
    common = yaml.safe_load((run / "refine.yaml").read_text())
    chosen = {key: common[key] for key in ("seed", "options", *LENS)} | {
        "systems": 1, "walkers": 36, "particles": 36, "annealing_steps": 1, "tuning_steps": 10, "max_steps": 50,
        "attempts": 1, "samples": 100,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(chosen))


def test_chains_agree_with_exact_posteriors(free):
    """One starts around the end of a search, the other at samples of the posterior; both are short."""
    with h5py.File(free / "importance.h5") as file:
        scene, samples = file["scene"][0], file["samples"][0]
    assert scene.shape == (100, 18) and np.allclose(np.exp(scene[:, 7]), samples[:, 7])
    short_chains(free, free / "mcmc.yaml")
    table = pd.read_parquet(free / "importance.parquet")
    table.assign(certified=True, reason="").to_parquet(free / "certified.parquet")
    (free / "certified.h5").write_bytes((free / "importance.h5").read_bytes())
    files = free / "catalog.parquet", free / "images", [free / "hst.fits"], free / "vit.h5"
    mcmc(free / "mcmc.yaml", *files, free / "mcmc.parquet", free / "certified.parquet")
    chains, exact = pd.read_parquet(free / "mcmc.parquet").set_index("start"), table.iloc[0]
    assert list(chains.index) == ["prior", "importance"] and (chains["reason"] == "short").all()
    assert (chains["chi_square"] - 1).abs().max() < 0.1 and (chains["attempts"] == 0).all()
    assert chains.loc["prior", "burn_in"] >= 36 * 71 and chains.loc["importance", "calls"] < 36 * 70
    for name in TARGET_NAMES:
        for start, chain in chains.iterrows():
            assert abs(chain[f"{name}_mean"] - exact[f"{name}_mean"]) < 1.0 * exact[f"{name}_sigma"], (name, start)
            assert 0.5 < chain[f"{name}_sigma"] / exact[f"{name}_sigma"] < 1.8, (name, start)
    with h5py.File(free / "mcmc.h5") as file:
        values = file["samples"][:]
    assert values.shape == (2, 100, 14) and np.isfinite(values).all() and (values[..., 6:8] > 0).all()


def test_a_chain_without_a_scene_that_explains_the_image_is_marked(free, tmp_path):
    """An image of noise alone shows no quasar."""
    shutil.copytree(free / "images", tmp_path / "images")
    with h5py.File(tmp_path / "images/hst/test-0000.h5", "a") as file:
        file["image"][...] = 0
    files = free / "catalog.parquet", tmp_path / "images", [free / "hst.fits"], free / "vit.h5"
    short_chains(free, tmp_path / "mcmc.yaml")
    mcmc(tmp_path / "mcmc.yaml", *files, tmp_path / "mcmc.parquet")
    table = pd.read_parquet(tmp_path / "mcmc.parquet")
    assert list(table["start"]) == ["prior", "network"] and (table["reason"] == "unexplained").all()
    assert table["theta_E_mean"].isna().all()


@pytest.mark.parametrize("chapter", ["refine", "mcmc"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scene": {"magnitudes": None, "bulge": False}}, "need scene.magnitudes"),
        ({"priors": {"R_sersic": {"kind": "normal", "mean": 1.0, "sd": 0.1, "low": 0.2}}}, "lognormal for R_sersic"),
        ({"simulation": {"external_shear": False}}, "need an external shear"),
    ],
)
def test_scenes_that_fits_do_not_suit_are_said_before_any_job(chapter, changes, message):
    content = overlaid(("survey",)).model_dump(by_alias=True)
    content[chapter] |= {"enabled": True} | ({"walkers": 46} if chapter == "mcmc" else {})
    assert validate(content).sections[chapter].enabled
    for key, value in changes.items():
        content[key] = {**content[key], **value}
    with pytest.raises(LensvitError, match=f"{chapter}.enabled.*{message}"):
        validate(content)


def test_chains_of_many_parameters_need_more_walkers():
    content = overlaid(("survey",)).model_dump(by_alias=True)
    content["mcmc"] |= {"enabled": True, "walkers": 45}
    with pytest.raises(LensvitError, match=r"45; this scene has 23 parameters.* raise it to 46"):
        validate(content)
