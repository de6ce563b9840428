"""The JSON schemas for editors are those of the models, and accept what the config accepts."""

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from lensvit.config.json_schema import write_schemas
from tests.config.configs import ROOT, RUNS, changed, content

FOLDER = "src/lensvit/config"


def validator(name):
    schema = json.loads((ROOT / FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


CONFIG, OVERLAY = validator("config"), validator("overlay")


def test_the_schemas_are_those_of_the_models(tmp_path):
    write_schemas(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_text() == (ROOT / FOLDER / path.name).read_text(), f"lensvit schema --output {FOLDER}"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("path", ["config.yaml", *(f"runs/{run}.yaml" for run in RUNS)])
def test_every_config_names_its_schema_and_follows_it(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    mark, _, schema = text.splitlines()[0].partition("=")
    assert mark == "# yaml-language-server: $schema"
    assert ((ROOT / path).parent / schema).resolve() == ROOT / FOLDER / (
        "config.schema.json" if path == "config.yaml" else "overlay.schema.json"
    )
    (CONFIG if path == "config.yaml" else OVERLAY).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "changes",
    [
        {"psfs": {"hst_a": None}, "models": {"vit": None}, "recipes": {"paper": None}, "instruments": {"hst": None}},
        {"shift": {"cases": {"noisy": None, "steep": {"priors": {"gamma": None}, "scene": {"exposure": None}}}}},
        {"ablation": {"models": {"vit": None}, "variants": {"raw": None, "asinh": {"seeds": 1}}}},
        {"psfs": {"hst_a": {"pixels": 51}, "mine": {"kind": "fits", "instrument": "hst", "path": "my.fits"}}},
        {"models": {"vit": {"changes": {"epochs": 3, "clip_norm": None}, "options": {"any": [1]}}}},
        {"priors": {"theta_E": {"mean": 1.0}}},
        {"psfs": {}},
        {},
    ],
)
def test_an_overlay_says_only_what_changes(changes):
    OVERLAY.validate(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonsense": 1},
        {"data": {"trian": 3}},
        {"data": {"train": -3}},
        {"refine": {"nonsense": 0}},
        {"scene": {"nonsense": 0}},
        {"models": {"vit": {"nonsense": 0}}},
        {"models": {"vit": {"changes": {"epoch": 3}}}},
        {"models": {"vit": {"changes": {"epochs": 0}}}},
        {"models": {"no-name": {"dropout": 0.1}}},
        {"recipes": {"paper": {"stretch": "rough"}}},
        {"ablation": {"variants": {"raw": {"changes": {"epoch": 3}}}}},
        {"shift": {"cases": {"noisy": {"scene": {"noise": 3}}}}},
        {"shift": {"cases": {"steep": {"priors": {"slope": {"mean": 3}}}}}},
        {"priors": {"theta_X": {"mean": 1}}},
        {"priors": {"theta_E": {"median": 1}}},
        {"psfs": {"hst_a": {"pixels": 100}}},
        {"psfs": {"hst_a": {"r1": 100}}},
        {"psfs": {"hst_a": {"kind": "zip"}}},
        {"models": None},
    ],
)
def test_unknown_keys_and_wrong_values_are_errors(changes):
    assert not CONFIG.is_valid(changed(changes))
    assert not OVERLAY.is_valid(changes)


def test_a_whole_config_lacks_nothing():
    incomplete = content()
    del incomplete["scene"]["exposure"]
    assert not CONFIG.is_valid(incomplete) and OVERLAY.is_valid(incomplete)
