"""Images of a point source behind a lens, and what solvers of the lens equation take for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESIDUAL = 1e-8  # largest distance in the source plane of an image's ray from the source [arcsec]
SEPARATION = 1e-7  # solutions closer than this are the same image [arcsec]
FAINTEST = 1e-3  # least |magnification| of an image; leaves out the one in a cuspy centre
LARGEST = 1e9  # |magnification| above which the quasar lies on a caustic, as far as numbers can tell
NUDGE = {"e1": 1e-6, "e2": 1.3e-6, "source_x": 1.1e-6, "source_y": 0.7e-6}  # makes a system less symmetric


class NoSolution(ValueError):  # noqa: N818 - it is also a result, see solve_each
    """The lens equation of a system has no solution that can be trusted; the text says why."""


@dataclass(frozen=True)
class QuasarImages:
    """Images of a point source, the brightest first.

    Parameters
    ----------
    x
        (n,) positions along the first axis [arcsec].
    y
        (n,) positions along the second axis [arcsec].
    magnification
        (n,) magnifications, negative for saddle points of the arrival time.
    """

    x: np.ndarray
    y: np.ndarray
    magnification: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def brightest(self, number: int) -> QuasarImages:
        """The first ``number`` images."""
        return QuasarImages(self.x[:number], self.y[:number], self.magnification[:number])
