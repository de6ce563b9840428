"""The model card says what the run's files say."""

import json
from itertools import pairwise

import pandas as pd
import pytest
import yaml

from lensvit.config.run import validate
from lensvit.config.stages import stage_settings
from lensvit.parameters import TARGET_NAMES
from lensvit.prediction.card import model_card
from tests.config.configs import overlaid

TARGETS = ("overall", *TARGET_NAMES)


@pytest.fixture
def card(served, tmp_path):
    """Write the card of the tiny network, as model "resnet" of a run."""

    def write(run, limit=True):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(stage_settings(run, "model_card/resnet")))
        table = pd.DataFrame({"target": TARGETS, "resnet": 0.12345, "prior": 0.4} | ({"limit": 0.01} if limit else {}))
        table.to_csv(tmp_path / "t.csv", index=False)
        pd.DataFrame({"target": TARGETS, "resnet": 0.0021, "prior": 0.01}).to_csv(tmp_path / "e.csv", index=False)
        rows = [
            {"model": model, "state": state, "target": target, "coverage_68": share, "coverage_95": 0.95, "verdict": ""}
            for model in ("resnet", "vit")
            for state, share in (("predicted", 0.5), ("recalibrated", 0.678 if model == "resnet" else 0.1))
            for target in TARGETS
        ]
        pd.DataFrame(rows).to_csv(tmp_path / "c.csv", index=False)
        model_card(
            tmp_path / "s.yaml", served, tmp_path / "t.csv", tmp_path / "e.csv", tmp_path / "c.csv",
            tmp_path / "README.md",
        )  # fmt: skip
        text = (tmp_path / "README.md").read_text()
        return yaml.safe_load(text.split("---")[1]), text

    return write


def test_the_card_of_a_paper_run(card, served):
    head, text = card(overlaid(("demo",)))
    assert head["license"] == "mit" and head["model-index"][0]["name"] == "lensvit-demo-resnet"
    metrics = head["model-index"][0]["results"][0]["metrics"]
    assert [metric["value"] for metric in metrics] == [0.123] * 8 and metrics[0]["name"] == "RMSE of theta_E [arcsec]"
    assert "| theta_E | arcsec | 0.123 +- 0.002 | 0.4 | 0.01 | 0.678 | 0.950 |" in text
    assert "3,600 simulated images" in text and "| HST | 120 | 0.05 | hst_a, hst_b, hst_c |" in text
    assert "Amplitudes of all light are those of the paper's scene" in text
    known = json.loads((served / "reference.json").read_text())
    assert f"theta_E {known['scale']['theta_E']:.3f}," in text
    # tables and lists are Markdown only after an empty line
    lines = text.splitlines()
    for before, line in pairwise(lines):
        if line.startswith(("|", "- ")) and not before.startswith(("|", "- ", " ")):
            assert before == "", (before, line)


def test_the_card_of_a_survey_run_and_of_one_without_a_limit(card):
    run = overlaid(("survey",))
    _, text = card(run, limit=False)
    assert "exposures of\n1200.0 to 5400.0 s" in text and "zero point 25.12, lens 17.5 to 21.0" in text
    assert "| light_e1 |  | normal, mean 0, sd 0.2 |" in text and "| gamma_ext |  | Rayleigh, scale 0.07 |" in text
    assert "| theta_E | arcsec | 0.123 +- 0.002 | 0.4 | 0.678 | 0.950 |" in text and "limit |" not in text
    content = run.model_dump(by_alias=True)
    content["simulation"]["external_shear"] = False
    assert "| gamma_ext |  | 0 |" in card(validate(content))[1]
