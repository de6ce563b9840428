from __future__ import annotations

from typing import Any

import pytest

from lensvit.chapters.accuracy.claims import against_prior, against_published, best, claims, leader

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
