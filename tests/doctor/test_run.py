"""The command: its lines, its exit status, and that nothing ends it in a traceback."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from lensvit import cli
from lensvit.doctor import machine, run, training, trial
from lensvit.doctor.answers import right, unknown, wrong
from lensvit.errors import LensvitError
from tests.doctor.conftest import SMALL_RESNET


@pytest.fixture
def looks(monkeypatch):
    """Checks that give the lines, or raise the errors, that they are made of."""

    def install(**made):
        monkeypatch.setattr(run, "CHECKS", {name: f"pretended:{name}" for name in made})

        def module(name):
            def look(made):
                def one(case):
                    if isinstance(made, BaseException):
                        raise made
                    yield from made

                return one

            return type("Pretended", (), {name: staticmethod(look(answers)) for name, answers in made.items()})

        monkeypatch.setattr(run.importlib, "import_module", module)

    return install


FILES = ["--files", "config.yaml", "runs/smoke.yaml"]


def doctor(*options):
    function = run.main
    return function(**cli._parser("doctor", function).parse_args([*FILES, *options]).__dict__)


def test_a_line_has_a_mark_a_verdict_and_no_character_that_a_terminal_lacks():
    assert str(right("disk", "two\n lines")) == "+ disk: right: two lines"
    assert str(wrong("disk", "full: empty it")) == "! disk: wrong: full: empty it"
    assert str(unknown("disk", "who knows caf\u00e9")) == "? disk: unknown: who knows caf\\xe9"


def test_what_stops_the_run_is_named_at_the_end(looks, capsys):
    looks(a=[right("a", "x")], b=[wrong("b", "y")], c=[wrong("c", "z", stops=False), unknown("d", "?"), wrong("e", "")])
    with pytest.raises(LensvitError, match="this would stop the run: b, e"):
        doctor()
    assert [line[:4] for line in capsys.readouterr().out.splitlines()[1:]] == ["+ a:", "! b:", "! c:", "? d:", "! e:"]


def test_what_does_not_stop_the_run_is_no_error(looks):
    looks(a=[wrong("a", "slow", stops=False)], b=[unknown("b", "?")])
    doctor()


@pytest.mark.parametrize(
    ("error", "line", "stops"),
    [
        (RuntimeError("CUDA error: nobody knows\nmore"), "? x: unknown: RuntimeError: CUDA error: nobody knows", False),
        (LensvitError("mend it"), "! x: wrong: mend it", True),
        (ImportError("libcudart.so.13: no such file"), "! x: wrong: a library cannot be imported (libcudart.so", True),
    ],
)
def test_a_check_that_fails_is_a_line_and_the_next_one_follows(looks, capsys, error, line, stops):
    looks(x=error, y=[right("y", "well")])
    if stops:
        with pytest.raises(LensvitError, match="stop the run: x"):
            doctor()
    else:
        doctor()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(line) and lines[2] == "+ y: right: well"


def test_a_check_that_breaks_off_keeps_the_lines_that_it_gave(looks, capsys):
    def some():
        yield right("first", "there")
        raise ValueError("then")

    looks(x=some())
    doctor()
    assert capsys.readouterr().out.splitlines()[1:] == ["+ first: right: there", "? x: unknown: ValueError: then"]


def test_an_interruption_is_one_line(looks):
    looks(x=KeyboardInterrupt())
    with pytest.raises(LensvitError, match="interrupted"):
        doctor()


def test_a_config_that_cannot_be_read_is_a_line(tmp_path, capsys):
    with pytest.raises(LensvitError, match="stop the run: config"):
        run.main([tmp_path / "absent.yaml"])
    assert capsys.readouterr().out.startswith("! config: wrong: there is no config file")


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--device", "tpu"], "no device 'tpu': auto, cpu, gpu"), (["--steps", "0"], "1 is the least")],
)
def test_options_are_checked(options, said):
    with pytest.raises(LensvitError, match=said):
        doctor(*options)


def test_every_check_is_there():
    for where in run.CHECKS.values():
        module, name = where.split(":")
        assert callable(getattr(importlib.import_module(f"lensvit.doctor.{module}"), name))


def test_a_machine_without_a_gpu_from_end_to_end(tmp_path, monkeypatch, capsys, programs, gpus):
    """All checks as they are, but that networks are tried in this process, and that cores and memory are enough."""
    root = Path.cwd()
    monkeypatch.setattr(machine, "MINE", tmp_path / "absent")
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(total=64e9, available=32e9))
    gpus()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "_in_a_process", trial.answer)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({"models": {"resnet": SMALL_RESNET}}))
    files = [root / "config.yaml", root / "runs/smoke.yaml", tmp_path / "small.yaml"]
    run.main(files)
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if not line.startswith("+")]
    named = [line.split(": ")[0].removeprefix("+ ") for line in lines]
    assert named == [
        "config", "cores", "memory", "torch", "driver", "device", "SLURM", "weights of vit", "weights of resnet",
        "locks in results/", "training vit", "inputs of vit", "layout of vit", "checkpoint of vit", "training resnet",
        "inputs of resnet", "layout of resnet", "checkpoint of resnet", "disk of results/",
    ]  # fmt: skip
    assert not (tmp_path / "results").exists()
    monkeypatch.setattr(run, "CHECKS", {"device": "gpus:device"})
    with pytest.raises(LensvitError, match="stop the run: device"):
        run.main(files, device="gpu")


@pytest.mark.slow
def test_who_reads_the_first_line_alone_sees_no_traceback(tmp_path):
    command = f"{sys.executable} -m lensvit doctor --files {tmp_path}/absent.yaml | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=100)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
