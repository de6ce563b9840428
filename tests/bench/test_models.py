"""The benchmarks of training and evaluation: what they count, and the table they write."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from lensvit.bench import device, evaluate
from lensvit.bench.run import main
from lensvit.errors import LensvitError


@pytest.fixture
def files():
    """The smoke run's models."""
    return [Path(name) for name in ("config.yaml", "runs/smoke.yaml")]


def test_training_counts_images_operations_and_memory(tmp_path, files, capsys):
    main("train", images=20, output=tmp_path / "bench.csv", files=files)
    table = pd.read_csv(tmp_path / "bench.csv").set_index("case")
    assert table.loc["input, one item at a time", "ratio"] == 1
    fixed, fresh = (
        [table.loc[f"input, {kind} noise, {epoch}", "ratio"] for epoch in ("first epoch", "later epochs")]
        for kind in ("fixed", "fresh")
    )
    assert fixed[1] > fixed[0] > 1 and fresh[1] > fresh[0] > 1
    assert table.loc["input, fixed noise, first epoch", "max_difference"] < 1e-4  # torch rounds positions to float32
    models = table[table.index.str.startswith("training")]
    assert [name.split(",")[0] for name in models.index] == ["training vit", "training resnet"]
    assert (models["images_per_second"] > 0).all() and (models["memory_gb"] > 0.1).all()
    assert models["share_of_peak"].isna().all()  # no CPU's peak is known
    assert "images_per_second" in capsys.readouterr().out


def test_evaluation_stands_beside_the_bare_passes(tmp_path, files):
    main("evaluate", images=4, output=tmp_path / "bench.csv", files=files)
    table = pd.read_csv(tmp_path / "bench.csv").set_index("case")
    assert [name.split(",")[0] for name in table.index] == [
        "bare passes of vit", "evaluating vit", "bare passes of resnet", "evaluating resnet",
    ]  # fmt: skip
    ours, bare = table.iloc[1], table.iloc[0]
    assert 0.3 < ours["ratio"] / (ours["images_per_second"] / bare["images_per_second"]) < 3


def test_operations_of_a_known_network():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(4 * 6 * 6, 5, bias=False))
    assert device.operations(network, torch.zeros(1, 3, 8, 8)) == 2 * (3 * 9 * 4 * 36 + 144 * 5)


def test_the_peak_is_that_of_the_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "NVIDIA H100 80GB HBM3")
    assert device.peak("cuda:0", "bf16-mixed") == 989.0
    assert device.peak("cuda:0", "32-true") == 67.0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "a card of next year")
    assert device.peak("cuda:0", "bf16-mixed") is None
    assert device.peak("cpu", "bf16-mixed") is None


def test_a_gpu_that_is_not_there_is_said(files, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for what in ("train", "evaluate"):
        with pytest.raises(LensvitError, match="no GPU"):
            main(what, images=2, files=files, device="gpu")


def test_too_little_memory_is_said(files, monkeypatch):
    def run(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(evaluate, "run", run)
    with pytest.raises(LensvitError, match="out of memory: lower batch_size"):
        main("evaluate", images=2, files=files)
