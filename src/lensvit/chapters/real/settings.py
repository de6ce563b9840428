"""Settings of the chapter on real lenses."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.observations.settings import Published


class RealSettings(Settings):
    """Settings of the stage ``real_table``."""

    published: dict[str, Published] = Field(description="lens to what is published of it")


class RealLabels(Settings):
    """Settings of figure 11."""

    labels: dict[str, str] = Field(description="model to its label, as printed")
