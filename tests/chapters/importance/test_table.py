"""What exact posteriors reach, by systems whose posteriors are Gaussians, and what the paper says of it."""

import h5py
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from lensvit.chapters.importance import claims
from lensvit.chapters.importance.numbers import ImportanceNumbers
from lensvit.chapters.importance.table import importance_table
from lensvit.errors import LensvitError
from lensvit.io.tables import REASONS, REFINED
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES
from tests.builders import filled
from tests.chapters.exact import write_exact
from tests.chapters.quoted import quoted

SYSTEMS, SIGMA, OFF = 120, 0.1, 0.05  # OFF: of the fits from the exact means, with sigmas twice as small
CONFIG = {"importance": {"effective": 200, "max_calls": 6000}}


def write(folder, certified, width=1.0, cameras=("hst", "keck")):
    """Exact posteriors whose samples are ``width`` times as wide as they should be, limits, and fits."""
    rng = np.random.default_rng(7)
    truth = rng.normal(size=(SYSTEMS, len(NAMES)))
    mean = truth + SIGMA * rng.normal(size=truth.shape)
    unit = rng.normal(size=(SYSTEMS, 400, len(NAMES)))
    unit = (unit - unit.mean(1, keepdims=True)) / unit.std(1, keepdims=True)
    table = pd.DataFrame({"id": [f"s{number}" for number in range(SYSTEMS)]})
    table["instrument"] = np.resize(list(cameras), SYSTEMS)
    for column, name in zip(TARGET_COLUMNS, TARGET_NAMES, strict=True):
        table[f"{name}_truth"] = truth[:, column]
    write_exact(folder / "importance.parquet", table.assign(calls=500, seconds=2.0, ess=250.0),
                mean[:, None] + width * SIGMA * unit, certified)  # fmt: skip
    fits = table.assign(converged=True)
    for column, name in zip(TARGET_COLUMNS, TARGET_NAMES, strict=True):
        fits[f"{name}_mean"], fits[f"{name}_sigma"] = mean[:, column] + OFF, SIGMA / 2
    filled(fits, REFINED).to_parquet(folder / "refined.parquet")
    limits = {f"{name}_known": 0.08 for name in TARGET_NAMES}
    table[["id", "instrument"]].assign(valid_known=True, **limits).to_parquet(folder / "limit.parquet")


def made(folder, certified, **options):
    write(folder, certified, **options)
    importance_table(
        folder / "importance.parquet", folder / "importance.csv", folder / "limit.parquet", "known",
        folder / "refined.parquet",
    )  # fmt: skip
    return pd.read_csv(folder / "importance.csv").set_index(["instrument", "target"])


def test_the_certified_ones_are_held_against_truth_limit_and_fits(tmp_path):
    certified = np.arange(SYSTEMS) % 4 > 0
    table = made(tmp_path, certified)
    assert sorted(table.index.levels[0]) == ["all", "hst", "keck"]
    rows = table.loc["all"]
    assert list(rows.index) == ["overall", *TARGET_NAMES]
    assert (rows["systems"] == SYSTEMS).all() and (rows["certified"] == certified.sum()).all()
    assert (rows["few"] == (~certified).sum()).all() and (rows[[r for r in REASONS if r != "few"]] == 0).all(axis=None)
    assert rows.loc["gamma", "bayes"] == pytest.approx(SIGMA, rel=1e-5)
    assert rows.loc["overall", "bayes"] == pytest.approx(SIGMA * np.sqrt(8), rel=1e-5)
    assert rows.loc["overall", "limit"] == pytest.approx(0.08 * np.sqrt(8), rel=1e-5)
    assert (rows["rmse"] - rows["bayes"]).abs().max() < 4 * rows["rmse_error"].max()
    assert rows["width"].to_numpy() == pytest.approx(2, rel=1e-5)
    assert rows["offset"].to_numpy() == pytest.approx(OFF / SIGMA, rel=1e-4)
    assert rows["z"].to_numpy() == pytest.approx(1, abs=0.25)
    assert rows["p"].min() > 1e-3
    assert (rows[["bayes_error", "limit_error", "width_error", "offset_error"]].abs() < 1e-6).all(
        axis=None
    )  # all alike
    assert rows["z_error"].to_numpy()[1:] == pytest.approx(1 / np.sqrt(2 * 90), rel=0.5)
    assert (rows["refined_error"] > 0).all() and rows["refined_error"].max() < rows["refined"].max()
    assert (table.loc["hst", "systems"] == SYSTEMS / 2).all()


def test_posteriors_that_are_too_narrow_fail_simulation_based_calibration(tmp_path):
    rows = made(tmp_path, [True] * SYSTEMS, width=0.5).loc["all"]
    assert rows["p"].max() < 1e-3


def test_without_a_certificate_there_are_counts_alone(tmp_path):
    rows = made(tmp_path, [False] * SYSTEMS, cameras=("hst",)).loc["all"]
    assert rows["rmse"].isna().all() and (rows["few"] == SYSTEMS).all()
    numbers = quoted(claims, tmp_path / "importance.csv", labels={}, **CONFIG, cameras={"hst": "HST"})["importance"]
    assert (numbers["certified"], numbers["calls"], numbers["instruments"]) == (0, None, [])
    assert (numbers["farthest"], numbers["least_p"], numbers["tested"]) == (None, None, 0)


def test_one_system_has_no_error_of_its_error_and_no_test(tmp_path):
    rows = made(tmp_path, [True] + [False] * (SYSTEMS - 1)).loc["all"]
    assert rows["rmse"].notna().all() and rows["rmse_error"].isna().all() and rows["p"].isna().all()
    assert rows[[name for name in rows if name.endswith("_error")]].isna().all(axis=None)


def test_the_numbers_of_the_paper(tmp_path):
    made(tmp_path, np.arange(SYSTEMS) % 4 > 0)
    cameras = {"hst": "HST", "keck": "Keck AO"}
    numbers = quoted(claims, tmp_path / "importance.csv", labels={}, **CONFIG, cameras=cameras)["importance"]
    assert (numbers["systems"], numbers["certified"], numbers["share"]) == (120, 90, 0.75)
    assert (numbers["calls"], numbers["effective"], numbers["most"]) == (500, 200, 6000)
    assert numbers["reasons"] == {reason: 30 * (reason == "few") for reason in REASONS}
    assert [entry["label"] for entry in numbers["instruments"]] == ["HST", "Keck AO"]
    assert numbers["tested"] == 8 and numbers["least_p"]["value"] == min(row["p"] for row in numbers["rows"][1:])


def test_samples_of_another_run_are_one_line(tmp_path):
    write(tmp_path, [True] * SYSTEMS)
    with h5py.File(tmp_path / "importance.h5", "a") as file:
        del file["id"]
        file["id"] = [f"t{number}" for number in range(SYSTEMS)]
    with pytest.raises(LensvitError, match="s0") as error:
        importance_table(tmp_path / "importance.parquet", tmp_path / "out.csv")
    assert "\n" not in str(error.value)


def test_numbers_have_each_reason_and_no_other(tmp_path):
    made(tmp_path, [True] * SYSTEMS)
    content = quoted(claims, tmp_path / "importance.csv", labels={}, **CONFIG, cameras={"hst": "HST", "keck": "K"})
    for reasons in (dict.fromkeys(REASONS[1:], 0), dict.fromkeys([*REASONS, "tired"], 0)):
        with pytest.raises(ValidationError, match=r"in place of no fit, no density, unexplained"):
            ImportanceNumbers(**content["importance"] | {"reasons": reasons})
