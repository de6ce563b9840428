"""The key ``refine`` of the config."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lensvit.chapters.refine.settings import FitSettings
from lensvit.config.schema import Run, Section, Sharing, Stages, check_free_fits, known_name, lens_model
from lensvit.io.settings import Name


class Refine(FitSettings, Section):
    """Fits to all pixels of test images, which start from the networks' draws."""

    enabled: bool = Field(description="make the fits, and show them in Table 1 and a section of the paper")
    model: Name | None = Field(
        description="model from whose draws the fits start; null: each model, in fits of its own"
    )
    systems_per_job: int | None = Field(
        ge=1, description="most systems that one job fits, if no image file holds more; null: one job fits all"
    )
    also_from_prior: int = Field(
        ge=0, le=1_000_000, description="systems that are fitted from the means of the priors too"
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if the run has no such model."""
        if self.enabled and self.model is not None:
            known_name("refine.model", self.model, run.models)
        if self.enabled and run.scene.is_free:
            check_free_fits(run, "refine")

    def networks_used(self, run: Run) -> list[str]:
        """The networks from whose draws the fits start."""
        if not self.enabled:
            return []
        return [self.model] if self.model else list(run.models)

    def starts_used(self, run: Run) -> list[str]:
        """What the fits start from: the networks, and ``prior`` for the means of the priors."""
        networks = self.networks_used(run)
        return networks + (["prior"] if networks and self.also_from_prior else [])

    def stages(self, run: Run) -> Stages:
        """The settings of ``refine`` and ``refine_prior``."""
        return {
            "refine": lambda item: self._settings(run),
            "refine_prior": lambda item: {**self._settings(run), "systems": self.also_from_prior},
        }

    def sharing(self, run: Run) -> dict[str, Sharing]:
        """``refine`` and ``refine_prior`` may be shared among jobs."""
        each = self.systems_per_job
        found = {"refine": Sharing([f"refined/{name}" for name in self.networks_used(run)], self.systems, each)}
        if "prior" in self.starts_used(run):
            found["refine_prior"] = Sharing(["refined/prior"], self.also_from_prior, each)
        return found

    def _settings(self, run: Run) -> dict[str, Any]:
        chosen = self.model_dump(include=set(FitSettings.model_fields))
        return {"seed": run.seed, **lens_model(run), **chosen}
