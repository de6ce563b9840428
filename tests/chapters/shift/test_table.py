"""Errors, coverage and areas of shifted systems, and what is claimed of them."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm

from lensvit.chapters.shift.claims import shift_numbers
from lensvit.chapters.shift.figure import figure7
from lensvit.chapters.shift.table import CONTROL, LEFT_OUT, shift_table
from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES

SIGMA = 0.1
CONFIG = {
    "priors": {"gamma": {"sd": 0.1, "mean": None}},
    "scene": {"sigma_bkg_low": 0.04, "sigma_bkg_high": 4.0},
    "models": {"one": {"label": "Net"}},
    "shift": {
        "model": "one",
        "left_out": "b",
        "cases": {
            "steep": {"label": "steep slope", "priors": {"gamma": {"mean": 2.6, "sd": None}}, "scene": {}},
            "noisy": {"label": "strong noise", "priors": {}, "scene": {"sigma_bkg_high": 9.0}},
        },
    },
}


def sample(rng, count, error=1.0, raised=0.0, psf="a", offset=0):
    """Predictions whose errors have a Gaussian scatter of ``error`` sigma; residuals are raised by so many sigma."""
    columns = {"id": [f"{psf}-test-{offset + number:06d}" for number in range(count)], "psf": psf}
    for name in TARGET_NAMES:
        truth = rng.normal(size=count)
        columns |= {
            f"{name}_truth": truth,
            f"{name}_mean": truth + error * SIGMA * rng.normal(size=count),
            f"{name}_sigma": SIGMA,
        }
    scores = {"epistemic": rng.normal(size=count), "predicted": rng.normal(size=count)}
    return pd.DataFrame(columns).assign(**scores, residual=raised + rng.normal(size=count))


def made(folder, **samples):
    """The two tables, of samples by name."""
    paths = []
    for name, table in samples.items():
        (folder / name).mkdir()
        paths.append(folder / name / "scores.parquet")
        table.to_parquet(paths[-1])
    shift_table(paths, folder / "shift.csv", folder / "roc.csv", "b" if LEFT_OUT in samples else None)
    return pd.read_csv(folder / "shift.csv").set_index(["case", "target"]), pd.read_csv(folder / "roc.csv")


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(1)
    ordinary = pd.concat([sample(rng, 400), sample(rng, 300, psf="b")])
    left_out = pd.concat([sample(rng, 400), sample(rng, 300, error=1.5, psf="b")])
    samples = {
        "ordinary": ordinary, LEFT_OUT: left_out,
        "steep": sample(rng, 400, error=2, raised=1), "noisy": sample(rng, 20, error=3),
    }  # fmt: skip
    return made(tmp_path, **samples)


def test_ratios_coverage_and_areas_are_those_of_the_gaussians(tables):
    table, _ = tables
    row = table.loc[("steep", "overall")]
    assert (row["systems"], row["ordinary_systems"]) == (400, 400)
    # eight targets: the relative error of an overall RMSE is 1 / sqrt(2 n 8)
    assert row["ratio"] == pytest.approx(2, rel=4 / np.sqrt(8 * 400))
    assert row["ratio_error"] == pytest.approx(2 / np.sqrt(8 * 400), rel=0.2)
    assert row["coverage"] == pytest.approx(2 * norm.cdf(0.5) - 1, abs=0.03)
    assert row["ordinary_coverage"] == pytest.approx(2 * norm.cdf(1) - 1, abs=0.03)
    assert row["z"] == pytest.approx(2, rel=0.07) and row["ordinary_z"] == pytest.approx(1, rel=0.07)
    assert abs(row["auc_residual"] - norm.cdf(1 / np.sqrt(2))) < 3.5 * row["auc_residual_error"]
    assert abs(row["auc_epistemic"] - 0.5) < 3.5 * row["auc_epistemic_error"]
    assert row["rmse"] == pytest.approx(np.sqrt(8) * 2 * SIGMA, rel=0.07)
    assert table.loc["steep"].drop("overall")["ratio"].between(1.6, 2.5).all()
    assert table.loc["steep"].drop("overall")["auc_residual"].isna().all()


def test_a_kernel_that_was_left_out_stands_beside_its_control(tables):
    table, _ = tables
    left_out, control = table.loc[(LEFT_OUT, "overall")], table.loc[(CONTROL, "overall")]
    assert (left_out["systems"], left_out["ordinary_systems"]) == (300, 400)
    assert left_out["ratio"] == pytest.approx(1.5, rel=0.08) and control["ratio"] == pytest.approx(1, rel=0.08)


def test_counterparts_cancel_what_both_have_in_common(tmp_path):
    ordinary = sample(np.random.default_rng(2), 50)
    table, _ = made(tmp_path, ordinary=ordinary, same=ordinary.sample(frac=1, random_state=3))
    row = table.loc[("same", "overall")]
    assert row["ratio"] == pytest.approx(1) and row["ratio_error"] < 1e-9
    assert row["coverage_change"] == pytest.approx(0) and row["auc_residual"] == 0.5


def test_curves_go_from_corner_to_corner(tables):
    _, curves = tables
    for _, rows in curves.groupby(["case", "score"]):
        ends = rows[["ordinary", "shifted"]].iloc[[0, -1]].to_numpy()
        assert ends.tolist() == [[0, 0], [1, 1]]
    assert set(curves["case"]) == {LEFT_OUT, CONTROL, "steep", "noisy"}


def test_a_case_without_counterparts_is_an_error(tmp_path):
    rng = np.random.default_rng(4)
    with pytest.raises(LensvitError, match="the case steep has systems that the ordinary ones lack"):
        made(tmp_path, ordinary=sample(rng, 5), steep=sample(rng, 5, offset=3))


# ---------------------------------------------------------------- claims


def test_claims_follow_the_table(tables, tmp_path):
    numbers = shift_numbers(tmp_path / "shift.csv", CONFIG)
    cases = {case["key"]: case for case in numbers["cases"]}
    assert list(cases) == [LEFT_OUT, CONTROL, "steep", "noisy"] and numbers["model"] == "Net"
    steep = cases["steep"]
    assert (steep["error"], steep["honesty"], steep["flagged"]) == ("larger", "lower", True)
    assert steep["areas"]["residual"]["verdict"] == "partly" and steep["areas"]["epistemic"]["verdict"] == "missed"
    gamma = steep["priors"][0]
    assert (gamma["mean"], gamma["sd"], gamma["low"]) == (2.6, 0.1, 1.85)  # the case over the run over the paper
    assert cases["noisy"]["scene"] == [{"key": "sigma_bkg_high", "value": 9.0, "before": 4.0}]
    assert cases["noisy"]["too_few"] and cases["noisy"]["error"] == "too few" and numbers["too_few"]
    assert not cases["noisy"]["flagged"] and cases["noisy"]["areas"]["residual"]["verdict"] == "too few"
    assert cases[CONTROL]["error"] == "same" and numbers["unseen"]["cost"] == "larger"
    assert numbers["worse"] == ["unseen kernel", "steep slope"] and numbers["silent"] == ["unseen kernel"]
    assert [row["target"] for row in numbers["rows"]] == ["overall", *TARGET_NAMES]
    assert set(numbers["rows"][0]["ratios"]) == set(cases)


def test_a_score_that_finds_and_one_that_vouches_for_what_it_should_flag(tmp_path):
    rng = np.random.default_rng(5)
    case = sample(rng, 100, raised=4).assign(epistemic=rng.normal(size=100) - 2)
    made(tmp_path, ordinary=sample(rng, 100), steep=case)
    config = {**CONFIG, "shift": {**CONFIG["shift"], "left_out": None}}
    numbers = shift_numbers(tmp_path / "shift.csv", config)
    verdicts = {score: area["verdict"] for score, area in numbers["cases"][0]["areas"].items()}
    assert (
        verdicts == {"epistemic": "reversed", "predicted": "missed", "residual": "found"} and numbers["unseen"] is None
    )


# ---------------------------------------------------------------- figure 7


def test_figure_7_is_drawn_of_its_tables_alone(tables, tmp_path):
    settings = tmp_path / "settings.yaml"
    labels = {"steep": "steep $ slope", "noisy": "strong noise"}
    settings.write_text(yaml.safe_dump({"left_out": "b", "options": labels}))
    outputs = [tmp_path / f"figure7.{suffix}" for suffix in ("pdf", "png")]
    figure7(settings, tmp_path / "shift.csv", tmp_path / "roc.csv", outputs)
    before = [path.read_bytes() for path in outputs]
    figure7(settings, tmp_path / "shift.csv", tmp_path / "roc.csv", outputs)
    assert [path.read_bytes() for path in outputs] == before and before[0].startswith(b"%PDF")
    with pytest.raises(LensvitError, match="absent or empty"):
        figure7(settings, tmp_path / "none.csv", tmp_path / "roc.csv", outputs)
