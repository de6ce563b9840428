"""Settings of the sampling of exact posteriors."""

from __future__ import annotations

from pydantic import Field

from lensvit.inference.settings import ImportanceSettings
from lensvit.io.settings import Seeded
from lensvit.lensing.settings import LensModel


class SamplingSettings(ImportanceSettings):
    """How many posteriors are sampled, how well, and what is written of them."""

    systems: int | None = Field(
        ge=1,
        le=1_000_000,
        description="test systems that are sampled, drawn by lot as those that are refined; null: all of these",
    )
    samples: int = Field(ge=10, le=1_000_000, description="samples of each posterior that are kept, of equal weight")


class ImportanceStage(LensModel, SamplingSettings, Seeded):
    """Settings of the stage ``importance``."""
