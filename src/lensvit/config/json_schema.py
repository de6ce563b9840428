"""The JSON schemas by which editors complete and check config.yaml and the overlays in runs/.

They lie beside this module; the first line of a config names the one that it follows (``# yaml-language-server``).
``lensvit schema --output src/lensvit/config`` writes both anew from the models of the settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import JsonSchemaValue

from lensvit.config.run import Config
from lensvit.io.files import write_text
from lensvit.io.settings import Untitled

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMED = ("$defs", "properties", "patternProperties")  # mappings whose keys are names and no words of JSON schema


def config_schema() -> JsonSchemaValue:
    """The schema of a whole config."""
    return {"$schema": DIALECT, **Config.model_json_schema(schema_generator=Untitled)}


def overlay_schema() -> JsonSchemaValue:
    """The schema of a config that is laid over another one: nothing is required."""
    return {**_partial(config_schema()), "title": "Overlay", "description": "Changes of a run."}


def _partial(part: Any) -> Any:
    """A schema, or a part of one, in which no key is required and a mapping may be empty.

    PSFs need no kind then, by which they were told apart: what one kind or several allow is right.
    """
    if isinstance(part, list):
        return [_partial(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    result = {}
    for key, value in part.items():
        if key in NAMED:
            result[key] = {name: _partial(entry) for name, entry in value.items()}
        elif key not in ("required", "minProperties", "discriminator"):
            result["anyOf" if key == "oneOf" else key] = _partial(value)
    return result


def write_schemas(output: Path) -> None:
    """Write the JSON schemas for editors, from the models of the settings.

    Parameters
    ----------
    output
        Folder of config.schema.json and overlay.schema.json.
    """
    for name, schema in (("config", config_schema()), ("overlay", overlay_schema())):
        write_text(output / f"{name}.schema.json", json.dumps(schema, indent=1, ensure_ascii=False) + "\n")
