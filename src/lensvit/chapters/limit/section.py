"""The key ``limit`` of the config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.config.schema import Run, Section, Stages, lens_model


class Limit(Section):
    """The limit of information: how well each test system's parameters can be known at all."""

    enabled: bool = Field(description="compute it, and show it in Table 1, figure 3 and a section of the paper")
    amplitudes: Literal["known", "marginalised"] = Field(
        description="of the source, the lens light and the quasar: known to be those of the scene, or unknown"
    )

    def stages(self, run: Run) -> Stages:
        return {"limit": lambda item: lens_model(run)}
