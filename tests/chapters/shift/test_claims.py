"""What the paper says of systems out of distribution."""

import numpy as np

from lensvit.chapters.shift import claims
from lensvit.chapters.shift.table import CONTROL, LEFT_OUT
from lensvit.parameters import TARGET_NAMES
from tests.chapters.quoted import quoted
from tests.chapters.shift.makers import made, sample

LABELS = {"one": "Net"}
CONFIG = {
    "priors": {"gamma": {"sd": 0.1, "mean": None}},
    "scene": {"sigma_bkg_low": 0.04, "sigma_bkg_high": 4.0},
    "shift": {
        "model": "one",
        "left_out": "b",
        "cases": {
            "steep": {"label": "steep slope", "priors": {"gamma": {"mean": 2.6, "sd": None}}, "scene": {}},
            "noisy": {"label": "strong noise", "priors": {}, "scene": {"sigma_bkg_high": 9.0}},
        },
    },
}


def test_claims_follow_the_table(tables, tmp_path):
    numbers = quoted(claims, tmp_path / "shift.csv", labels=LABELS, **CONFIG)["shift"]
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
    numbers = quoted(claims, tmp_path / "shift.csv", labels=LABELS, **config)["shift"]
    verdicts = {score: area["verdict"] for score, area in numbers["cases"][0]["areas"].items()}
    assert (
        verdicts == {"epistemic": "reversed", "predicted": "missed", "residual": "found"} and numbers["unseen"] is None
    )


def test_cases_of_free_scenes_are_told_key_by_key(tmp_path):
    rng = np.random.default_rng(6)
    made(tmp_path, ordinary=sample(rng, 60), free=sample(rng, 60), faint=sample(rng, 60))
    sheared = {"gamma_ext": {"kind": "rayleigh", "sd": 0.1}, "light_e1": {"sd": 0.4}}
    cases = {
        "free": {"label": "free", "priors": sheared, "scene": {"lens_light": "free", "exposure_high": 900.0}},
        "faint": {"label": "faint", "priors": {}, "scene": {"magnitudes": {"quasar": (23.0, 24.0), "lens": (18, 20)}}},
    }
    config = {**CONFIG, "shift": {"model": "one", "left_out": None, "cases": cases}}
    config["scene"] = {**CONFIG["scene"], "magnitudes": {"quasar": (20.0, 23.0)}}
    numbers = quoted(claims, tmp_path / "shift.csv", labels=LABELS, **config)["shift"]
    free, faint = numbers["cases"]
    assert free["scene"] == [
        {"key": "lens_light", "value": "free", "before": "tied"},
        {"key": "exposure_high", "value": 900.0, "before": None},
    ]
    assert [(prior["name"], prior["kind"], prior["sd"]) for prior in free["priors"]] == [
        ("gamma_ext", "rayleigh", 0.1),
        ("light_e1", "normal", 0.4),
    ]
    assert faint["scene"] == [
        {"key": "magnitudes.quasar", "value": [23.0, 24.0], "before": [20.0, 23.0]},
        {"key": "magnitudes.lens", "value": [18, 20], "before": None},
    ]
