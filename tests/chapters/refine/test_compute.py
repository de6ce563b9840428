"""Fits reach the maximum of the posterior, say when they do not, and never look at the truth."""

import dataclasses
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.chapters.refine import claims
from lensvit.chapters.refine import compute as stage
from lensvit.chapters.refine.table import refined_table
from lensvit.inference.coordinates import start_from
from lensvit.inference.prior import LogPrior
from lensvit.inference.search import climb
from lensvit.io.shards import merge_shards
from lensvit.parameters import NAMES, TARGET_NAMES, priors
from lensvit.psf import kernel
from tests.builders import SCENE, SPACE, SPACE_SEEDS, noisy_posterior, parameter_tensor, same_arrays
from tests.chapters.quoted import quoted
from tests.chapters.refine.makers import start

pytestmark = pytest.mark.usefixtures("one_thread")

PRIOR = LogPrior(priors({}))


def test_a_climb_ends_where_the_posterior_is_largest(space_camera):
    density = noisy_posterior(space_camera)
    rows = torch.arange(len(density))
    truth = start_from(parameter_tensor(space_camera[2]))
    fit = climb(density, truth + 1e-3 * PRIOR.sd.clamp_max(1), rows, 60)
    assert fit.at_maximum().all() and density.explained(fit.coordinates, rows)[1].all()
    assert (fit.density >= density.log_density(truth, rows)).all()
    spread = stage.covariances(density, fit.coordinates)
    for index in range(14):
        step = 0.3 * spread[:, index, index].sqrt()[:, None] * torch.eye(14, dtype=torch.float64)[index]
        for sign in (1, -1):
            assert (density.log_density(fit.coordinates + sign * step, rows) < fit.density + 1e-2).all()
    assert (((fit.coordinates - truth) / spread.diagonal(dim1=1, dim2=2).sqrt())[:, :8].abs() < 5).all()


def test_refined_draws_are_as_good_as_the_image_allows(run):
    table = pd.read_parquet(run / "refined" / "vit.parquet")
    assert table["converged"].all() and list(table["id"]) == [
        f"hst-test-{index:06d}" for index in range(len(SPACE_SEEDS))
    ]
    for name in TARGET_NAMES:
        error = table[f"{name}_mean"] - table[f"{name}_truth"]
        assert (error.abs() < 4.5 * table[f"{name}_sigma"]).all()
        np.testing.assert_allclose(table[f"{name}_sigma"], table[f"{name}_limit"], rtol=0.5)
    with h5py.File(run / "refined" / "vit.h5") as file:
        spread = file["covariance"][:]
        np.testing.assert_allclose(np.sqrt(spread[:, 0, 0]), table["theta_E_sigma"])
        np.testing.assert_allclose(file["coordinates"][:, 1], table["gamma_mean"])
        assert list(file["id"].asstr()) == list(table["id"]) and spread.shape == (len(SPACE_SEEDS), 14, 14)


def test_two_processes_find_what_one_does(run, monkeypatch):
    monkeypatch.setattr(stage, "BATCH", 2)
    shared = start(run, "shared", draws=run / "vit.h5", threads=2).drop(columns="seconds")
    alone = pd.read_parquet(run / "refined" / "vit.parquet").drop(columns="seconds")
    pd.testing.assert_frame_equal(shared, alone, check_exact=True)


@pytest.fixture
def three_files(run):
    """The same systems in three image files."""
    table = pd.read_parquet(run / "catalog.parquet").assign(
        chunk=["test-0000"] * 3 + ["test-0001"] * 2 + ["test-0002"], row=[0, 1, 2, 0, 1, 0]
    )
    table.to_parquet(run / "three.parquet")
    (run / "three" / "hst").mkdir(parents=True, exist_ok=True)
    with h5py.File(run / "images" / "hst" / "test-0000.h5") as whole:
        for chunk, rows in table.groupby("chunk").indices.items():
            with h5py.File(run / "three" / "hst" / f"{chunk}.h5", "w") as file:
                file["image"] = whole["image"][rows]
                file.attrs.update(whole.attrs)
    return {"catalog": "three.parquet", "images": "three"}


def test_three_shards_are_what_one_job_makes(run, three_files):
    folder = run / "refined"
    parts = [
        start(run, f"merged/{n}", chunks=[f"hst/test-000{n}"], draws=run / "vit.h5", **three_files) for n in (2, 0, 1)
    ]
    assert [len(part) for part in parts] == [1, 3, 2]
    merge_shards([folder / f"merged/{n}.parquet" for n in (2, 0, 1)], folder / "merged.parquet")
    one, merged = (pd.read_parquet(folder / f"{name}.parquet").drop(columns="seconds") for name in ("vit", "merged"))
    pd.testing.assert_frame_equal(one, merged, check_exact=True)
    assert same_arrays(folder / "vit", folder / "merged")


def test_a_shard_of_which_the_lot_takes_no_system_is_empty(run, three_files):
    few = yaml.safe_load((run / "refine.yaml").read_text()) | {"systems": 2, "seed": 9}
    (run / "few.yaml").write_text(yaml.safe_dump(few))
    options = {"settings": "few.yaml", "draws": run / "vit.h5", **three_files}
    assert start(run, "few/1", chunks=["hst/test-0001"], **options).empty
    start(run, "few/02", chunks=["hst/test-0000", "hst/test-0002"], **options)
    merge_shards([run / f"refined/few/{name}.parquet" for name in ("1", "02")], run / "refined" / "few.parquet")
    assert list(pd.read_parquet(run / "refined" / "few.parquet")["id"]) == ["hst-test-000000", "hst-test-000005"]


def test_the_fit_does_not_look_at_the_truth(run):
    table = pd.read_parquet(run / "catalog.parquet")
    table[list(NAMES)] += 0.01
    table.iloc[:2].to_parquet(run / "wrong.parquet")
    other = start(run, "other", catalog="wrong.parquet", draws=run / "vit.h5")
    same = pd.read_parquet(run / "refined" / "vit.parquet").iloc[:2]
    for name in TARGET_NAMES:
        np.testing.assert_allclose(
            other[f"{name}_mean"], same[f"{name}_mean"], atol=0.2 * float(same[f"{name}_sigma"].min())
        )
    assert list(other["converged"]) == list(same["converged"])


def test_a_fit_that_fails_is_marked(run, space_camera):
    """An image of two systems, one over the other, is explained by none."""
    table = pd.read_parquet(run / "catalog.parquet").iloc[:1]
    table.to_parquet(run / "one.parquet")
    (run / "strange" / "hst").mkdir(parents=True)
    with h5py.File(run / "strange" / "hst" / "test-0000.h5", "w") as file:
        file["image"] = space_camera[3][:1] + space_camera[3][1:2].transpose(0, 2, 1)
        file.attrs.update(pixel_scale=SPACE.pixel_scale, exposure=SCENE.exposure)
    failed = start(run, "strange", catalog="one.parquet", images="strange", draws=run / "vit.h5")
    assert not failed["converged"].any() and failed["tries"].item() == len(stage.MORE_STARTS)
    (run / "predictions" / "strange.parquet").write_bytes((run / "predictions" / "vit.parquet").read_bytes())
    refined_table([run / "refined" / "strange.parquet"], [run / "predictions" / "strange.parquet"], run / "failed.csv")
    numbers = quoted(claims, run / "failed.csv", labels={"strange": "Strange"}, cameras={"hst": "HST"})["refine"]
    assert numbers["starts"][0]["share"] == 0 and numbers["starts"][0]["ratio"] is None


def test_pixels_without_exposure_spoil_no_fit(run, tmp_path):
    """A dead stripe of the camera through the lens, of which the images know too."""
    exposure_map = np.ones((SPACE.pixels, SPACE.pixels), np.float32)
    exposure_map[:, SPACE.pixels // 2 - 1] = 0
    exposure_map[: SPACE.pixels // 4] = 0.5
    (tmp_path / "refined").mkdir()
    for name in ("catalog.parquet", "refine.yaml", "vit.h5"):
        shutil.copy(run / name, tmp_path / name)
    known = dataclasses.replace(kernel.read_kernel(run / "hst.fits"), exposure_map=exposure_map)
    kernel.write_kernel(tmp_path / "hst.fits", known, {})
    shutil.copytree(run / "images", tmp_path / "images")
    with h5py.File(tmp_path / "images/hst/test-0000.h5", "a") as file:
        file["exposure_map"] = exposure_map
    mapped, whole = start(tmp_path, "vit", draws=tmp_path / "vit.h5"), pd.read_parquet(run / "refined" / "vit.parquet")
    assert mapped["converged"].all() and mapped["chi_square"].between(0.95, 1.05).all()
    for name in TARGET_NAMES:
        error = mapped[f"{name}_mean"] - mapped[f"{name}_truth"]
        assert (error.abs() < 4.5 * mapped[f"{name}_sigma"]).all()
        assert (mapped[f"{name}_sigma"] > whole[f"{name}_sigma"]).all()
