"""When a difference between two scores is clear.

Both thresholds are in standard errors of the difference, which may be paired. Five of a hundred comparisons of equals
are off by more than two of them, and three of a thousand by more than three.
"""

from __future__ import annotations

CLEAR = 2.0  # for a difference that the paper discusses by itself
CLEAR_AMONG_MANY = 3.0  # for one of some dozens in one table, of which hardly one shall be clear by chance


def is_clear(difference: float, error: float, level: float = CLEAR) -> bool:
    """Whether a difference is more than noise.

    Parameters
    ----------
    difference
        Of two scores, or of a score from what is expected.
    error
        The standard error of the difference, in its unit.
    level
        Standard errors that it must exceed.
    """
    return bool(abs(difference) > level * error)
