"""The calibration stage on synthetic predictions: tables, recalibration from the validation split alone, the paper."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from lensvit import cli
from lensvit.chapters.accuracy.claims import claims
from lensvit.chapters.calibration.claims import calibration_numbers
from lensvit.chapters.calibration.table import calibrate
from lensvit.errors import LensvitError
from lensvit.paper import render
from lensvit.parameters import TARGET_NAMES, TARGETS

ROOT = Path(__file__).parents[3]
LABELS = {"vit": "ViT", "resnet": "ResNet"}
WIDTHS = {"vit": np.array([1.5] + 7 * [1.0]), "resnet": np.full(8, 0.8)}


def write(path, split="test", systems=300, passes=60, width=1.0, error=0.0, seed=0):
    """Predictions of a model whose errors are ``width`` (of each target) predicted sigmas, correlated by ``error``."""
    rng = np.random.default_rng([seed, len(split)])
    scatter = np.array([parameter.prior.sd for parameter in TARGETS])
    truth = np.array([parameter.prior.mean for parameter in TARGETS]) + scatter * rng.standard_normal((systems, 8))
    own, common = rng.standard_normal((systems, 8)), rng.standard_normal((systems, 1))
    mean = truth - 0.2 * scatter * width * (np.sqrt(1 - error) * own + np.sqrt(error) * common)
    draws = (mean + 0.2 * scatter * rng.standard_normal((passes, systems, 8))).astype("f4")
    ids = [f"hst_a-{split}-{number:06d}" for number in range(systems)]
    columns = {"id": ids, "psf": "hst_a"}
    for number, name in enumerate(TARGET_NAMES):
        columns[f"{name}_truth"] = truth[:, number]
        columns[f"{name}_mean"], columns[f"{name}_sigma"] = (f(draws[..., number], axis=0) for f in (np.mean, np.std))
        for part, share in (("aleatoric", 0.9), ("epistemic", 0.1)):
            columns[f"{name}_{part}"] = 0.2 * scatter[number] * np.sqrt(share)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(path.with_suffix(".parquet"), index=False)
    with h5py.File(path, "w") as file:
        file["id"], file["draws"] = ids, draws


def run(folder, models=("vit", "resnet")):
    """The stage on the predictions in a folder; its four tables."""
    outputs = [folder / "tables" / f"{name}.csv" for name in ("calibration", "coverage", "pit", "joint")]
    paths = ([folder / part / f"{model}.h5" for model in models] for part in ("", "validation"))
    calibrate(*paths, *outputs)
    return [pd.read_csv(path) for path in outputs]


def both(folder, model, systems=300, passes=60, fitted=None, **options):
    write(folder / f"{model}.h5", systems=systems, passes=passes, **options)
    write(folder / "validation" / f"{model}.h5", "validation", fitted or systems, passes, **options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two models: one whose first sigma is too small, one whose sigmas are too large and whose errors correlate."""
    folder = tmp_path_factory.mktemp("predictions")
    both(folder, "vit", width=WIDTHS["vit"], fitted=400)
    both(folder, "resnet", width=WIDTHS["resnet"], fitted=400, error=0.6, seed=1)
    return folder, *run(folder)


def rows(table, model, state):
    return table[(table["model"] == model) & (table["state"] == state)].set_index("target")


# ---------------------------------------------------------------- tables


def test_a_row_for_every_model_state_and_target(made):
    _, table, coverage, pit, joint = made
    assert list(rows(table, "vit", "predicted").index) == ["overall", *TARGET_NAMES, "joint"]
    assert len(table) == 2 * 2 * 10
    assert len(coverage) == 2 * 2 * 9 * 19 and len(pit) == 2 * 2 * 9 * 10
    assert len(joint) == 2 * 2 * 300 and joint["id"].nunique() == 300
    assert list(table["model"].unique()) == ["vit", "resnet"]
    first = table.iloc[0]
    assert (first["systems"], first["draws"], first["validation_systems"]) == (300, 60, 400)
    assert pit.groupby(["model", "state", "target"])["share"].sum().to_numpy() == pytest.approx(np.ones(36), abs=1e-5)


def test_the_wrong_sigma_fails_and_passes_once_recalibrated(made):
    before, after = (rows(made[1], "vit", state) for state in ("predicted", "recalibrated"))
    assert before.loc["theta_E", "verdict"] == before.loc["overall", "verdict"] == "fails"
    assert set(before.loc[list(TARGET_NAMES[1:]), "verdict"]) == {"passes"}
    assert set(after["verdict"]) == {"passes"}
    assert before.loc["theta_E", "z_sd"] == pytest.approx(1.5, abs=4 * before.loc["theta_E", "z_sd_error"])
    assert after.loc["theta_E", "z_sd"] == pytest.approx(1, abs=3 * after.loc["theta_E", "z_sd_error"])
    assert before.loc["theta_E", "coverage_68"] < 0.6 < after.loc["theta_E", "coverage_68"]
    assert after.loc["theta_E", "nll_change"] < -2 * after.loc["theta_E", "nll_change_error"]
    assert after.loc["theta_E", "crps"] < before.loc["theta_E", "crps"]


def test_correlated_errors_are_left_after_recalibration(made):
    after = rows(made[1], "resnet", "recalibrated")
    assert after.loc["overall", "verdict"] == "passes" and after.loc["joint", "verdict"] == "fails"


def test_the_scales_are_the_widths_with_errors(made):
    for model, width in WIDTHS.items():
        after = rows(made[1], model, "recalibrated").loc[list(TARGET_NAMES)]
        assert (np.abs(after["scale"] - width) < 4 * after["scale_error"]).all()
        assert (rows(made[1], model, "predicted").loc[list(TARGET_NAMES), "scale"] == 1).all()


def test_shares_and_scores_of_known_size(made):
    before = rows(made[1], "vit", "predicted")
    assert before.loc["gamma", "aleatoric_share"] == pytest.approx(0.9, rel=0.05)
    assert before.loc["gamma", "epistemic_share"] == pytest.approx(0.1, rel=0.05)
    assert before.loc["gamma", "crps"] == pytest.approx(0.2 * 0.2 / np.sqrt(np.pi), rel=0.1)
    assert before.loc["gamma", "crps_relative"] == pytest.approx(0.2 / np.sqrt(np.pi), rel=0.15)
    expected = (1 + np.log(2 * np.pi)) / 2 + np.log(0.2)
    assert before.loc["gamma", "nll_relative"] == pytest.approx(expected, abs=0.15)
    assert before.loc["overall", "crps_relative"] == pytest.approx(before["crps_relative"].iloc[1:9].mean(), rel=1e-4)


def test_joint_coverage_is_that_of_balls_and_not_of_central_intervals(made):
    """TARP's values below a level, so that coverage and histogram tell of the same numbers."""
    coverage, pit = (rows(table, "resnet", "predicted").loc["joint"] for table in made[2:4])
    assert coverage["coverage"].to_numpy()[1::2] == pytest.approx(pit["share"].cumsum().to_numpy()[:-1], abs=1e-5)
    assert abs(coverage["coverage"] - coverage["level"]).max() > 0.1


def test_the_joint_likelihood_is_that_of_the_eight_targets(made):
    """Independent errors: the sum of the single ones; correlated ones, which the draws do not know of, cost nothing."""
    for model in LABELS:
        for state in ("predicted", "recalibrated"):
            table = rows(made[1], model, state)
            assert table.loc["joint", "nll_relative"] == pytest.approx(table["nll_relative"].iloc[1:9].sum(), abs=0.25)
            each = made[4][(made[4]["model"] == model) & (made[4]["state"] == state)]
            assert each["nll_relative"].mean() == pytest.approx(table.loc["joint", "nll_relative"], abs=1e-4)
    after = rows(made[1], "vit", "recalibrated").loc["joint"]
    assert after["nll_change"] < -2 * after["nll_change_error"]


def test_limits_are_wider_after_recalibration(made):
    coverage = made[2]
    width = (coverage["high"] - coverage["low"]).groupby(coverage["state"]).mean()
    assert width["recalibrated"] > 1.2 * width["predicted"]


def test_the_scale_comes_from_the_validation_split_alone(made, tmp_path):
    both(tmp_path, "vit", width=WIDTHS["vit"], fitted=400)
    write(tmp_path / "vit.h5", width=3.0, seed=5)  # another test split
    table = run(tmp_path, ["vit"])[0]
    columns = ["scale", "scale_error"]
    expected = rows(made[1], "vit", "recalibrated")[columns]
    pd.testing.assert_frame_equal(rows(table, "vit", "recalibrated")[columns], expected)
    assert rows(table, "vit", "recalibrated").loc["gamma", "z_sd"] > 2


def test_few_systems_and_few_passes_have_no_verdict(tmp_path):
    both(tmp_path, "vit", systems=16, fitted=12, passes=6, width=5.0)
    assert set(run(tmp_path, ["vit"])[0]["verdict"]) == {"too few"}
    both(tmp_path, "vit", systems=400, fitted=40)
    table = run(tmp_path, ["vit"])[0]
    assert set(rows(table, "vit", "predicted")["verdict"]) == {"passes"}
    assert set(rows(table, "vit", "recalibrated")["verdict"]) == {"too few"}


def test_the_same_inputs_give_the_same_bytes_whatever_the_other_models(made, tmp_path):
    both(tmp_path, "vit", width=WIDTHS["vit"], fitted=400)
    alone = [table[table["model"] == "vit"].reset_index(drop=True) for table in run(tmp_path, ["vit"])]
    for one, table in zip(alone, made[1:], strict=True):
        pd.testing.assert_frame_equal(one, table[table["model"] == "vit"])


def test_the_command(made, tmp_path, capsys):
    folder = made[0]
    options = ["--predictions", folder / "vit.h5", "--validation", folder / "validation" / "vit.h5"]
    outputs = {name: tmp_path / f"{name}.csv" for name in ("output", "coverage", "pit", "joint")}
    options += [word for name, path in outputs.items() for word in (f"--{name}", path)]
    assert cli.main(["calibrate", *map(str, options)]) == 0
    assert all(path.exists() for path in outputs.values())
    options[1] = tmp_path / "absent.h5"
    assert cli.main(["calibrate", *map(str, options)]) == 1
    assert "different models" in capsys.readouterr().err


# ---------------------------------------------------------------- errors


def change_draws(path, change):
    with h5py.File(path, "r+") as file:
        draws = change(file["draws"][:])
        del file["draws"]
        file["draws"] = draws


def no_number(draws):
    draws[0, 0, 0] = np.nan
    return draws


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no file .*vit.h5"),
        (lambda path: path.with_suffix(".parquet").unlink(), "no file .*vit.parquet"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "vit.h5 is truncated or broken"),
        (lambda path: change_draws(path, lambda draws: draws[:3]), "has 3 passes, a calibration needs 4"),
        (lambda path: change_draws(path, lambda draws: draws[:, 1:]), "of different systems"),
        (lambda path: change_draws(path, no_number), "not finite: its network has diverged"),
        (lambda path: write(path, "validation", 20, 8), "share systems"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, spoil, message):
    both(tmp_path, "vit", systems=20, passes=8)
    spoil(tmp_path / "vit.h5")
    with pytest.raises(LensvitError, match=message):
        run(tmp_path, ["vit"])
    assert not (tmp_path / "tables").exists()


def test_a_model_may_be_called_na(tmp_path):
    both(tmp_path, "NA", systems=20, passes=8)
    run(tmp_path, ["NA"])
    found = calibration_numbers(tmp_path / "tables" / "calibration.csv", {"NA": "None"})
    assert [model["key"] for model in found["models"]] == ["NA"]


def test_a_model_without_validation_is_refused(made):
    folder = made[0]
    with pytest.raises(LensvitError, match="different models"):
        calibrate([folder / "vit.h5"], [folder / "validation" / "resnet.h5"], *(folder / name for name in "abcd"))


# ---------------------------------------------------------------- the paper's part


def numbers(folder):
    found = calibration_numbers(folder / "tables" / "calibration.csv", LABELS)
    return json.loads(json.dumps(found, allow_nan=False))


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


def section(calibration, labels=("ViT", "ResNet")):
    """calibration.tex.j2 by itself."""
    content = json.loads((ROOT / "tests" / "data" / "numbers.json").read_text(encoding="utf-8"))
    environment = render._environment(ROOT / "paper")
    environment.globals["cite"] = lambda *keys: rf"\cite{{{','.join(keys)}}}"
    content |= {"calibration": calibration, "claims": claims(content["columns"], content["table"]), "labels": labels}
    return " ".join(environment.get_template("calibration.tex.j2").render(content).split())


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
    text = section(numbers(tmp_path), ["ViT"])
    assert len(re.findall("& --", text)) == 2  # no joint likelihood from six passes
    assert text.count("& too few") == 4 and "no verdict is given" in text and "fails the test" not in text
    assert "Too few: fewer than 100 systems" in text and "staying inside says nothing" in text


def test_too_few_validation_systems_alone_are_said(tmp_path):
    both(tmp_path, "vit", systems=400, fitted=40)
    run(tmp_path, ["vit"])
    text = section(numbers(tmp_path), ["ViT"])
    assert text.count("& too few") == 2 and "After the recalibration no verdict is given" in text
