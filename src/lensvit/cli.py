"""``lensvit STAGE --option value``: one stage, one function; the options are its arguments."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import resource
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lensvit import __version__
from lensvit.chapters.registry import CHAPTERS
from lensvit.errors import LensvitError
from lensvit.io.files import first_line, trouble
from lensvit.jobs.memory import most_memory

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
    "share": "lensvit.release.network:share",
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
    "completion": "lensvit.cli:completion",
}

# the map that `lensvit --help` shows; the workflow calls all other stages
GROUPS = {
    "Reproduce the paper (make paper)": ("doctor", "config", "verify", "cost"),
    "Your own lens": ("predict", "fit", "mock", "trial"),
    "Results and releases": ("page", "release", "share", "adopt"),
    "Maintenance": ("bench", "schema", "completion"),
}
WHAT = "One command for each stage of the work; its options are the files that it reads and writes."
OTHERS = "Stages that the workflow calls"

COUNTS = ("threads", "processes", "nodes", "count", "images", "steps")  # options that are 1 or more


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; return 0, 1 (an error the user can mend) or 2 (wrong usage)."""
    parser = _Map(prog="lensvit", usage="%(prog)s STAGE [--option value ...]", description=WHAT)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("stage", type=_stage, metavar="STAGE", help="what to run; lensvit STAGE --help says more of it")
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
        unnamed = [options.pop(name) for name in _positional(function)]
        function(*unnamed, **options)
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


class _Map(argparse.ArgumentParser):
    """A parser whose help shows all stages, grouped, with what each of them does."""

    def format_help(self) -> str:
        """What the parser says by itself, and the map."""
        grouped = {stage for stages in GROUPS.values() for stage in stages}
        groups = {**GROUPS, OTHERS: tuple(stage for stage in STAGES if stage not in grouped)}
        column = max(map(len, STAGES)) + 4
        width = max(60, min(120, shutil.get_terminal_size().columns))
        lines = [super().format_help()]
        for title, stages in groups.items():
            lines.append(f"{title}:")
            for stage in stages:
                beside = textwrap.wrap(summary(stage), width - column) or [""]
                lines.append(f"  {stage:<{column - 2}}{beside[0]}")
                lines += [" " * column + more for more in beside[1:]]
            lines.append("")
        return "\n".join(lines)


def _stage(name: str) -> str:
    """The name of a stage, as it is given."""
    if name not in STAGES:
        import difflib

        near = difflib.get_close_matches(name, STAGES, 3)
        hint = f"do you mean {' or '.join(near)}?" if near else "lensvit --help shows all of them"
        raise argparse.ArgumentTypeError(f"no stage {name!r}: {hint}")
    return name


def summary(stage: str) -> str:
    """The first line of a stage's docstring, read from its file: to import all stages takes seconds."""
    module, name = STAGES[stage].split(":")
    path = Path(__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    pattern = rf'^def {name}\(.*?:\n    r?"""(.*?)(?:\n|""")'
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found[1].replace("``", "") if found else ""


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
    processes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    seconds = sum(part.ru_utime + part.ru_stime for part in map(resource.getrusage, processes))
    memory = max(map(most_memory, processes))
    return f"used: {seconds:.2f} s of CPU time, {memory / 2**20:.0f} MB of memory"


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
        if parameter.kind is parameter.POSITIONAL_ONLY:
            parser.add_argument(name, choices=get_args(hint))
            continue
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


def _positional(function: Callable[..., None]) -> list[str]:
    """The arguments of a stage that have no name on the command line."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]


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


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a script by which a shell completes the names of stages, their options and files.

    It takes some seconds, since it asks every stage for its options; what it prints is then quick. The script belongs
    into ``~/.local/share/bash-completion/completions/lensvit`` for bash, into a file ``_lensvit`` in a folder of
    ``fpath`` for zsh, and into ``~/.config/fish/completions/lensvit.fish`` for fish.

    Parameters
    ----------
    shell
        Which shell.

    Raises
    ------
    LensvitError
        If the package that writes such scripts is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise LensvitError("completion needs the package shtab: pip install shtab") from error
    parser = argparse.ArgumentParser(prog="lensvit")
    parser.add_argument("--version", action="store_true", help="show the version")
    stages = parser.add_subparsers(dest="stage")
    for stage, target in STAGES.items():
        added = stages.add_parser(
            stage, parents=[_parser(stage, _function(target))], add_help=False, help=summary(stage), description=""
        )
        for option in added._actions:
            if option.type is Path:
                option.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell))
