"""Real lenses: tables, claims and figures from results of fits and predictions of networks."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.io import fits

from lensvit.chapters.quoting import Context
from lensvit.chapters.real import claims, figure
from lensvit.chapters.real.table import log_density, real_table
from lensvit.errors import LensvitError
from lensvit.parameters import Prior, normal, uniform

PRIORS = {"theta_E": {"kind": "normal", "mean": 1.2, "sd": 0.6}, "gamma": {"kind": "normal", "mean": 2.0, "sd": 0.15}}
GAMMA = {"good+1": 1.9, "good-2": 1.95, "good.3": 1.85, "poor": 2.2}


@pytest.fixture
def written(tmp_path):
    """Results of four fits, one without draws, and predictions of two networks."""
    rng = np.random.default_rng(0)
    for lens, gamma in GAMMA.items():
        drawn = lens != "poor"
        spread = {"theta_E": 0.005, "gamma": 0.05, "e1": 0.01, "e2": 0.01}
        values = {"theta_E": 1.0, "gamma": gamma, "e1": 0.1, "e2": -0.1}
        rows = {
            name: {"most_probable": value} | ({"mean": value, "sigma": spread[name]} if drawn else {})
            for name, value in values.items()
        }
        posterior = {"certified": True} if drawn else None
        content = {"name": lens, "parameters": rows, "posterior": posterior, "priors": PRIORS}
        content["converged"] = drawn
        content["verdict"] = [] if drawn else ["The search did not end at a maximum."]
        (tmp_path / f"{lens}.json").write_text(json.dumps(content))
        if drawn:
            draws = {name: values[name] + spread[name] * rng.standard_normal(500) for name in values}
            pd.DataFrame(draws).to_parquet(tmp_path / f"{lens}.parquet")
    for model, off in {"vit": 0.0, "resnet": 0.8}.items():
        rows = []
        for lens, gamma in GAMMA.items():
            row = {"name": lens, "theta_E_mean": 1.0, "gamma_mean": gamma, "e1_mean": 0.1, "e2_mean": -0.1}
            row |= {f"{name}_sigma": 0.1 for name in ("theta_E", "gamma", "e1", "e2")}
            if lens == "good-2":
                row["gamma_mean"] += off
            row |= {"distance": 0.5, "warned": lens == "poor", "verdict": "It is unlike." if lens == "poor" else ""}
            rows.append(row)
        pd.DataFrame(rows).to_csv(tmp_path / f"{model}.csv", index=False)
    known = {"good+1": {"theta_E": 1.02, "gamma": 1.9, "gamma_sigma": 0.1, "reference": "A & B 2020"}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"published": known}))
    return tmp_path


def table_of(folder, lenses=tuple(GAMMA), models=("vit", "resnet")):
    results = [folder / f"{lens}.json" for lens in lenses]
    predictions = [folder / f"{model}.csv" for model in models]
    real_table(folder / "s.yaml", results, predictions, folder / "real.csv", folder / "population.csv")
    return pd.read_csv(folder / "real.csv"), pd.read_csv(folder / "population.csv")


def numbers(folder):
    labels = {"models": {"vit": {"label": "ViT"}, "resnet": {"label": "ResNet"}}}
    return claims.numbers([folder / "real.csv", folder / "population.csv"], Context(labels, None, [], {})).real


def test_a_network_that_is_off_a_fit_is_wrong(written):
    table, _ = table_of(written)
    assert table.groupby("lens", sort=False)["method"].apply(list).tolist() == [
        ["fit", "vit", "resnet", "published"], *[["fit", "vit", "resnet"]] * 3,
    ]  # fmt: skip
    row = table[(table["lens"] == "good-2") & (table["method"] == "resnet")].iloc[0]
    assert row["off"] == pytest.approx(0.8 / np.hypot(0.1, 0.05)) and row["wrong"] in (True, "True")
    assert table[table["lens"] == "poor"]["off"].isna().all()  # a fit without errors judges nobody
    real = numbers(written)
    assert (real.trusted, real.certified, len(real.lenses)) == (3, 3, 4)
    vit, resnet = real.networks
    assert (vit.label, vit.warned, vit.judged, vit.wrong) == ("ViT", ["poor"], 3, [])
    assert (resnet.wrong, resnet.unwarned) == (["good-2"], ["good-2"])
    first = real.lenses[0]
    assert first.reference == "A & B 2020" and first.verdict == "" and first.rows[-1].theta_E.sigma is None
    assert real.lenses[3].verdict == "The search did not end at a maximum." and real.lenses[3].reference is None
    assert first.rows[0].certified and first.rows[0].warned is None and first.rows[1].trusted is None


def test_a_fit_that_has_not_converged_judges_no_network_and_is_of_no_population(written):
    path = written / "good-2.json"
    path.write_text(path.read_text().replace('"converged": true', '"converged": false'))
    table, summary = table_of(written)
    assert table[table["lens"] == "good-2"]["off"].isna().all()
    assert summary["lenses"].tolist() == [2, 2] and summary["mean"].isna().all()


def test_the_population_of_certified_posteriors(written):
    _, summary = table_of(written)
    assert summary["parameter"].tolist() == ["theta_E", "gamma"] and summary["lenses"].tolist() == [3, 3]
    gamma = summary.set_index("parameter").loc["gamma"]
    # the prior of the fits draws each posterior by (0.05 / 0.15)^2 of its distance from 2; that is taken back
    assert gamma["mean"] < 1.9 and abs(gamma["mean"] - 1.8889) < gamma["mean_error"]
    assert gamma["certified"] and gamma["prior_mean"] == 2.0
    one = numbers(written).population[1]
    assert one.certified and one.lenses == 3 and one.scatter_low < one.scatter < one.scatter_high


def test_without_certificates_all_draws_count_and_with_few_none(written):
    for lens in list(GAMMA)[:2]:
        path = written / f"{lens}.json"
        path.write_text(path.read_text().replace('"certified": true', '"certified": false'))
    _, summary = table_of(written)
    assert summary["lenses"].tolist() == [3, 3] and not summary["certified"].any()
    _, summary = table_of(written, list(GAMMA)[:2])
    assert summary["lenses"].tolist() == [2, 2] and summary["mean"].isna().all()
    assert numbers(written).population == []


def test_priors_have_their_densities():
    x = np.linspace(-5, 8, 130001)
    for prior, mean, sd in (
        (normal(2.0, 0.15), 2.0, 0.15), (uniform(1.0, 2.5), 1.75, 1.5 / 12**0.5), (Prior("normal", 1.2, 0.6), 1.2, 0.6)
    ):  # fmt: skip
        density = np.exp(log_density(prior, x))
        assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
        assert np.trapezoid(x * density, x) == pytest.approx(mean, abs=2e-3)
        assert np.sqrt(np.trapezoid((x - mean) ** 2 * density, x)) == pytest.approx(sd, abs=2e-3)


def test_a_prediction_that_is_missing_is_named(written):
    path = written / "vit.csv"
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    with pytest.raises(LensvitError, match=r"vit.csv has no prediction of good\+1"):
        table_of(written)


def test_figure_11_shows_every_method_of_every_lens(written):
    table, _ = table_of(written)
    drawn = figure.draw(table, {"fit": "Fit", "vit": "ViT"})
    left, middle, right = drawn.axes
    assert [label.get_text() for label in left.get_yticklabels()] == list(GAMMA)
    assert len(left.containers) == 13 and len(middle.containers) == 13 and len(right.containers) == 8
    found = {one.get_label(): one.lines[0].get_xdata()[0] for one in middle.containers}
    assert found["fit good.3 gamma"] == 1.85 and found["published good+1 gamma"] == 1.9
    figure.figure11(_labels(written), written / "real.csv", [written / "figure11.png"])
    assert (written / "figure11.png").stat().st_size > 5000


def _labels(folder):
    (folder / "labels.yaml").write_text(yaml.safe_dump({"labels": {"vit": "ViT"}}))
    return folder / "labels.yaml"


def test_figure_12_shows_image_and_residual_of_every_lens(written):
    paths = []
    for number, lens in enumerate(GAMMA):
        data = np.random.default_rng(number).normal(size=(40, 40))
        units = [fits.PrimaryHDU(data), fits.ImageHDU(2 * data, name="RESIDUAL")]
        units[0].header["PIXSCALE"] = 0.05
        paths.append(written / f"{lens}_model.fits")
        fits.HDUList(units).writeto(paths[-1])
    figure.figure12(paths, [written / "figure12.png"])
    shown = {lens: (np.zeros((40, 40)) + 1, np.full((40, 40), 7.0), 0.05) for lens in GAMMA}
    drawn = figure.draw_images(shown)
    assert len(drawn.axes) == 8 and [axes.get_title("left") for axes in drawn.axes[::2]] == list(GAMMA)
    assert drawn.axes[1].images[0].get_array().max() == 7 and drawn.axes[1].images[0].get_clim() == (-5, 5)
    boxes = [axes.get_position() for axes in drawn.axes]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    paths[0].write_bytes(b"no FITS")
    with pytest.raises(LensvitError, match="truncated or broken"):
        figure.figure12(paths, [written / "figure12.png"])
