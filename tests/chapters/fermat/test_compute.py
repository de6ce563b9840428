"""The stage on systems whose draws are known, and what a population says."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.fermat.claims import fermat_numbers
from lensvit.chapters.fermat.compute import fermat
from lensvit.chapters.fermat.table import combine, fermat_table, scatter
from lensvit.errors import LensvitError
from lensvit.parameters import NAMES, TARGET_NAMES, priors

SYSTEMS, DRAWS = 4, 40
GAMMA = NAMES.index("gamma")


@pytest.fixture
def run(tmp_path):
    """Four systems; a network that knows all but the slope, whose draws scatter by 0.02 about the truth."""
    rng = np.random.default_rng(3)
    rows = [{name: prior.draw(rng) for name, prior in priors({}).items()} for _ in range(SYSTEMS + 1)]
    catalog = pd.DataFrame(rows, columns=NAMES).assign(
        id=[f"s{row}" for row in range(SYSTEMS + 1)], psf="a", split=["train"] + ["test"] * SYSTEMS, gamma_ext=0.0
    )
    catalog.to_parquet(tmp_path / "catalog.parquet")
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
    (run / "settings.yaml").write_text(yaml.safe_dump(content))
    paths = options.pop("draws", [run / "net.h5"])
    fermat(run / "settings.yaml", run / "catalog.parquet", paths, run / "fermat.parquet", **options)
    return pd.read_parquet(run / "fermat.parquet").set_index(["method", "treatment", "id"]).sort_index()


def write_posteriors(run, width):
    """Covariances with a known slope error at the truth; the system s1 has no limit, no fit and no chain."""
    test = pd.read_parquet(run / "catalog.parquet").query("split == 'test'")
    good = (test["id"] != "s1").to_numpy()
    spread = np.zeros((SYSTEMS, 14, 14))
    spread[:, GAMMA, GAMMA] = width**2
    center = test[list(NAMES)].to_numpy(copy=True)
    center[:, [NAMES.index("gamma_ext"), NAMES.index("psi_ext")]] = 0
    samples = np.repeat(test[list(NAMES)].to_numpy()[:, None], 60, axis=1)
    samples[:, :, GAMMA] += width * np.random.default_rng(2).standard_normal((SYSTEMS, 60))
    for name, sets in {
        "limit": {"known": spread, "marginalised": 4 * spread},
        "fit": {"coordinates": center, "covariance": spread},
        "chain": {"samples": samples, "converged": good},
    }.items():
        with h5py.File(run / f"{name}.h5", "w") as file:
            file["id"] = test["id"].to_list()
            for key, value in sets.items():
                file[key] = value
    columns = {f"{name}_{kind}": 0.1 for name in TARGET_NAMES for kind in ("known", "marginalised")}
    limit = test[["id"]].assign(instrument="hst", **columns, valid_known=good, valid_marginalised=good)
    limit.to_parquet(run / "limit.parquet")
    test[["id"]].assign(converged=good).to_parquet(run / "fit.parquet")


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
    options = {"limit": run / "limit.parquet", "refined": run / "fit.parquet", "mcmc": run / "chain.h5"}
    found = made(run, **options)
    assert (run / "fermat.parquet.sha256").exists()
    groups = {("net", "prediction"), ("net", "images"), ("prior", "images")}
    groups |= {(name, "pixels") for name in ("limit", "refined", "mcmc")}
    assert set(found.index.droplevel("id")) == groups and len(found) == SYSTEMS * len(groups)
    pixels = found.xs("pixels", level="treatment")
    assert not pixels.xs("s1", level="id")["used"].any() and (pixels.xs("s1", level="id")["draws"] == 0).all()
    assert pixels.drop("s1", level="id")["used"].all()
    assert found.loc["limit"]["error"].isna().all() and found.loc["limit"]["sigma"].count() == SYSTEMS - 1
    assert found.loc["mcmc"]["draws"].max() == 60
    wider = made(run, limit=run / "limit.parquet", amplitudes="marginalised").loc["limit"]["sigma"]
    assert wider.dropna().to_numpy() == pytest.approx(2 * found.loc["limit"]["sigma"].dropna().to_numpy(), rel=0.2)
    assert (found["difference"] > 0).all() and found["n_images"].isin([2, 4]).all()


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


# ---------------------------------------------------------------- the population


def population(count, bias=0.0, factor=1.0, method="net", treatment="images", seed=0):
    """Systems with sigmas of 5%, their errors ``factor`` times as wide."""
    error = bias + factor * 0.05 * np.random.default_rng(seed).standard_normal(count)
    return pd.DataFrame(
        {
            "id": [f"s{row}" for row in range(count)], "n_images": np.where(np.arange(count) % 4, 4, 2), "method": method,
            "treatment": treatment, "draws": 100, "unphysical": 1, "used": True, "error": error, "sigma": 0.05,
            "z": error / 0.05, "share_gamma": 0.8, "share_theta_E": 0.2,
            **{f"sigma_{part}": 0.03 if treatment == "prediction" else np.nan for part in ("gamma", "theta_E", "shear")},
        }
    )  # fmt: skip


def table(folder, *parts):
    pd.concat(parts).to_parquet(folder / "fermat.parquet")
    fermat_table(folder / "fermat.parquet", 0.01, folder / "fermat.csv")
    return pd.read_csv(folder / "fermat.csv").set_index(["method", "treatment", "images"])


def test_equal_systems_combine_as_the_root_of_their_number():
    for count in (1, 25, 400):
        value, error = combine(np.full(count, 0.02), np.full(count, 0.05))
        assert value == pytest.approx(0.02) and error == pytest.approx(0.05 / np.sqrt(count))
    errors = 0.05 * np.random.default_rng(0).standard_normal(900)
    assert scatter(errors, np.full(900, 0.05), 1) == pytest.approx(0.05 / 30, rel=0.1)


def test_sharper_systems_count_more():
    assert combine(np.array([0.0, 1.0]), np.array([0.1, 0.2]))[0] == pytest.approx(0.2)


def test_a_bias_and_wrong_sigmas_show(tmp_path):
    honest, biased, bold = (population(400, *values) for values in ((0, 1), (0.03, 1), (0, 3)))
    found = table(tmp_path, honest, biased.assign(method="biased"), bold.assign(method="bold"))
    found = found.xs(("images", "all"), level=("treatment", "images"))
    assert found.loc["net", "predicted"] == pytest.approx(0.0025) and found.loc["net", "lenses"] == pytest.approx(25)
    assert found.loc["net", "lenses_observed"] == pytest.approx(25, rel=0.2) and abs(found.loc["net", "tension"]) < 3
    assert found.loc["biased", "tension"] > 8
    assert found.loc["bold", "observed"] == pytest.approx(3 * 0.0025, rel=0.15)
    assert found.loc["bold", "predicted"] == pytest.approx(0.0025) and found.loc["bold", "z"] == pytest.approx(
        3, rel=0.1
    )
    assert (found["unphysical"] == 0.01).all()


def test_rows_by_number_of_images_and_systems_left_out(tmp_path):
    part = population(40)
    part.loc[:9, ["used", "error", "sigma", "z"]] = [False, np.nan, np.nan, np.nan]
    found = table(tmp_path, part).loc[("net", "images")]
    assert found["systems"].to_dict() == {"all": 40, "2": 10, "4": 30}
    assert found.loc["all", "used"] == 30 and np.isfinite(found.loc["all", "combined"])
    part = part.assign(used=False)
    assert np.isnan(table(tmp_path, part).loc[("net", "images", "all"), "sigma"])


def test_the_numbers_of_the_paper(tmp_path):
    limit = population(400, method="limit", treatment="pixels").assign(error=np.nan, z=np.nan, sigma=0.002)
    prior = population(400, bias=-0.04, method="prior").assign(sigma=0.2)
    table(tmp_path, population(400, treatment="prediction"), population(400, bias=0.05, factor=3), prior, limit)
    settings = {"goal": 0.01, "astrometry": 1e-3, "draws": 100, "enabled": True}
    found = json.loads(json.dumps(fermat_numbers(tmp_path / "fermat.csv", settings, {"net": "Net"}), allow_nan=False))
    (network,) = found["networks"]
    assert found["systems"] == 400 and network["label"] == "Net"
    assert network["over_prior"] == pytest.approx(4) and network["over_pixels"] == pytest.approx(25)
    assert network["alone"]["honest"] and not network["alone"]["biased"] and network["alone"]["sigma_gamma"] == 0.03
    images = network["images"]
    assert images["biased"] and images["out_of_reach"] and images["honest"] is False and images["sigma_gamma"] is None
    assert found["prior"]["key"] == "prior" and [entry["label"] for entry in found["pixels"]] == ["Limit"]
    assert found["pixels"][0]["combined"] is None and found["pixels"][0]["honest"] is None
    assert found["pixels"][0]["lenses"] == 1
