"""Every setting is described, and the comments of config.yaml are these descriptions.

The rule: where a key stands for the first time in config.yaml, it has a line of its own, at whose end stands its
description as a comment; a long one goes on in the next lines, in the same column. Further on it may be left out.
"""

import importlib
import pkgutil
import re
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import pytest
import yaml
from pydantic import ValidationError

import lensvit
from lensvit.config.run import load
from lensvit.io.settings import Settings
from tests.config.configs import ROOT

# ---------------------------------------------------------------- models


CONFIG = ("lensvit.config.schema", "lensvit.config.run")


def all_models():
    """Every model of settings in the package."""
    for module in pkgutil.walk_packages(lensvit.__path__, "lensvit."):
        if module.name.split(".")[-1] in ("settings", "section") or module.name in CONFIG:
            found = importlib.import_module(module.name)
            yield from (
                value
                for value in vars(found).values()
                if isinstance(value, type) and issubclass(value, Settings) and value.__module__ == module.name
            )


MODELS = sorted(set(all_models()), key=lambda model: (model.__module__, model.__name__))


def choices(annotation):
    """The values that a field may take, where these are listed."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    if get_origin(annotation) in (Union, UnionType):
        return [value for part in get_args(annotation) for value in choices(part)]
    return []


def test_there_are_models_of_all_packages():
    packages = {model.__module__.split(".")[1] for model in MODELS}
    assert packages >= {"config", "chapters", "learning", "lensing", "simulation", "inference", "psf"}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_has_a_description_that_names_its_choices(model):
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description == field.description.strip().removesuffix("."), name
        for choice in choices(field.annotation):
            assert re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", field.description), (name, choice)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_is_frozen_and_rejects_unknown_keys(model):
    assert model.model_config["frozen"] and model.model_config["extra"] == "forbid"
    some = model.model_construct(**dict.fromkeys(model.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(some, next(iter(model.model_fields), "nonsense"), 1)
    with pytest.raises(ValidationError, match=r"(?s)nonsense.*Extra inputs"):
        model.model_validate({"nonsense": 1})


# ---------------------------------------------------------------- config.yaml


def comments(text):
    """Number of a line to the comment that stands behind what it says, with its continuations."""
    found, column, first = {}, None, None
    for number, line in enumerate(text.splitlines()):
        before, mark, comment = line.partition("  # ")
        if mark and before.strip():
            column, first = line.index("#"), number
            found[number] = comment
        elif mark and first is not None and line.index("#") == column:
            found[first] += " " + comment
        else:
            first = None
    return found


def keys(node, value):
    """(number of the line, key, description) of every key of the schema in a file."""
    if isinstance(value, Settings):
        for key, below in node.value:
            yield key.start_mark.line, key.value, type(value).model_fields[key.value].description
            yield from keys(below, getattr(value, key.value))
    elif isinstance(value, dict):
        for key, below in node.value:
            yield from keys(below, value.get(key.value))


def wrong_comments(text, run):
    """One line for each comment that is missing, or is not the description of its key."""
    written, seen, lines = comments(text), set(), set()
    for line, key, description in keys(yaml.compose(text), run):
        new = (key, description) not in seen
        seen.add((key, description))
        first_of_line = line not in lines
        lines.add(line)
        comment = written.pop(line, None) if first_of_line else None
        if comment != description and (new or comment is not None):
            yield f"line {line + 1}: {key}: give it a line of its own, with this comment:  # {description}"
    yield from (f"line {line + 1}: a comment of no key: {comment}" for line, comment in written.items())


def test_the_comments_of_config_yaml_are_the_descriptions():
    path = ROOT / "config.yaml"
    text = path.read_text(encoding="utf-8")
    assert list(wrong_comments(text, load(path))) == []
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("line", "changed", "key"),
    [
        ("  # the one seed from which all others follow", "", "seed"),
        ("# side of an image [pixel]", "# side of the image [pixel]", "pixels"),
        ("    brightness: per_area", "    brightness: per_area  # of the sky", "brightness"),
        ("  keck: {label", "  keck:  # the other telescope\n    {label", "a comment of no key"),
        ("# graded (mean over blocks", "# graded (blocks", "resize"),
    ],
)
def test_a_comment_that_is_no_description_is_found(line, changed, key):
    path = ROOT / "config.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(line) == 1
    found = list(wrong_comments(text.replace(line, changed), load(path)))
    assert [problem.split(": ")[1] for problem in found] == [key]
