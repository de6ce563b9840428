"""The key ``limit`` of the config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.config.schema import Run, Section, Stages, lens_model


class Limit(Section):
    """How well the parameters of each test system can be known at all."""

    enabled: bool = Field(description="compute it, and show it in Table 1, figure 3 and a section of the paper")
    amplitudes: Literal["known", "marginalised"] = Field(
        description="amplitudes of the scene: known or marginalised (unknown too)"
    )

    def stages(self, run: Run) -> Stages:
        """The settings of ``limit``."""
        return {"limit": lambda item: lens_model(run)}
