"""What the paper says of the limit of information."""

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.limit import claims
from lensvit.io.products import NEAREST_CAUSTIC
from lensvit.io.tables import LIGHTS
from lensvit.parameters import TARGET_NAMES, TARGETS
from tests.chapters.limit.makers import SYSTEMS, made
from tests.chapters.quoted import quoted

LABELS, CAMERAS = {"vit": "ViT", "1": "One"}, {"hst": "HST", "keck": "Keck AO"}


def numbers(run, amplitudes):
    config = {"labels": LABELS, "cameras": CAMERAS, "limit": {"amplitudes": amplitudes}}
    return quoted(claims, run / "limit.csv", **config)["limit"]


def test_one_instrument_has_no_numbers_of_its_own(run):
    pd.read_parquet(run / "limit.parquet").assign(instrument="hst").to_parquet(run / "limit.parquet")
    made(run)
    found = numbers(run, "known")
    assert found["instruments"] == [] and [entry["label"] for entry in found["signals"]] == [None]


def test_the_numbers_of_the_paper(run):
    made(run)
    found = numbers(run, "known")
    assert found["systems"] == SYSTEMS - 6 and found["nearest"] == NEAREST_CAUSTIC and found["amplitudes"] == "known"
    assert found["overall"] == pytest.approx(np.sqrt(8 * 0.05), rel=1e-5) and found["other"] > 2 * found["overall"]
    assert [entry["label"] for entry in found["instruments"]] == ["HST", "Keck AO"]
    assert found["instruments"][0]["value"] == pytest.approx(np.sqrt(8) * 0.1, rel=1e-5)
    assert [entry["label"] for entry in found["signals"]] == ["HST", "Keck AO"]
    assert [found["signals"][0][light] for light in LIGHTS] == pytest.approx([10, 20, 30, 40], rel=1e-5)
    assert found["signals"][1]["quasar"] == pytest.approx(4 / 0.3, rel=1e-5)
    labels = {parameter.name: parameter.label for parameter in TARGETS}
    assert found["widened"] == {"label": labels["e2"], "value": pytest.approx(5, rel=1e-5), "error": None}
    vit, one = found["models"]
    assert (one["key"], one["label"]) == ("1", "One")
    assert vit["most"] == {
        "label": labels["gamma"],
        "value": pytest.approx(6, rel=1e-5),
        "error": pytest.approx(0, abs=0.5),
    }
    assert vit["least"] == {
        "label": labels["n_sersic"],
        "value": pytest.approx(1.5, rel=1e-5),
        "error": pytest.approx(0, abs=0.5),
    }
    assert [row["target"] for row in found["rows"]] == ["overall", *TARGET_NAMES]
    assert found["rows"][0]["label"] is None and found["rows"][1]["ratios"]["1"] == pytest.approx(10, rel=1e-5)
    turned = numbers(run, "marginalised")
    assert (turned["overall"], turned["other"]) == (found["other"], found["overall"])
