"""Settings of figure 1."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.lensing.settings import LabelledCamera


class Figure1Settings(Settings):
    """Settings of the stage ``figure1``."""

    seed: int
    examples: list[str] = Field(description="ids of the systems; empty: chosen by the seed")
    model: str | None = Field(description="whose attention is shown; null: images alone")
    layer: int = Field(description="of the model, from 0; -1 is the last")
    cameras: dict[str, LabelledCamera] = Field(alias="options", description="PSF to the camera that it belongs to")
