"""The key ``fermat`` of the config."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lensvit.chapters.fermat.settings import Goal, Propagation
from lensvit.config.schema import Run, Section, Stages, figure_labels, prior_changes


class Fermat(Propagation, Goal, Section):
    """What the errors of the lenses' parameters mean for H0 by time delays."""

    enabled: bool = Field(description="compute it, and show it in figure 6 and a section of the paper")

    def check(self, run: Run) -> None:
        """Raise a ValueError if no system can have a delay."""
        if self.enabled and run.scene.max_images < 2:
            raise ValueError(
                f"scene.max_images: {run.scene.max_images}; a delay is between two images: raise it, or set "
                "fermat.enabled: false"
            )

    def stages(self, run: Run) -> Stages:
        """The settings of ``fermat`` and ``figure6``."""
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
            **self.model_dump(include=set(Propagation.model_fields)),
        }
