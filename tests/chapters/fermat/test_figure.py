"""Figure 6 on populations whose errors are known."""

import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.fermat import figure as stage

LABELS = {"vit": "ViT", "resnet": "ResNet $5"}


def part(method, treatment, sigma=0.05, factor=1.0, bias=0.0, count=200):
    error = bias + factor * sigma * np.random.default_rng(len(method)).standard_normal(count)
    return pd.DataFrame({"method": method, "treatment": treatment, "used": True, "error": error, "sigma": sigma})


def table(**changes):
    kinds = [
        ("vit", "prediction"),
        ("vit", "images"),
        ("resnet", "prediction"),
        ("resnet", "images"),
        ("prior", "images"),
    ]
    limit = part("limit", "pixels", 0.003).assign(error=np.nan)
    return pd.concat([*(part(*kind, **changes) for kind in kinds), limit], ignore_index=True)


@pytest.fixture
def figure():
    return stage.draw(table(), LABELS, 0.01)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_rows_and_the_papers_width(figure):
    assert figure.get_size_inches()[0] == 6.5
    left, _ = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [
        "ViT, alone", "ViT, + positions", r"ResNet \$5, alone", r"ResNet \$5, + positions", "Priors, + positions",
        "Limit, all pixels",
    ]  # fmt: skip
    assert "limit pixels error" not in lines(left) and "limit pixels expected" in lines(left)


def test_errors_as_wide_as_the_sigmas_lie_where_these_let_expect():
    for factor in (1.0, 3.0):
        drawn = lines(stage.draw(table(factor=factor), LABELS, 0.01).axes[0])
        (found,), (expected,) = (drawn[f"vit images {kind}"].get_xdata() for kind in ("error", "expected"))
        assert expected == pytest.approx(100 * 0.6745 * 0.05, rel=1e-3)
        assert found == pytest.approx(factor * expected, rel=0.2)


def test_lines_fall_as_the_root_of_the_number():
    drawn = lines(stage.draw(table(), LABELS, 0.01).axes[1])
    number, error = drawn["vit images expected"].get_data()
    assert number[0] == 1 and number[-1] == 200 and error == pytest.approx(5 / np.sqrt(number))
    assert "limit pixels found" not in drawn


def test_found_errors_follow_the_line_and_a_bias_does_not_average_out():
    honest, biased = part("vit", "images"), part("vit", "images", bias=0.03)
    for number in (1, 10, 40):
        expected, found = stage.together(honest, number)
        assert found == pytest.approx(expected, rel=0.3)
    assert stage.together(biased, 200)[1] == pytest.approx(0.03, rel=0.2)


def test_looks_differ_by_more_than_colour(figure):
    drawn = lines(figure.axes[1])
    assert drawn["vit images found"].get_marker() != drawn["resnet images found"].get_marker()
    assert drawn["vit images found"].get_markerfacecolor() != drawn["vit prediction found"].get_markerfacecolor()


def test_a_system_that_is_not_used_is_not_drawn():
    content = table()
    content.loc[content["method"] == "resnet", "used"] = False
    assert len(stage.draw(content, LABELS, 0.01).axes[0].get_yticklabels()) == 4


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(tmp_path):
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"options": LABELS, "goal": 0.01}))
    table().to_parquet(tmp_path / "fermat.parquet")
    for name in "ab":
        outputs = [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"]
        stage.figure6(tmp_path / "settings.yaml", tmp_path / "fermat.parquet", outputs)
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
