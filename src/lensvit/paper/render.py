"""The LaTeX of the paper from a run's numbers and the templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from lensvit.chapters.accuracy.claims import claims
from lensvit.chapters.registry import CHAPTERS, can_be_off
from lensvit.errors import LensvitError
from lensvit.io.files import read_json, trouble, write_text
from lensvit.paper import bibliography
from lensvit.paper.latex import FILTERS


def tex(numbers: Path, templates: Path, output: Path) -> None:
    r"""Render the paper's templates with a run's numbers.

    In a template ``\VAR{...}`` is a value, ``\BLOCK{...}`` a statement, ``\#{...}`` a comment.

    Parameters
    ----------
    numbers
        numbers.json of the run.
    templates
        The folder with ``paper.tex.j2``, the parts that it includes, ``chapters/{name}.tex.j2``, and
        ``references.bib``.
    output
        The .tex file.

    Raises
    ------
    LensvitError
        If a template asks for a number that is not there or prints one without a format, has a
        wrong syntax, or cites what references.bib does not have.
    """
    content = _read_numbers(numbers)
    library = bibliography.read_bibliography(Path(templates) / "references.bib")
    environment = _environment(templates)
    environment.globals.update(cite=library.cite, cited=library.cited)
    try:
        text = environment.get_template("paper.tex.j2").render(
            content, claims=claims(content["columns"], content["table"]), **_chapters(content)
        )
    except jinja2.TemplateNotFound as error:
        raise LensvitError(f"no template {error.name} in {templates}") from error
    except jinja2.TemplateSyntaxError as error:
        raise LensvitError(f"{error.filename}, line {error.lineno}: {error.message}") from error
    except (jinja2.UndefinedError, KeyError) as error:
        raise LensvitError(f"{_place(error)}: {numbers} lacks what the paper asks for: {error}") from error
    except OSError as error:
        raise LensvitError(f"{error.filename or templates}: {trouble(error) or error}") from error
    except (TypeError, ValueError) as error:
        raise LensvitError(f"{_place(error)}: {error}") from error
    write_text(output, text)


def _chapters(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of the chapters that are not switched off: before the networks, behind them, and in the appendix."""
    shown = [name for name, chapter in CHAPTERS.items() if all(content[key] is not None for key in chapter.keys)]
    return {
        "chapters_before_models": [name for name in shown if CHAPTERS[name].before_models],
        "chapters": [name for name in shown if not (CHAPTERS[name].before_models or CHAPTERS[name].in_appendix)],
        "chapters_in_appendix": [name for name in shown if CHAPTERS[name].in_appendix],
    }


def _read_numbers(path: Path) -> dict[str, Any]:
    """numbers.json; an older one has no keys of chapters that came later, which are as if they were switched off."""
    optional = {key: None for name, chapter in CHAPTERS.items() if can_be_off(name) for key in chapter.keys}
    needed = [key for chapter in CHAPTERS.values() for key in chapter.keys if key not in optional]
    return optional | read_json(path, *needed, kind="file of numbers")


class _Environment(jinja2.Environment):
    """Jinja's environment in which ``row.values`` is the key of a mapping rather than the method of a dict."""

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
    """The value, if it is text or is undefined, which Jinja reports by itself; other values need a filter."""
    if isinstance(value, str | jinja2.Undefined):
        return value
    raise TypeError(f"{value!r} is printed without a format: pass it through a filter of lensvit.paper.latex")


def _place(error: BaseException) -> str:
    """The template and line in which an error arose."""
    place, trace = "paper.tex.j2", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            place = f"{Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place
