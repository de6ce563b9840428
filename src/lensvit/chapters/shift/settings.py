"""Settings of the test out of distribution."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.lensing.settings import LensModel, NamedCamera


class ScoredCamera(NamedCamera):
    """A camera, and how many test systems of its PSF are scored."""

    systems: int = Field(description="test systems of the PSF that are scored")


class ShiftSettings(LensModel):
    """Settings of the stage ``shift_scores``: priors and scene are those of the training."""

    cameras: Mapping[str, ScoredCamera] = Field(alias="options", description="PSF to the camera that it belongs to")


class Figure7Settings(Settings):
    """Settings of the stage ``figure7``."""

    left_out: str | None = Field(description="PSF that the second network was trained without; null: there is none")
    labels: dict[str, str] = Field(alias="options", description="case to its label, as printed")
