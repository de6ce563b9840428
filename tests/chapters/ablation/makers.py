"""Trainings whose errors are known."""

import json

import numpy as np
import pandas as pd

from lensvit.chapters.ablation.table import ablation_table
from lensvit.io.tables import PREDICTED
from lensvit.parameters import TARGET_NAMES
from tests.builders import filled

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


def write_network(folder, name, score, seconds):
    columns = {"id": [f"s{row}" for row in range(6)]}
    for target in TARGET_NAMES:
        columns |= {f"{target}_truth": np.ones(6), f"{target}_mean": 1 + score / np.sqrt(8) * np.array([1, -1] * 3)}
    (folder / "predictions").mkdir(exist_ok=True)
    filled(pd.DataFrame(columns), PREDICTED).to_parquet(folder / "predictions" / f"{name}.parquet")
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
