"""Table 1, and the convention of its overall error."""

import json

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.accuracy.published import PUBLISHED
from lensvit.chapters.accuracy.table import MASS_TARGETS, ROWS, table
from lensvit.errors import LensvitError
from lensvit.io.tables import CATALOG, PREDICTIONS
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.statistics.compare import scored
from lensvit.statistics.metrics import bootstrap_weights, overall, rmse, with_overall
from tests.builders import filled
from tests.chapters.exact import write_exact


@pytest.mark.parametrize(("model", "printed"), [("published_vit", 0.1232), ("published_resnet", 0.1476)])
def test_the_published_columns_add_up_as_the_root_of_the_sum(model, printed):
    column = PUBLISHED[model]
    value = overall(np.array([column[name] for name in TARGET_NAMES]))
    assert column["overall"] == printed
    assert float(value) == pytest.approx(printed, abs=1e-4)  # the entries are rounded themselves


def test_rmse_of_a_known_error():
    error = np.array([[3.0, 0.0], [-4.0, 1.0]])
    assert rmse(error) == pytest.approx([np.sqrt(12.5), np.sqrt(0.5)])
    assert with_overall(error)[0] == pytest.approx(np.sqrt(13.0))


def test_the_standard_error_is_that_of_gaussian_errors():
    """The RMSE of n Gaussian errors scatters by sigma / sqrt(2 n)."""
    error = np.random.default_rng(0).normal(size=(2000, 3)) * [1.0, 2.0, 5.0]
    found = scored(np.square(error), bootstrap_weights(len(error), 1)).errors[1:]
    assert found == pytest.approx(np.array([1.0, 2.0, 5.0]) / np.sqrt(4000), rel=0.12)


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(400, 8))
    systems = pd.DataFrame(truth, columns=TARGET_NAMES).assign(split="test", id=[f"s{row}" for row in range(400)])
    other = pd.DataFrame(rng.normal(5, 1, size=(50, 8)), columns=TARGET_NAMES).assign(split="train")
    filled(pd.concat([other, systems]), CATALOG).to_parquet(tmp_path / "catalog.parquet")
    (tmp_path / "scaler.json").write_text(
        json.dumps({"mean": dict.fromkeys(TARGET_NAMES, 0.5), "sd": dict.fromkeys(TARGET_NAMES, 1.0)})
    )
    for model, size in (("a", 0.1), ("b", 0.3)):
        columns = {}
        for number, name in enumerate(TARGET_NAMES):
            columns[f"{name}_truth"] = truth[:, number]
            columns[f"{name}_mean"] = truth[:, number] + size * np.where(np.arange(400) % 2, 1, -1)
        columns["id"] = [f"s{number}" for number in range(400)]
        filled(pd.DataFrame(columns), PREDICTIONS).to_parquet(tmp_path / f"{model}.parquet")
    table(
        [tmp_path / "a.parquet", tmp_path / "b.parquet"],
        tmp_path / "catalog.parquet",
        tmp_path / "scaler.json",
        tmp_path / "t.csv",
        tmp_path / "e.csv",
        tmp_path / "d.csv",
    )
    return tmp_path, truth


def test_table1(run):
    folder, truth = run
    found = pd.read_csv(folder / "t.csv", index_col="target")
    assert tuple(found.index) == ROWS
    assert list(found.columns) == ["a", "b", "prior", "published_vit", "published_resnet"]
    assert found.loc["gamma", "a"] == pytest.approx(0.1) and found.loc["gamma", "b"] == pytest.approx(0.3)
    assert found.loc["overall", "b"] == pytest.approx(np.sqrt(8) * 0.3, rel=1e-5)
    assert found.loc["theta_E", "prior"] == pytest.approx(np.sqrt(np.mean((0.5 - truth[:, 0]) ** 2)), rel=1e-5)
    assert found.loc["e1", "published_vit"] == 0.0278 and found.loc["overall", "published_vit"] == 0.1232
    assert found.loc["standardised", "a"] == pytest.approx(0.1)  # the targets' scatters are one
    assert found.loc["mass", "published_vit"] == pytest.approx(
        np.sqrt(np.mean([PUBLISHED["published_vit"][name] ** 2 for name in MASS_TARGETS])), rel=1e-5
    )


def test_the_errors_of_the_table(run):
    folder, _ = run
    errors = pd.read_csv(folder / "e.csv", index_col="target")
    assert list(errors.columns) == ["a", "b", "prior"] and errors.loc["systems"].tolist() == [400, 400, 400]
    assert errors.loc["trainings", ["a", "b"]].tolist() == [1, 1] and errors.loc["scatter"].isna().all()
    errors = errors.drop(["systems", "trainings", "scatter"])
    assert (errors["a"] < 1e-6).all()  # all errors are of one size
    assert errors.loc["gamma", "prior"] == pytest.approx(1 / np.sqrt(800), rel=0.3)


def again(folder, *trainings):
    """The table of both models with further trainings of them: the errors, and the differences by pair and row."""
    paths = [folder / name for name in ("a.parquet", "b.parquet")]
    outputs = [folder / name for name in ("t.csv", "e.csv", "d.csv")]
    table(paths, folder / "catalog.parquet", folder / "scaler.json", *outputs, trainings=list(trainings))
    pairs = pd.read_csv(outputs[2])
    return pd.read_csv(outputs[1], index_col="target"), pairs.set_index(["first", "second", "target"])


def test_the_differences_are_paired(run):
    folder, truth = run
    paths = folder / "a.parquet", folder / "b.parquet"
    first, second = (pd.read_parquet(path) for path in paths)
    rng = np.random.default_rng(5)
    common = rng.normal(size=400)
    first["gamma_mean"] = truth[:, 1] + 0.2 * common
    second["gamma_mean"] = truth[:, 1] + 0.19 * common + 0.005 * rng.normal(size=400)
    for path, content in zip(paths, (first, second), strict=True):
        content.to_parquet(path)
    errors, pairs = again(folder)
    assert list(dict.fromkeys((a, b) for a, b, _ in pairs.index)) == [("a", "b"), ("a", "prior"), ("b", "prior")]
    found = pairs.loc[("a", "b", "gamma")]
    assert found["difference"] == pytest.approx(0.01, rel=0.1) and found["ratio"] == pytest.approx(1.05, rel=0.02)
    assert found["difference_error"] < 0.2 * np.hypot(errors.loc["gamma", "a"], errors.loc["gamma", "b"])
    assert found["difference"] > 3 * found["difference_error"]
    assert pairs.loc[("a", "prior", "overall"), "difference"] < 0


def test_further_trainings_make_the_errors_larger(run):
    folder, truth = run
    once, pairs = again(folder)
    for name, size in (("a2", 0.11), ("a3", 0.09)):
        table = pd.read_parquet(folder / "a.parquet")
        for number, target in enumerate(TARGET_NAMES):
            table[f"{target}_mean"] = truth[:, number] + size * np.where(np.arange(400) % 2, 1, -1)
        table.to_parquet(folder / f"{name}.parquet")
    often, more = again(folder, f"a={folder}/a2.parquet", f"a={folder}/a3.parquet")
    expected = np.std(np.log([0.1, 0.11, 0.09]), ddof=1)
    assert often.loc["trainings", ["a", "b"]].tolist() == [3, 1]
    assert often.loc["scatter", ["a", "b"]].tolist() == pytest.approx([expected] * 2, rel=1e-3)
    assert often.loc["gamma", "a"] == pytest.approx(0.1 * expected, rel=1e-3)
    assert often.loc["gamma", "b"] == pytest.approx(0.3 * expected, rel=1e-3)  # as far as is known
    assert (often["prior"].dropna() == once["prior"].dropna()).all()
    assert more.loc[("a", "b", "gamma"), "difference_error"] == pytest.approx(expected * np.hypot(0.1, 0.3), rel=1e-3)
    assert more["ratio"].equals(pairs["ratio"])


def test_a_training_of_no_model_is_one_line(run):
    for given in ("c=a.parquet", "a"):
        with pytest.raises(LensvitError, match=rf"--trainings {given}: give MODEL=PATH, where MODEL is one of a, b$"):
            again(run[0], given)
    for given in ("a=elsewhere/a.parquet", "b=b.parquet"):
        with pytest.raises(LensvitError, match=rf"--trainings {given}: {given[0]} counts already"):
            again(run[0], given)


def test_the_limit_stands_between_the_prior_and_the_published_columns(run):
    folder, _ = run
    sigma = {
        f"{name}_{kind}": np.full(400, size) for name in TARGET_NAMES for kind, size in (("known", 0.01), ("free", 1))
    }
    sigma["gamma_known"] = np.where(np.arange(400) < 200, 0.03, 0.04)
    bounds = pd.DataFrame({"id": [f"s{row}" for row in range(400)], "instrument": "hst", **sigma})
    bounds.assign(valid_known=np.arange(400) < 200).to_parquet(folder / "limit.parquet")
    paths = folder / "catalog.parquet", folder / "scaler.json", folder / "t.csv", folder / "e.csv", folder / "d.csv"
    table([folder / "a.parquet"], *paths, limit=folder / "limit.parquet", amplitudes="known")
    found = pd.read_csv(folder / "t.csv", index_col="target")
    assert list(found.columns) == ["a", "prior", "limit", "published_vit", "published_resnet"]
    assert found.loc["gamma", "limit"] == pytest.approx(0.03)  # of the systems that have a limit
    assert found.loc["overall", "limit"] == pytest.approx(0.04)
    errors = pd.read_csv(folder / "e.csv", index_col="target")
    assert list(errors) == ["a", "prior", "limit"] and errors.loc["systems"].tolist() == [400, 400, 200]
    assert errors.loc["gamma", "limit"] < 1e-6


def test_certified_posteriors_have_a_column_and_the_bayes_error(run):
    folder, truth = run
    rng, count = np.random.default_rng(4), 60
    sigma = np.linspace(0.5, 2.0, count)[:, None]  # of each system
    mean = np.zeros((count, len(NAMES)))
    mean[:, : len(TARGET_NAMES)] = truth[:count] + sigma * rng.normal(size=(count, len(TARGET_NAMES)))
    samples = mean[:, None] + sigma[:, None] * rng.normal(size=(count, 500, len(NAMES)))
    systems = pd.DataFrame(truth[:count], columns=[f"{name}_truth" for name in TARGET_NAMES])
    systems["id"] = [f"s{row}" for row in range(count)]
    certified = np.arange(count) % 3 > 0
    paths = folder / "catalog.parquet", folder / "scaler.json", folder / "t.csv", folder / "e.csv", folder / "d.csv"
    for some, there in ((certified, True), (np.zeros(count, bool), False)):
        write_exact(
            folder / "importance.parquet", systems.assign(id=[f"s{row}" for row in range(count)]), samples, some
        )
        table([folder / "a.parquet"], *paths, importance=folder / "importance.parquet")
        found, errors = (pd.read_csv(folder / name, index_col="target") for name in ("t.csv", "e.csv"))
        assert ("importance" in found) == ("bayes" in found) == ("importance" in errors) == there
        if there:
            assert list(found.columns)[:4] == ["a", "importance", "prior", "bayes"]
            assert list(errors.columns) == ["a", "importance", "prior", "bayes"]
            assert errors.loc["systems"].tolist() == [400, 40, 400, 40]
            expected = np.sqrt(np.square(sigma[certified]).mean())
            assert found.loc["gamma", "bayes"] == pytest.approx(expected, rel=0.03)
            assert abs(found.loc["gamma", "importance"] - expected) < 3 * errors.loc["gamma", "importance"]
            assert found.loc["overall", "bayes"] == pytest.approx(np.sqrt(8) * expected, rel=0.03)


def validation_of(folder, sizes, correlated=False, ids="v"):
    """Predictions of other systems, whose errors have these sizes, and their paths."""
    rng, paths = np.random.default_rng(7), []
    common = rng.choice([-1.0, 1.0], (300, 1))
    for model, size in sizes.items():
        sign = common if correlated else rng.choice([-1.0, 1.0], (300, len(TARGET_NAMES)))
        columns = {"id": [f"{ids}{row}" for row in range(300)], **{f"{name}_truth": 0.0 for name in TARGET_NAMES}}
        for number, name in enumerate(TARGET_NAMES):
            columns[f"{name}_mean"] = size * sign[:, min(number, sign.shape[1] - 1)]
        paths.append(folder / "validation" / f"{model}.parquet")
        paths[-1].parent.mkdir(exist_ok=True)
        filled(pd.DataFrame(columns), PREDICTIONS).to_parquet(paths[-1])
    return paths


def test_the_ensemble_is_the_mean_with_the_weights_of_the_validation_systems(run):
    folder, truth = run
    models = [folder / "a.parquet", folder / "b.parquet"]
    second = pd.read_parquet(models[1])  # what a and b get wrong is independent here
    flipped = np.where(np.arange(400) % 4 < 2, 0.3, -0.3)
    for number, name in enumerate(TARGET_NAMES):
        second[f"{name}_mean"] = truth[:, number] + flipped
    second.to_parquet(models[1])
    paths = folder / "catalog.parquet", folder / "scaler.json", folder / "t.csv", folder / "e.csv", folder / "d.csv"
    validation = validation_of(folder, {"a": 0.1, "b": 0.3})
    table(models, *paths, validation=validation, ensemble=folder / "w.csv")
    found, errors = (pd.read_csv(folder / name, index_col="target") for name in ("t.csv", "e.csv"))
    assert list(found.columns) == ["a", "b", "ensemble", "prior", "published_vit", "published_resnet"]
    assert list(errors) == ["a", "b", "ensemble", "prior"] and errors.loc["systems", "ensemble"] == 400
    weights = pd.read_csv(folder / "w.csv", index_col="target")
    assert list(weights.index) == list(TARGET_NAMES) and list(weights) == ["a", "b"]
    assert weights["a"].to_numpy() == pytest.approx(0.9, abs=0.05)
    assert weights.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)
    best = (1 / (1 / 0.1**2 + 1 / 0.3**2)) ** 0.5
    assert found.loc["gamma", "ensemble"] == pytest.approx(best, rel=0.01)
    assert found.loc["overall", "ensemble"] == pytest.approx(np.sqrt(8) * best, rel=0.01)
    pairs = pd.read_csv(folder / "d.csv").set_index(["first", "second", "target"])
    assert {pair[:2] for pair in pairs.index} == {
        ("a", "b"), ("a", "ensemble"), ("b", "ensemble"), ("a", "prior"), ("b", "prior"),
    }  # fmt: skip
    assert pairs.loc[("a", "ensemble", "gamma"), "ratio"] == pytest.approx(0.1 / best, rel=0.01)
    alike = validation_of(folder, {"a": 0.1, "b": 0.3}, correlated=True)
    table(models, *paths, validation=alike)  # b errs as a does, but more
    same = pd.read_csv(folder / "t.csv", index_col="target")
    assert same["ensemble"].to_numpy() == pytest.approx(same["a"].to_numpy(), rel=1e-4)


def test_the_ensemble_scatters_between_trainings_as_its_models_do(run):
    folder, truth = run
    again = pd.read_parquet(folder / "a.parquet")
    for number, target in enumerate(TARGET_NAMES):
        again[f"{target}_mean"] = truth[:, number] + 0.12 * np.where(np.arange(400) % 2, 1, -1)
    again.to_parquet(folder / "a2.parquet")
    paths = folder / "catalog.parquet", folder / "scaler.json", folder / "t.csv", folder / "e.csv", folder / "d.csv"
    models, validation = [folder / "a.parquet", folder / "b.parquet"], validation_of(folder, {"a": 0.1, "b": 0.3})
    table(models, *paths, trainings=[f"a={folder}/a2.parquet"], validation=validation)
    found, errors = (pd.read_csv(folder / name, index_col="target") for name in ("t.csv", "e.csv"))
    scatter = errors.loc["scatter", "a"]
    assert scatter == pytest.approx(np.log(1.2) / np.sqrt(2), rel=1e-3)
    assert errors.loc["gamma", "ensemble"] == pytest.approx(scatter * found.loc["gamma", "ensemble"], rel=1e-2)
    assert errors.loc[["trainings", "scatter"], "ensemble"].isna().all()


def test_views_of_the_images_count_in_the_ensemble_where_all_predictions_have_them(run):
    folder, _ = run
    models = [folder / "a.parquet", folder / "b.parquet"]
    paths = folder / "catalog.parquet", folder / "scaler.json", folder / "t.csv", folder / "e.csv", folder / "d.csv"
    validation = validation_of(folder, {"a": 0.1, "b": 0.3})
    for path in (*models[:1], *validation):  # a's views are nearly right, those of b nothing new
        table_of = pd.read_parquet(path)
        for name in TARGET_NAMES:
            off = 0.01 * np.where(np.arange(len(table_of)) % 3, 1, -2)
            table_of[f"{name}_views"] = table_of[f"{name}_truth"] + (off if path.stem == "a" else 0.5)
        table_of.to_parquet(path)
    table(models, *paths, validation=validation, ensemble=folder / "w.csv")
    assert list(pd.read_csv(folder / "w.csv", index_col="target")) == ["a", "b"]  # b's test predictions have none
    second = pd.read_parquet(models[1])
    second.assign(**{f"{name}_views": second[f"{name}_mean"] for name in TARGET_NAMES}).to_parquet(models[1])
    table(models, *paths, validation=validation, ensemble=folder / "w.csv")
    weights = pd.read_csv(folder / "w.csv", index_col="target")
    assert list(weights) == ["a", "b", "a:views", "b:views"] and (weights["a:views"] > 0.9).all()
    found = pd.read_csv(folder / "t.csv", index_col="target")
    assert found.loc["gamma", "ensemble"] < 0.03 < found.loc["gamma", "a"]


def test_an_ensemble_of_one_of_others_or_of_the_tested_systems_is_refused(run):
    folder, _ = run
    paths = folder / "catalog.parquet", folder / "scaler.json", folder / "t.csv", folder / "e.csv", folder / "d.csv"
    models = [folder / "a.parquet", folder / "b.parquet"]
    given = validation_of(folder, {"a": 0.1, "b": 0.3})
    for some, others in ((models[:1], given[:1]), (models, given[:1])):
        with pytest.raises(LensvitError, match=r"--validation: give predictions of a.*two models or more"):
            table(some, *paths, validation=others)
    with pytest.raises(LensvitError, match="validation has systems that are tested"):
        table(models, *paths, validation=validation_of(folder, {"a": 0.1, "b": 0.3}, ids="s"))


def test_a_truncated_file_is_named(run):
    folder, _ = run
    path = folder / "b.parquet"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(LensvitError, match=r"b\.parquet is truncated or broken"):
        outputs = (folder / name for name in "ted")
        table([folder / "a.parquet", path], folder / "catalog.parquet", folder / "scaler.json", *outputs)
