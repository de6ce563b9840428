"""What differs between systems, on a system that is made to look like another one; docs/platforms.md."""

import builtins
import ctypes
import importlib.util
import platform
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lensvit.errors import LensvitError
from lensvit.jobs import processes, provenance
from lensvit.paper import compile as latex
from tests.test_lock import MACOS, PLATFORMS, PYTHONS, WITHOUT_WHEELS

DOCS = (Path(__file__).parents[1] / "docs/platforms.md").read_text()


@pytest.fixture
def tinytex(monkeypatch, tmp_path):
    """A TinyTeX with a program for each system."""
    for system in ("x86_64-linux", "universal-darwin"):
        program = tmp_path / "tinytex-release/TinyTeX/bin" / system / "pdflatex"
        program.parent.mkdir(parents=True)
        program.write_bytes(b"\x7fELF, of another processor")
        program.chmod(0o755)
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)


@pytest.mark.parametrize(("system", "folder"), [("linux", "x86_64-linux"), ("darwin", "universal-darwin")])
def test_latex_is_that_of_the_system(tinytex, monkeypatch, system, folder):
    monkeypatch.setattr(sys, "platform", system)
    assert latex._tinytex().parent.name == folder


def test_a_system_without_latex_is_told_what_to_install(tinytex, monkeypatch):
    monkeypatch.setattr(sys, "platform", "freebsd14")
    with pytest.raises(LensvitError, match="no LaTeX to make the PDF with"):
        latex._tinytex()


def test_a_program_for_another_processor_is_one_line(tinytex, monkeypatch, tmp_path):
    """TinyTeX on ARM's Linux."""
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(LensvitError, match=r"does not run on this machine \(.*\): install latexmk and TeX Live"):
        latex._run([str(latex._tinytex())], tmp_path)


def test_a_system_without_glibc_does_without_its_settings(monkeypatch):
    monkeypatch.setattr(processes.torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    processes._settle()


def test_the_processor_has_a_name_without_proc(monkeypatch):
    def absent(path, *given, **named):
        raise FileNotFoundError(path)

    monkeypatch.setattr(builtins, "open", absent)
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert provenance._cpu() == "arm"


def test_the_docs_name_what_is_resolved():
    assert re.search(
        rf"\| macOS {MACOS.removesuffix('.0')} or newer, Apple silicon \| {PYTHONS[0]} to {PYTHONS[-1]} ", DOCS
    )
    assert "aarch64" in DOCS and len(PLATFORMS) == 3
    assert not [name for name in WITHOUT_WHEELS if f"`{name}`" not in DOCS]
