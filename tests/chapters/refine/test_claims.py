"""What the paper says of the fits."""

import pandas as pd
import pytest

from lensvit.chapters.refine import claims
from lensvit.chapters.refine.table import refined_table
from lensvit.parameters import TARGET_NAMES
from tests.chapters.quoted import quoted
from tests.chapters.refine.makers import made


def test_the_numbers_of_the_paper(run):
    cameras = {"hst": "HST", "keck": "Keck"}
    numbers = quoted(claims, made(run), labels={"vit": "ViT"}, cameras=cameras)["refine"]
    first, second = numbers["starts"]
    assert (first["label"], first["network"], first["share"]) == ("ViT", True, 1.0)
    assert (second["label"], second["network"], second["network_rmse"]) == (None, False, None)
    assert [entry["label"] for entry in second["instruments"]] == ["HST", "Keck"]
    assert numbers["needed"] is False  # one fit of six more
    assert numbers["cut"] is False  # the priors have no limits
    assert [row["target"] for row in numbers["rows"]] == ["overall", *TARGET_NAMES]
    row = numbers["rows"][1]
    assert row["starts"]["vit"]["rmse"] == pytest.approx(
        row["starts"]["vit"]["ratio"] * row["starts"]["vit"]["limit"], rel=1e-4
    )


@pytest.mark.parametrize("converged", [True, False])
def test_limits_of_priors_are_mentioned_where_they_cut_a_converged_fit_off(run, tmp_path, converged):
    fits = pd.read_parquet(run / "refined" / "vit.parquet")
    fits.loc[fits.index[0], ["cut", "converged"]] = True, converged
    fits.to_parquet(tmp_path / "vit.parquet")
    refined_table([tmp_path / "vit.parquet"], [run / "predictions" / "vit.parquet"], tmp_path / "refined.csv")
    numbers = quoted(claims, tmp_path / "refined.csv", labels={"vit": "ViT"}, cameras={"hst": "HST"})["refine"]
    assert numbers["cut"] is converged
