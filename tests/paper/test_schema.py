"""The schema of numbers.json: one part a chapter, every key described, and its table in paper/README.md."""

import json
import re
import shutil
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import pytest
from pydantic import ValidationError, create_model

from lensvit.chapters.registry import CHAPTERS, can_be_off
from lensvit.errors import LensvitError
from lensvit.paper.schema import MARK, PaperNumbers, models_of, write_table

ROOT = Path(__file__).parents[2]
README = ROOT / "paper/README.md"
MODELS = models_of(PaperNumbers)


def example():
    return json.loads((ROOT / "tests/data/numbers.json").read_text(encoding="utf-8"))


def choices(annotation):
    """The words that a field may take, where these are listed."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return [value for part in get_args(annotation) for value in choices(part)]
    return []


def test_every_chapter_has_its_keys_and_those_that_can_be_off_may_be_null():
    for name, chapter in CHAPTERS.items():
        assert set(chapter.keys) <= set(PaperNumbers.model_fields)
        for key in chapter.keys:
            assert (type(None) in get_args(PaperNumbers.model_fields[key].annotation)) == can_be_off(name)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_has_a_description_of_one_line_that_names_its_choices(model):
    assert model.model_config["frozen"] and model.model_config["extra"] == "forbid" and model.__doc__
    for name, field in model.model_fields.items():
        text = field.description
        assert text and text == text.strip().removesuffix(".") and "\n" not in text, name
        for choice in choices(field.annotation):
            assert re.search(rf"(?<!\w){re.escape(str(choice))}(?!\w)", text), (name, choice)


def test_the_example_has_every_key_in_order():
    content = example()
    assert json.dumps(PaperNumbers.model_validate(content).model_dump()) == json.dumps(content)


def test_an_example_without_the_chapters_that_can_be_off():
    off = {key: None for name, chapter in CHAPTERS.items() if can_be_off(name) for key in chapter.keys}
    assert len(off) == 8
    PaperNumbers.model_validate(example() | off)
    with pytest.raises(ValidationError, match="calibration"):
        PaperNumbers.model_validate(example() | {"calibration": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["limit"].update(overall=float("nan")), "limit.overall\n.*finite"),
        (lambda content: content["limit"].pop("overall"), "limit.overall\n.*required"),
        (lambda content: content["shift"]["cases"][0].update(error="huge"), r"shift.cases.0.error\n"),
        (lambda content: content.update(more=1), "more\n.*not permitted"),
        (lambda content: content["run"].update(seed=0.5), "run.seed\n.*integer"),
    ],
)
def test_what_is_not_in_the_schema_is_an_error(change, message):
    content = example()
    change(content)
    with pytest.raises(ValidationError, match=message):
        PaperNumbers.model_validate(content)


def test_two_models_of_one_name_are_an_error():
    other = create_model("LimitNumbers", value=(int, 1))
    whole = create_model("Whole", first=(PaperNumbers, ...), second=(other, ...))
    with pytest.raises(ValueError, match="two models called LimitNumbers"):
        models_of(whole)


def test_the_readme_has_the_table_of_the_schema(tmp_path):
    """After a change of a description: python -m lensvit.paper.schema paper/README.md."""
    copy = Path(shutil.copy(README, tmp_path))
    copy.write_text(copy.read_text(encoding="utf-8").split(MARK)[0] + MARK, encoding="utf-8")
    write_table(copy)
    text = copy.read_text(encoding="utf-8")
    assert text == README.read_text(encoding="utf-8")
    for model in MODELS:
        assert f"\n### {model.__name__}\n" in text
        assert all(f"\n| `{key}` | " in text for key in model.model_fields)


def test_a_readme_without_the_mark_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(LensvitError, match="behind which the table stands"):
        write_table(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "mine"
