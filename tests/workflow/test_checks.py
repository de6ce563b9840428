"""What passes is remembered, by all that it depends on; what nothing is known of is said and not refused."""

import subprocess
import sys
import threading

import pytest

from lensvit.errors import LensvitError
from lensvit.jobs.sources import code
from lensvit.psf.settings import FitsKernel
from lensvit.workflow import checks
from lensvit.workflow.checks import Answer, NetworkCheck, PsfCheck, check
from tests.networks import network


def resnet(architecture="resnet18", **changes):
    return NetworkCheck(network=network(architecture, **changes), alone=None, layer=None)


def psf(path="mine.fits"):
    return PsfCheck(psf=FitsKernel(kind="fits", instrument="hst", path=str(path), name="mine", pixel_scale=0.05))


@pytest.fixture
def asked(monkeypatch):
    """What was asked for; answers are taken from ``asked.answers``, and are good where there is none."""

    class Asked(list):
        answers = ()

    found = Asked()

    def ask(wanted):
        found.extend(wanted)
        return [next((answer for what, answer in found.answers if what == one), Answer()) for one in wanted]

    monkeypatch.setattr(checks, "ask", ask)
    return found


def test_the_same_is_asked_once(asked, tmp_path):
    memory, said = tmp_path / "checked", []
    for _ in range(3):
        check({"models.a": resnet(), "models.b": resnet("resnet34"), "models.c": resnet()}, memory, said.append)
    assert asked == [resnet(), resnet("resnet34")]
    assert said == ["checking models.a, models.b once, before the first job"]


@pytest.mark.parametrize("part", ["versions", "code", "settings"])
def test_what_an_answer_depends_on_is_asked_again(part, asked, tmp_path, monkeypatch):
    memory = tmp_path / "checked"
    check({"models.a": resnet()}, memory, print)
    if part == "versions":
        monkeypatch.setattr(checks, "packages", lambda names: dict.fromkeys(names, "99"))
    code_of = (lambda module: f"{module} edited") if part == "code" else code
    check({"models.a": resnet(dropout=0.1) if part == "settings" else resnet()}, memory, print, code_of)
    assert len(asked) == 2


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_has_changed_is_asked_again(folder, asked, tmp_path):
    memory, path = tmp_path / "checked", tmp_path / "w"
    file = path / "model.safetensors" if folder else path
    for content in (None, b"a", b"ab", b"ab", None):
        file.unlink(missing_ok=True) if content is None else file.parent.mkdir(exist_ok=True)
        if content not in (None, file.read_bytes() if file.exists() else None):
            file.write_bytes(content)
        check({"models.a": resnet(weights=str(path))}, memory, print)
    assert len(asked) == (4 if folder else 3)  # an absent file has been asked for before


def test_what_is_refused_is_one_line_each_and_not_remembered(asked, tmp_path):
    asked.answers = [(resnet(), Answer(error="is wrong")), (psf(), Answer(error="is absent"))]
    for _ in range(2):
        with pytest.raises(LensvitError) as caught:
            check({"psfs.p": psf(), "models.a": resnet(), "models.b": resnet("vgg11")}, tmp_path / "c", print)
        assert str(caught.value) == "config: psfs.p: is absent\nconfig: models.a: is wrong"
    assert asked.count(resnet()) == asked.count(psf()) == 2 and asked.count(resnet("vgg11")) == 1


def test_what_cannot_be_known_is_said_once_and_a_killed_process_is_asked_again(asked, tmp_path):
    asked.answers = [(resnet(), Answer(unknown="no kernel")), (psf(), None)]
    said = []
    for _ in range(2):
        check({"models.a": resnet(), "psfs.p": psf()}, tmp_path / "c", said.append)
    assert "models.a cannot be checked before its job: no kernel" in said
    assert said.count("psfs.p cannot be checked before its job: its process gave no answer") == 2
    assert asked == [resnet(), psf(), psf()]


def test_a_memory_that_cannot_be_read_or_written_is_no_error(asked, tmp_path):
    check({"models.a": resnet()}, tmp_path / "absent" / "checked", print)
    (tmp_path / "broken").write_bytes(b"\xff\xfe\x00")
    check({"models.a": resnet()}, tmp_path / "broken", print)
    check({"models.a": resnet()}, tmp_path, print)
    assert len(asked) == 3 and not (tmp_path / "absent").exists()


def test_an_error_that_nobody_has_foreseen_is_no_refusal(monkeypatch):
    def fail(*args):
        raise RuntimeError("what\nis this")

    monkeypatch.setattr("lensvit.psf.user.load_user_kernel", fail)
    assert checks.answer(psf()) == Answer(unknown="what")


def test_each_library_has_a_process_of_its_own_and_answers_come_in_order(monkeypatch):
    together = threading.Barrier(2, timeout=20)

    def run(command, input, **_):
        together.wait()
        lines = '[["a", null], [null, "b"]]' if "resnet" in input else "killed"
        return subprocess.CompletedProcess(command, 0, stdout=lines)

    monkeypatch.setattr(subprocess, "run", run)
    assert checks.ask([resnet(), psf(), resnet("vgg11")]) == [Answer("a"), None, Answer(unknown="b")]


def test_other_processes_answer(tmp_path, monkeypatch):
    """As it is in earnest; with no network here, whose import takes seconds (test_workflow has one)."""
    monkeypatch.chdir(tmp_path)
    answers = checks.ask([psf(), psf("other.fits")])
    assert ["there is no such file" in answer.error for answer in answers] == [True, True]


def test_who_asks_imports_neither_torch_nor_astropy():
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lensvit.config import early, run\n"
        "from lensvit.workflow import checks\n"
        "checks.ask = lambda wanted: [checks.Answer() for _ in wanted]\n"
        "early.check_early(run.load(Path('config.yaml')), print, Path('/nowhere/checked'))\n"
        "sys.exit(bool({'torch', 'transformers', 'torchvision', 'astropy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "models.vit, models.resnet" in done.stdout, done.stderr
