"""What the paper says of calibration, and its section."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from lensvit.chapters.accuracy.claims import claims as accuracy_claims
from lensvit.chapters.calibration import claims
from lensvit.chapters.calibration.table import BOUND
from lensvit.paper import render
from lensvit.parameters import TARGETS
from tests.chapters.calibration.makers import LABELS, both, run
from tests.chapters.quoted import quoted

ROOT = Path(__file__).parents[3]


def numbers(folder, labels=LABELS):
    tables = [folder / "tables" / f"{name}.csv" for name in ("calibration", "joint")]
    return quoted(claims, *tables, labels=labels)["calibration"]


def section(calibration, labels=("ViT", "ResNet")):
    """chapters/calibration.tex.j2 by itself."""
    content = json.loads((ROOT / "tests" / "data" / "numbers.json").read_text(encoding="utf-8"))
    environment = render._environment(ROOT / "paper")
    environment.globals["cite"] = lambda *keys: rf"\cite{{{','.join(keys)}}}"
    content |= {
        "calibration": calibration,
        "claims": accuracy_claims(content["columns"], content["table"]),
        "labels": labels,
    }
    return " ".join(environment.get_template("chapters/calibration.tex.j2").render(content).split())


def test_a_model_may_be_called_na(tmp_path):
    both(tmp_path, "NA", systems=20, passes=8)
    run(tmp_path, ["NA"])
    found = numbers(tmp_path, {"NA": "None"})
    assert [model["key"] for model in found["models"]] == ["NA"]


def test_a_bound_on_which_truths_lie_is_said(made):
    found = numbers(made[0])
    assert found["models"][0]["bounds"] == [] and "floor" not in section(found)
    path = made[0] / "tables" / "calibration.csv"
    table = pd.read_csv(path)
    chosen = (table["state"] == "predicted") & (table["target"] == "theta_E")
    table.loc[chosen, list(BOUND)] = [0.8, 1, 0.22, 0.05, 0.25, 0.75, 0.66, 0.05, 0.03]
    table.to_csv(path, index=False)
    found = numbers(made[0])
    assert found["models"][1]["bounds"][0] == {
        "label": TARGETS[0].label, "unit": "arcsec", "value": 0.8, "is_floor": True, "there": 0.22, "beyond": 0.05,
        "near": 0.25, "covered": 0.75, "covered_error": 0.05, "covered_elsewhere": 0.66,
        "covered_elsewhere_error": 0.03,
    }  # fmt: skip
    text = section(found)
    assert r"22\% have" in text and r"on the floor of its prior, \ensuremath{0.8''}" in text
    assert r"ResNet predicts a mean below it for 5\% of all systems" in text


def test_the_numbers_of_the_paper(made):
    found = numbers(made[0])
    assert (found["systems"], found["draws"], found["validation_systems"]) == (300, 60, 400)
    assert found["effective_systems"] == 171 and found["too_few"] == {"predicted": False, "recalibrated": False}
    vit, resnet = found["models"]
    assert (vit["label"], resnet["label"]) == ("ViT", "ResNet")
    assert [row["label"] for row in vit["predicted"]["off"]] == [TARGETS[0].label]
    assert vit["predicted"]["sigmas"] == "small" and resnet["predicted"]["sigmas"] == "large"
    assert vit["recalibrated"]["sigmas"] == resnet["recalibrated"]["sigmas"] == "right"
    assert vit["most"]["label"] == TARGETS[0].label and vit["most"]["value"] == pytest.approx(1.5, abs=0.2)
    assert vit["effect"] == "better" and vit["change"] < 0
    assert resnet["recalibrated"]["joint"] == "fails" and not resnet["recalibrated"]["off"]


def test_the_section_says_what_the_numbers_say(made):
    text = section(numbers(made[0]))
    assert r"of cases; \ensuremath{\theta_\mathrm{E}} fails the test of its PIT values" in text
    assert "what is left is how the errors of different targets go together" in text
    assert text.count("the predicted $\\sigma$ are too small") == text.count("are too large") == 1
    assert "clearly better" in text and "count the test set as 171 systems" in text
    assert r"\textbf{1}" in text and "too few" not in text and "Too few" not in text


def test_the_section_of_one_model_is_about_one(made):
    found = numbers(made[0])
    text = section(found | {"models": found["models"][:1]}, ["ViT"])
    assert "ResNet" not in text and "Calibration of ViT on" in text


def test_too_few_systems_are_said_and_not_hidden(tmp_path):
    both(tmp_path, "vit", systems=16, fitted=12, passes=6)
    run(tmp_path, ["vit"])
    text = section(numbers(tmp_path, {"vit": "ViT"}), ["ViT"])
    assert len(re.findall("& --", text)) == 2  # no joint likelihood from six passes
    assert text.count("& too few") == 4 and "no verdict is given" in text and "fails the test" not in text
    assert "Too few: fewer than 100 systems" in text and "staying inside says nothing" in text


def test_too_few_validation_systems_alone_are_said(tmp_path):
    both(tmp_path, "vit", systems=400, fitted=40)
    run(tmp_path, ["vit"])
    text = section(numbers(tmp_path, {"vit": "ViT"}), ["ViT"])
    assert text.count("& too few") == 2 and "After the recalibration no verdict is given" in text
