"""Residuals of free scenes, from the simulation's own files, and of free systems that a paper-like run has not seen."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.shift.compute import ResidualScorer, shift_scores
from lensvit.chapters.shift.settings import ShiftSettings
from lensvit.parameters import TARGET_NAMES
from lensvit.psf import kernel
from lensvit.simulation.catalog import catalog
from lensvit.simulation.simulate import simulate
from tests.chapters.test_free_scenes import CAMERA, LENS, SCALE, SCENE, WHOLE

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT = 2
KNOWN = ("source_amp", "source_e1", "source_e2", "lens_amp", "quasar_amp", "max_images", "exposure")
PAPER = {**{name: SCENE[name] for name in KNOWN}, "source_amp": 4.0, "lens_amp": 4.0, "quasar_amp": 20.0}
NORMAL = {  # the priors of the paper-like run
    "theta_E": {"mean": 0.9, "sd": 0.1}, "R_sersic": {"mean": 0.7, "sd": 0.1}, "n_sersic": {"mean": 3.0, "sd": 0.3},
    "source_x": {"sd": 0.05}, "source_y": {"sd": 0.05},
}  # fmt: skip


def made(folder, name, test, train=None):
    """The files of a run or a case: the folder, whose training systems may be another run's."""
    images = []
    for split, settings, count in (("train", train or test, 2), ("test", test, COUNT)):
        path = folder / f"{name}-{split}.yaml"
        path.write_text(yaml.safe_dump({**settings, "seed": 6, "name": "hst", "instrument": CAMERA, "engine": "torch"}))
        images.append(folder / f"{name}/images/hst/{split}-0000.h5")
        simulate(path, folder / "hst.fits", split, 0, count, images[-1])
    catalog(images, folder / f"{name}/catalog.parquet", folder / f"{name}/scaler.json")
    rows = pd.read_parquet(folder / f"{name}/catalog.parquet").query("split == 'test'")
    columns = {"id": rows["id"], "psf": rows["psf"]}
    for target in TARGET_NAMES:
        columns |= {f"{target}_truth": rows[target], f"{target}_mean": rows[target]}
        columns |= {f"{target}_{kind}": 0.1 for kind in ("sigma", "aleatoric", "epistemic")}
    pd.DataFrame(columns).to_parquet(folder / f"{name}/predictions.parquet")
    return rows


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of a free scene, ``free``; one like the paper's, ``paper``; and its systems made free, ``mixed``."""
    folder = tmp_path_factory.mktemp("shift")
    offset = (np.arange(155) - 77) / 5
    fine = np.exp(-(offset**2 + offset[:, None] ** 2) / 2.2)
    kernel.write_kernel(folder / "hst.fits", kernel.from_supersampled(fine / fine.sum(), SCALE), {})
    free = {**LENS, "scene": WHOLE}
    noise = {"sigma_bkg_low": 0.004, "sigma_bkg_high": 0.008}
    paper = {**LENS, "light_samples": 1, "priors": NORMAL, "scene": {**PAPER, **noise}}
    mixed = {**paper, "scene": {**paper["scene"], "lens_light": "free", "exposure_high": 2400.0}}
    mixed["priors"] = {**NORMAL, "light_e1": {"mean": 0.4, "sd": 0.0}}
    made(folder, "free", free)
    made(folder, "paper", paper)
    made(folder, "mixed", mixed, train=paper)
    options = {"hst": {"name": "hst", **CAMERA, "systems": COUNT}}
    for name, content in (("free", {**LENS, "options": options}), ("paper", {**paper, "options": options})):
        scene = {key: value for key, value in content["scene"].items() if key not in noise}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**content, "scene": scene}))
    (folder / "config.json").write_text(json.dumps({"scaler": {"sd": dict.fromkeys(TARGET_NAMES, 0.2)}}))
    return folder


def scored(runs, name, settings=None, predictions="predictions"):
    shift_scores(
        runs / f"{settings or name}.yaml", runs / name / "catalog.parquet", runs / name / "images", [runs / "hst.fits"],
        runs / name / f"{predictions}.parquet", runs, runs / name / "scores.parquet",
    )  # fmt: skip
    return pd.read_parquet(runs / name / "scores.parquet")


def test_the_true_targets_of_a_free_scene_leave_noise_alone_and_wrong_ones_do_not(runs):
    rows = pd.read_parquet(runs / "free/catalog.parquet")
    assert rows["exposure"].nunique() == len(rows)
    right = scored(runs, "free")
    np.testing.assert_allclose(right["residual"], 1, atol=5 * np.sqrt(2) / CAMERA["pixels"])
    table = pd.read_parquet(runs / "free/predictions.parquet")
    table.assign(theta_E_mean=table["theta_E_truth"] * 1.1).to_parquet(runs / "free/wide.parquet")
    table.assign(n_sersic_mean=-1.0).to_parquet(runs / "free/none.parquet")
    assert (scored(runs, "free", predictions="wide")["residual"] > right["residual"] + 0.1).all()
    assert np.isinf(scored(runs, "free", predictions="none")["residual"]).all()


def test_free_systems_are_unlike_those_of_a_paper_like_training(runs):
    """What is rendered is the training's scene, so that a light of its own remains, with each system's exposure."""
    mixed = pd.read_parquet(runs / "mixed/catalog.parquet")
    assert mixed["light_e1"].isna().tolist() == (mixed["split"] == "train").tolist()
    ordinary, shifted = scored(runs, "paper"), scored(runs, "mixed", "paper")
    np.testing.assert_allclose(ordinary["residual"], 1, atol=5 * np.sqrt(2) / CAMERA["pixels"])
    assert (shifted["residual"] > 1.3).all()


def test_each_system_counts_with_its_own_exposure(runs):
    rows = pd.read_parquet(runs / "free/catalog.parquet").query("split == 'test'")
    choice = ShiftSettings(**yaml.safe_load((runs / "free.yaml").read_text()))
    scorer = ResidualScorer(choice, "hst", kernel.read_kernel(runs / "hst.fits"))
    given = []
    scorer._residual = lambda image, sigma, exposure, mean: given.append(exposure) or 1.0
    scorer.from_files(rows, runs / "free/images", rows[list(TARGET_NAMES)].to_numpy())
    assert given == rows["exposure"].tolist() and len(set(given)) == COUNT
