"""Settings that stages of several chapters have."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Settings


class LabelSettings(Settings):
    """Settings of a figure that shows every model."""

    labels: dict[str, str] = Field(alias="options", description="model to its label, as printed")
