"""Every stage has its command; an error that the user can mend is one message and exit code 1."""

import inspect
import subprocess
import sys

import pytest

from lensvit import __version__, cli


@pytest.mark.parametrize("stage", sorted(cli.STAGES))
def test_every_stage_has_a_command_with_help(stage, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([stage, "--help"])
    assert caught.value.code == 0
    assert f"lensvit {stage}" in capsys.readouterr().out


def test_options_become_typed_arguments(monkeypatch):
    from pathlib import Path

    seen = {}

    def stage(
        settings: Path, first: int, images: list[Path], weights: Path | None = None, report: bool = False,
        chunks: list[str] | None = None, parts: list[str] | None = None,
    ):  # fmt: skip
        """A stage."""
        seen.update(locals())

    monkeypatch.setitem(cli.STAGES, "psf", "x:y")
    monkeypatch.setattr(cli, "_function", lambda target: stage)
    assert (
        cli.main(["psf", "--settings", "a", "--first", "3", "--images", "b", "c", "--report", "--parts", "d", "e"]) == 0
    )
    assert seen["settings"] == Path("a") and seen["first"] == 3 and seen["report"] is True
    assert seen["images"] == [Path("b"), Path("c")] and seen["weights"] is None
    assert seen["chunks"] is None and seen["parts"] == ["d", "e"]


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "lensvit", *arguments], capture_output=True, text=True, timeout=100)


def test_a_mendable_error_is_a_message_and_not_a_traceback(tmp_path):
    done = run("config", "--files", str(tmp_path / "absent.yaml"))
    assert done.returncode == 1
    assert "there is no config file" in done.stderr and "Traceback" not in done.stderr


OPTIONS = [*((stage, "threads") for stage in ("train", "evaluate", "refine", "importance", "mcmc"))]
OPTIONS += [
    ("evaluate", "processes"),
    ("train", "processes"),
    ("train", "nodes"),
    ("bench", "images"),
    ("doctor", "steps"),
]


@pytest.mark.parametrize(("stage", "option"), OPTIONS)
@pytest.mark.parametrize("value", ["0", "-2"])
def test_what_is_counted_is_one_or_more(stage, option, value, capsys):
    function = inspect.signature(cli._function(cli.STAGES[stage]))
    needed = [name for name, option in function.parameters.items() if option.default is option.empty]
    given = [part for name in needed for part in (f"--{name.replace('_', '-')}", "1")]
    assert cli.main([stage, *given, f"--{option}={value}"]) == 1
    assert capsys.readouterr().err == f"lensvit {stage}: --{option} {value}: give 1 or more\n"


def test_wrong_usage_exits_with_2():
    assert run("psf", "--nonsense", "1").returncode == 2
    assert run("paint").returncode == 2


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"lensvit {__version__}\n"


def test_what_the_machine_says_of_a_file_is_one_line(monkeypatch, capsys):
    def stage():
        """A stage."""
        raise PermissionError(13, "Permission denied", "results/demo/x.log")

    monkeypatch.setattr(cli, "_function", lambda target: stage)
    assert cli.main(["psf"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("lensvit psf: results/demo/x.log: permission denied") and len(said.splitlines()) == 1
