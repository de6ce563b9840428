"""The stage on systems whose draws are known."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.fermat import compute
from lensvit.chapters.fermat.compute import fermat
from lensvit.chapters.fermat.table import fermat_table
from lensvit.errors import LensvitError
from lensvit.io.tables import CATALOG, REFINED
from lensvit.lensing.batched_lens_equation import solve
from lensvit.parameters import NAMES, TARGET_NAMES, priors
from tests.builders import filled
from tests.chapters.exact import truths_of, write_exact

SYSTEMS, DRAWS = 4, 40
FREE = {  # of a free scene: kinds of priors that the paper has not, and parameters that its systems have not
    "theta_E": {"mean": 1.1, "sd": 0.35, "low": 0.4, "high": 2.2}, "gamma_ext": {"kind": "rayleigh", "sd": 0.07},
    "R_sersic": {"kind": "lognormal", "mean": 0.8, "sd": 0.5}, "light_x": {"sd": 0.1}, "e1": {"sd": 0.1},
    "gamma": {"mean": 2.0, "sd": 0.15, "low": 1.5}, "e2": {"sd": 0.1}, "source_x": {"sd": 0.15},
    "source_R_sersic": {"kind": "lognormal", "mean": 0.2, "sd": 0.5},
}  # fmt: skip
GAMMA = NAMES.index("gamma")


@pytest.fixture
def run(tmp_path):
    """Four systems; a network that knows all but the slope, whose draws scatter by 0.02 about the truth."""
    rng = np.random.default_rng(3)
    rows = [{name: prior.draw(rng) for name, prior in priors({}).items()} for _ in range(SYSTEMS + 1)]
    catalog = pd.DataFrame(rows, columns=NAMES).assign(
        id=[f"s{row}" for row in range(SYSTEMS + 1)], psf="a", split=["train"] + ["test"] * SYSTEMS, gamma_ext=0.0
    )
    filled(catalog, CATALOG).to_parquet(tmp_path / "catalog.parquet")
    write_draws(tmp_path, catalog, 0.02)
    return tmp_path


def write_draws(run, catalog, width, name="net"):
    test = catalog[catalog["split"] == "test"]
    rng = np.random.default_rng(1)
    draws = np.repeat(test[list(TARGET_NAMES)].to_numpy()[None], DRAWS, axis=0)
    slope = rng.standard_normal((DRAWS, len(test)))
    draws[:, :, GAMMA] += width * (slope - slope.mean(0)) / slope.std(0, ddof=1)
    with h5py.File(run / f"{name}.h5", "w") as file:
        file["id"], file["draws"] = test["id"].to_list(), draws


def made(run, seed=7, **options):
    content = {"seed": seed, "draws": 100, "astrometry": 1e-6, "max_images": 4, "priors": {}, "external_shear": False}
    content |= {name: options.pop(name) for name in ("priors", "external_shear") if name in options}
    (run / "settings.yaml").write_text(yaml.safe_dump(content))
    paths = options.pop("draws", [run / "net.h5"])
    fermat(run / "settings.yaml", run / "catalog.parquet", paths, run / "fermat.parquet", **options)
    return pd.read_parquet(run / "fermat.parquet").set_index(["method", "treatment", "id"]).sort_index()


def write_posteriors(run, width):
    """Covariances with a known slope error at the truth; the system s1 has no limit, fit, exact posterior or chain."""
    test = pd.read_parquet(run / "catalog.parquet").query("split == 'test'")
    good = (test["id"] != "s1").to_numpy()
    spread = np.tile(1e-24 * np.eye(14), (SYSTEMS, 1, 1))  # of what is known
    spread[:, GAMMA, GAMMA] = width**2
    center = test[list(NAMES)].to_numpy(copy=True)
    center[:, [NAMES.index("gamma_ext"), NAMES.index("psi_ext")]] = 1e-7, 0  # so small, and of one direction
    samples = np.repeat(test[list(NAMES)].to_numpy()[:, None], 60, axis=1)
    samples += 1e-12 * np.random.default_rng(4).standard_normal(samples.shape)
    samples[:, :, GAMMA] += width * np.random.default_rng(2).standard_normal((SYSTEMS, 60))
    for name, sets in {
        "limit": {"known": spread, "marginalised": 4 * spread},
        "fit": {"coordinates": center, "covariance": spread},
        "chain": {"samples": np.where(good[:, None, None], samples, np.nan)},
    }.items():
        with h5py.File(run / f"{name}.h5", "w") as file:
            file["id"] = test["id"].to_list()
            for key, value in sets.items():
                file[key] = value
    columns = {f"{name}_{kind}": 0.1 for name in TARGET_NAMES for kind in ("known", "marginalised")}
    limit = test[["id"]].assign(instrument="hst", **columns, valid_known=good, valid_marginalised=good)
    limit.to_parquet(run / "limit.parquet")
    filled(test[["id"]].assign(converged=good), REFINED).to_parquet(run / "fit.parquet")
    test[["id"]].assign(converged=good).to_parquet(run / "chain.parquet")
    write_exact(run / "exact.parquet", test[["id"]].assign(**truths_of(test)), samples, good)


def test_a_gaussian_in_the_slope_gives_the_derivatives_answer(run):
    """All with the truth's source: sigma is |d ln difference / d gamma| sigma_gamma, here by narrow draws."""
    write_posteriors(run, 0.02)
    wide = made(run, refined=run / "fit.parquet").loc[("refined", "pixels", "s2")]
    write_posteriors(run, 1e-5)
    narrow = made(run, refined=run / "fit.parquet").loc[("refined", "pixels", "s2")]
    assert wide["sigma"] == pytest.approx(2000 * narrow["sigma"], rel=0.1)
    assert narrow["share_gamma"] == pytest.approx(1, abs=1e-6)
    assert abs(narrow["error"]) < narrow["sigma"]


def test_only_what_varies_has_a_part(run):
    found = made(run).loc[("net", "prediction")]
    assert found["sigma_gamma"].to_numpy() == pytest.approx(found["sigma"].to_numpy(), rel=1e-6)
    assert found["sigma_theta_E"].max() < 1e-9 and found["sigma_shear"].max() < 1e-9
    assert found["error"].abs().max() < 0.01


def test_every_method_has_its_rows_and_those_without_a_posterior_are_counted(run):
    write_posteriors(run, 0.005)
    options = {"limit": run / "limit.parquet", "refined": run / "fit.parquet", "mcmc": run / "chain.parquet"}
    options["importance"] = run / "exact.parquet"
    found = made(run, **options)
    assert (run / "fermat.parquet.sha256").exists()
    groups = {("net", "prediction"), ("net", "images"), ("prior", "images")}
    groups |= {(name, "pixels") for name in ("limit", "refined", "importance", "mcmc")}
    assert set(found.index.droplevel("id")) == groups and len(found) == SYSTEMS * len(groups)
    pixels = found.xs("pixels", level="treatment")
    assert not pixels.xs("s1", level="id")["used"].any() and (pixels.xs("s1", level="id")["draws"] == 0).all()
    assert pixels.drop("s1", level="id")["used"].all()
    assert found.loc["limit"]["error"].isna().all() and found.loc["limit"]["sigma"].count() == SYSTEMS - 1
    assert found.loc["mcmc"]["draws"].max() == 60 and found.loc["importance"]["draws"].max() == 60
    same = [found.loc[name][["error", "sigma"]].to_numpy() for name in ("mcmc", "importance")]
    np.testing.assert_array_equal(*same)  # both have the same samples
    wider = made(run, limit=run / "limit.parquet", amplitudes="marginalised").loc["limit"]["sigma"]
    assert wider.dropna().to_numpy() == pytest.approx(2 * found.loc["limit"]["sigma"].dropna().to_numpy(), rel=0.2)
    assert (found["difference"] > 0).all() and found["n_images"].isin([2, 4]).all()


def test_both_chains_of_a_system_count_together_if_they_have_converged(run):
    write_posteriors(run, 0.005)
    ids, good = [f"s{number}" for number in (1, 2, 3, 4)], [True, True, False, False]
    with h5py.File(run / "chain.h5", "r+") as file:
        values = np.nan_to_num(file["samples"][:], nan=1.0)
        del file["id"], file["samples"]
        file["id"], file["samples"] = ids * 2, np.concatenate([values, values + 1e-3])
    pd.DataFrame({"id": ids * 2, "converged": [True, True, True, False, *good]}).to_parquet(run / "chain.parquet")
    draws = made(run, mcmc=run / "chain.parquet").loc[("mcmc", "pixels")]["draws"]
    assert draws.to_dict() == {"s1": 100, "s2": 100, "s3": 60, "s4": 0}  # of 120, 120, 60 and none


def test_unphysical_draws_are_counted_and_too_many_lose_the_system(run):
    with h5py.File(run / "net.h5", "a") as file:
        file["draws"][0, 0, GAMMA] = 3.5
        file["draws"][:30, 1, GAMMA] = 0.5
    found = made(run).loc[("net", "prediction")]
    assert found["unphysical"].tolist() == [1, 30, 0, 0] and found["used"].tolist() == [True, False, True, True]
    assert (found["draws"] == DRAWS).all()


def test_the_same_call_gives_the_same_numbers_and_another_seed_others(run):
    first, second, other = made(run), made(run), made(run, seed=8)
    pd.testing.assert_frame_equal(first, second)
    assert (first.loc["prior"]["sigma"] != other.loc["prior"]["sigma"]).all()


def test_it_does_not_matter_how_many_systems_are_matched_side_by_side(run, monkeypatch):
    together = made(run)
    monkeypatch.setattr(compute, "MATCHED", 1)
    pd.testing.assert_frame_equal(made(run), together, rtol=1e-4)


def test_errors_name_the_file(run):
    with pytest.raises(LensvitError, match=r"no file .*absent\.h5"):
        made(run, draws=[run / "absent.h5"])
    catalog = pd.read_parquet(run / "catalog.parquet")
    catalog.assign(id=catalog["id"].str.replace("s", "t")).to_parquet(run / "catalog.parquet")
    with pytest.raises(LensvitError, match=r"net\.h5 has nothing of the system t1"):
        made(run)
    catalog.assign(split="train").to_parquet(run / "catalog.parquet")
    with pytest.raises(LensvitError, match=r"no test system has two images.*fermat\.enabled"):
        made(run)


def test_draws_that_are_all_the_same_have_no_z(run):
    """Few draws of a network, or of a sampling with replacement, may be one and the same."""
    write_draws(run, pd.read_parquet(run / "catalog.parquet"), 0.0)
    table = made(run)
    alone = table.loc["net", "prediction"]
    assert (alone["sigma"] < 1e-9).all() and not alone["used"].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_draws(run, count):
    """Fewer than four draws have no sigma, none of them counts as unphysical, and four are enough."""
    with h5py.File(run / "net.h5", "r+") as file:
        draws = file["draws"][:count]
        del file["draws"]
        file["draws"] = draws
    table = made(run)
    for treatment, kept in (("prediction", count), ("images", count if count > 3 else 0)):
        rows = table.loc["net", treatment]
        assert (rows["draws"] == kept).all() and (rows["unphysical"] == 0).all() and (rows["used"] == (count > 3)).all()
        assert (rows[["error", "sigma", "z"]].notna() == (count > 3)).all(axis=None)
    fermat_table(run / "fermat.parquet", 0.01, run / "fermat.csv")
    rows = pd.read_csv(run / "fermat.csv").set_index(["method", "treatment", "images"]).loc["net"]
    assert (rows.xs("all", level="images")["used"] == (SYSTEMS if count > 3 else 0)).all()


def test_priors_of_free_scenes_have_honest_sigmas(tmp_path):
    """Truths are draws of the priors, shear included, so that errors given the positions are as large as sigmas."""
    known, rng = priors(FREE), np.random.default_rng(5)
    drawn = [{name: prior.draw(rng) for name, prior in known.items()} for _ in range(30)]
    catalog = pd.DataFrame(drawn).assign(id=[f"s{row}" for row in range(30)], psf="a", split="test", lens_amp=3.0)
    filled(catalog, CATALOG).to_parquet(tmp_path / "catalog.parquet")
    write_draws(tmp_path, catalog, 0.02)
    found = made(tmp_path, priors=FREE, external_shear=True)
    prior, network = found.loc["prior", "images"], found.loc["net", "prediction"]
    assert len(prior) > 25 and prior["used"].mean() > 0.9
    assert 0.75 < np.sqrt(np.square(prior["z"][prior["used"]]).mean()) < 1.25
    four = network["n_images"] == 4
    assert network["sigma_shear"][four].median() > 0.2 and four.sum() > 10  # as wide as the prior; 0.05 by the paper's
    assert network["sigma_shear"][~four].max() < 1e-9  # the shear cancels where the rays of two images meet on average


def test_an_image_in_the_centre_of_the_lens_has_no_delay():
    """A shallow slope leaves it a little light, and it would be the last to arrive."""
    rng = np.random.default_rng(0)
    truth = {name: prior.draw(rng) for name, prior in priors({}).items()} | {
        "theta_E": 1.0, "gamma": 1.7, "e1": 0.1, "e2": 0.0, "gamma_ext": 0.02, "source_x": 0.3, "source_y": 0.1,
    }  # fmt: skip
    [images] = solve([truth])
    assert len(images) == 3 and 1e-3 < images.magnification[2] < 0.05
    catalog = filled(pd.DataFrame([truth]).assign(id="s", psf="a", split="test"), CATALOG)
    content = {"seed": 1, "draws": 10, "astrometry": 1e-6, "priors": {}, "external_shear": True}
    [system] = compute.lenses(catalog, compute.FermatSettings(**content, max_images=4))
    np.testing.assert_allclose(system.positions, np.column_stack([images.x, images.y])[:2], atol=1e-5)
    assert system.pair == (1, 0) and system.difference > 0  # the saddle point after the minimum
    with pytest.raises(LensvitError, match="no test system has two images"):
        compute.lenses(catalog, compute.FermatSettings(**content, max_images=1))


def test_no_image_but_the_central_one_is_left_out():
    rng = np.random.default_rng(1)
    drawn = [{name: prior.draw(rng) for name, prior in priors({}).items()} for _ in range(40)]
    for row, images in zip(drawn, solve(drawn), strict=True):
        assert compute.without_central(images, np.array(list(row.values()))) is images
