"""What a full posterior gains: which models are compared, and differences of known size with their errors."""

import json

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.calibration.covariance_claims import covariance_pairs, difference, pairs
from lensvit.statistics import calibration

SYSTEMS = 400


@pytest.fixture
def models(tmp_path):
    """Write models/{name}/config.json; keywords: name to the changes of network and recipe."""

    def write(**changes):
        paths = []
        for name, (network, recipe) in changes.items():
            paths.append(tmp_path / name / "config.json")
            paths[-1].parent.mkdir()
            content = {
                "network": {"architecture": "resnet18", "dropout": 0.1, "options": {"a": [1]}, **network},
                "recipe": {"epochs": 3, **recipe},
            }
            paths[-1].write_text(json.dumps(content))
        return paths

    return write


DIAGONAL, FULL = {"posterior": "diagonal"}, {"posterior": "full"}


def test_pairs_differ_in_nothing_but_the_posterior(models):
    paths = models(
        full=(FULL, {}),
        resnet=(DIAGONAL, {}),
        dropout=({**DIAGONAL, "dropout": 0.2}, {}),
        longer=(FULL, {"epochs": 4}),
        other=({**FULL, "dropout": 0.2}, {}),
    )
    assert pairs(paths) == [("full", "resnet"), ("other", "dropout")]
    assert pairs(paths[1:4]) == []


def table(path, shift, seed=0):
    """joint.csv of two models: the full one's likelihood is smaller by ``shift`` +- 1, its TARP values are uniform."""
    rng = np.random.default_rng(seed)
    diagonal = rng.standard_normal(SYSTEMS)
    rows = {
        "full": (diagonal - shift + rng.standard_normal(SYSTEMS), rng.uniform(size=SYSTEMS)),
        "resnet": (diagonal, rng.uniform(size=SYSTEMS) ** 2),
    }
    tables = [
        pd.DataFrame({"model": model, "state": state, "id": range(SYSTEMS), "nll_relative": nll, "tarp": tarp})
        for model, (nll, tarp) in rows.items()
        for state in ("predicted", "recalibrated")
    ]
    pd.concat(tables).sample(frac=1, random_state=1).to_csv(path, index=False)


LABELS = {"full": "ResNet, full", "resnet": "ResNet"}


def numbers(folder, models):
    found = [pair.model_dump() for pair in covariance_pairs(folder / "joint.csv", models, LABELS)]
    return json.loads(json.dumps(found, allow_nan=False))


def test_a_gain_of_known_size(models, tmp_path):
    table(tmp_path / "joint.csv", shift=0.5)
    paths = models(resnet=(DIAGONAL, {}), full=(FULL, {}))
    (found,) = numbers(tmp_path, paths)
    assert found["full"] == {"key": "full", "label": "ResNet, full"} and found["diagonal"]["label"] == "ResNet"
    assert (found["systems"], found["expected"]) == (SYSTEMS, calibration.expected_miscoverage(SYSTEMS))
    likelihood, distance = found["predicted"]["nll"], found["recalibrated"]["miscoverage"]
    assert likelihood["error"] == pytest.approx(1 / np.sqrt(SYSTEMS), rel=0.1)  # of the pairs: their scatter is 1
    assert likelihood["change"] == pytest.approx(-0.5, abs=4 * likelihood["error"])
    assert likelihood["effect"] == distance["effect"] == "better"
    assert distance["diagonal"] == pytest.approx(np.mean(np.sqrt(calibration.LEVELS) - calibration.LEVELS), abs=0.04)
    assert distance["full"] < 0.05


def test_the_error_of_the_miscoverage_is_its_scatter(models, tmp_path):
    paths, found = models(resnet=(DIAGONAL, {}), full=(FULL, {})), []
    for seed in range(12):
        table(tmp_path / "joint.csv", 0.0, seed)
        found.append(numbers(tmp_path, paths)[0]["predicted"]["miscoverage"])
    scatter = np.std([one["change"] for one in found])
    assert np.mean([one["error"] for one in found]) == pytest.approx(scatter, rel=0.6)


def test_too_few_draws_leave_the_likelihood_out(models, tmp_path):
    table(tmp_path / "joint.csv", np.nan)
    found = numbers(tmp_path, models(resnet=(DIAGONAL, {}), full=(FULL, {})))[0]
    assert found["predicted"]["nll"] is None and found["predicted"]["miscoverage"]["effect"] == "better"


def test_a_difference_is_clear_beyond_three_errors():
    assert [difference(1.0 + change, 1.0, 0.1).effect for change in (-0.4, -0.25, 0.25, 0.4)] == [
        "better", "none", "none", "worse",
    ]  # fmt: skip


def test_no_pair_no_numbers(models, tmp_path):
    table(tmp_path / "joint.csv", 0.5)
    assert numbers(tmp_path, models(resnet=(DIAGONAL, {}))) == []
