"""Two processes on the CPU, over gloo: they end together, and they train and validate together in bf16 too."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from lensvit.learning import train as training

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PROGRAM = Path(__file__).with_name("two_processes.py")


def pairs(*cases):
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps([[str(word) for word in case] for case in cases])],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_an_exception_or_a_kill_in_either_process_ends_both():
    cases = list(product(("raise", "kill"), (0, 1)))
    found, _ = pairs(*cases)
    assert len(found) == len(cases)
    for one in found:
        assert sorted(one["said"].split()) == ["0", "1", "begun", "begun"], one
        assert one["seconds"] is not None and one["seconds"] < 30, one


def test_bf16_trains_in_two_processes_and_both_validate_alike(tiny_run, train_settings, tmp_path):
    settings = train_settings(epochs=2, precision="bf16-mixed", noise="fixed", symmetries="none")
    files = [tiny_run / name for name in ("catalog.parquet", "scaler.json", "images")]
    (found,), errors = pairs(["train", settings, *files, tmp_path / "two", tmp_path / "state"])
    assert found["said"].count("trained") == 2, errors
    lines = [line.split() for line in found["said"].splitlines() if "trained" not in line]
    by_rank = [[line[1:] for line in lines if line[0] == rank] for rank in "01"]
    assert len(by_rank[0]) == 2 and by_rank[0] == by_rank[1]
    training.train(settings, *files, tmp_path / "one", tmp_path / "other")
    columns = ["train_loss", "validation_loss", "validation_mse"]
    one, two = (pd.read_csv(tmp_path / name / "history.csv")[columns] for name in ("one", "two"))
    assert two.to_numpy() == pytest.approx(one.to_numpy(), rel=0.02)
