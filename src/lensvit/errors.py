"""Errors that a user can mend."""

from __future__ import annotations


class LensvitError(Exception):
    """Something the user can mend: the message says what is wrong and what to do.

    The command line prints the message alone, without a traceback, and exits with 1.
    """
