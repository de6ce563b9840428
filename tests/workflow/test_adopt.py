"""A release of the smoke run, adopted in a clone that has never run anything."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def lensvit(clone, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(clone.path / "src")}
    command = [sys.executable, "-m", "lensvit", *arguments]
    done = subprocess.run(command, cwd=clone.path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(smoke, tmp_path_factory):
    """(small, weights) archives of the smoke run."""
    folder = tmp_path_factory.mktemp("releases")
    lensvit(smoke, "release", "--run", "smoke", "--output", str(folder))
    weights = next(folder.glob("*-weights.tar.gz"))
    return weights.with_name(weights.name.replace("-weights", "")), weights


def test_an_adopted_run_is_up_to_date_and_its_pdf_is_made_again_alone(smoke, fresh, archives):
    assert archives[0].stat().st_size < 10e6
    lensvit(fresh, "adopt", "--file", str(archives[0]))
    assert fresh.planned() == {}
    for path in (fresh.path / "src").rglob("*.py"):
        path.touch()
    assert fresh.planned() == {}

    pdf = "results/smoke/paper/paper.pdf"
    (fresh.path / pdf).unlink()
    assert fresh.planned() == {"pdf": 1}
    fresh.run()
    assert (fresh.path / pdf).read_bytes() == (smoke.path / pdf).read_bytes()
    assert fresh.planned() == {}

    with fresh.edited("paper/paper.tex.j2"):
        assert fresh.planned() == {"tex": 1, "pdf": 1, "archive": 1}
    assert "pass: all" in lensvit(fresh, "verify", "--run", "smoke", "--against", str(archives[0]))


def test_what_is_left_out_is_restored_byte_for_byte(smoke, fresh, archives):
    for archive in archives:
        lensvit(fresh, "adopt", "--file", str(archive))
    fresh.run("restore")
    images = "results/smoke/images/keck_b/test-0000.h5"
    assert (fresh.path / images).read_bytes() == (smoke.path / images).read_bytes()
    assert fresh.planned() == {}
    with fresh.edited("src/lensvit/numbers.py"):
        assert fresh.planned() == {"numbers": 1, "tex": 1, "pdf": 1, "archive": 1}
    with fresh.edited("src/lensvit/figures/figure1.py"):
        assert fresh.planned() == {"figure1": 1, "pdf": 1, "archive": 1}


def test_results_of_other_code_are_taken_as_they_are_and_the_present_templates_used(fresh, archives):
    with fresh.edited("src/lensvit/losses.py"), fresh.edited("paper/paper.tex.j2"):
        out = lensvit(fresh, "adopt", "--file", str(archives[0]))
        assert "made by other versions of src/lensvit/losses.py: the results are taken as they are" in out
        assert fresh.planned() == {"tex": 1, "pdf": 1, "archive": 1}
