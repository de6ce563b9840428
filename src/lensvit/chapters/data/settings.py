"""Settings of figure 1."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Seeded
from lensvit.lensing.settings import LabelledCamera


class Figure1Settings(Seeded):
    """Settings of the stage ``figure1``."""

    examples: list[str] = Field(description="ids of the systems; empty: chosen by the seed")
    model: str | None = Field(description="key of the model whose attention is shown; null: the images alone")
    layer: int = Field(description="layer of the model whose attention is shown, counted from 0; -1 is the last")
    cameras: dict[str, LabelledCamera] = Field(alias="options", description="PSF to the camera that it belongs to")
