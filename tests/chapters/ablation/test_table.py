"""The ablation: errors over seeds, differences to the model as it is, and what the paper says of them."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.ablation.claims import CLEAR, ablation_numbers, verdict
from lensvit.chapters.ablation.table import ablation_table, scatter
from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES

# model and variant -> overall errors of the seeds
SCORES = {
    ("resnet", None): [0.20, 0.21, 0.19],
    ("resnet", "paper"): [0.42, 0.38],
    ("resnet", "raw"): [0.30, 0.31],
    ("resnet", "late"): [0.205],
    ("resnet", "batch"): [0.10, 0.101],
    ("1", None): [0.25],
    ("1", "raw"): [0.5],
}


def names(model, variant, scores):
    return [f"{model}-{variant or 'reference'}-{number}" for number, _ in enumerate(scores, 1)]


@pytest.fixture
def run(tmp_path):
    groups = []
    for (model, variant), scores in SCORES.items():
        label = None if variant is None else f"only {variant}"
        recipe = {None: "better", "paper": "paper"}.get(variant)
        networks = names(model, variant, scores)
        groups.append(
            {
                "model": model, "model_label": model.upper(), "variant": variant, "label": label, "recipe": recipe,
                "networks": networks,
            }
        )  # fmt: skip
        for name, score in zip(networks, scores, strict=True):
            _write_network(tmp_path, name, score, seconds=10.0 * len(name))
    settings = {"run": "abl", "data": {"train": 40, "validation": 4, "test": 6}, "passes": 7, "options": groups}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def _write_network(folder, name, score, seconds):
    columns = {"id": [f"s{row}" for row in range(6)]}
    for target in TARGET_NAMES:
        columns |= {f"{target}_truth": np.ones(6), f"{target}_mean": 1 + score / np.sqrt(8) * np.array([1, -1] * 3)}
    (folder / "predictions").mkdir(exist_ok=True)
    pd.DataFrame(columns).to_parquet(folder / "predictions" / f"{name}.parquet")
    model = folder / "models" / name
    model.mkdir(parents=True)
    pd.DataFrame({"seconds": [seconds] * 2, "images_per_second": [40 / seconds] * 2}).to_csv(model / "history.csv")
    origin = {
        "date": f"2026-01-0{len(name) % 9 + 1}T10:00:00", "commit": "abc", "cores": 2, "hardware": "CPU",
        "platform": "Linux", "python": "3", "versions": {"torch": "2"}, "device": "cpu",
    }  # fmt: skip
    (model / "provenance.json").write_text(json.dumps(origin))


def made(run):
    outputs = run / "ablation.csv", run / "ablation.json"
    ablation_table(run / "settings.yaml", run / "models", run / "predictions", *outputs)
    return outputs


def test_the_table(run):
    table, provenance = made(run)
    found = pd.read_csv(table, dtype={"model": str}).fillna({"variant": ""}).set_index(["model", "variant"])
    assert len(found) == len(SCORES) and list(found["seeds"]) == [len(scores) for scores in SCORES.values()]
    for key, scores in SCORES.items():
        assert found.loc[(key[0], key[1] or ""), "rmse"] == pytest.approx(np.mean(scores), rel=1e-5)
    first, raw = found.loc[("resnet", "")], found.loc[("resnet", "raw")]
    assert first["sd"] == pytest.approx(0.01, rel=1e-4) and np.isnan(found.loc[("resnet", "late"), "sd"])
    assert np.isnan(first["difference"]) and raw["difference"] == pytest.approx(0.105, rel=1e-4)
    relative = scatter([np.array(scores) for (model, _), scores in SCORES.items() if model == "resnet"])
    assert first["error"] == pytest.approx(0.2 * relative / np.sqrt(3), rel=1e-4)
    assert found.loc[("resnet", "late"), "error"] == pytest.approx(0.205 * relative, rel=1e-4)
    assert raw["difference_error"] == pytest.approx(np.hypot(raw["error"], first["error"]), rel=1e-4)
    assert found.loc["1", ["error", "difference_error", "sd"]].isna().all(axis=None)
    assert (found["images"] == 80).all() and raw["seconds"] == pytest.approx(2 * 10 * len("resnet-raw-1"))
    origin = json.loads(provenance.read_text())
    assert (origin["run"], origin["passes"], origin["data"]["test"]) == ("abl", 7, 6)
    assert origin["commit"] == "abc" and origin["cores"] == 2 and len(origin["date"]) == 10


def test_the_scatter_is_that_between_seeds_and_not_between_variants():
    rng = np.random.default_rng(0)
    groups = [size * np.exp(0.03 * rng.normal(size=count)) for size in (0.1, 1, 5) for count in (400, 2, 1)]
    assert scatter(groups) == pytest.approx(0.03, rel=0.1)
    assert np.isnan(scatter([np.array([0.1]), np.array([0.3])]))


def test_the_numbers_of_the_paper(run):
    found = json.loads(json.dumps(ablation_numbers(*made(run)), allow_nan=False))
    assert found["origin"]["run"] == "abl" and found["clear"] == CLEAR
    resnet, one = found["models"]
    assert (one["key"], one["label"], one["error"], one["scatter"]) == ("1", "1", None, None)
    assert one["worse"] == one["better"] == one["undecided"] == []  # without a second seed nothing is judged
    assert (resnet["label"], resnet["recipe"]) == ("RESNET", "better")
    assert resnet["seeds"] == [1, 3] and resnet["images"] == 80
    relative = scatter([np.array(scores) for (model, _), scores in SCORES.items() if model == "resnet"])
    assert resnet["scatter"] == pytest.approx(relative, rel=1e-4)
    assert [entry["label"] for entry in resnet["recipes"]] == ["only paper"]
    assert resnet["recipes"][0]["verdict"] == "worse" and resnet["recipes"][0]["ratio"] == pytest.approx(2, rel=1e-4)
    sorts = {kind: [entry["label"] for entry in resnet[kind]] for kind in ("worse", "better", "undecided")}
    assert sorts == {"worse": ["only raw"], "better": ["only batch"], "undecided": ["only late"]}
    rows = {row["label"]: row["values"] for row in found["rows"]}
    assert list(rows) == [None, "only paper", "only raw", "only late", "only batch"]
    assert rows["only late"]["1"] is None and rows["only raw"]["1"]["difference"] == pytest.approx(0.25)
    assert rows[None]["resnet"]["difference"] is None and rows[None]["resnet"]["seeds"] == 3


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [
        (0.1, 0.01, "worse"),
        (-0.1, 0.01, "better"),
        (0.029, 0.01, "undecided"),
        (-0.029, 0.01, "undecided"),
        (9, None, None),
    ],  # fmt: skip
)
def test_a_verdict_takes_three_errors(difference, error, expected):
    assert verdict(difference, error) == expected


def test_absent_predictions_are_named(run):
    (run / "predictions" / "resnet-raw-1.parquet").unlink()
    with pytest.raises(LensvitError, match=r"no file .*resnet-raw-1\.parquet"):
        made(run)
