from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.accuracy.claims import (
    against_prior,
    against_published,
    best,
    claims,
    compare,
    leader,
    level,
    numbers,
)
from lensvit.chapters.quoting import Context
from lensvit.errors import LensvitError
from lensvit.io.tables import PREDICTIONS
from lensvit.parameters import TARGET_NAMES
from tests.builders import filled

A = {"key": "a", "label": "A", "kind": "model", "reference": "published_a"}
B = {"key": "b", "label": "B", "kind": "model", "reference": None}
PRIOR = {"key": "prior", "label": "Prior", "kind": "baseline", "reference": None}
PUBLISHED = {"key": "published_a", "label": "A", "kind": "published", "reference": None}


def row(
    target: str, a: float, b: float, error: float = 0.01, prior: float = 1.0, published: float = 0.5, c: float = 9.0
) -> dict[str, Any]:
    """A row of which each difference has the paired standard error ``error``, a tenth of those of its entries."""
    values = {"a": a, "b": b, "c": c, "prior": prior, "published_a": published}
    names = [("a", "b"), ("a", "c"), ("b", "c"), *((name, "prior") for name in "abc")]
    pairs = [
        {
            "first": one, "second": other, "difference": values[one] - values[other], "difference_error": error,
            "ratio": values[one] / values[other], "ratio_error": error,
        }
        for one, other in names
    ]  # fmt: skip
    errors = dict.fromkeys("abc", 10 * error)
    return {"target": target, "unit": "arcsec", "values": values, "errors": errors, "pairs": pairs}


def test_small_angles_are_printed_in_milliarcseconds() -> None:
    rows = [row("overall", 0.5, 0.6) | {"unit": ""}, row("theta_E", 0.5, 0.6), row("center_x", 0.01, 0.02, prior=0.02)]
    assert claims([A, PRIOR], rows)["units"] == {
        "overall": {"name": "", "factor": 1},
        "theta_E": {"name": "arcsec", "factor": 1},
        "center_x": {"name": "mas", "factor": 1000},
    }


def test_the_ensemble_is_held_against_the_best_and_each_network() -> None:
    ensemble = {"key": "ensemble", "label": "Ensemble", "kind": "ensemble", "reference": None}
    rows = [row("overall", 0.5, 0.6), row("gamma", 0.5, 0.6), row("e1", 0.5, 0.6), row("e2", 0.5, 0.45)]
    for entry, value in zip(rows, (0.4, 0.45, 0.49, 0.5), strict=True):
        entry["values"]["ensemble"] = value
        entry["pairs"] += [
            {
                "first": name, "second": "ensemble", "difference": entry["values"][name] - value,
                "difference_error": 0.01, "ratio": entry["values"][name] / value, "ratio_error": 0.02,
            }
            for name in "ab"
        ]  # fmt: skip
    found = claims([A, B, ensemble, PRIOR], rows)["ensemble"]
    assert found["best"] == A and found["overall"]["clear"] and found["overall"]["ratio"] == pytest.approx(0.8)
    assert found["overall"]["ratio_error"] == pytest.approx(0.02 * 0.8**2)
    assert [entry["target"] for entry in found["better"]] == ["gamma"]
    assert [entry["target"] for entry in found["worse"]] == ["e2"]
    assert claims([A, B, PRIOR], rows)["ensemble"] is None
    assert claims([A, B, ensemble, PRIOR], rows)["bold"]["overall"] == ["a"]  # of the networks


def test_the_best_is_a_model_of_this_run() -> None:
    assert best(row("x", 0.9, 0.8, published=0.1, prior=0.2), [A, B]) == "b"


@pytest.mark.parametrize(
    ("b", "expected", "bold"),
    [(0.6, "a", ["a"]), (0.52, None, ["a", "b"]), (0.5, None, ["a", "b"]), (0.4, "b", ["b"])],
)
def test_leader_needs_a_clear_difference_of_paired_errors(b: float, expected: str | None, bold: list[str]) -> None:
    assert leader(row("x", 0.5, b), [A, B]) == expected
    assert level(row("x", 0.5, b), [A, B]) == bold


def test_without_pairs_the_errors_of_both_count() -> None:
    old = row("x", 0.5, 0.6)
    del old["pairs"]  # as version 0.1.0 wrote it
    assert leader(old, [A, B]) is None and leader(row("x", 0.5, 0.6), [A, B]) == "a"
    assert compare(old, "a", "b")["difference_error"] == pytest.approx(np.hypot(0.1, 0.1))
    assert compare(old, "a", "prior")["difference_error"] == pytest.approx(0.1)


def test_a_pair_can_be_asked_for_in_both_orders() -> None:
    one, other = compare(row("x", 0.5, 0.8), "a", "b"), compare(row("x", 0.5, 0.8), "b", "a")
    assert one["difference"] == -other["difference"] == pytest.approx(-0.3)
    assert one["ratio"] * other["ratio"] == pytest.approx(1) and one["clear"] and other["clear"]
    assert one["ratio_error"] / one["ratio"] == pytest.approx(other["ratio_error"] / other["ratio"])


def test_all_that_are_not_clearly_behind_are_level() -> None:
    c = B | {"key": "c"}
    assert level(row("x", 0.5, 0.52, c=0.9), [A, B, c]) == ["a", "b"]
    assert leader(row("x", 0.5, 0.9, c=0.52), [A, B, c]) is None  # ahead of one, not of the other
    assert leader(row("x", 0.5, 0.9, c=0.8), [A, B, c]) == "a"


def test_a_single_model_leads_nothing() -> None:
    assert leader(row("x", 0.5, 0.6), [A]) is None
    alone = claims([A, PRIOR], [row("overall", 0.5, 0.6), row("gamma", 0.5, 0.6)])
    assert alone["bold"] == {"overall": [], "gamma": []} and alone["rankings"]["overall"]["second"] is None
    assert not alone["leads"] and not alone["lead_varies"]


def test_against_prior() -> None:
    rows = [row("strong", 0.1, 1), row("some", 0.7, 1), row("weak", 0.95, 1), row("edge", 0.5, 1)]
    result = against_prior([*rows, row("constant", 0.98, 1), row("worse", 1.5, 1)], A)
    groups = {name: [r["target"] for r in result[name]] for name in ("strong", "weak", "constant")}
    assert groups == {
        "strong": ["strong", "edge"], "weak": ["weak"], "constant": ["constant", "worse"],
    }  # fmt: skip
    assert result["most"]["target"] == "strong"
    assert result["factors"]["strong"]["ratio"] == pytest.approx(10)


def test_against_published() -> None:
    rows = [row("overall", 1.0, 1), row("standardised", 1.0, 1), row("mass", 1.0, 1)]
    rows += [row(*content, 1, error=0.001) for content in (("lower", 0.4), ("higher", 0.6), ("level", 0.51))]
    model = A | {"systems": 300}
    result = against_published(rows, model)
    assert result["ratio"] == 2
    assert [[r["target"] for r in result[name]] for name in ("lower", "higher", "level")] == [
        ["lower"],
        ["higher"],
        ["level"],
    ]


def test_the_published_error_has_an_error_of_its_own() -> None:
    """Equal values of 1,200 systems each: the difference has the square root of two times the error of ours."""
    for size, error, expected in ((1200, 0.1, 0.1), (300, 0.1, 0.05), (4800, 0.1, 0.2)):
        overall = row("overall", 1.0, 1, error=error / 10, published=1.0)
        found = against_published([overall, row("gamma", 0.5, 1)], A | {"systems": size})
        assert found["ratio_error"] == pytest.approx(np.hypot(error, expected))
    # off by 3.5 times the error of ours, but by 2.5 of both
    near = row("gamma", 0.5, 1, error=0.00143, published=0.55)
    found = against_published([row("overall", 1.0, 1), near], A | {"systems": 1200})
    assert [r["target"] for r in found["level"]] == ["gamma"]


def test_claims_as_a_whole() -> None:
    rows = [row("overall", 0.5, 0.8), row("standardised", 0.5, 0.5), row("mass", 0.4, 0.3)]
    rows += [row("gamma", 0.1, 0.9), row("n_sersic", 0.9, 0.1), row("theta_E", 0.5, 0.5)]
    result = claims([A, B, PRIOR, PUBLISHED], rows)
    assert [column["key"] for column in result["rankings"]["overall"]["order"]] == ["a", "b"]
    assert {name: entry["clear"] for name, entry in result["rankings"].items()} == {
        "overall": True, "standardised": False, "mass": True,
    }  # fmt: skip
    assert [entry["key"] for entry in result["rankings"]["mass"]["order"]] == ["b", "a"] and result["lead_varies"]
    assert [(lead["column"]["key"], [r["target"] for r in lead["rows"]]) for lead in result["leads"]] == [
        ("a", ["gamma"]),
        ("b", ["n_sersic"]),
    ]
    assert [r["target"] for r in result["undecided"]] == ["theta_E"]
    assert [r["target"] for r in result["mass"]] == ["gamma", "theta_E"]
    assert [entry["column"]["key"] for entry in result["published"]] == ["a"]
    assert result["bold"]["theta_E"] == ["a", "b"] and result["bold"]["overall"] == ["a"]
    assert result["trainings"] == [1, 1] and result["scatter"] is None
    assert result["chance"] == pytest.approx(0.0027, rel=0.01)
    often = [A | {"trainings": 3, "scatter": 0.02}, B | {"trainings": 1, "scatter": 0.02}]
    result = claims([*often, PRIOR, PUBLISHED], rows)
    assert result["trainings"] == [1, 3] and result["scatter"] == 0.02


def test_the_largest_contributor_of_the_overall_error() -> None:
    limit = {"key": "c", "label": "Limit", "kind": "limit", "reference": None}
    rows = [row("overall", 1.0, 1.0, c=1.0), row("gamma", 0.8, 0.6, c=0.6), row("n_sersic", 0.6, 0.8, c=0.8)]
    found = claims([A, B, PRIOR, limit], rows)["contributors"]
    shares = [(entry["row"]["target"], [(e["column"]["key"], e["share"]) for e in entry["entries"]]) for entry in found]
    assert shares == [
        ("n_sersic", [("b", pytest.approx(0.64)), ("c", pytest.approx(0.64))]),
        ("gamma", [("a", pytest.approx(0.64))]),
    ]


# ---------------------------------------------------------------- numbers


def tables(folder: Path, *columns: str) -> list[Path]:
    """Table 1 with its errors, and predictions that are off by one and two sigmas in turn."""
    table = pd.DataFrame({"target": ["overall", *TARGET_NAMES], **dict.fromkeys(columns, 0.5)})
    paths = [folder / f"{name}.csv" for name in ("table1", "table1_errors", "table1_differences")]
    table.to_csv(paths[0], index=False)
    ours = table[[name for name in table if not name.startswith("published")]]
    ours.to_csv(paths[1], index=False)
    with paths[1].open("a") as file:
        for row, value in (("systems", "4"), ("trainings", "2"), ("scatter", "0.02")):
            file.write(
                ",".join([row, *(value if row == "systems" or name == "vit" else "" for name in ours.columns[1:])])
                + "\n"
            )
    pairs = pd.DataFrame({"target": table["target"], "first": "vit", "second": "prior"})
    numbers = ("difference", "difference_error", "ratio", "ratio_error")
    pairs.assign(**dict.fromkeys(numbers, 0.25)).to_csv(paths[2], index=False)
    values = {"truth": [1.0] * 4, "mean": [1.05, 1.2, 0.95, 0.8], "sigma": [0.1] * 4, "epistemic": [0.05] * 4}
    predicted = {f"{name}_{kind}": column for name in TARGET_NAMES for kind, column in values.items()}
    filled(pd.DataFrame({"id": list("abcd"), **predicted}), PREDICTIONS).to_parquet(folder / "vit.parquet")
    (folder / "vit").mkdir()
    (folder / "vit/config.json").write_text(json.dumps({"family": "transformer"}))
    return [*paths, folder / "vit.parquet"]


def context(folder: Path) -> Context:
    return Context({"models": {"vit": {"label": "My ViT"}}}, pd.DataFrame(), [folder / "vit/config.json"], {})


def test_the_numbers_of_the_paper(tmp_path: Path) -> None:
    columns = "vit", "ensemble", "refined", "importance", "prior", "limit", "bayes", "published_vit"
    found = numbers(tables(tmp_path, *columns), context(tmp_path))
    assert [(column.kind, column.label) for column in found.columns] == [
        ("model", "My ViT"), ("ensemble", "Ensemble"), ("refined", "Refined"), ("exact", "Exact posterior"),
        ("baseline", "Prior mean"), ("limit", "Limit"), ("bayes", "Bayes error"), ("published", "ViT"),
    ]  # fmt: skip
    assert [column.reference for column in found.columns] == ["published_vit"] + [None] * 7
    assert [column.systems for column in found.columns] == [4, 4, 4, 4, 4, 4, 4, None]
    assert [(column.trainings, column.scatter) for column in found.columns] == [(2, 0.02)] + [(None, None)] * 7
    assert found.table[3].pairs[0].second == "prior" and found.table[3].pairs[0].ratio_error == 0.25
    assert [row.target for row in found.table] == ["overall", *TARGET_NAMES]
    overall, first = found.uncertainty[:2]
    assert overall.coverage == first.coverage == {"vit": 0.5} and overall.percent_error is None
    assert overall.coverage_error == first.coverage_error  # all targets are alike
    assert first.coverage_error["vit"] == pytest.approx(np.sqrt(0.25 / 4), rel=0.1)
    assert first.epistemic_error["vit"] == pytest.approx(0, abs=1e-9) and first.percent_standard_error["vit"] > 0
    assert first.epistemic_share["vit"] == pytest.approx(0.25)
    assert first.percent_error["vit"] == pytest.approx(np.median([0.05, 0.2, 0.05, 0.2]))


def test_a_column_that_nothing_explains(tmp_path: Path) -> None:
    with pytest.raises(LensvitError, match="Table 1 has a column strange"):
        numbers(tables(tmp_path, "vit", "strange"), context(tmp_path))


def test_the_published_order_is_confirmed_reversed_or_open() -> None:
    columns = [A | {"reference": "published_vit"}, B | {"reference": "published_resnet"}, PRIOR]

    def entry(target: str, a: float, b: float, first: float, second: float) -> dict[str, Any]:
        made = row(target, a, b)
        return made | {"values": made["values"] | {"published_vit": first, "published_resnet": second}}

    rows = [
        entry("overall", 0.5, 0.4, 0.3, 0.6),
        entry("gamma", 0.4, 0.5, 0.3, 0.6),
        entry("e1", 0.4, 0.41, 0.3, 0.6),
        entry("e2", 0.4, 0.5, 0.6, 0.3),
        entry("theta_E", 0.5, 0.4, 0.6, 0.3),
    ]
    found = claims(columns, rows)["question"]
    assert (found["first"]["key"], found["second"]["key"], found["overall"]) == ("a", "b", "reversed")
    names = {name: [entry["target"] for entry in found[name]] for name in ("ahead", "behind", "confirmed", "reversed")}
    assert names == {
        "ahead": ["gamma", "e1"], "behind": ["e2", "theta_E"], "confirmed": ["gamma", "theta_E"], "reversed": ["e2"],
    }  # fmt: skip
    assert [entry["target"] for entry in found["open"]] == ["e1"]
    assert claims([A | {"reference": "published_vit"}, B, PRIOR], rows)["question"] is None
    twice = [A | {"reference": "published_vit"}, B | {"reference": "published_resnet"}, {**A, "key": "c"}, PRIOR]
    assert claims([*twice[:2], {**twice[0], "key": "c"}, PRIOR], rows)["question"] is None
