"""Settings of the fits to all pixels."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Seeded, Settings
from lensvit.lensing.settings import LensModel


class FitSettings(Settings):
    """How many systems are fitted, and how."""

    systems: int | None = Field(
        ge=1, le=1_000_000, description="test systems that are fitted, drawn by lot for each camera; null: all"
    )
    starts: int = Field(
        ge=1, le=1000, description="draws from which lenses are matched to the quasar images of a system"
    )
    max_iterations: int = Field(ge=1, le=1000, description="most steps of a search, of which a fit makes three")


class RefineSettings(LensModel, FitSettings, Seeded):
    """Settings of the stage ``refine``."""
