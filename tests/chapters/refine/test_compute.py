"""Fits reach the maximum of the posterior, say when they do not, and never look at the truth."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.chapters.refine import compute as stage
from lensvit.chapters.refine.claims import refine_numbers
from lensvit.chapters.refine.compute import refine
from lensvit.chapters.refine.table import refined_table
from lensvit.errors import LensvitError
from lensvit.inference.coordinates import COORDINATES, start_from
from lensvit.inference.goodness import chi_square, explained
from lensvit.inference.peaks import PeakFinder
from lensvit.inference.posterior import Posterior
from lensvit.inference.prior import LogPrior
from lensvit.inference.quasar_match import QuasarMatcher
from lensvit.inference.search import climb
from lensvit.inference.selection import select_systems
from lensvit.inference.starts import from_draws, from_prior
from lensvit.io.products import read_draws
from lensvit.lensing.lens_equation import solve
from lensvit.lensing.noise import noise
from lensvit.parameters import NAMES, TARGET_NAMES, priors
from lensvit.psf import kernel
from tests.builders import NETWORK_ERRORS, SCENE, SPACE, SPACE_SEEDS, draw_parameters, space_psf

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS, PIXEL_SCALE = SPACE.pixels, SPACE.pixel_scale
PRIOR = LogPrior(priors({}))
SIGMA = 1.0


def parameters(systems):
    return torch.tensor([[system.parameters[name] for name in NAMES] for system in systems], dtype=torch.float64)


def posterior(space_camera, sigma=SIGMA):
    _, renderer, systems, images = space_camera
    noisy = np.stack([noise(image, sigma, SCENE.exposure, seed) for seed, image in enumerate(images)])
    return Posterior(renderer, torch.as_tensor(noisy), torch.full((len(systems),), sigma), SCENE.exposure, PRIOR, 4)


# ---------------------------------------------------------------- starts


def test_peaks_are_the_quasar_images(space_camera):
    known, renderer, systems, images = space_camera
    finder = PeakFinder(PIXELS, known)
    for system, image in zip(systems, images, strict=True):
        dark = torch.zeros(1, 1, dtype=torch.float64)
        amplitudes = torch.tensor([[0.0, SCENE.lens_amp, 0.0]], dtype=torch.float64)
        light = renderer.images(torch.cat([parameters([system]), amplitudes], 1), dark[..., None].expand(1, 1, 2), dark)
        peaks = finder.find(image - light[0].numpy(), SIGMA**2 + image / 1000, np.zeros(2), 0.1, 60.0)
        true = system.quasar_images
        distance = np.hypot(peaks.position[:2, :1] - true.x, peaks.position[:2, 1:] - true.y)  # of the two brightest
        assert len(peaks.flux) >= 2 and (np.diff(peaks.flux) <= 0).all() and (distance.min(1) < 0.1 * PIXEL_SCALE).all()
        flux = SCENE.quasar_amp * np.abs(true.magnification[distance.argmin(1)])
        np.testing.assert_allclose(peaks.flux[:2], flux, rtol=0.35)  # arcs lie under it


def test_two_peaks_less_than_the_width_of_the_psf_apart():
    known = space_psf(31)
    finder = PeakFinder(PIXELS, known)
    image = finder._image(np.array([[30.2, 30.6, 3000.0], [31.9, 31.0, 2000.0]]))
    peaks = finder.find(image, np.ones_like(image), np.array([-2.0, -2.0]), 0.1, 60.0)
    expected = (np.array([[30.2, 30.6], [31.9, 31.0]]) - (PIXELS - 1) / 2) * PIXEL_SCALE
    np.testing.assert_allclose(peaks.position, expected, atol=1e-3)
    np.testing.assert_allclose(peaks.flux, [3000, 2000], rtol=1e-2)


def test_no_peaks_in_noise():
    image = np.random.default_rng(0).normal(size=(PIXELS, PIXELS))
    assert len(PeakFinder(PIXELS, space_psf(31)).find(image, np.ones_like(image), np.zeros(2), 0.1, 1.0).flux) == 0


@pytest.mark.parametrize("seed", SPACE_SEEDS)
def test_matched_lenses_map_the_images_to_one_source(seed):
    images, known = solve(draw_parameters(seed)).brightest(4), from_prior(PRIOR)
    observed = QuasarMatcher(
        torch.tensor(np.stack([images.x, images.y], 1)), torch.tensor(np.abs(images.magnification))
    )
    match = observed.match(known, known.draw(6, torch.Generator().manual_seed(1)))
    best = match.coordinates[0]
    rays = observed._rays(best[None])[0][0]
    source = torch.complex(*best[[COORDINATES.index(name) for name in ("source_x", "source_y")]])
    assert (rays - source).abs().max() < 3e-3
    assert (match.cost.diff() >= 0).all()


def test_a_networks_draws_as_a_gaussian():
    rng = np.random.default_rng(2)
    draws = rng.multivariate_normal(np.arange(8) / 10, np.diag(NETWORK_ERRORS**2), 4000)
    known = from_draws(draws, PRIOR)
    spread = torch.linalg.inv(known.precision).diagonal().sqrt()[:8].numpy()
    np.testing.assert_allclose(known.mean[:8], np.arange(8) / 10, atol=0.01)
    np.testing.assert_allclose(spread, 2 * NETWORK_ERRORS, rtol=0.05)  # a network may be too sure
    sample = known.draw(20000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(sample.std(0)[:8], spread, rtol=0.05)
    assert torch.linalg.inv(from_draws(draws[:1].repeat(3, 0), PRIOR).precision).isfinite().all()


# ---------------------------------------------------------------- the search


def test_a_climb_ends_where_the_posterior_is_largest(space_camera):
    density = posterior(space_camera)
    rows = torch.arange(len(density))
    truth = start_from(parameters(space_camera[2]))
    fit = climb(density, truth + 1e-3 * PRIOR.sd.clamp_max(1), rows, 60)
    assert fit.at_maximum().all() and explained(density, fit.coordinates, rows)[1].all()
    assert (fit.density >= density.log_density(truth, rows)).all()
    spread = stage.covariances(density, fit.coordinates)
    for index in range(14):
        step = 0.3 * spread[:, index, index].sqrt()[:, None] * torch.eye(14, dtype=torch.float64)[index]
        for sign in (1, -1):
            assert (density.log_density(fit.coordinates + sign * step, rows) < fit.density + 1e-2).all()
    assert (((fit.coordinates - truth) / spread.diagonal(dim1=1, dim2=2).sqrt())[:, :8].abs() < 5).all()


def test_what_cannot_be_imaged_has_no_density(space_camera):
    density = posterior(space_camera)
    wrong = start_from(parameters(space_camera[2]))[:3]
    wrong[0, COORDINATES.index("R_sersic")] = -1.0
    wrong[1, COORDINATES.index("gamma")] = 5.0
    found = density.log_density(wrong, torch.arange(3))
    assert found.isinf().tolist() == [True, True, False]
    fit = climb(density, wrong[:2], torch.arange(2), 5)
    assert not fit.at_maximum().any() and torch.equal(fit.coordinates, wrong[:2])
    assert not explained(density, wrong[:2], torch.arange(2))[1].any()


def test_chi_square_sees_one_quasar_image():
    generator = torch.Generator().manual_seed(3)
    residuals = torch.randn(200, 60, 60, generator=generator)
    mean, worst = chi_square(residuals)
    assert (worst < 5).all() and abs(float(mean.mean()) - 1) < 0.01
    residuals[:, 33:36, 21:24] += 5.0
    assert (chi_square(residuals)[1] > 5).all()
    assert (chi_square(residuals)[0] < 1.2).all()


# ---------------------------------------------------------------- the stage


@pytest.fixture(scope="module")
def run(space_camera, tmp_path_factory):
    """A run's files: a catalogue, images, a PSF, settings and draws."""
    folder = tmp_path_factory.mktemp("refine")
    known, _, systems, images = space_camera
    count = len(systems)
    kernel.write_kernel(folder / "hst.fits", known, {})
    (folder / "images" / "hst").mkdir(parents=True)
    with h5py.File(folder / "images" / "hst" / "test-0000.h5", "w") as file:
        file["image"] = images
        file.attrs.update(pixel_scale=PIXEL_SCALE, exposure=SCENE.exposure)
    table = pd.DataFrame([system.parameters for system in systems])[list(NAMES)].assign(
        id=[f"hst-test-{index:06d}" for index in range(count)], split="test", psf="hst", chunk="test-0000",
        row=np.arange(count), n_images=[len(system.quasar_images) for system in systems], sigma_bkg=SIGMA,
        seed=np.arange(count),
    )  # fmt: skip
    table.to_parquet(folder / "catalog.parquet")
    rng = np.random.default_rng(4)
    targets = table[list(TARGET_NAMES)].to_numpy()
    mean = targets + NETWORK_ERRORS * rng.normal(size=targets.shape)
    with h5py.File(folder / "vit.h5", "w") as file:
        file["id"] = list(table["id"])
        file["draws"] = (mean + NETWORK_ERRORS * rng.normal(size=(50, *mean.shape))).astype("f4")
    columns = {f"{name}_mean": mean[:, index] for index, name in enumerate(TARGET_NAMES)}
    columns |= {f"{name}_truth": targets[:, index] for index, name in enumerate(TARGET_NAMES)}
    (folder / "predictions").mkdir()
    pd.DataFrame({"id": table["id"], **columns}).to_parquet(folder / "predictions" / "vit.parquet")
    options = {
        "seed": 1, "systems": None, "starts": 8, "max_iterations": 60, "priors": {}, "external_shear": True,
        "scene": vars(SCENE) | {"max_images": 4}, "supersampling": 1,
        "options": {"hst": {"name": "hst", "pixels": PIXELS, "pixel_scale": PIXEL_SCALE}},
    }  # fmt: skip
    (folder / "refine.yaml").write_text(yaml.safe_dump(options))
    start(folder, "vit", draws=folder / "vit.h5")
    return folder


def start(folder, name, catalog="catalog.parquet", images="images", **options):
    output = folder / "refined" / f"{name}.parquet"
    refine(folder / "refine.yaml", folder / catalog, folder / images, [folder / "hst.fits"], output, **options)
    return pd.read_parquet(output)


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
        file.attrs.update(pixel_scale=PIXEL_SCALE, exposure=SCENE.exposure)
    failed = start(run, "strange", catalog="one.parquet", images="strange", draws=run / "vit.h5")
    assert not failed["converged"].any() and failed["tries"].item() == len(stage.MORE_STARTS)
    (run / "predictions" / "strange.parquet").write_bytes((run / "predictions" / "vit.parquet").read_bytes())
    refined_table([run / "refined" / "strange.parquet"], [run / "predictions" / "strange.parquet"], run / "failed.csv")
    numbers = refine_numbers(run / "failed.csv", {"strange": "Strange"}, {"hst": "HST"})
    assert numbers["starts"][0]["share"] == 0 and numbers["starts"][0]["ratio"] is None


def test_a_larger_sample_contains_the_smaller_one():
    table = _catalogue(50)
    few, many = (set(select_systems(table, count, 7, CAMERAS)["id"]) for count in (5, 12))
    assert len(few) == 5 and few < many and set(select_systems(table, None, 7, CAMERAS)["id"]) == set(table["id"][::2])
    assert few != set(select_systems(table, 5, 8, CAMERAS)["id"])


def test_each_camera_has_its_share_of_a_sample():
    table = _catalogue(400)
    of = table["psf"].map({psf: camera["name"] for psf, camera in CAMERAS.items()})
    for count in (2, 8, 20, 100, 200):
        for seed in range(5):
            rows = select_systems(table, count, seed, CAMERAS)
            assert len(rows) == count and rows.index.is_monotonic_increasing
            # three quarters of the systems are those of one camera, whose two PSFs count together
            assert abs((of[rows.index] == "hst").sum() - 0.75 * count) <= 0.5
    first = {select_systems(table, 1, seed, CAMERAS)["psf"].item() for seed in range(40)}
    assert first == {"hst_a", "hst_b"}


CAMERAS = {"hst_a": {"name": "hst"}, "hst_b": {"name": "hst"}, "keck": {"name": "keck"}}


def _catalogue(count):
    """Half of it for testing; of four systems in turn one of the first PSF, two of the second and one of the third."""
    psfs = np.array(["hst_a", "hst_b", "hst_b", "keck"])[np.arange(count) // 2 % 4]
    ids = [f"a-{index}" for index in range(count)]
    return pd.DataFrame({"id": ids, "split": ["test", "train"] * (count // 2), "psf": psfs})


def test_draws_that_are_not_there(run, tmp_path):
    with pytest.raises(LensvitError, match="no file"):
        read_draws(tmp_path / "vit.h5", ["a"])
    with pytest.raises(LensvitError, match="no draws of a"):
        read_draws(run / "vit.h5", ["a"])
    (tmp_path / "vit.h5").write_bytes(b"no HDF5")
    with pytest.raises(LensvitError, match="broken"):
        read_draws(tmp_path / "vit.h5", ["a"])


def test_table_and_numbers(run):
    one = pd.read_parquet(run / "refined" / "vit.parquet")
    one.loc[one.index[-1], "converged"] = False
    one.assign(instrument=["hst", "keck"] * 3).to_parquet(run / "refined" / "prior.parquet")
    refined_table(
        [run / "refined" / "vit.parquet", run / "refined" / "prior.parquet"],
        [run / "predictions" / "vit.parquet"],
        run / "refined.csv",
    )
    table = pd.read_csv(run / "refined.csv").set_index(["start", "instrument", "target"])
    assert table.loc[("prior", "all", "overall"), "converged"] == len(SPACE_SEEDS) - 1
    assert table.loc[("vit", "all", "overall"), "network"] > 3 * table.loc[("vit", "all", "overall"), "rmse"]
    assert set(table.loc["prior"].index.get_level_values(0)) == {"all", "hst", "keck"}
    numbers = refine_numbers(run / "refined.csv", {"vit": "ViT"}, {"hst": "HST", "keck": "Keck"})
    first, second = numbers["starts"]
    assert (first["label"], first["network"], first["share"]) == ("ViT", True, 1.0)
    assert (second["label"], second["network"], second["network_rmse"]) == (None, False, None)
    assert [entry["label"] for entry in second["instruments"]] == ["HST", "Keck"]
    assert numbers["needed"] is False  # one fit of six more
    assert [row["target"] for row in numbers["rows"]] == ["overall", *TARGET_NAMES]
    row = numbers["rows"][1]
    assert row["starts"]["vit"]["rmse"] == pytest.approx(
        row["starts"]["vit"]["ratio"] * row["starts"]["vit"]["limit"], rel=1e-4
    )
