"""The workflows of GitHub Actions are such, and call what is there."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PYTHON = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]


def commands(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_fits_the_schema(path):
    package = pytest.importorskip("check_jsonschema")
    schema = Path(package.__file__).parent / "builtin_schemas/vendor/github-workflows.json"
    # "on" is a word here, and not true as in YAML 1.1
    content = {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}
    jsonschema.validate(content, json.loads(schema.read_text()))


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="no actionlint")
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actionlint_has_nothing_to_say(path):
    done = subprocess.run(["actionlint", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_is_there(path):
    made = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands(path):
        for target in re.findall(r"^make (\S+)$", command, re.MULTILINE):
            assert target in made, command
        for name in re.findall(r"(?<=\s)(?:tests|runs)/\S+", command):
            assert (ROOT / name).exists(), name


def test_the_matrix_has_the_oldest_python_that_is_allowed():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    for name in ("linux", "macos"):
        assert jobs[name]["strategy"]["matrix"]["python"][0] == PYTHON.removeprefix(">=")
