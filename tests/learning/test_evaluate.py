"""MC dropout: draws with the moments of their summary, the same however passes are grouped."""

import json
import shutil
import subprocess
import sys
from functools import cache

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.errors import LensvitError
from lensvit.learning import evaluate as stage
from lensvit.learning import gaussian
from lensvit.learning import train as training
from lensvit.learning.architectures import load_network
from lensvit.learning.inputs import Inputs
from lensvit.learning.symmetries import turn_image, turn_parameters
from lensvit.parameters import TARGET_NAMES

FLOAT32 = {"precision": "32-true", "compile": False}


@pytest.fixture(scope="module")
def model(trained):
    """A network of dropout 0.1, trained a little."""
    return trained("diagonal")


@pytest.fixture(scope="module", params=["diagonal", "full"])
def either(trained, request):
    """The same, with either posterior."""
    return trained(request.param)


@pytest.fixture(scope="module")
def trained(tiny_run, tiny_networks, tmp_path_factory):
    return cache(lambda posterior: train(tiny_run, tiny_networks, posterior, tmp_path_factory.mktemp(posterior)))


def train(run, networks, posterior, folder):
    content = {
        "seed": 5,
        "network": {
            **networks["vit"], "weights": "scratch", "dropout": 0.1, "attention_dropout": 0.0, "pool_grid": 1,
            "image_size": 24, "posterior": posterior,
        },
        "recipe": {
            "resize": "area", "brightness": "per_area", "stretch": "three", "noise": "fixed", "optimizer": "adamw",
            "learning_rate": 2e-3, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.01, "clip_norm": 5.0,
            "batch_size": 16, "epochs": 3, "criterion": "mse", "precision": "32-true", "compile": False,
            "normalise": "pixel", "symmetries": "none", "symmetries_until": 1.0, "average": 0.0,
        },
    }  # fmt: skip
    (folder / "s.yaml").write_text(yaml.safe_dump(content))
    arguments = (run / "catalog.parquet", run / "scaler.json", run / "images")
    training.train(folder / "s.yaml", *arguments, folder / "vit", folder / "state")
    return folder / "vit"


def evaluate(run, model, folder, **changes):
    folder.mkdir(exist_ok=True)
    settings = {"seed": 7, "passes": 40, "batch_size": 24, "batch_norm": "frozen", **FLOAT32, **changes}
    (folder / "s.yaml").write_text(yaml.safe_dump(settings))
    output = folder / "vit.h5"
    stage.evaluate(folder / "s.yaml", run / "catalog.parquet", run / "images", model, output)
    with h5py.File(output) as file:
        return file["draws"][:], list(file["id"].asstr()), pd.read_parquet(output.with_suffix(".parquet"))


def test_draws_and_their_summary(tiny_run, either, tmp_path):
    draws, ids, summary = evaluate(tiny_run, either, tmp_path)
    assert draws.shape == (40, 24, 8) and draws.dtype == np.float32
    systems = pd.read_parquet(tiny_run / "catalog.parquet").set_index("id")
    assert list(summary["id"]) == ids and set(ids) == set(systems.index[systems["split"] == "test"])
    for number, name in enumerate(TARGET_NAMES):
        assert summary[f"{name}_mean"].to_numpy() == pytest.approx(draws[..., number].mean(0), abs=1e-5)
        assert summary[f"{name}_sigma"].to_numpy() == pytest.approx(draws[..., number].std(0), rel=1e-3, abs=1e-6)
        assert (summary[f"{name}_truth"].to_numpy() == systems.loc[ids, name].to_numpy()).all()
        assert (summary[f"{name}_epistemic"] > 0).all() and (summary[f"{name}_aleatoric"] > 0).all()


@pytest.mark.parametrize(("symmetries", "count"), [("none", 1), ("half_turn", 2), ("source", 4)])
def test_views_are_turned_back(tiny_run, model, tmp_path, symmetries, count):
    """By hand: each image turned, its prediction turned back as the parameters of its system are, and the mean."""
    folder = tmp_path / "vit"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["symmetries"] = symmetries
    (folder / "config.json").write_text(json.dumps(config))
    draws, ids, summary = evaluate(tiny_run, folder, tmp_path / "out", passes=4)
    plain, _, _ = evaluate(tiny_run, model, tmp_path / "plain", passes=4)
    np.testing.assert_array_equal(draws, plain)  # views change no draw
    network, norm, config = load_network(folder)
    network.eval()
    rows = pd.read_parquet(tiny_run / "catalog.parquet").set_index("id").loc[ids].reset_index()
    images = Inputs(rows, tiny_run / "images", config.recipe, config.network.image_size).normalised(norm)
    batch, found = images.batch(torch.arange(len(rows))), []
    for symmetry in range(count):
        with torch.no_grad():
            outputs = network(turn_image(batch, symmetry).contiguous())[:, :8].double().numpy()
        inverse = symmetry  # each of the four is its own
        found.append(
            [
                turn_parameters(
                    {name: config.scaler.mean[name] + config.scaler.sd[name] * value
                     for name, value in zip(TARGET_NAMES, output, strict=True)},
                    inverse,
                )
                for output in outputs
            ]
        )  # fmt: skip
    for name in TARGET_NAMES:
        expected = np.mean([[system[name] for system in view] for view in found], axis=0)
        assert summary[f"{name}_views"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_views_do_not_depend_on_the_passes_whatever_batch_norm_does(tiny_run, tiny_networks, tmp_path):
    model = train(tiny_run, {"vit": tiny_networks["resnet"]}, "diagonal", tmp_path)
    views = []
    for passes, batch_norm in ((4, "frozen"), (4, "batch"), (9, "batch")):
        folder = tmp_path / f"{batch_norm}{passes}"
        _, _, summary = evaluate(tiny_run, model, folder, passes=passes, batch_norm=batch_norm)
        views.append(summary[[f"{name}_views" for name in TARGET_NAMES]].to_numpy())
    np.testing.assert_array_equal(views[0], views[1])
    np.testing.assert_array_equal(views[0], views[2])


def test_the_variance_is_aleatoric_plus_epistemic(tiny_run, either, tmp_path):
    _, _, summary = evaluate(tiny_run, either, tmp_path, passes=1000)
    for name in TARGET_NAMES:
        parts = summary[f"{name}_aleatoric"] ** 2 + summary[f"{name}_epistemic"] ** 2
        ratio = summary[f"{name}_sigma"] ** 2 / parts
        assert ratio.to_numpy() == pytest.approx(np.ones(24), abs=5 * np.sqrt(2 / 1000))


def test_a_pass_has_its_own_seed_whatever_came_before(tiny_run, model, tmp_path):
    many, _, _ = evaluate(tiny_run, model, tmp_path / "many", passes=9)
    few, _, _ = evaluate(tiny_run, model, tmp_path / "few", passes=4)
    other, _, _ = evaluate(tiny_run, model, tmp_path / "other", passes=4, seed=8)
    assert np.array_equal(many[:4], few)
    assert not np.array_equal(few, other)
    assert len({passed.tobytes() for passed in many}) == 9


def test_draws_of_a_full_posterior_go_together_as_each_pass_says(tiny_run, trained, tmp_path, monkeypatch):
    """One pass after the other predicts a correlation of 0.9 of the first two targets and none of the others."""
    output = torch.zeros(2000, 24, 44, dtype=torch.float64)
    output[..., 16] = np.arctanh(-0.9 / np.sqrt(1 - 0.9**2) / gaussian.LARGEST_COUPLING) * (
        gaussian.LARGEST_COUPLING / gaussian.UNIT
    )
    output[0] += 1e-9  # passes that are all the same are refused
    monkeypatch.setattr(stage, "predict", lambda *_: iter([(torch.arange(24), output)]))
    draws, _, summary = evaluate(tiny_run, trained("full"), tmp_path, passes=2000)
    found = np.mean([np.corrcoef(draws[:, system].T) for system in range(24)], axis=0)
    expected = np.eye(8)
    expected[0, 1] = expected[1, 0] = 0.9
    assert found == pytest.approx(expected, abs=0.02)
    assert (summary["gamma_aleatoric"] / summary["gamma_sigma"]).to_numpy() == pytest.approx(np.ones(24), abs=0.1)


def test_a_failed_evaluation_leaves_nothing_behind(tiny_run, model, tmp_path, monkeypatch):
    def breaking(*_):
        yield from ()
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(stage, "predict", breaking)
    with pytest.raises(RuntimeError):
        evaluate(tiny_run, model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


def test_processes_share_the_passes_and_the_draws_are_those_of_one(tiny_run, trained, tmp_path):
    """Started as a user does, since the second process starts itself with the same command."""
    model = trained("full")
    alone, _, summary = evaluate(tiny_run, model, tmp_path, passes=7, batch_size=10)
    command = [
        sys.executable, "-m", "lensvit", "evaluate", "--settings", tmp_path / "s.yaml",
        "--catalog", tiny_run / "catalog.parquet", "--images", tiny_run / "images", "--model", model,
        "--output", tmp_path / "two.h5", "--processes", "2",
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    with h5py.File(tmp_path / "two.h5") as file:
        assert np.array_equal(file["draws"][:], alone)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "two.parquet"), summary)


def test_another_split(tiny_run, model, tmp_path):
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump({"seed": 7, "passes": 4, "batch_size": 5, "batch_norm": "frozen", **FLOAT32})
    )
    inputs = tmp_path / "s.yaml", tiny_run / "catalog.parquet", tiny_run / "images", model
    stage.evaluate(*inputs, tmp_path / "vit.h5", split="validation")
    systems = pd.read_parquet(tiny_run / "catalog.parquet")
    expected = systems.loc[systems["split"] == "validation", "id"]
    assert list(pd.read_parquet(tmp_path / "vit.parquet")["id"]) == list(expected)


@pytest.mark.parametrize("changes", [{"precision": "bf16-mixed"}, {"compile": True}])
def test_faster_arithmetic_gives_nearly_the_same(tiny_run, model, tmp_path, changes):
    if changes.get("compile") and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    plain, _, _ = evaluate(tiny_run, model, tmp_path / "plain", passes=300)
    other, _, _ = evaluate(tiny_run, model, tmp_path / "other", passes=300, **changes)
    shift = (other.mean(0) - plain.mean(0)) / plain.std(0)
    assert not np.array_equal(plain, other)
    assert np.abs(shift).max() < 0.5 and np.sqrt(np.mean(shift**2)) < 0.15
    assert other.std(0) / plain.std(0) == pytest.approx(np.ones((24, 8)), abs=0.3)


def test_out_of_memory_names_the_setting(tiny_run, model, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(stage, "predict", full)
    with pytest.raises(LensvitError, match=r"out of memory: lower evaluation.batch_size \(24\)"):
        evaluate(tiny_run, model, tmp_path)
