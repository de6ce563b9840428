"""A clone of the project in which the smoke run is done, once for all tests."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lensvit.config import early
from lensvit.jobs.sources import SOURCE, Memory
from lensvit.workflow import checks
from tests.config.configs import overlaid
from tests.workflow import warm

ROOT = Path(__file__).parents[2]
SMOKE = "runs/smoke.yaml"
CONFIGS = (("smoke",), (), ("demo", "everything"), ("demo", "dropout"))  # overlays on config.yaml
CHECKED = ".snakemake/checked"  # networks that need not be tried again


def copy_project(target):
    """The project's files, as they are in the working tree, without results or environment."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("needs a git clone")
    for name in listing.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


class Clone:
    """A copy of the project and snakemake in it. What passed the checks in one clone has passed in all."""

    checked = ""

    def __init__(self, path):
        self.path = path

    def snakemake(self, *arguments, configs=(SMOKE,), timeout=600, **environment):
        arguments = (*arguments, "--configfile", *configs)
        environment = {**os.environ, **environment}
        memory = self.path / CHECKED
        memory.parent.mkdir(exist_ok=True)
        memory.write_text(Clone.checked)
        if "-n" in arguments:
            done = warm.snakemake(*arguments, folder=self.path, timeout=timeout, environment=environment)
        else:
            command = [sys.executable, "-m", "snakemake", *arguments]
            done = subprocess.run(
                command, cwd=self.path, capture_output=True, text=True, timeout=timeout, env=environment
            )
        Clone.checked = memory.read_text()
        return done

    def run(self, *arguments, **options):
        done = self.snakemake("--cores", "2", *arguments, **options)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done

    def planned(self, *arguments, overlay=None, configs=(SMOKE,), **options):
        """{rule: number of jobs} that snakemake would run now."""
        configs = [*configs]
        if overlay:
            (self.path / "overlay.yaml").write_text(overlay)
            configs.append("overlay.yaml")
        done = self.snakemake("-n", *arguments, configs=configs, **options)
        assert done.returncode == 0, done.stderr[-3000:]
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("total", "all")}

    @contextlib.contextmanager
    def edited(self, name, addition="\n", replaced=None):
        """A file of the project with something added at its end, or in place of the one text that is ``replaced``."""
        path = self.path / name
        before = path.read_text(encoding="utf-8")
        if replaced is not None:
            assert before.count(replaced) == 1
        after = before + addition if replaced is None else before.replace(replaced, addition)
        path.write_text(after, encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")


@pytest.fixture(scope="session")
def tried(tmp_path_factory):
    """Try the networks of all configs that the tests plan, together, which takes one process a library."""
    memory = tmp_path_factory.mktemp("tried") / "checked"
    runs = [overlaid(names) for names in CONFIGS]
    networks = {f"{number}.{key}": one for number, run in enumerate(runs) for key, one in early.wanted(run).items()}
    checks.check(networks, memory, print)
    Clone.checked = memory.read_text()


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, tried):
    """A clone with results/smoke complete. Tests leave it as they find it."""
    clone = Clone(copy_project(tmp_path_factory.mktemp("clone")))
    clone.run(timeout=1500)  # minutes where another run has the cores too
    return clone


@pytest.fixture(scope="session")
def known(tmp_path_factory):
    """What the project's code means, so that clones with no results need not find it out again."""
    memory = Memory(tmp_path_factory.mktemp("known") / "code.json")
    for path in SOURCE.rglob("*.py"):
        memory.meaning(path)
    memory.save()
    return memory.path


@pytest.fixture
def fresh(tmp_path, known, tried):
    """A clone with no results."""
    clone = Clone(copy_project(tmp_path / "clone"))
    (clone.path / ".snakemake").mkdir()
    shutil.copy(known, clone.path / ".snakemake")
    return clone
