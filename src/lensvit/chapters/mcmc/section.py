"""The key ``mcmc`` of the config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.mcmc.settings import ChainSettings
from lensvit.config.schema import Run, Section, Stages, check_free_fits, figure_labels, known_name, lens_model
from lensvit.io.settings import Name

EACH = 2  # walkers for each parameter


class Mcmc(ChainSettings, Section):
    """The standard method, Markov chains, on all pixels of some test images."""

    enabled: bool = Field(description="run them, and show them in a table, figure 5 and a section of the paper")
    model: Name | None = Field(
        description="network from whose draws the second chain of a system starts; null: the first of `models`"
    )

    second_start: Literal["network", "importance"] = Field(
        "network",
        description="what a system's second chain starts from: network, its draws, by annealing; importance, samples "
        "of the exact posterior, which need none",
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if the run has no such model, or no samples to start from."""
        if not self.enabled:
            return
        if self.model is not None:
            known_name("mcmc.model", self.model, run.models)
        if self.second_start == "importance":
            self._check_samples(run)
        check_free_fits(run, "mcmc")
        least = EACH * len(run.scene.structure.names)
        if self.walkers < least:
            raise ValueError(
                f"mcmc.walkers: {self.walkers}; this scene has {len(run.scene.structure.names)} parameters, and chains "
                f"need {EACH} walkers for each of them: raise it to {least}, and particles with it"
            )

    def _check_samples(self, run: Run) -> None:
        """Raise a ValueError if the run has no exact posterior of a system that has chains."""
        fits, exact = (run.sections.get(name) for name in ("refine", "importance"))
        if not getattr(fits, "enabled", False) or not getattr(exact, "enabled", False):
            raise ValueError(
                "mcmc.second_start: importance needs the samples of the exact posteriors: set refine.enabled and "
                "importance.enabled to true, or second_start: network"
            )
        sizes = {
            "refine.systems": getattr(fits, "systems", None),
            "importance.systems": getattr(exact, "systems", None),
        }
        most, key = min(((size, key) for key, size in sizes.items() if size is not None), default=(self.systems, ""))
        if self.systems > most:
            raise ValueError(
                f"mcmc.systems: {self.systems}, and only {most} systems have an exact posterior ({key}): lower the "
                "first or raise the second, or set mcmc.second_start: network"
            )

    def stages(self, run: Run) -> Stages:
        """The settings of ``mcmc`` and ``figure5``."""
        chosen = self.model_dump(exclude={"enabled", "model", "second_start"})
        return {
            "mcmc": lambda item: {"seed": run.seed, **lens_model(run), **chosen},
            "figure5": lambda item: figure_labels(run),
        }
