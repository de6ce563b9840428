"""The ablation: errors over seeds, and differences to the model as it is."""

import json

import numpy as np
import pandas as pd
import pytest

from lensvit.errors import LensvitError
from lensvit.statistics.compare import relative_scatter
from tests.chapters.ablation.makers import SCORES, made


def test_the_table(run):
    table, provenance = made(run)
    found = pd.read_csv(table, dtype={"model": str}).fillna({"variant": ""}).set_index(["model", "variant"])
    assert len(found) == len(SCORES) and list(found["seeds"]) == [len(scores) for scores in SCORES.values()]
    for key, scores in SCORES.items():
        assert found.loc[(key[0], key[1] or ""), "rmse"] == pytest.approx(np.mean(scores), rel=1e-5)
    first, raw = found.loc[("resnet", "")], found.loc[("resnet", "raw")]
    assert first["sd"] == pytest.approx(0.01, rel=1e-4) and np.isnan(found.loc[("resnet", "late"), "sd"])
    assert np.isnan(first["difference"]) and raw["difference"] == pytest.approx(0.105, rel=1e-4)
    relative = relative_scatter([np.array(scores) for (model, _), scores in SCORES.items() if model == "resnet"])
    assert first["error"] == pytest.approx(0.2 * relative / np.sqrt(3), rel=1e-4)
    assert found.loc[("resnet", "late"), "error"] == pytest.approx(0.205 * relative, rel=1e-4)
    assert raw["difference_error"] == pytest.approx(np.hypot(raw["error"], first["error"]), rel=1e-4)
    assert found.loc["1", ["error", "difference_error", "sd"]].isna().all(axis=None)
    assert (found["images"] == 80).all() and raw["seconds"] == pytest.approx(2 * 10 * len("resnet-raw-1"))
    origin = json.loads(provenance.read_text())
    assert (origin["run"], origin["passes"], origin["data"]["test"]) == ("abl", 7, 6)
    assert origin["commit"] == "abc" and origin["cores"] == 2 and len(origin["date"]) == 10


def test_the_errors_of_differences_contain_the_paired_one_of_the_test_set(run):
    rng = np.random.default_rng(0)
    for name in ("resnet-reference-1", "resnet-raw-1"):
        path = run / "predictions" / f"{name}.parquet"
        table = pd.read_parquet(path)
        table["gamma_mean"] += rng.normal(0, 0.05, len(table))
        table.to_parquet(path)
    found = pd.read_csv(made(run)[0], dtype={"model": str}).fillna({"variant": ""}).set_index(["model", "variant"])
    first, raw = found.loc[("resnet", "")], found.loc[("resnet", "raw")]
    assert np.isnan(first["sampling_error"]) and raw["sampling_error"] > 0
    parts = raw["error"], first["error"], raw["sampling_error"]
    assert raw["difference_error"] == pytest.approx(np.sqrt(np.sum(np.square(parts))), rel=1e-4)
    assert found.loc[("1", "raw"), "sampling_error"] == pytest.approx(0, abs=1e-9)  # errors of one size


def test_predictions_of_other_systems_are_named(run):
    path = run / "predictions" / "resnet-raw-1.parquet"
    table = pd.read_parquet(path)
    table.assign(id=[f"other{row}" for row in range(len(table))]).to_parquet(path)
    with pytest.raises(LensvitError, match=r"predictions of .* are of different systems"):
        made(run)


def test_absent_predictions_are_named(run):
    (run / "predictions" / "resnet-raw-1.parquet").unlink()
    with pytest.raises(LensvitError, match=r"no file .*resnet-raw-1\.parquet"):
        made(run)
