"""What a look at the machine says, and the run that it is looked at for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lensvit.config.schema import Run

MARKS = {"right": "+", "wrong": "!", "unknown": "?"}


@dataclass(frozen=True)
class Answer:
    """One line.

    Parameters
    ----------
    what
        What was looked at.
    verdict
        What came of it.
    said
        What is so; where it is wrong, what to do as well.
    stops
        Whether it would stop the run.
    """

    what: str
    verdict: Literal["right", "wrong", "unknown"]
    said: str
    stops: bool = False

    def __str__(self) -> str:
        """The line, in ASCII, whatever a library or a file's name brings into it."""
        line = f"{MARKS[self.verdict]} {self.what}: {self.verdict}: {' '.join(self.said.split())}"
        return line.encode("ascii", "backslashreplace").decode("ascii")


def right(what: str, said: str) -> Answer:
    """A line for what is as it should be."""
    return Answer(what, "right", said)


def wrong(what: str, said: str, *, stops: bool = True) -> Answer:
    """A line for what has to be mended, with what to do; it would stop the run unless ``stops`` is false."""
    return Answer(what, "wrong", said, stops)


def unknown(what: str, said: str) -> Answer:
    """A line for what could not be seen."""
    return Answer(what, "unknown", said)


@dataclass
class Case:
    """What is asked.

    Parameters
    ----------
    run
        The run that the machine is for, with the device that it is to compute on.
    steps
        Training steps that are timed.
    results
        Folder of the runs' results.

    Attributes
    ----------
    written : dict
        Model to the size of its checkpoint [byte], of those that were tried.
    """

    run: Run
    steps: int
    results: Path
    written: dict[str, int] = field(default_factory=dict)
