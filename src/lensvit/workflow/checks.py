"""What is tried before the first job and takes seconds: networks, and PSF files of users.

Snakemake's own process and ``lensvit config`` import neither torch nor astropy. They ask other processes, one for each
library, and remember what passed: a line in a small file, by a digest of all that the answer depends on. So the same
settings are tried once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, TypeAdapter

from lensvit.errors import LensvitError
from lensvit.io.files import first_line
from lensvit.io.settings import Settings, canonical
from lensvit.jobs.provenance import packages
from lensvit.jobs.sources import DIGITS, code
from lensvit.learning.settings import Architecture
from lensvit.psf.settings import FitsKernel, LibraryKernel

MODULE = "lensvit.workflow.checks"
LIBRARIES = ("torch", "torchvision", "transformers", "astropy")  # whose versions an answer depends on
LONGEST = 300.0  # seconds after which a process is given up
# nothing is downloaded, no GPU is woken, and the other process has a core too
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


class NetworkCheck(Settings):
    """A network that is to be built and trained by one step."""

    kind: Literal["network"] = Field("network", description="what is tried")
    network: Architecture = Field(description="the network")
    alone: str | None = Field(description="where a batch has one image alone, and what to do; null: none has")
    layer: int | None = Field(description="layer whose attention figure 1 shows; null: none")

    @property
    def library(self) -> str:
        """The package that takes the time."""
        return self.network.library

    def paths(self) -> list[str]:
        """Files and folders that the answer depends on, if they are there."""
        return [self.network.weights, self.network.architecture]

    def try_it(self) -> None:
        """Raise an error if the network cannot be what the config asks for."""
        from lensvit.chapters.data.attention import patches_aside
        from lensvit.learning.rehearsal import attention_shape, rehearse

        model = rehearse(self.network, self.alone)
        if self.layer is not None:
            patches_aside(attention_shape(self.network, model), self.layer)


class PsfCheck(Settings):
    """A PSF of a user that is to be read."""

    kind: Literal["psf"] = Field("psf", description="what is tried")
    psf: FitsKernel | LibraryKernel = Field(description="settings of its stage")

    @property
    def library(self) -> str:
        """The package that takes the time."""
        return "astropy"

    def paths(self) -> list[str]:
        """Files that the answer depends on."""
        return [self.psf.path]

    def try_it(self) -> None:
        """Raise an error if the file cannot be used."""
        from lensvit.psf.user import load_library_kernel, load_user_kernel

        psf = self.psf
        arguments = Path(psf.path), psf.pixel_scale, psf.extension, psf.file_pixel_scale
        if isinstance(psf, LibraryKernel):
            load_library_kernel(*arguments, psf.oversampling, psf.mix, psf.seed)
        else:
            load_user_kernel(*arguments)


Check = NetworkCheck | PsfCheck


class Answer(NamedTuple):
    """What came of a check: an error of the user, or why nothing could be said; None for neither."""

    error: str | None = None
    unknown: str | None = None


def check(
    wanted: Mapping[str, Check],
    memory: Path,
    say: Callable[[str], object],
    code_of: Callable[[str], str] = code,
) -> None:
    """Try what has not passed before, and remember what passes.

    Parameters
    ----------
    wanted
        Key in the config to what is tried.
    memory
        File with a line for all that has passed. It is written where its folder is there and can be written.
    say
        Shows a line to the user.
    code_of
        The digest of a module's code, see :func:`lensvit.jobs.sources.code`.

    Raises
    ------
    LensvitError
        One line for each that cannot be used: the key, and what is so.
    """
    known = _remembered(memory)
    places: dict[str, str] = {}  # digest to the first key of what has it
    around = {"versions": packages(LIBRARIES), "code": code_of(MODULE)}
    for key, one in wanted.items():
        places.setdefault(_digest(one, around), key)
    new = {number: key for number, key in places.items() if number not in known}
    if not new:
        return
    say(f"checking {', '.join(new.values())} once, before the first job")
    answers = ask([wanted[key] for key in new.values()])
    _remember(memory, [number for number, answer in zip(new, answers, strict=True) if answer and not answer.error])
    errors = []
    for key, answer in zip(new.values(), answers, strict=True):
        if answer is None or answer.unknown:
            say(f"{key} cannot be checked before its job: {answer.unknown if answer else 'its process gave no answer'}")
        elif answer.error:
            errors.append(f"config: {key}: {answer.error}")
    if errors:
        raise LensvitError("\n".join(errors))


# ---------------------------------------------------------------- what has passed


def _digest(one: Check, around: Mapping[str, Any]) -> str:
    """A digest of a check's settings and files, and of what is ``around``: versions of libraries, and the code."""
    files = {path: _state(Path(path)) for path in one.paths()}
    content = {"check": canonical(one), "files": files, **around}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _state(path: Path) -> Any:
    """Sizes and dates of a file, or of the files in a folder; None where there is nothing."""
    try:
        if path.is_dir():
            return {entry.name: _state(entry) for entry in sorted(path.iterdir()) if entry.is_file()}
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _remembered(memory: Path) -> set[str]:
    try:
        return set(memory.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return set()


def _remember(memory: Path, digests: Sequence[str]) -> None:
    """Add lines to the memory; where it cannot be written, the next start takes as long again."""
    with contextlib.suppress(OSError), open(memory, "a", encoding="utf-8") as stream:
        stream.write("".join(f"{number}\n" for number in digests))


# ---------------------------------------------------------------- other processes


def ask(checks: Sequence[Check]) -> list[Answer | None]:
    """Try each in a process of its library; None for those whose process has died.

    Parameters
    ----------
    checks
        What is tried.
    """
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(checks):
        groups.setdefault(one.library, []).append(number)
    answers: list[Answer | None] = [None] * len(checks)
    with ThreadPoolExecutor(len(groups)) as pool:
        found = pool.map(lambda numbers: _in_a_process([checks[number] for number in numbers]), groups.values())
        for numbers, given in zip(groups.values(), found, strict=True):
            for number, one_answer in zip(numbers, given, strict=False):
                answers[number] = one_answer
    return answers


def _in_a_process(checks: Sequence[Check]) -> list[Answer]:
    """The answers of another process; none if it is killed, breaks or takes too long."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=json.dumps([canonical(one) for one in checks]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
            timeout=LONGEST,
            encoding="utf-8",
        )
        return [Answer(*given) for given in json.loads(done.stdout)]
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return []


def answer(one: Check) -> Answer:
    """Try one thing in this process; what nobody has foreseen is left to the stage."""
    try:
        one.try_it()
    except LensvitError as error:
        return Answer(error=" ".join(str(error).split()))
    except Exception as error:  # an answer that is wrong would be worse than none
        return Answer(unknown=first_line(error))
    return Answer()


def main() -> None:
    """Read checks from the standard input and write the answers to the standard output, both as JSON."""
    checks = TypeAdapter(list[Annotated[Check, Discriminator("kind")]]).validate_python(json.load(sys.stdin))
    with contextlib.redirect_stdout(sys.stderr):  # libraries speak
        answers = [answer(one) for one in checks]
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
