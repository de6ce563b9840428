"""Mean and scatter of the targets over the training split: the file scaler.json."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lensvit.io.files import read_model, reading
from lensvit.io.settings import Settings
from lensvit.parameters import TARGET_NAMES


class Scaler(Settings):
    """Mean and standard deviation of each target over the training split, in physical units."""

    mean: dict[str, float] = Field(description="target to its mean")
    sd: dict[str, float] = Field(description="target to its standard deviation")


def read_scaler(path: Path) -> Scaler:
    """Means and standard deviations of all targets.

    Parameters
    ----------
    path
        The run's scaler.json.

    Raises
    ------
    LensvitError
        If the file is absent, cannot be read, is broken, or lacks a target.
    """
    scaler = read_model(path, Scaler)
    with reading(path):
        for part, values in scaler:
            for name in TARGET_NAMES:
                if name not in values:
                    raise ValueError(f"it lacks {part}.{name}")
    return scaler
