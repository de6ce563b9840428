"""The models' errors in units of the limit."""

import h5py
import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.limit.table import limit_table, van_trees
from lensvit.errors import LensvitError
from lensvit.io.products import read_limits
from tests.chapters.limit.makers import SYSTEMS, made


def test_the_table(run):
    found = made(run)
    assert len(found) == 2 * 3 * 9 and (found.xs("all", level="instrument")["systems"] == SYSTEMS - 6).all()
    row = found.loc[("vit", "hst", "theta_E")]
    assert row["rmse"] == pytest.approx(0.3) and row["limit_known"] == pytest.approx(0.1)
    assert row["limit_marginalised"] == pytest.approx(0.2) and row["ratio"] == pytest.approx(3)
    both = found.loc[("vit", "all", "theta_E")]
    assert both["limit_known"] == pytest.approx(np.sqrt((0.1**2 + 0.3**2) / 2), rel=1e-5)
    assert found.loc[("1", "keck", "gamma"), "ratio"] == pytest.approx(20, rel=1e-5)
    assert found.loc[("1", "all", "overall"), "limit_known"] == pytest.approx(
        np.sqrt(8) * both["limit_known"], rel=1e-5
    )


def test_the_errors_are_paired_for_the_ratio(run):
    """Each error is three times the limit of its system, so that their ratio has no error."""
    row = made(run).loc[("vit", "all", "theta_E")]
    spread = np.square([0.1, 0.3]).std() / np.sqrt(SYSTEMS - 6) / (2 * row["limit_known"])
    assert row["limit_known_error"] == pytest.approx(spread, rel=0.1)
    assert row["rmse_error"] == pytest.approx(3 * row["limit_known_error"], rel=1e-4)
    assert row["limit_marginalised_error"] == pytest.approx(2 * row["limit_known_error"], rel=1e-4)
    assert row["ratio_error"] == pytest.approx(0, abs=1e-9)


def test_the_ratio_is_to_the_chosen_limit(run):
    assert made(run, "marginalised").loc[("vit", "hst", "theta_E"), "ratio"] == pytest.approx(1.5)


def test_the_ratio_is_that_of_the_resize_times_that_of_the_network(run):
    found = made(run)
    np.testing.assert_allclose(found["lost"], 3)
    np.testing.assert_allclose(found["lost"] * found["gap"], found["ratio"], rtol=1e-5)


def test_an_input_for_each_model(run):
    with pytest.raises(LensvitError, match="--inputs has 2 names for 1 predictions: give one for each"):
        limit_table(run / "limit.parquet", [run / "vit.parquet"], "known", ["graded60"] * 2, run / "limit.csv")
    with pytest.raises(LensvitError, match=r"limit.parquet .*lacks the columns theta_E_known_area30"):
        limit_table(run / "limit.parquet", [run / "vit.parquet"], "known", ["area30"], run / "limit.csv")


def test_the_bound_of_van_trees_is_the_limit_where_the_systems_of_a_class_are_alike(run):
    """Each camera has limits of its own, so that its classes know all that matters."""
    found = made(run)
    limit = found["limit_known"]
    for camera in ("hst", "keck"):
        for kind in ("pooled", "coarse", "fine"):
            np.testing.assert_allclose(found.xs(camera, level=1)[kind], limit.xs(camera, level=1), rtol=1e-5)
    every = found.xs("all", level=1)
    for kind in ("coarse", "fine"):
        np.testing.assert_allclose(every[kind], limit.xs("all", level=1), rtol=1e-5)
    assert every.loc[("vit", "theta_E"), "pooled"] == pytest.approx(np.sqrt(2 / (0.1**-2 + 0.3**-2)), rel=1e-5)
    assert (every["coarse_classes"] == 2).all() and (every["fine_classes"] == 2 * (27 // 5)).all()
    assert made(run, "marginalised")["fine"].to_list() == found["fine"].to_list()  # of known amplitudes


@pytest.mark.parametrize("wrong", ["zero", "negative", "nan", "narrow"])
def test_what_is_no_covariance_is_one_line(run, wrong):
    with h5py.File(run / "limit.h5", "a") as file:
        values = file["known"][:]
        values[3] *= {"zero": 0, "negative": -1, "nan": np.nan}.get(wrong, 1)
        del file["known"]
        file["known"] = values[:, :5] if wrong == "narrow" else values
    with pytest.raises(LensvitError, match=r"limit\.h5 is truncated or broken") as error:
        made(run)
    assert "\n" not in str(error.value)


def test_van_trees_inverts_the_mean_of_whole_matrices():
    random = np.random.default_rng(1)
    roots = random.standard_normal((40, 14, 14)) + 3 * np.eye(14)
    information, classes = roots @ roots.swapaxes(1, 2), np.repeat([0, 1], [30, 10])
    inverses = [np.linalg.inv(sum(information[classes == kind]) / n) for kind, n in ((0, 30), (1, 10))]
    expected = np.sqrt(np.diag(0.75 * inverses[0] + 0.25 * inverses[1]))[:8]
    np.testing.assert_allclose(van_trees(information, classes)[1:], expected)
    limit = np.sqrt(np.mean([np.diag(np.linalg.inv(one))[:8] for one in information], axis=0))
    assert (van_trees(information, np.zeros(40, int))[1:] < limit).all()


def test_one_instrument_has_no_rows_of_its_own(run):
    pd.read_parquet(run / "limit.parquet").assign(instrument="hst").to_parquet(run / "limit.parquet")
    assert set(made(run).index.get_level_values("instrument")) == {"all"}


def test_no_limit_at_all(run):
    table = pd.read_parquet(run / "limit.parquet")
    table.assign(valid_known=False).to_parquet(run / "limit.parquet")
    with pytest.raises(LensvitError, match=r"no test system has a limit.*limit\.enabled"):
        read_limits(run / "limit.parquet", "known")


def test_predictions_of_other_systems(run):
    table = pd.read_parquet(run / "vit.parquet")
    table.assign(id=[f"t{row}" for row in range(SYSTEMS)]).to_parquet(run / "vit.parquet")
    with pytest.raises(LensvitError, match="different systems"):
        limit_table(run / "limit.parquet", [run / "vit.parquet"], "known", ["graded60"], run / "limit.csv")


def test_a_broken_file_is_named(run):
    (run / "limit.parquet").write_bytes(b"PAR1")
    with pytest.raises(LensvitError, match=r"limit\.parquet is truncated or broken"):
        read_limits(run / "limit.parquet", "known")
