"""The closure of a stage holds what it imports, and nothing of other stages."""

import subprocess
import sys

import pytest

from lensvit import cli
from lensvit.jobs.sources import SOURCE, closure


def names(*modules):
    return {str(path.relative_to(SOURCE)) for path in closure(*modules)}


def test_training_depends_on_the_network_and_not_on_the_figures():
    found = names("lensvit.learning.train")
    assert {"train.py", "networks.py", "pipeline.py", "noise.py", "losses.py", "__init__.py"} <= found
    assert not any("figures" in name or "psf" in name for name in found)
    assert not {"config.py", "cli.py", "evaluate.py", "simulate.py"} & found


@pytest.mark.parametrize(
    "stage",
    [
        "lensvit.psf.build",
        "lensvit.simulation.simulate",
        "lensvit.learning.train",
        "lensvit.learning.evaluate",
        "lensvit.chapters.accuracy.table",
        "lensvit.paper.render",
    ],
)
def test_the_closure_is_what_python_really_imports(stage):
    code = f"import sys, {stage}; print(*(m for m in sys.modules if m.split('.')[0] == 'lensvit'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    loaded = set(done.stdout.split())
    files = {name.replace(".", "/").removeprefix("lensvit").lstrip("/") for name in loaded}
    found = {name.removesuffix(".py").removesuffix("__init__").rstrip("/") for name in names(stage)}
    assert files <= found


def test_every_command_but_settings_and_config_leaves_the_schema_alone():
    for target in cli.STAGES.values():
        module = target.split(":")[0]
        if module not in ("lensvit.config.schema", "lensvit.bench.run"):
            assert "config.py" not in names(module), module
