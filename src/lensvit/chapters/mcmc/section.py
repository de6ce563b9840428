"""The key ``mcmc`` of the config."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.mcmc.settings import ChainSettings
from lensvit.config.schema import Run, Section, Stages, figure_labels, known_name, lens_model
from lensvit.io.settings import Name


class Mcmc(ChainSettings, Section):
    """The standard method, Markov chains, on all pixels of some test images."""

    enabled: bool = Field(description="run them, and show them in a table, figure 5 and a section of the paper")
    model: Name | None = Field(
        description="network from whose draws the second chain of a system starts; null: the first of `models`"
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if the run has no such model."""
        if self.enabled and self.model is not None:
            known_name("mcmc.model", self.model, run.models)

    def stages(self, run: Run) -> Stages:
        """The settings of ``mcmc`` and ``figure5``."""
        chosen = self.model_dump(exclude={"enabled", "model"})
        return {
            "mcmc": lambda item: {"seed": run.seed, **lens_model(run), **chosen},
            "figure5": lambda item: figure_labels(run),
        }
