"""Settings of figure 1 and of the contact sheet."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Seeded, Settings
from lensvit.lensing.settings import LabelledCamera
from lensvit.simulation.settings import SimulateSettings


class Figure1Settings(Seeded):
    """Settings of the stage ``figure1``."""

    examples: list[str] = Field(description="ids of the systems; empty: chosen by the seed")
    model: str | None = Field(description="key of the model whose attention is shown; null: the images alone")
    layer: int = Field(description="layer of the model whose attention is shown, counted from 0; -1 is the last")
    cameras: dict[str, LabelledCamera] = Field(alias="options", description="PSF to the camera that it belongs to")


class PreviewSettings(Settings):
    """Settings of the stage ``preview``."""

    systems: dict[str, SimulateSettings] = Field(description="PSF to what its systems are drawn from")
    cameras: dict[str, LabelledCamera] = Field(description="PSF to the camera that it belongs to")
