"""What the paper says of the fits."""

import pytest

from lensvit.chapters.refine import claims
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
    assert [row["target"] for row in numbers["rows"]] == ["overall", *TARGET_NAMES]
    row = numbers["rows"][1]
    assert row["starts"]["vit"]["rmse"] == pytest.approx(
        row["starts"]["vit"]["ratio"] * row["starts"]["vit"]["limit"], rel=1e-4
    )
