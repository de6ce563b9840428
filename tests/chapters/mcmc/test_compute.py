"""Chains of a lens have its parameters and the width of Laplace's approximation; failures are marked."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.chapters.mcmc import compute as stage
from lensvit.chapters.mcmc.compute import ChainOutcome, Start, mcmc, starting
from lensvit.chapters.mcmc.settings import McmcSettings
from lensvit.chapters.refine.compute import covariances
from lensvit.errors import LensvitError
from lensvit.inference.annealed_ensemble import Chain
from lensvit.inference.coordinates import SIZE, start_from, to_parameters
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import KNOWN, LogPrior
from lensvit.inference.search import climb
from lensvit.inference.target import LensTarget
from lensvit.io.tables import CATALOG, PREDICTIONS
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.noise import noise
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, TARGET_NAMES, priors
from lensvit.psf import kernel
from tests.builders import NETWORK_ERRORS, draw_parameters, filled, light, space_psf
from tests.builders import SCENE as BRIGHT
from tests.chapters.exact import truths_of, write_exact
from tests.chapters.mcmc.makers import numbers_of, tables

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS, PIXEL_SCALE = 40, 0.09
SCENE = BRIGHT.model_copy(update={"exposure": 50.0})  # little enough light for short chains
SIGMA = 20.0
SYSTEM = 3


@pytest.fixture(scope="module")
def camera():
    """PSF, renderer, a system and its noise-free image."""
    known = space_psf(31)
    system = System(draw_parameters(SYSTEM, theta_E=0.9), solve(draw_parameters(SYSTEM, theta_E=0.9)).brightest(4))
    renderer = BatchedRenderer(PIXELS, PIXEL_SCALE, known.native, SCENE)
    return known, renderer, system, renderer.render([system])


def posterior(camera, prior=None):
    _, renderer, _, images = camera
    data = torch.as_tensor(noise(images[0], SIGMA, SCENE.exposure, 0))[None]
    prior = prior or LogPrior(priors({}))
    return Posterior(renderer, data, torch.full((1,), SIGMA, dtype=torch.float64), SCENE.exposure, prior, 4)


@pytest.fixture(scope="module")
def folder(camera, tmp_path_factory):
    """A run's files: a catalogue of one system, its image, a PSF, settings, draws and predictions."""
    folder = tmp_path_factory.mktemp("mcmc")
    known, _, system, images = camera
    kernel.write_kernel(folder / "hst.fits", known, {})
    _write_image(folder / "images", images)
    table = pd.DataFrame([system.parameters])[list(NAMES)].assign(
        id="hst-test-000000", split="test", psf="hst", chunk="test-0000", row=0, n_images=len(system.quasar_images),
        sigma_bkg=SIGMA, seed=0,
    )  # fmt: skip
    filled(table, CATALOG).to_parquet(folder / "catalog.parquet")
    rng, targets = np.random.default_rng(4), table[list(TARGET_NAMES)].to_numpy()
    mean = targets + NETWORK_ERRORS * rng.normal(size=targets.shape)
    with h5py.File(folder / "vit.h5", "w") as file:
        file["id"] = list(table["id"])
        file["draws"] = (mean + NETWORK_ERRORS * rng.normal(size=(50, *mean.shape))).astype("f4")
    columns = {f"{name}_mean": mean[:, index] for index, name in enumerate(TARGET_NAMES)}
    columns |= {f"{name}_truth": targets[:, index] for index, name in enumerate(TARGET_NAMES)}
    columns |= {f"{name}_sigma": error for name, error in zip(TARGET_NAMES, NETWORK_ERRORS, strict=True)}
    filled(pd.DataFrame({"id": table["id"], **columns}), PREDICTIONS).to_parquet(folder / "vit.parquet")
    (folder / "mcmc.yaml").write_text(yaml.safe_dump(settings()))
    return folder


def _write_image(folder, images):
    (folder / "hst").mkdir(parents=True)
    with h5py.File(folder / "hst" / "test-0000.h5", "w") as file:
        file["image"] = images
        file.attrs.update(pixel_scale=PIXEL_SCALE, exposure=SCENE.exposure)


def settings(**changes):
    return {
        "seed": 2, "systems": 1, "walkers": 28, "particles": 96, "annealing_steps": 6, "tuning_steps": 50,
        "max_steps": 2000, "attempts": 3, "samples": 400, "priors": {}, "external_shear": True,
        "scene": light(SCENE), "supersampling": 1,
        "options": {"hst": {"name": "hst", "pixels": PIXELS, "pixel_scale": PIXEL_SCALE}},
    } | changes  # fmt: skip


def run(folder, name, file="mcmc.yaml", images="images", draws="vit.h5", **options):
    output = folder / name / "mcmc.parquet"
    psfs = [folder / "hst.fits"]
    mcmc(folder / file, folder / "catalog.parquet", folder / images, psfs, folder / draws, output, **options)
    return pd.read_parquet(output)


@pytest.fixture(scope="module")
def chains(folder):
    return run(folder, "good")


# ---------------------------------------------------------------- the posterior of a lens


def test_only_what_is_not_known_is_sampled(camera):
    assert len(LensTarget(posterior(camera)).free) == 14
    fixed = priors({"n_sersic": {"kind": "uniform", "low": 4.0, "high": 4.0}})
    target = LensTarget(posterior(camera, LogPrior(fixed, external_shear=False)))
    assert len(target.free) == 11 and (target.posterior.prior.sd[target.free] > KNOWN).all()
    parameters = target.parameters(np.zeros((2, 11)))
    assert (parameters[:, NAMES.index("n_sersic")] == 4).all() and (parameters[:, SIZE] < 1e-7).all()


def test_the_shears_direction_is_as_likely_everywhere(camera):
    """Flat in the angle and normal in the size, the prior is in components what it is, over the size."""
    target = LensTarget(posterior(camera))
    truth = start_from(torch.tensor([[camera[2].parameters[name] for name in NAMES]], dtype=torch.float64))
    values = np.repeat(target.values(truth), 2, 0)
    values[:, SIZE], values[:, SIZE + 1] = [0.01, 0.02], 0
    prior, likelihood = target(values)
    offset = (np.array([0.01, 0.02]) - 0.015) / 0.005
    assert np.diff(prior)[0] == pytest.approx(-np.diff(np.square(offset))[0] / 2 - np.log(2), abs=1e-9)
    whole = target.posterior.log_density(target.coordinates(values), torch.zeros(2, dtype=torch.long))
    np.testing.assert_allclose(prior + np.log([0.01, 0.02]) + likelihood, whole, rtol=1e-12)


def test_starts_are_draws_of_the_priors_and_of_the_network(camera):
    target, draws = LensTarget(posterior(camera)), np.arange(24.0).reshape(3, 8)
    few = McmcSettings(**settings(particles=30))
    first, other = (starting(start, target, few, 1) for start in (Start("prior"), Start("network", draws)))
    assert first.shape == other.shape == (600, 14) and first[:, 0].std() == pytest.approx(0.3, rel=0.15)
    assert set(other[:, 0]) == {0, 8, 16} and set(other[:, 7]) == {7, 15, 23}
    np.testing.assert_array_equal(first[:, 10:], other[:, 10:])


# ---------------------------------------------------------------- the stage


@pytest.mark.slow
def test_both_chains_find_the_truth_with_the_width_of_laplace(camera, folder, chains):
    assert list(chains["start"]) == ["prior", "network"] and chains["converged"].all()
    assert (chains["reason"] == "").all() and (chains["r_hat"] < 1.01).all()
    assert (chains["ess_bulk"] > 200).all() and (chains["ess_tail"] > 200).all() and (chains["attempts"] >= 1).all()
    assert (chains["calls"] > chains["burn_in"]).all() and (chains["steps"] >= 50 * chains["tau"]).all()
    here = posterior(camera)
    truth = start_from(torch.tensor([[camera[2].parameters[name] for name in NAMES]], dtype=torch.float64))
    best = climb(here, truth, torch.zeros(1, dtype=torch.long), 60).coordinates
    laplace = covariances(here, best)[0].diagonal().sqrt().numpy()
    for column, name in enumerate(TARGET_NAMES):
        error = chains[f"{name}_mean"] - chains[f"{name}_truth"]
        assert (error.abs() < 4.5 * chains[f"{name}_sigma"]).all()
        np.testing.assert_allclose(chains[f"{name}_sigma"], laplace[column], rtol=0.15)


@pytest.mark.slow
def test_samples_are_those_of_the_table(folder, chains):
    with h5py.File(folder / "good" / "mcmc.h5") as file:
        samples = file["samples"][:]
        assert samples.shape == (2, 400, 14) and samples.dtype == np.float64
        assert list(file["start"].asstr()) == ["prior", "network"] and file["converged"][:].all()
        assert list(file["id"].asstr()) == list(chains["id"]) and list(file.attrs["names"]) == list(NAMES)
    for name in TARGET_NAMES:
        values = samples[..., NAMES.index(name)]
        assert (np.abs(values.mean(1) - chains[f"{name}_mean"]) < 0.25 * chains[f"{name}_sigma"]).all()
    assert (samples[..., SIZE] > 0).all()


@pytest.fixture
def samples(folder, camera):
    """Samples of the system's posterior by Laplace's approximation."""
    here, truth = posterior(camera), torch.tensor([[camera[2].parameters[name] for name in NAMES]])
    best = climb(here, start_from(truth.double()), torch.zeros(1, dtype=torch.long), 60).coordinates
    spread = covariances(here, best)[0].numpy()
    drawn = np.random.default_rng(3).multivariate_normal(best[0].numpy(), spread, 200)
    return to_parameters(torch.tensor(drawn)).numpy()


def write_samples(folder, samples, truth=None, certified=True):
    catalog = pd.read_parquet(folder / "catalog.parquet")
    truths = truths_of(catalog if truth is None else catalog.assign(**dict.fromkeys(TARGET_NAMES, truth)))
    write_exact(folder / "importance.parquet", catalog[["id"]].assign(**truths), samples[None], [certified])
    return folder / "importance.parquet"


def test_a_chain_from_samples_needs_no_annealing(folder, samples):
    short = settings(particles=28, annealing_steps=1, attempts=1, tuning_steps=20, max_steps=50)
    (folder / "exact.yaml").write_text(yaml.safe_dump(short))
    here = run(folder, "exact", "exact.yaml", importance=write_samples(folder, samples)).iloc[1]
    assert (here["start"], here["attempts"], here["steps"], here["reason"]) == ("importance", 0, 50, "short")
    assert here["burn_in"] == 28 * (1 + 20) and here["calls"] == here["burn_in"] + 28 * 50
    for name in TARGET_NAMES:
        values = samples[:, NAMES.index(name)]
        assert abs(here[f"{name}_mean"] - values.mean()) < 0.5 * values.std()
        assert here[f"{name}_sigma"] == pytest.approx(values.std(), rel=0.3)


def test_without_enough_samples_the_second_chain_starts_from_the_network(folder, samples):
    rows, few = pd.read_parquet(folder / "catalog.parquet"), McmcSettings(**settings())
    draws = np.ones((3, 8))
    for some, start in ((None, "network"), (samples, "importance"), (np.repeat(samples[:9], 50, 0), "network")):
        assert stage._second_start(draws, some, few).key == start
    path = write_samples(folder, samples)
    np.testing.assert_array_equal(stage._exact_samples(path, rows, False)[0], samples)
    assert stage._exact_samples(write_samples(folder, samples, certified=False), rows, False) == [None]


def test_samples_of_other_systems_are_refused(folder, samples):
    with pytest.raises(LensvitError, match="of other systems than the catalogue: delete it"):
        run(folder, "none", importance=write_samples(folder, samples, truth=1.0))
    with h5py.File(write_samples(folder, samples).with_suffix(".h5"), "a") as file:
        file["id"][:] = ["another"]
    with pytest.raises(LensvitError, match=r"importance.h5 has nothing of the system hst-test-000000"):
        run(folder, "none", importance=folder / "importance.parquet")
    with pytest.raises(LensvitError, match="there is no file"):
        run(folder, "none", importance=folder / "absent.parquet")


def test_an_image_that_no_lens_explains_is_a_failure(folder, camera):
    """A system under its own mirror image."""
    images = camera[3] + camera[3].transpose(0, 2, 1)
    _write_image(folder / "strange", images)
    few = settings(particles=28, annealing_steps=1, tuning_steps=10, attempts=2, samples=20)
    (folder / "few.yaml").write_text(yaml.safe_dump(few))
    failed, same = (run(folder, "failed", "few.yaml", images="strange", threads=threads) for threads in (1, 2))
    pd.testing.assert_frame_equal(failed.drop(columns="seconds"), same.drop(columns="seconds"), check_exact=True)
    assert not failed["converged"].any() and set(failed["reason"]) == {"unexplained"}
    assert failed["ess_bulk"].isna().all()
    assert (failed["attempts"] == 2).all() and (failed["steps"] == 0).all() and failed["theta_E_mean"].isna().all()
    with h5py.File(folder / "failed" / "mcmc.h5") as file:
        assert np.isnan(file["samples"][:]).all() and file["samples"].shape == (2, 20, 14)
    tables(folder, "failed")
    numbers = numbers_of(folder / "failed")
    assert numbers["systems"] == 0 and numbers["speed"] == [] and numbers["starts"][0]["unexplained"] == 1
    assert all(value is None for row in numbers["rows"] for part in row["methods"].values() for value in part.values())


def test_reasons_of_failure():
    chain = Chain(np.zeros((4, 2, 1)), np.zeros((4, 2)), 1.0, True)

    def one(chain, explained):
        return ChainOutcome("prior", chain, 1, 1, 0, 0.0, 1.0, explained)

    assert stage._reason(one(chain, True), 1.009) == stage._reason(one(chain, True), np.nan) == ""
    assert stage._reason(one(chain, True), 1.02) == "disagree"
    assert stage._reason(one(chain._replace(long_enough=False), True), np.nan) == "short"
    assert stage._reason(one(chain, False), np.nan) == stage._reason(one(None, False), np.nan) == "unexplained"


def test_files_that_are_not_there(folder, tmp_path):
    with pytest.raises(LensvitError, match="no file"):
        run(folder, "none", draws="absent.h5")
    with pytest.raises(LensvitError, match="no image file"):
        run(folder, "none", images="absent")
    arguments = folder / "mcmc.yaml", folder / "catalog.parquet", folder / "images"
    with pytest.raises(LensvitError, match="no kernel of the PSF hst"):
        mcmc(*arguments, [], folder / "vit.h5", tmp_path / "mcmc.parquet")
