"""The models' errors in units of the limit."""

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.limit.table import limit_table
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
        limit_table(run / "limit.parquet", [run / "vit.parquet"], "known", run / "limit.csv")


def test_a_broken_file_is_named(run):
    (run / "limit.parquet").write_bytes(b"PAR1")
    with pytest.raises(LensvitError, match=r"limit\.parquet is truncated or broken"):
        read_limits(run / "limit.parquet", "known")
