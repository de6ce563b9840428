"""What the appendix says of the learning curves."""

from __future__ import annotations

from typing import Any

import pytest

from lensvit.paper.render import _environment
from tests.paper.test_render import TEMPLATES, numbers

TEMPLATE = _environment(TEMPLATES).get_template("chapters/training.tex.j2")
LAST, EARLIER = (30, 0.1), (12, 0.15)  # epoch of the least validation loss of thirty, and the loss in the last one


def said(*cases: tuple[int, float], average: float = 0.0) -> str:
    content = numbers()
    first = content["models"][0]
    content["models"] = [first | {"label": f"N{number}"} for number in range(len(cases))]
    for model, (epoch, loss) in zip(content["models"], cases, strict=True):
        curve = {"train_loss": 0.2, "validation_loss": 0.1, "least_loss": 0.1, "least_epoch": epoch, "last_loss": loss}
        model |= {"epochs_run": 30, "curve": curve, "recipe": model["recipe"] | {"average": average}}
    return " ".join(TEMPLATE.render(content).split())


@pytest.mark.parametrize(
    ("cases", "sentence"),
    [
        (
            [LAST],
            "the loss of the network in the epochs of its training. The validation loss of N0 is least in the last",
        ),
        (
            [LAST, LAST],
            "of each network in the epochs of its training. The validation loss of N0 and N1 is least in the",
        ),
        ([EARLIER], "The validation loss of N0 is least in epoch 12 of 30, and higher by 0.050 in the last one."),
        ([EARLIER, LAST], "The validation loss of N1 is least in the last epoch. That of N0 is least in epoch 12 of"),
        (
            [EARLIER, EARLIER],
            "The validation loss of N0 is least in epoch 12 of 30, and higher by 0.050 in the last one. That of N1 is",
        ),
        ([LAST] * 5, "Learning curves of N0, N1, N2, N3 and N4:"),
    ],
)
def test_where_the_validation_loss_is_least(cases: list[tuple[int, float]], sentence: str) -> None:
    assert sentence in said(*cases)


def test_averaged_weights_are_named_where_a_recipe_averages() -> None:
    assert "averaged weights" in said(LAST, average=0.99) and "averaged weights" not in said(LAST)


@pytest.mark.parametrize("old", ["absent", "null"])
def test_an_older_file_of_numbers_has_no_figure_of_them(old: str) -> None:
    content: dict[str, Any] = numbers()
    for model in content["models"]:
        if old == "absent":
            del model["curve"]
        else:
            model["curve"] = None
    assert TEMPLATE.render(content).strip() == ""
