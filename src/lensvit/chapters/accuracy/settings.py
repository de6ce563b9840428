"""Settings of figure 2."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.settings import LabelSettings


class Figure2Settings(LabelSettings):
    """Settings of the stage ``figure2``."""

    seed: int
    systems: int = Field(description="test systems that are shown")
