"""The models' errors in units of the limit, and what the paper says of them."""

import json

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.limit.claims import limit_numbers
from lensvit.chapters.limit.table import limit_table
from lensvit.errors import LensvitError
from lensvit.io.products import NEAREST_CAUSTIC, read_limits
from lensvit.parameters import TARGET_NAMES, TARGETS

SYSTEMS = 60
LABELS, CAMERAS = {"vit": "ViT", "1": "One"}, {"hst": "HST", "keck": "Keck AO"}


@pytest.fixture
def run(tmp_path):
    """Two cameras; limits of 0.1 and 0.3, with free amplitudes twice that; the last six systems have none."""
    camera = np.where(np.arange(SYSTEMS) % 2, "keck", "hst")
    size = np.where(camera == "hst", 0.1, 0.3)
    columns = {"id": [f"s{row}" for row in range(SYSTEMS)], "instrument": camera}
    for name in TARGET_NAMES:
        columns |= {f"{name}_known": size, f"{name}_marginalised": (5 if name == "e2" else 2) * size}
    for treatment in ("known", "marginalised"):
        columns[f"valid_{treatment}"] = np.arange(SYSTEMS) < SYSTEMS - 6
    pd.DataFrame(columns).to_parquet(tmp_path / "limit.parquet")
    for model, factor in (("vit", 3), ("1", 10)):
        columns = {"id": [f"s{row}" for row in reversed(range(SYSTEMS))]}
        for name in TARGET_NAMES:
            worse = 2 if name == "gamma" else 0.5 if name == "n_sersic" else 1
            error = factor * worse * np.where(np.arange(SYSTEMS) < 6, 1e3, size[::-1])  # wild where there is no limit
            columns |= {f"{name}_truth": np.ones(SYSTEMS), f"{name}_mean": 1 + error}
        pd.DataFrame(columns).to_parquet(tmp_path / f"{model}.parquet")
    return tmp_path


def made(run, amplitudes="known"):
    paths = [run / "vit.parquet", run / "1.parquet"]
    limit_table(run / "limit.parquet", paths, amplitudes, run / "limit.csv")
    return pd.read_csv(run / "limit.csv", dtype={"model": str}).set_index(["model", "instrument", "target"])


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


def test_the_ratio_is_to_the_chosen_limit(run):
    assert made(run, "marginalised").loc[("vit", "hst", "theta_E"), "ratio"] == pytest.approx(1.5)


def test_one_instrument_has_no_rows_of_its_own(run):
    pd.read_parquet(run / "limit.parquet").assign(instrument="hst").to_parquet(run / "limit.parquet")
    assert set(made(run).index.get_level_values("instrument")) == {"all"}
    assert limit_numbers(run / "limit.csv", "known", LABELS, CAMERAS)["instruments"] == []


def test_the_numbers_of_the_paper(run):
    made(run)
    found = json.loads(json.dumps(limit_numbers(run / "limit.csv", "known", LABELS, CAMERAS), allow_nan=False))
    assert found["systems"] == SYSTEMS - 6 and found["nearest"] == NEAREST_CAUSTIC and found["amplitudes"] == "known"
    assert found["overall"] == pytest.approx(np.sqrt(8 * 0.05), rel=1e-5) and found["other"] > 2 * found["overall"]
    assert [entry["label"] for entry in found["instruments"]] == ["HST", "Keck AO"]
    assert found["instruments"][0]["value"] == pytest.approx(np.sqrt(8) * 0.1, rel=1e-5)
    labels = {parameter.name: parameter.label for parameter in TARGETS}
    assert found["widened"] == {"label": labels["e2"], "value": pytest.approx(5, rel=1e-5)}
    vit, one = found["models"]
    assert (one["key"], one["label"]) == ("1", "One")
    assert vit["most"] == {"label": labels["gamma"], "value": pytest.approx(6, rel=1e-5)}
    assert vit["least"] == {"label": labels["n_sersic"], "value": pytest.approx(1.5, rel=1e-5)}
    assert [row["target"] for row in found["rows"]] == ["overall", *TARGET_NAMES]
    assert found["rows"][0]["label"] is None and found["rows"][1]["ratios"]["1"] == pytest.approx(10, rel=1e-5)
    turned = limit_numbers(run / "limit.csv", "marginalised", LABELS, CAMERAS)
    assert (turned["overall"], turned["other"]) == (found["other"], found["overall"])


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
