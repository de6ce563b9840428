"""Settings of figure 1 and of the contact sheet."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Seeded, Settings
from lensvit.lensing.settings import LabelledCamera
from lensvit.simulation.settings import SimulateSettings

# what figure 1 and its caption have in common
HEADS = 4  # heads that are shown by themselves, at most
SYSTEMS = 100  # test systems over which the attention is averaged, at most
CONTOURS = (0.35, 0.7)  # levels of the contours, as shares of the range of the stretched image
SOFTENING = 2.0  # background sigmas at which the asinh stretch turns logarithmic
COLLAPSED = 2.0  # effective patches below which the attention of a head has collapsed


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
