"""Exact posteriors of refined systems: means and widths are right, and where there is no certificate it is said why."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.chapters.importance import compute as stage
from lensvit.chapters.importance.compute import importance
from lensvit.errors import LensvitError
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.inference.target import LensTarget
from lensvit.io.hdf5 import read_datasets
from lensvit.io.shards import merge_shards
from lensvit.io.tables import IMPORTANCE, read_catalog
from lensvit.lensing.noise import noise
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.parameters import NAMES, TARGET_NAMES, priors
from lensvit.psf import kernel
from tests.builders import SCENE, SPACE, light, same_arrays, space_psf
from tests.chapters.refine.makers import SIGMA

pytestmark = pytest.mark.usefixtures("one_thread")

SYSTEMS, SAMPLES = 3, 60
SETTINGS = {
    "seed": 1, "systems": SYSTEMS, "effective": 200, "draws": 200, "max_calls": 4000, "samples": SAMPLES, "priors": {},
    "external_shear": True, "scene": light(SCENE), "supersampling": 1,
    "options": {"hst": {"name": "hst", "pixels": SPACE.pixels, "pixel_scale": SPACE.pixel_scale}},
}  # fmt: skip


def sampled(run, name, catalog="catalog.parquet", images="images", refined=("refined/vit",), psf="hst", **options):
    """The table of a run of the stage."""
    settings, output = run / "importance.yaml", run / "exact" / f"{name}.parquet"
    changes = {key: options.pop(key) for key in list(options) if key in SETTINGS}
    settings.write_text(yaml.safe_dump(SETTINGS | changes))
    fits = [run / f"{one}.parquet" for one in refined]
    importance(settings, run / catalog, run / images, [run / f"{psf}.fits"], fits, output, **options)
    return pd.read_parquet(output)


@pytest.fixture(scope="module")
def one_thread_of_the_module():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def exact(refined_run, one_thread_of_the_module):
    return sampled(refined_run, "good")


def target_of(run, name):
    """What chains would walk in, the maximum, and Laplace's covariance there."""
    row = read_catalog(run / "catalog.parquet").query("id == @name")
    renderer = BatchedRenderer(SPACE.pixels, SPACE.pixel_scale, space_psf(31).native, SCENE)
    data = noise(_image(run, row), SIGMA, SCENE.exposure, int(row["seed"].item()))
    sigma = torch.tensor([SIGMA], dtype=torch.float64)
    prior = LogPrior(priors({}))
    posterior = Posterior(renderer, torch.as_tensor(data)[None], sigma, SCENE.exposure, prior, 4)
    ids, means, spreads = read_datasets(run / "refined/vit.h5", "id", "coordinates", "covariance")
    place = list(ids).index(name)
    return LensTarget(posterior), means[place], spreads[place]


def _image(run, row):
    with h5py.File(run / "images" / "hst" / "test-0000.h5") as file:
        return file["image"][int(row["row"].item())]


def test_the_table_has_its_columns(refined_run, exact):
    ids = read_catalog(refined_run / "catalog.parquet")["id"]
    assert len(exact) == SYSTEMS and list(exact["id"]) == [name for name in ids if name in set(exact["id"])]
    assert {*IMPORTANCE, "psf", "n_images", "sigma_bkg", "draws", "rounds", "maxima", "log_evidence"} <= {*exact}
    assert exact["certified"].all() and (exact["reason"] == "").all() and exact["explained"].all()
    assert (exact["k"] <= 0.7).all() and (exact["ess"] >= 200).all() and (exact["rounds"] >= 2).all()
    assert (exact["calls"] >= exact["draws"]).all() and (exact["draws"] > exact["ess"]).all()
    assert exact["chi_square"].between(0.9, 1.1).all() and (exact["maxima"] == 1).all()
    assert (exact["log_evidence_error"] < 0.15).all() and exact["instrument"].eq("hst").all()
    for name in TARGET_NAMES:
        error = exact[f"{name}_mean"] - exact[f"{name}_truth"]
        assert (error.abs() < 4.5 * exact[f"{name}_sigma"]).all()


def test_samples_are_those_of_the_table(refined_run, exact):
    with h5py.File(refined_run / "exact" / "good.h5") as file:
        samples = file["samples"][:]
        assert samples.shape == (SYSTEMS, SAMPLES, len(NAMES)) and samples.dtype == np.float64
        assert list(file["id"].asstr()) == list(exact["id"]) and file["certified"][:].all()
        assert list(file.attrs["names"]) == list(NAMES)
    for name in TARGET_NAMES:
        values = samples[..., NAMES.index(name)]
        assert (np.abs(values.mean(1) - exact[f"{name}_mean"]) < 0.5 * exact[f"{name}_sigma"]).all()
        np.testing.assert_allclose(values.std(1), exact[f"{name}_sigma"], rtol=0.4)


def test_means_and_widths_are_those_of_many_weighted_draws(refined_run, exact):
    """Of one normal distribution, wider than Laplace's approximation, weighted by the density of chains."""
    row = exact.iloc[0]
    target, mean, spread = target_of(refined_run, row["id"])
    normal = np.random.default_rng(6).standard_normal((2000, 14))
    width = 1.2
    places = mean + width * normal @ np.linalg.cholesky(spread).T
    prior, likelihood = target(places)
    logs = prior + likelihood + np.square(normal).sum(1) / 2
    logs = np.where(np.isfinite(logs), logs, -np.inf)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    assert 1 / np.square(weights).sum() > 200
    for name in TARGET_NAMES:
        values = target.parameters(places)[:, NAMES.index(name)]
        center = weights @ values
        assert abs(row[f"{name}_mean"] - center) < 0.3 * row[f"{name}_sigma"]
        assert row[f"{name}_sigma"] == pytest.approx(np.sqrt(weights @ np.square(values - center)), rel=0.25)


def test_two_processes_find_what_one_does(refined_run, exact, monkeypatch):
    monkeypatch.setattr(stage, "BATCH", 1)
    shared = sampled(refined_run, "shared", threads=2)
    pd.testing.assert_frame_equal(shared.drop(columns="seconds"), exact.drop(columns="seconds"), check_exact=True)
    assert same_arrays(refined_run / "exact" / "shared", refined_run / "exact" / "good")


def test_shards_are_what_one_job_makes(refined_run, exact):
    table = pd.read_parquet(refined_run / "catalog.parquet")
    later = table["id"] >= exact["id"].max()  # the last of the systems is in another file
    table["chunk"] = np.where(later, "test-0001", "test-0000")
    table["row"] = table.groupby("chunk").cumcount()
    table.to_parquet(refined_run / "two.parquet")
    (refined_run / "two" / "hst").mkdir(parents=True)
    with h5py.File(refined_run / "images" / "hst" / "test-0000.h5") as whole:
        for chunk, rows in table.groupby("chunk").indices.items():
            with h5py.File(refined_run / "two" / "hst" / f"{chunk}.h5", "w") as file:
                file["image"] = whole["image"][rows]
                file.attrs.update(whole.attrs)
    options = {"catalog": "two.parquet", "images": "two"}
    parts = [sampled(refined_run, f"part-{n}", chunks=[f"hst/test-000{n}"], **options) for n in (1, 0)]
    assert [len(part) for part in parts] == [1, 2]
    folder = refined_run / "exact"
    merge_shards([folder / f"part-{n}.parquet" for n in (1, 0)], folder / "merged.parquet")
    merged = pd.read_parquet(folder / "merged.parquet")
    pd.testing.assert_frame_equal(merged.drop(columns="seconds"), exact.drop(columns="seconds"), check_exact=True)
    assert same_arrays(folder / "merged", folder / "good")
    lot = sampled(refined_run, "lot", systems=1, **options)["id"].item()
    elsewhere = "hst/test-0000" if lot == exact["id"].max() else "hst/test-0001"
    assert sampled(refined_run, "none", chunks=[elsewhere], systems=1, **options).empty


def same_row(table, exact, **tolerance):
    """Whether the only row of a table stands in another one."""
    other = exact[exact["id"] == table["id"].item()].reset_index(drop=True)
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), other.drop(columns="seconds"), **tolerance)


def changed_fits(run, name, **columns):
    """The fits with some columns changed, and their arrays."""
    table = pd.read_parquet(run / "refined" / "vit.parquet")
    (run / name).mkdir(exist_ok=True)
    table.assign(**columns).to_parquet(run / name / "vit.parquet")
    shutil.copy(run / "refined" / "vit.h5", run / name / "vit.h5")
    return f"{name}/vit"


def test_a_system_without_a_converged_fit_is_not_sampled(refined_run, exact):
    fits = changed_fits(refined_run, "failed", converged=False)
    table = sampled(refined_run, "failed", refined=[fits], systems=1)
    row = table.iloc[0]
    assert row["reason"] == "no fit" and not row["certified"] and not row["explained"]
    assert (row["calls"], row["rounds"], row["ess"]) == (0, 0, 0)
    unknown = [f"{name}_{kind}" for name in TARGET_NAMES for kind in ("mean", "sigma")]
    assert table[[*unknown, "k", "log_evidence", "chi_square"]].isna().all(axis=None)
    assert table[[f"{name}_truth" for name in TARGET_NAMES]].notna().all(axis=None)
    with h5py.File(refined_run / "exact" / "failed.h5") as file:
        assert np.isnan(file["samples"][:]).all() and file["samples"].shape == (1, SAMPLES, 14)
        assert not file["certified"][:].any()
    other = sampled(refined_run, "other", refined=[fits, "refined/vit"], systems=1)  # of another start
    assert other["certified"].item()


def test_maxima_of_several_starts_count_once_if_they_are_near(refined_run, exact):
    table = sampled(refined_run, "twice", refined=["refined/vit", "refined/vit"], systems=1)
    assert table["maxima"].item() == 1
    same_row(table, exact)


def test_the_truth_is_only_passed_on(refined_run, exact):
    table = pd.read_parquet(refined_run / "catalog.parquet")
    table[list(NAMES)] += 0.01
    table.to_parquet(refined_run / "wrong.parquet")
    truths = {f"{name}_truth": table[name] for name in TARGET_NAMES}
    fits = changed_fits(refined_run, "moved", **truths)
    other = sampled(refined_run, "moved", catalog="wrong.parquet", refined=[fits], systems=1)
    values = [name for name in exact if not name.endswith("_truth")]
    same_row(other[values], exact[values], check_exact=True)


@pytest.mark.parametrize("wrong", ["noise", "psf"])
def test_what_the_model_does_not_explain_has_no_certificate(refined_run, exact, wrong):
    run, options = refined_run, {"max_calls": 1000, "systems": 2}
    if wrong == "noise":
        table = pd.read_parquet(run / "catalog.parquet").assign(sigma_bkg=3 * SIGMA)
        with h5py.File(run / "images" / "hst" / "test-0000.h5") as file:
            images = file["image"][:] + np.random.default_rng(1).normal(0, 6 * SIGMA, file["image"].shape)
            attributes = dict(file.attrs)
        (run / "noisy" / "hst").mkdir(parents=True)
        with h5py.File(run / "noisy" / "hst" / "test-0000.h5", "w") as file:
            file["image"] = images
            file.attrs.update(attributes)
        table.to_parquet(run / "noisy.parquet")
        options |= {"catalog": "noisy.parquet", "images": "noisy"}
    else:
        (run / "other").mkdir(exist_ok=True)
        wide = space_psf(31)
        light = np.repeat(np.repeat(wide.native, 5, 0), 5, 1)
        light = light + np.roll(light, 4, 1)
        kernel.write_kernel(run / "other" / "hst.fits", kernel.from_supersampled(light / light.sum(), 0.09), {})
        options |= {"psf": "other/hst"}
    table = sampled(run, wrong, **options)
    assert not table["certified"].any() and set(table["reason"]) == {"unexplained"}
    assert not table["explained"].any() and (table["chi_square"] > 1.2).all()


def test_a_budget_that_is_too_small_is_said(refined_run):
    with pytest.raises(LensvitError, match=r"max_calls: 649 is too small .* raise it to 650 or more"):
        sampled(refined_run, "small", systems=1, max_calls=649)
    table = sampled(refined_run, "small", systems=1, max_calls=650, effective=2000)
    assert table["reason"].item() == "few" and table["calls"].item() <= 650
    assert table["theta_E_mean"].notna().all() and table["explained"].all()


def test_fits_of_another_run_are_refused(refined_run, exact):
    moved = changed_fits(refined_run, "another", theta_E_truth=1.0)
    with pytest.raises(LensvitError, match=r"another/vit.parquet is of other systems than the catalogue: delete it"):
        sampled(refined_run, "none", refined=[moved])
    table = pd.read_parquet(refined_run / "refined" / "vit.parquet")
    table.to_parquet(refined_run / "another" / "vit.parquet")
    with h5py.File(refined_run / "another" / "vit.h5", "a") as file:
        file["id"][:] = [f"x{number}" for number in range(6)]
    with pytest.raises(LensvitError, match=rf"vit.h5 has nothing of the system {exact['id'][0]}"):
        sampled(refined_run, "none", refined=[moved])


def lacking(run, name, *ids):
    """The fits without those of some systems."""
    path = run / f"{changed_fits(run, name)}.parquet"
    table = pd.read_parquet(path)
    table[~table["id"].isin(ids)].to_parquet(path)
    return path


def test_any_start_may_lack_a_system_but_not_all(refined_run):
    rows = read_catalog(refined_run / "catalog.parquet").iloc[:2]
    ids, whole = list(rows["id"]), refined_run / "refined" / "vit.parquet"
    first, second = (lacking(refined_run, f"no-{name}", name) for name in ids)
    for files, counts in (([first, whole], [1, 2]), ([whole, first], [1, 2]), ([first, second], [1, 1])):
        found = stage.read_maxima(files, rows)
        assert [len(found[name]) for name in ids] == counts
    with pytest.raises(LensvitError, match=rf"vit.parquet: no fit of {ids[0]}: delete them") as error:
        stage.read_maxima([first, lacking(refined_run, "neither", *ids)], rows)
    assert "\n" not in str(error.value)


def test_a_truth_that_differs_in_its_last_bit_is_of_another_system(refined_run):
    rows = read_catalog(refined_run / "catalog.parquet").iloc[:2]
    moved = changed_fits(refined_run, "bit", gamma_truth=lambda table: np.nextafter(table["gamma_truth"], 9))
    with pytest.raises(LensvitError, match="is of other systems than the catalogue"):
        stage.read_maxima([refined_run / f"{moved}.parquet"], rows)
