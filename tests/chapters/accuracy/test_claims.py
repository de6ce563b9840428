from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.accuracy.claims import against_prior, against_published, best, claims, leader, numbers
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
    target: str, a: float, b: float, error: float = 0.01, prior: float = 1.0, published: float = 0.5
) -> dict[str, Any]:
    values = {"a": a, "b": b, "prior": prior, "published_a": published}
    return {"target": target, "values": values, "errors": {"a": error, "b": error}}


def test_the_best_is_a_model_of_this_run() -> None:
    assert best(row("x", 0.9, 0.8, published=0.1, prior=0.2), [A, B]) == "b"


@pytest.mark.parametrize("b, expected", [(0.6, "a"), (0.51, None), (0.5, None), (0.4, "b")])
def test_leader_needs_a_clear_difference(b: float, expected: str | None) -> None:
    assert leader(row("x", 0.5, b), [A, B]) == expected


def test_a_single_model_leads_nothing() -> None:
    assert leader(row("x", 0.5, 0.6), [A]) is None


def test_against_prior() -> None:
    rows = [row("strong", 0.1, 1), row("some", 0.7, 1), row("none", 0.99, 1), row("edge", 0.5, 1)]
    result = against_prior(rows, A)
    assert [r["target"] for r in result["strong"]] == ["strong", "edge"]
    assert [r["target"] for r in result["some"]] == ["some"]
    assert [r["target"] for r in result["none"]] == ["none"]
    assert result["most"]["target"] == "strong" and result["least"]["target"] == "none"
    assert result["factors"]["strong"] == pytest.approx(10)


def test_against_published() -> None:
    rows = [row("overall", 1.0, 1), row("lower", 0.4, 1), row("higher", 0.6, 1), row("level", 0.51, 1)]
    result = against_published(rows, A)
    assert result["ratio"] == 2
    assert [[r["target"] for r in result[name]] for name in ("lower", "higher", "level")] == [
        ["lower"],
        ["higher"],
        ["level"],
    ]


def test_claims_as_a_whole() -> None:
    rows = [row("overall", 0.5, 0.8), row("x", 0.1, 0.9), row("y", 0.9, 0.1), row("z", 0.5, 0.5)]
    result = claims([A, B, PRIOR, PUBLISHED], rows)
    assert [column["key"] for column in result["ranking"]] == ["a", "b"] and result["ranking_clear"]
    assert [(lead["column"]["key"], [r["target"] for r in lead["rows"]]) for lead in result["leads"]] == [
        ("a", ["x"]),
        ("b", ["y"]),
    ]
    assert [r["target"] for r in result["undecided"]] == ["z"]
    assert [entry["column"]["key"] for entry in result["published"]] == ["a"]


# ---------------------------------------------------------------- numbers


def tables(folder: Path, *columns: str) -> list[Path]:
    """Table 1 with its errors, and predictions that are off by one and two sigmas in turn."""
    table = pd.DataFrame({"target": ["overall", *TARGET_NAMES], **dict.fromkeys(columns, 0.5)})
    paths = [folder / name for name in ("table1.csv", "table1_errors.csv")]
    for path in paths:
        table.to_csv(path, index=False)
    with paths[1].open("a") as file:
        file.write(",".join(["systems", *("4" for _ in columns)]) + "\n")
    values = {"truth": [1.0] * 4, "mean": [1.05, 1.2, 0.95, 0.8], "sigma": [0.1] * 4, "epistemic": [0.05] * 4}
    predicted = {f"{name}_{kind}": column for name in TARGET_NAMES for kind, column in values.items()}
    filled(pd.DataFrame({"id": list("abcd"), **predicted}), PREDICTIONS).to_parquet(folder / "vit.parquet")
    (folder / "vit").mkdir()
    (folder / "vit/config.json").write_text(json.dumps({"family": "transformer"}))
    return [*paths, folder / "vit.parquet"]


def context(folder: Path) -> Context:
    return Context({"models": {"vit": {"label": "My ViT"}}}, pd.DataFrame(), [folder / "vit/config.json"], {})


def test_the_numbers_of_the_paper(tmp_path: Path) -> None:
    columns = "vit", "refined", "importance", "prior", "limit", "bayes", "published_vit"
    found = numbers(tables(tmp_path, *columns), context(tmp_path))
    assert [(column.kind, column.label) for column in found.columns] == [
        ("model", "My ViT"), ("refined", "Refined"), ("exact", "Exact posterior"), ("baseline", "Prior mean"),
        ("limit", "Limit"), ("bayes", "Bayes error"), ("published", "ViT"),
    ]  # fmt: skip
    assert [column.reference for column in found.columns] == ["published_vit"] + [None] * 6
    assert [column.systems for column in found.columns] == [4, 4, 4, 4, 4, 4, None]
    assert [row.target for row in found.table] == ["overall", *TARGET_NAMES]
    overall, first = found.uncertainty[:2]
    assert overall.coverage == first.coverage == {"vit": 0.5} and overall.percent_error is None
    assert first.epistemic_share["vit"] == pytest.approx(0.25)
    assert first.percent_error["vit"] == pytest.approx(np.median([0.05, 0.2, 0.05, 0.2]))


def test_a_column_that_nothing_explains(tmp_path: Path) -> None:
    with pytest.raises(LensvitError, match="Table 1 has a column strange"):
        numbers(tables(tmp_path, "vit", "strange"), context(tmp_path))
