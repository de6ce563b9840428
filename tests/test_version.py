"""The version stands in pyproject.toml alone; all else follows it."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import lensvit
from lensvit import version

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_is_that_of_the_clone():
    assert lensvit.__version__ == VERSION == version.version()


def test_of_a_package_without_a_clone_it_is_the_installed_one(monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "version", lambda name: "7.8.9")
    assert version.version(tmp_path / "pyproject.toml") == "7.8.9"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\nversion = "1.0"\n')
    assert version.version(tmp_path / "pyproject.toml") == "7.8.9"


def test_a_source_that_lies_by_itself_has_none(monkeypatch, tmp_path):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert version.version(tmp_path / "pyproject.toml") == "0+unknown"


def test_the_version_is_in_the_changelog():
    """A version under development stands under Unreleased; a released one has its own heading, with its date."""
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\](?: - \d{4}-\d\d-\d\d)?", heading) for heading in headings[1:]]
    assert all(released)
    newest = released[0][1]
    if ".dev" in VERSION:
        assert tuple(map(int, VERSION.partition(".dev")[0].split("."))) > tuple(map(int, newest.split(".")))
    else:
        assert newest == VERSION


def test_an_attribute_that_is_not_there_is_an_error():
    with pytest.raises(AttributeError, match="nothing"):
        _ = lensvit.nothing


def test_the_version_is_told_without_torch():
    script = "import lensvit, sys; print(lensvit.__version__); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == VERSION
