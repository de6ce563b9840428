"""Errors, coverage and areas of shifted systems."""

import numpy as np
import pytest
from scipy.stats import norm

from lensvit.chapters.shift.table import CONTROL, LEFT_OUT
from lensvit.errors import LensvitError
from tests.chapters.shift.makers import SIGMA, made, sample


def test_ratios_coverage_and_areas_are_those_of_the_gaussians(tables):
    table, _ = tables
    row = table.loc[("steep", "overall")]
    assert (row["systems"], row["ordinary_systems"]) == (400, 400)
    # eight targets: the relative error of an overall RMSE is 1 / sqrt(2 n 8)
    assert row["ratio"] == pytest.approx(2, rel=4 / np.sqrt(8 * 400))
    assert row["ratio_error"] == pytest.approx(2 / np.sqrt(8 * 400), rel=0.2)
    assert row["coverage"] == pytest.approx(2 * norm.cdf(0.5) - 1, abs=0.03)
    assert row["ordinary_coverage"] == pytest.approx(2 * norm.cdf(1) - 1, abs=0.03)
    assert row["z"] == pytest.approx(2, rel=0.07) and row["ordinary_z"] == pytest.approx(1, rel=0.07)
    assert abs(row["auc_residual"] - norm.cdf(1 / np.sqrt(2))) < 3.5 * row["auc_residual_error"]
    assert abs(row["auc_epistemic"] - 0.5) < 3.5 * row["auc_epistemic_error"]
    assert row["rmse"] == pytest.approx(np.sqrt(8) * 2 * SIGMA, rel=0.07)
    assert table.loc["steep"].drop("overall")["ratio"].between(1.6, 2.5).all()
    assert table.loc["steep"].drop("overall")["auc_residual"].isna().all()


def test_a_kernel_that_was_left_out_stands_beside_its_control(tables):
    table, _ = tables
    left_out, control = table.loc[(LEFT_OUT, "overall")], table.loc[(CONTROL, "overall")]
    assert (left_out["systems"], left_out["ordinary_systems"]) == (300, 400)
    assert left_out["ratio"] == pytest.approx(1.5, rel=0.08) and control["ratio"] == pytest.approx(1, rel=0.08)


def test_counterparts_cancel_what_both_have_in_common(tmp_path):
    ordinary = sample(np.random.default_rng(2), 50)
    table, _ = made(tmp_path, ordinary=ordinary, same=ordinary.sample(frac=1, random_state=3))
    row = table.loc[("same", "overall")]
    assert row["ratio"] == pytest.approx(1) and row["ratio_error"] < 1e-9
    assert row["coverage_change"] == pytest.approx(0) and row["auc_residual"] == 0.5


def test_curves_go_from_corner_to_corner(tables):
    _, curves = tables
    for _, rows in curves.groupby(["case", "score"]):
        ends = rows[["ordinary", "shifted"]].iloc[[0, -1]].to_numpy()
        assert ends.tolist() == [[0, 0], [1, 1]]
    assert set(curves["case"]) == {LEFT_OUT, CONTROL, "steep", "noisy"}


def test_a_case_without_counterparts_is_an_error(tmp_path):
    rng = np.random.default_rng(4)
    with pytest.raises(LensvitError, match="the case steep has systems that the ordinary ones lack"):
        made(tmp_path, ordinary=sample(rng, 5), steep=sample(rng, 5, offset=3))
