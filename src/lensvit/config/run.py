"""The config of a run with the keys of all chapters: loaded, merged, checked."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, create_model

from lensvit.chapters.registry import CHAPTERS, has_module
from lensvit.config.schema import Run, Section
from lensvit.errors import LensvitError
from lensvit.io.files import read_text
from lensvit.io.settings import NO_YAML, shown


def _section(chapter: str) -> type[Section]:
    """The class of a chapter's key: the one of that name in its module ``section``."""
    module = importlib.import_module(f"lensvit.chapters.{chapter}.section")
    return getattr(module, chapter.capitalize())


SECTIONS = {name: _section(name) for name in CHAPTERS if has_module(name, "section")}
_FIELDS: dict[str, Any] = {
    name: (
        section,
        # a config of a run that was made before there was the key
        Field(default_factory=section, description=section.summary())
        if section.comes_later
        else Field(description=section.summary()),
    )
    for name, section in SECTIONS.items()
}
Config: type[Run] = create_model("Config", __base__=Run, __doc__="A whole run.", **_FIELDS)


def validate(content: Mapping[str, Any]) -> Run:
    """Check a merged config.

    Parameters
    ----------
    content
        The config as YAML gives it.

    Raises
    ------
    LensvitError
        One line for each wrong value: the key, the value, what is allowed.
    """
    try:
        return Config.model_validate(_with_names(content))
    except ValidationError as error:
        raise LensvitError("\n".join(_lines(error))) from error


def _with_names(content: Mapping[Any, Any], place: str = "") -> dict[str, Any]:
    """A config, all of whose keys are text, but for the options of an architecture."""
    for key, value in content.items():
        if not isinstance(key, str):
            raise LensvitError(
                f"config: {place or 'the file'}: the key {key!r} is no text: YAML reads on, yes, off, no as true and "
                "false, null and ~ as nothing, and digits as a number; write it in quotes"
            )
        if isinstance(value, Mapping) and key != "options":
            _with_names(value, f"{place}.{key}".lstrip("."))
    return dict(content)


def _lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = _key(problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            yield f"config: {key}: no such key"
        elif problem["type"] == "missing":
            yield f"config: {key}: is missing"
        elif key:
            yield f"config: {key}: {shown(problem['input'])} is wrong: {message}"
        else:
            yield f"config: {message}"


def _key(place: Sequence[int | str]) -> str:
    """The key of the config for pydantic's place of an error, in which the kind of a PSF is a part of its own."""
    return ".".join(str(part) for number, part in enumerate(place) if place[0] != "psfs" or number != 2)


def load(*paths: Path) -> Run:
    """Read config files, later ones over earlier ones as Snakemake merges them, and check the result.

    Parameters
    ----------
    paths
        YAML files; the first must be a whole config, the others may be overlays.

    Raises
    ------
    LensvitError
        If a file is absent or is no YAML, or a value is wrong.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        _merge(merged, read_config(path))
    return validate(merged)


MERGE = "tag:yaml.org,2002:merge"  # of the key <<, which may stand twice


class _Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # a class at run time alone
    """A loader of YAML that refuses a key which stands twice in a mapping, where YAML's keeps the last one."""

    def get_single_node(self) -> yaml.Node | None:
        """The file as written, in which keys that ``<<`` brings do not stand yet."""
        node = super().get_single_node()
        _check_keys(node, [], set())
        return node


def _check_keys(node: yaml.Node | None, around: list[yaml.Node], seen: set[int]) -> None:
    """Raise a LensvitError where a mapping has a key twice, or a part of the file contains itself."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    lines: dict[str, int] = {}
    for entry in node.value:
        for part in entry if isinstance(node, yaml.MappingNode) else (entry,):
            if part is node or any(part is outer for outer in around):
                raise LensvitError(f"line {part.start_mark.line + 1}: what stands there contains itself by an alias")
            _check_keys(part, [*around, node], seen)
        if not isinstance(node, yaml.MappingNode) or not isinstance(entry[0], yaml.ScalarNode):
            continue
        if entry[0].tag == MERGE:
            continue
        key, line = entry[0].value, entry[0].start_mark.line + 1
        if key in lines:
            raise LensvitError(f"line {line}: the key {key} stands in line {lines[key]} already; leave one of them")
        lines[key] = line
    seen.add(id(node))


def read_config(path: Path) -> dict[str, Any]:
    """What a config file says.

    Parameters
    ----------
    path
        A YAML file. One without any text has no keys.

    Raises
    ------
    LensvitError
        If the file is absent or is no YAML, is no mapping, or has a key twice.
    """
    text = read_text(path, "config file", "write it as YAML in UTF-8")
    try:
        content = yaml.load(text, _Strict)
    except LensvitError as error:
        raise LensvitError(f"{path}: {error}") from error
    except NO_YAML as error:
        raise LensvitError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance({} if content is None else content, dict):
        raise LensvitError(f"{path} holds no keys of a config")
    return content or {}


def _merge(into: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
