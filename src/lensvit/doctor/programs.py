"""Other programs, asked for what they know."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from lensvit.io.files import first_line


class NoAnswerError(Exception):
    """A program gives no answer: the message says why."""


def found(name: str) -> bool:
    """Whether there is a program of this name."""
    return shutil.which(name) is not None


def ask(command: Sequence[str], seconds: float) -> list[str]:
    """The lines that a program writes, without those that are empty.

    Parameters
    ----------
    command
        The program and its arguments.
    seconds
        After which it is given up.

    Raises
    ------
    NoAnswerError
        If it is not there, fails, or takes too long.
    """
    name = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise NoAnswerError(f"there is no {name} here") from None
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{name} gives no answer within {seconds:.0f} s") from None
    except OSError as error:
        raise NoAnswerError(f"{name} cannot be started ({first_line(error)})") from error
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NoAnswerError(f"{name} ends with status {done.returncode} ({said[-1].strip() if said else 'no word'})")
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
