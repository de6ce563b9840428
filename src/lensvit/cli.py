"""``lensvit STAGE --option value``: one stage, one function; the options are its arguments."""

from __future__ import annotations

import argparse
import importlib
import inspect
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from lensvit import __version__
from lensvit.chapters.registry import CHAPTERS
from lensvit.errors import LensvitError
from lensvit.io.files import first_line, trouble

# stage -> where its function lies; imported only when asked for, so that `--help` is quick
STAGES = {
    "config": "lensvit.config.early:main",
    "schema": "lensvit.config.json_schema:write_schemas",
    "settings": "lensvit.io.settings:write_settings",
    "psf": "lensvit.psf.build:build_kernel",
    "simulate": "lensvit.simulation.simulate:simulate",
    "catalog": "lensvit.simulation.catalog:catalog",
    "train": "lensvit.learning.train:train",
    "train_streaming": "lensvit.learning.stream:train_streaming",
    "evaluate": "lensvit.learning.evaluate:evaluate",
    **{
        stage: f"lensvit.chapters.{name}.{target}"
        for name, chapter in CHAPTERS.items()
        for stage, target in chapter.stages.items()
    },
    "merge_shards": "lensvit.io.shards:merge_shards",
    "numbers": "lensvit.paper.numbers:numbers",
    "tex": "lensvit.paper.render:tex",
    "pdf": "lensvit.paper.compile:pdf",
    "archive": "lensvit.paper.archive:archive",
    "show_tables": "lensvit.paper.shown:show_tables",
    "page": "lensvit.page.page:page",
    "release": "lensvit.release.release:release",
    "adopt": "lensvit.release.release:adopt",
    "verify": "lensvit.release.verify:verify",
    "reference": "lensvit.prediction.reference:reference",
    "model_card": "lensvit.prediction.card:model_card",
    "predict": "lensvit.prediction.run:predict",
    "predict_observed": "lensvit.prediction.run:predict_observed",
    "fit": "lensvit.observations.run:fit",
    "observe": "lensvit.observations.run:observe",
    "observations_table": "lensvit.observations.table:observations_table",
    "mock": "lensvit.observations.mock:mock",
    "trial": "lensvit.observations.trial:trial",
    "bench": "lensvit.bench.run:main",
    "doctor": "lensvit.doctor.run:main",
    "cost": "lensvit.workflow.cost:cost",
}

COUNTS = ("threads", "processes", "nodes", "count", "images", "steps")  # options that are 1 or more


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; return 0, 1 (an error the user can mend) or 2 (wrong usage)."""
    parser = argparse.ArgumentParser(prog="lensvit", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("stage", choices=STAGES, help="what to run")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    stage = parser.parse_args(arguments[:1] or ["--help"]).stage
    try:
        function = _function(STAGES[stage])
        options = vars(_parser(stage, function).parse_args(arguments[1:]))
        for name in COUNTS:
            value = options.get(name)
            if isinstance(value, int) and value < 1:
                raise LensvitError(f"--{name} {value}: give 1 or more")
        if isinstance(options.get("seed"), int) and options["seed"] < 0:
            raise LensvitError(f"--seed {options['seed']}: give 0 or more")
        function(**options)
    except LensvitError as error:
        print(f"lensvit {stage}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        said = _said(error)
        if said is None:
            raise
        print(f"lensvit {stage}: {said}", file=sys.stderr)
        return 1
    if not sys.stderr.isatty():  # the last line of a log
        print(_spent(), file=sys.stderr)
    return 0


def _said(error: OSError) -> str | None:
    """One line for an error of the machine that no stage has put into words; None where it names no file."""
    if error.filename is None:
        return None
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename}: start in the clone, or run snakemake again if a stage makes it"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename}: a folder is needed there, and a part of this path is a file"
    reason = trouble(error)
    return None if reason is None else f"{error.filename}: {reason} ({first_line(error)})"


def _spent() -> str:
    """What this process and those that it started have used, as `lensvit cost` reads it."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(part.ru_utime + part.ru_stime for part in used)
    return f"used: {seconds:.2f} s of CPU time, {max(part.ru_maxrss for part in used) / 1024:.0f} MB of memory"


def _function(target: str) -> Callable[..., None]:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def _parser(stage: str, function: Callable[..., None]) -> argparse.ArgumentParser:
    """A parser made from the function's signature: ``x: Path`` becomes ``--x PATH``."""
    parser = argparse.ArgumentParser(
        prog=f"lensvit {stage}",
        description=inspect.getdoc(function),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        hint = _without_none(hints[name])
        many = get_origin(hint) is list
        kind = get_args(hint)[0] if many else hint
        required = parameter.default is inspect.Parameter.empty
        parser.add_argument(
            "--" + name.replace("_", "-"),
            required=required,
            default=None if required else parameter.default,
            **_conversion(kind, many),
        )
    return parser


def _without_none(hint: Any) -> Any:
    """``Path`` of an optional value, ``Path | None``."""
    if type(None) in get_args(hint):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _conversion(kind: type, many: bool) -> dict:
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if kind not in (Path, str, int, float):
        raise TypeError(f"an option of type {kind} has no spelling on the command line")
    return {"type": kind, "metavar": kind.__name__.upper()} | ({"nargs": "+"} if many else {})
