"""The settings of one stage: a small YAML file that Snakemake writes and a stage reads.

Each stage has a frozen model of its settings, in the ``settings.py`` of its package. The schema of a whole run
(:mod:`lensvit.config.schema`) is made of the same parts, and a stage never imports it, so that a new key of
another stage re-runs nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from lensvit.errors import LensvitError
from lensvit.io.files import read_text, write_text

Read = TypeVar("Read")

# what the YAML library raises: a date 2020-99-99 is a ValueError, a tag !!binary of the wrong kind a LookupError
NO_YAML = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=40)]


class Settings(BaseModel):
    """Settings of any kind: frozen; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, populate_by_name=True
    )


class Seeded(Settings):
    """Settings of a stage that draws random numbers."""

    seed: int = Field(description="seed of the run, from which the random numbers of the stage follow")


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if entry is not None}
    return value


class WithoutNull:
    """Annotation of a mapping from which an overlay removes an entry by setting it to null."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_without_null, handler(source))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        for key in ("properties", "patternProperties"):
            if key in schema:
                schema[key] = {name: _or_null(entry) for name, entry in schema[key].items()}
        if schema.get("additionalProperties"):
            schema["additionalProperties"] = _or_null(schema["additionalProperties"])
        return {"additionalProperties": False, **schema}


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [schema, {"type": "null"}]}


def partial_schema(kind: type[Settings]) -> JsonSchemaValue:
    """The JSON schema of a mapping with any of the fields of a model, in which the models that it holds are whole."""
    schema = kind.model_json_schema(schema_generator=Untitled)
    models = schema.get("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, dict) and "$ref" in part:
            return whole(models[part["$ref"].rpartition("/")[2]])
        if isinstance(part, dict):
            return {key: whole(value) for key, value in part.items()}
        return [whole(value) for value in part] if isinstance(part, list) else part

    return whole({key: schema[key] for key in ("additionalProperties", "properties", "type")})


class Untitled(GenerateJsonSchema):
    """JSON schemas of fields without titles, which would only repeat the keys."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """False for all of them."""
        return False


def read_settings(path: Path, kind: type[Read]) -> Read:
    """The settings in a file.

    Parameters
    ----------
    path
        The YAML file.
    kind
        The model of the settings, a :class:`Settings` or a union of them.

    Raises
    ------
    LensvitError
        If the file is absent, is no mapping, or is not what the stage reads.
    """
    text = read_text(path, "settings file")
    try:
        content = yaml.safe_load(text)
    except NO_YAML as error:
        raise LensvitError(f"{path} is no YAML: delete it and run snakemake again") from error
    if not isinstance(content, dict):
        raise LensvitError(f"{path} holds no settings: delete it and run snakemake again")
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join([str(path), *([".".join(map(str, first["loc"]))] if first["loc"] else [])])
        raise LensvitError(
            f"{where}: {first['msg']} (got {shown(first['input'])}): delete it and run snakemake again"
        ) from error


def shown(value: object) -> str:
    """A value as a message of one line shows it: cut, where it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no number of more than 4,300 digits
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= 100 else f"{text[:100]} ..."


def canonical(value: Any) -> Any:
    """Settings as plain data in canonical order: keys sorted, tuples as lists, models as mappings.

    Parameters
    ----------
    value
        A model, a mapping, a sequence of these, or a plain value.
    """
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(by_alias=True))
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(entry) for entry in value]
    return value


def write_settings(content: str, output: Path) -> None:
    """Write a stage's settings from a line of JSON, as YAML in the same order.

    Parameters
    ----------
    content
        The settings, as JSON.
    output
        The YAML file.
    """
    write_text(output, yaml.safe_dump(json.loads(content), sort_keys=False, allow_unicode=True))
