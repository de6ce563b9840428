"""Settings of figure 2."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.settings import LabelSettings
from lensvit.io.settings import Seeded


class Figure2Settings(LabelSettings, Seeded):
    """Settings of the stage ``figure2``."""

    systems: int = Field(description="test systems that are shown")
