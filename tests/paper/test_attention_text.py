"""What the paper says of the attention in figure 1."""

from __future__ import annotations

from typing import Any

import pytest

from lensvit.paper.render import _environment
from tests.paper.test_render import TEMPLATES, numbers

TEMPLATE = _environment(TEMPLATES).get_template("chapters/data.tex.j2")
NONE: dict[str, Any] = {"collapsed": [], "share": None, "same": None}


def chapter(content: dict[str, Any]) -> str:
    return " ".join(TEMPLATE.render(content, cite=lambda *keys: ",".join(keys)).split())


def said(layer: int = -1, shown: int = 4, **changes: Any) -> str:
    content = numbers()
    figure = content["figures"]["figure1"]
    figure["attention"] |= changes
    figure["attention"]["layer"] = layer % figure["attention"]["layers"] + 1
    figure |= {"layer": layer, "heads": list(range(1, shown + 1))}
    return chapter(content)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "The attention of two of the four heads (numbers 3 and 4) has collapsed: each gives on average at least "
            r"99\% of its weight to one patch, and this is the same patch in at least 99\% of the systems",
        ),
        (
            {"collapsed": [2]},
            r"of one of the four heads (number 2) has collapsed: this head gives on average 99\% of its weight to one "
            r"patch, and this is the same patch in 99\% of the systems",
        ),
        ({"collapsed": [1, 2, 3, 4]}, "The attention of this layer has collapsed in all of its four heads: each gives"),
        ({}, "In all layers together seven of 16 heads have collapsed."),
        ({"collapsed_everywhere": 1, "layers": 2}, "In all layers together one of eight heads has collapsed."),
        (NONE, "None of the four heads of this layer has collapsed, but seven heads of other layers have."),
        (NONE | {"collapsed_everywhere": 0}, "None of the four heads of this layer has collapsed. One layer alone"),
        ({"heads": 1, "shown": 1, "collapsed": [1]}, r"It has collapsed: the head gives on average 99\%"),
        (
            NONE | {"heads": 1, "shown": 1, "collapsed_everywhere": 1},
            "It has not collapsed, but one head of other layers has.",
        ),
        ({"systems": 1}, "over one random test system."),
        ({"layer": 1}, "in layer 2, averaged over all heads; and that of each of the four heads."),
        ({"layer": 3, "shown": 4}, "the last layer, averaged over all heads"),  # the fourth of four
        ({"heads": 12}, "that of the first four heads."),
        ({"heads": 1, "shown": 1}, "that of the one head."),
        ({}, r"drawn at 35\% and 70\% of the range of the image"),
        ({}, "from the class token to the 36 patches;"),
    ],
)
def test_the_attention_is_said_with_numbers(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in said(**changes)


def test_an_older_file_of_numbers_and_images_alone_say_nothing_of_it() -> None:
    content = numbers()
    for key in ("attention", "contours", "softening"):
        del content["figures"]["figure1"][key]
    text = chapter(content)
    assert "rollout" not in text and "the first four heads" in text and "in the last layer" in text
    content = numbers()
    content["figures"]["figure1"] |= {"model": None, "heads": [], "attention": None}
    text = chapter(content)
    assert "rollout" not in text and "class token" not in text
