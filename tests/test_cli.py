"""Every stage has its command; an error that the user can mend is one message and exit code 1."""

import inspect
import shutil
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


@pytest.mark.parametrize(("given", "said"), [("fits", "do you mean fit"), ("xyzxyz", "lensvit --help shows all")])
def test_a_misspelt_stage_is_one_line_that_names_the_nearest(given, said, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([given])
    told = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and len(told) == 2 and f"no stage {given!r}: {said}" in told[1]


# ---------------------------------------------------------------- the map


@pytest.mark.parametrize("stage", sorted(cli.STAGES))
def test_the_map_has_the_first_line_of_the_docstring(stage):
    line = inspect.getdoc(cli._function(cli.STAGES[stage])).splitlines()[0]
    assert cli.summary(stage) == line.replace("``", "") and line.endswith(".")


def test_the_map_has_each_stage_once(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if line.startswith("  ") and line[2] not in " -"]
    assert sorted(line.split()[0] for line in lines if line.split()[0] != "STAGE") == sorted(cli.STAGES)
    assert [title for title in (*cli.GROUPS, cli.OTHERS) if f"\n{title}:\n" not in text] == []
    assert {stage for stages in cli.GROUPS.values() for stage in stages} <= cli.STAGES.keys()


def test_the_map_is_shown_without_the_libraries_of_the_stages():
    script = (
        "import sys\nfrom lensvit import cli\ntry:\n    cli.main([])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'astropy', 'shtab'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_all_stages_and_their_options(shell, capsys, tmp_path):
    pytest.importorskip("shtab")
    assert cli.main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    text = script.read_text()
    assert not [stage for stage in cli.STAGES if stage not in text]
    assert ("--psf-oversampling" in text or "psf-oversampling" in text) and "lensvit" in text
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", script], capture_output=True).stderr == b""


def test_bash_completes_stages_and_options(capsys, tmp_path):
    pytest.importorskip("shtab")
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out

    def completed(*words):
        given = " ".join(f'"{word}"' for word in words)
        ask = f'COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _shtab_lensvit; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, cwd=tmp_path)
        return set(done.stdout.split())

    (tmp_path / "my_lens.fits").touch()
    assert completed("lensvit", "ver") == {"verify"}
    assert {"--run", "--against"} <= completed("lensvit", "verify", "--")
    assert completed("lensvit", "fit", "--image", "my") == {"my_lens.fits"}
    assert completed("lensvit", "completion", "z") == {"zsh"}


def test_a_shell_that_is_not_known_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["completion", "csh"])
    assert caught.value.code == 2 and "csh" in capsys.readouterr().err


def test_without_its_library_completion_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 1
    assert capsys.readouterr().err == "lensvit completion: completion needs the package shtab: pip install shtab\n"


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
