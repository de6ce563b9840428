"""Settings of the fits to all pixels."""

from __future__ import annotations

from pydantic import Field

from lensvit.lensing.settings import LensModel


class RefineSettings(LensModel):
    """Settings of the stage ``refine``."""

    seed: int
    systems: int | None = Field(description="test systems that are fitted; null: all")
    starts: int = Field(description="draws from which lenses are matched to the quasar images of a system")
    max_iterations: int = Field(description="most steps of a search")
