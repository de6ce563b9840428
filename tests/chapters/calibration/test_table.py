"""The calibration stage on synthetic predictions: tables, and recalibration from the validation split alone."""

import h5py
import numpy as np
import pandas as pd
import pytest

from lensvit import cli
from lensvit.chapters.calibration.table import at_bound, calibrate
from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES
from tests.chapters.calibration.makers import LABELS, WIDTHS, both, rows, run, write


def change_draws(path, change):
    with h5py.File(path, "r+") as file:
        draws = change(file["draws"][:])
        del file["draws"]
        file["draws"] = draws


def no_number(draws):
    draws[0, 0, 0] = np.nan
    return draws


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


@pytest.mark.parametrize("sign", [1, -1])
def test_truths_on_a_bound_and_what_is_predicted_near_it(sign):
    """A floor, or turned round a ceiling: 4 of 10 on it; means at -2, -0.5, 0.5 and 2 sigmas from it, and far off."""
    truth = sign * np.repeat([1.0, 1, 1, 1, 2, 3, 4, 5, 6, 7], 2)
    mean = sign * (1 + np.repeat([-2.0, -0.5, 0.5, 2, 9, 9, 9, 9, 9, 9], 2))
    draws = mean + np.array([-1.0, 1.0])[:, None]
    covered = np.repeat(np.array([1, 0, 0, 0, 1, 1, 1, 0, 0, 0], bool), 2)
    assert at_bound(truth, draws, covered) == {
        "bound": sign, "is_floor": sign == 1, "at_bound": 0.4, "beyond_bound": 0.2, "near_bound": pytest.approx(0.3),
        "coverage_at_bound": 0.25, "coverage_off_bound": 0.5,
        "coverage_at_bound_error": pytest.approx((0.25 * 0.75 / 7) ** 0.5),
        "coverage_off_bound_error": pytest.approx((0.5 * 0.5 / 11) ** 0.5),
    }  # fmt: skip


def test_truths_that_share_no_end_have_no_bound(made):
    assert np.isnan(list(at_bound(np.arange(100.0), np.zeros((4, 100)), np.ones(100, bool)).values())).all()
    assert np.isnan(list(at_bound(np.ones(100), np.zeros((4, 100)), np.ones(100, bool)).values())).all()
    assert np.isnan(list(at_bound(np.arange(16.0), np.zeros((4, 16)), np.ones(16, bool)).values())).all()
    assert made[1]["bound"].isna().all()


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


def test_scores_have_the_standard_errors_of_means_over_systems(made):
    before = rows(made[1], "vit", "predicted")
    share = before.loc["gamma", "coverage_68"]
    assert before.loc["gamma", "coverage_68_error"] == pytest.approx(np.sqrt(share * (1 - share) / 300), rel=0.01)
    # independent targets: the error of the mean over eight of them
    single = before.loc[list(TARGET_NAMES)]
    for name in ("coverage_68", "coverage_95", "crps_relative", "nll_relative"):
        expected = np.sqrt(np.square(single[f"{name}_error"]).sum()) / 8
        assert before.loc["overall", f"{name}_error"] == pytest.approx(expected, rel=0.25)
    spread = made[4].query("model == 'vit' and state == 'predicted'")["nll_relative"].std() / np.sqrt(300)
    assert before.loc["joint", "nll_relative_error"] == pytest.approx(spread, rel=1e-3)


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


def test_a_model_without_validation_is_refused(made):
    folder = made[0]
    with pytest.raises(LensvitError, match="different models"):
        calibrate([folder / "vit.h5"], [folder / "validation" / "resnet.h5"], *(folder / name for name in "abcd"))
