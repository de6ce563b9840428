"""What others read of this software agrees: CITATION.cff, pyproject.toml, codemeta.json, .zenodo.json and more."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from lensvit.release.citation import metadata
from lensvit.release.crate import AUTHOR, LICENSE, ORIGINAL

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


@pytest.mark.parametrize("name", ["codemeta.json", ".zenodo.json"])
def test_a_file_for_others_is_what_make_metadata_writes(name):
    assert (ROOT / name).read_text() == metadata(ROOT)[name]


def test_all_say_the_same_version_and_licence():
    codemeta, zenodo = (json.loads(text) for text in metadata(ROOT).values())
    versions = {PROJECT["version"], CITATION["version"], codemeta["version"], zenodo["version"]}
    assert versions == {PROJECT["version"]}
    assert {PROJECT["license"], CITATION["license"], zenodo["license"]} == {"MIT"}
    assert codemeta["license"] == LICENSE["@id"] and (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_a_release_names_the_authors_and_the_original_as_the_citation_does():
    assert CITATION["authors"] == [{"name": AUTHOR["name"]}]
    original = CITATION["preferred-citation"]
    assert original["title"] == ORIGINAL["name"]
    assert original["identifiers"][0]["value"].removeprefix("arXiv:") in ORIGINAL["@id"]


def test_the_citation_is_one():
    package = pytest.importorskip("check_jsonschema")
    schema = Path(package.__file__).parent / "builtin_schemas/vendor/citation-file-format.json"
    jsonschema.validate(yaml.load((ROOT / "CITATION.cff").read_text(), yaml.BaseLoader), json.loads(schema.read_text()))


def test_the_catalogue_of_workflows_finds_what_it_needs():
    """Its rules for any workflow; docs/platforms.md has those for "standardized usage"."""
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "Snakefile").is_file() and not (ROOT / "workflow").exists() and list((ROOT / "rules").glob("*.smk"))
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"] == {"conda": True} and usage["report"] is True
    flags = usage["mandatory-flags"]["flags"].split()
    assert flags[0] == "--configfile" and (ROOT / flags[1]).is_file()
