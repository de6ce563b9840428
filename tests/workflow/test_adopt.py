"""A release of the smoke run, adopted in a clone that has never run anything."""

import os
import shutil
import subprocess
import sys

import pytest

from lensvit.release import records

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

CODE = "\nADDED = 1\n"
PAGE = "results/smoke/index.html"


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
    assert not (fresh.path / PAGE).exists()  # it needs images, which would be made again, and all that follows
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
    assert (fresh.path / PAGE).read_bytes() == (smoke.path / PAGE).read_bytes()
    fresh.run("restore")
    images = "results/smoke/images/keck_b/test-0000.h5"
    assert (fresh.path / images).read_bytes() == (smoke.path / images).read_bytes()
    assert fresh.planned() == {}
    with fresh.edited("src/lensvit/paper/numbers.py", CODE):
        # no page, which needs the arrays of fits too
        assert fresh.planned() == {"numbers": 1, "tex": 1, "pdf": 1, "archive": 1}
    with fresh.edited("src/lensvit/chapters/data/figure.py", CODE):
        assert fresh.planned() == {"figure1": 1, "numbers": 1, "tex": 1, "pdf": 1, "archive": 1}


def test_results_of_other_code_are_taken_as_they_are_and_the_present_templates_used(fresh, archives):
    with fresh.edited("src/lensvit/learning/trainer.py", CODE), fresh.edited("paper/paper.tex.j2"):
        out = lensvit(fresh, "adopt", "--file", str(archives[0]))
        assert "made by other versions of lensvit.learning.train: the results are taken as they are" in out
        assert fresh.planned() == {"tex": 1, "pdf": 1, "archive": 1}


def test_results_of_another_text_of_the_same_code_are_up_to_date(fresh, archives):
    with fresh.edited("src/lensvit/io/files.py", "# a comment\n"):
        assert "made by other versions" not in lensvit(fresh, "adopt", "--file", str(archives[0]))
        assert fresh.planned() == {}


def test_a_release_of_when_rules_had_source_files_as_inputs_is_up_to_date(smoke, fresh, tmp_path):
    shutil.copytree(smoke.path / "results", fresh.path / "results", symlinks=True)
    results = fresh.path / "results"
    known = records.read_records(results, "smoke")
    for record in known.values():
        if record["rule"] != "settings":
            record["input"] = ["src/lensvit/train.py", *record["input"]]
            record["params"] = []
    records.write_records(results, "smoke", known)
    lensvit(fresh, "release", "--run", "smoke", "--output", str(tmp_path / "old"))
    shutil.rmtree(results / "smoke")
    archive = next(path for path in (tmp_path / "old").iterdir() if "weights" not in path.name)
    assert "made by other versions of src/lensvit" in lensvit(fresh, "adopt", "--file", str(archive))
    assert fresh.planned() == {}
