"""What the paper says of the ablation."""

import numpy as np
import pytest

from lensvit.chapters.ablation import claims
from lensvit.chapters.ablation.claims import verdict
from lensvit.statistics.compare import relative_scatter
from tests.chapters.ablation.makers import SCORES, made
from tests.chapters.quoted import quoted


def test_the_numbers_of_the_paper(run):
    found = quoted(claims, *made(run), labels={})["ablation"]
    assert found["origin"]["run"] == "abl" and found["sampled"]
    resnet, one = found["models"]
    assert (one["key"], one["label"], one["error"], one["scatter"]) == ("1", "1", None, None)
    assert one["worse"] == one["better"] == one["undecided"] == []  # without a second seed nothing is judged
    assert (resnet["label"], resnet["recipe"]) == ("RESNET", "better")
    assert resnet["seeds"] == [1, 3] and resnet["images"] == 80
    relative = relative_scatter([np.array(scores) for (model, _), scores in SCORES.items() if model == "resnet"])
    assert resnet["scatter"] == pytest.approx(relative, rel=1e-4)
    assert [entry["label"] for entry in resnet["recipes"]] == ["only paper"]
    assert resnet["recipes"][0]["verdict"] == "worse" and resnet["recipes"][0]["ratio"] == pytest.approx(2, rel=1e-4)
    sorts = {kind: [entry["label"] for entry in resnet[kind]] for kind in ("worse", "better", "undecided")}
    assert sorts == {"worse": ["only raw"], "better": ["only batch"], "undecided": ["only late"]}
    rows = {row["label"]: row["values"] for row in found["rows"]}
    assert list(rows) == [None, "only paper", "only raw", "only late", "only batch"]
    assert rows["only late"]["1"] is None and rows["only raw"]["1"]["difference"] == pytest.approx(0.25)
    assert rows[None]["resnet"]["difference"] is None and rows[None]["resnet"]["seeds"] == 3


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [
        (0.1, 0.01, "worse"),
        (-0.1, 0.01, "better"),
        (0.029, 0.01, "undecided"),
        (-0.029, 0.01, "undecided"),
        (9, None, None),
    ],
)
def test_a_verdict_takes_three_errors(difference, error, expected):
    assert verdict(difference, error) == expected
