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


def test_two_processes_end_together_and_train_together(tiny_run, train_settings, tmp_path):
    """All pairs come from one program, which imports torch once."""
    settings = train_settings(epochs=2, precision="bf16-mixed", noise="fixed", symmetries="none")
    files = [tiny_run / name for name in ("catalog.parquet", "scaler.json", "images")]
    ending = list(product(("raise", "kill"), (0, 1)))
    cases = [*ending, ("train", settings, *files, tmp_path / "two", tmp_path / "state")]
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps([[str(word) for word in case] for case in cases])],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *ended, trained = json.loads(done.stdout.splitlines()[-1])
    for case, one in zip(ending, ended, strict=True):  # an exception or a kill in either process
        assert sorted(one["said"].split()) == ["0", "1", "begun", "begun"], case
        assert one["seconds"] is not None and one["seconds"] < 30, case

    assert trained["said"].count("trained") == 2, done.stderr
    lines = [line.split() for line in trained["said"].splitlines() if "trained" not in line]
    by_rank = [[line[1:] for line in lines if line[0] == rank] for rank in "01"]
    assert len(by_rank[0]) == 2 and by_rank[0] == by_rank[1]  # both validate alike
    training.train(settings, *files, tmp_path / "one", tmp_path / "other")
    columns = ["train_loss", "validation_loss", "validation_mse"]
    alone, two = (pd.read_csv(tmp_path / name / "history.csv")[columns] for name in ("one", "two"))
    assert two.to_numpy() == pytest.approx(alone.to_numpy(), rel=0.02)
