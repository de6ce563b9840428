"""The key ``fermat`` of the config."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lensvit.config.schema import Run, Section, Stages, figure_labels, prior_changes


class Fermat(Section):
    """What the errors of lenses mean for H0, by differences of the Fermat potential."""

    enabled: bool = Field(description="compute it, and show it in figure 6 and a section of the paper")
    draws: int = Field(ge=4, le=100_000, description="most draws of each method and system")
    astrometry: float = Field(gt=0, le=0.1, description="error of each coordinate of an image's position [arcsec]")
    goal: float = Field(gt=0, lt=1, description="relative uncertainty of H0 that the number of lenses is for")

    def stages(self, run: Run) -> Stages:
        return {
            "fermat": lambda item: self._settings(run),
            "figure6": lambda item: {**figure_labels(run), "goal": self.goal},
        }

    def _settings(self, run: Run) -> dict[str, Any]:
        return {
            "seed": run.seed,
            "priors": prior_changes(run),
            "external_shear": run.simulation.external_shear,
            "max_images": run.scene.max_images,
            **self.model_dump(include={"draws", "astrometry"}),
        }
