"""The key ``mcmc`` of the config."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.mcmc.settings import ChainSettings
from lensvit.config.schema import Run, Section, Stages, figure_labels, known_name, lens_model
from lensvit.io.settings import Name


class Mcmc(ChainSettings, Section):
    """Markov chains of all parameters of some test systems, from the priors and from a network's draws."""

    enabled: bool = Field(description="run them, and show them in a table, figure 5 and a section of the paper")
    model: Name | None = Field(description="from whose draws the second chains start; null: the first model's")

    def check(self, run: Run) -> None:
        if self.model is not None:
            known_name("mcmc.model", self.model, run.models)

    def stages(self, run: Run) -> Stages:
        chosen = self.model_dump(exclude={"enabled", "model"})
        return {
            "mcmc": lambda item: {"seed": run.seed, **lens_model(run), **chosen},
            "figure5": lambda item: figure_labels(run),
        }
