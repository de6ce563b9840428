"""Settings of samplers: of an ensemble of Markov chains, and of sampling by importance."""

from __future__ import annotations

from pydantic import Field, model_validator

from lensvit.io.settings import Settings

FIRST_CALLS = 250  # calls of a sample by importance before its first round, if no search starts
LARGEST_K = 0.7  # largest Pareto k of a certified sample by importance


class EnsembleSettings(Settings):
    """The size of an ensemble of walkers, and how long it goes on."""

    walkers: int = Field(ge=28, le=10_000, description="walkers of a chain, at least two for each of the 14 parameters")
    particles: int = Field(
        ge=28, le=100_000, description="particles at the start of the annealing, from which the walkers are taken"
    )
    annealing_steps: int = Field(
        ge=1, le=10_000, description="steps of the particles at each temperature of the annealing"
    )
    tuning_steps: int = Field(
        ge=10,
        le=1_000_000,
        description="steps of the first of three rounds of tuning, each twice as long as the one before",
    )
    max_steps: int = Field(
        ge=50, le=10_000_000, description="most steps after the burn-in; a chain that has converged makes fewer"
    )

    @model_validator(mode="after")
    def _enough(self) -> EnsembleSettings:
        if self.walkers > self.particles:
            raise ValueError(f"{self.walkers} walkers cannot be taken from {self.particles} particles: raise particles")
        return self


class ImportanceSettings(Settings):
    """The size of a sample by importance, and what it may cost."""

    effective: int = Field(
        ge=20, le=100_000, description="effective size of the sample at which the work on a system ends"
    )
    draws: int = Field(ge=50, le=100_000, description="draws of the first round; a sample has two rounds or more")
    max_calls: int = Field(
        ge=200,
        le=10_000_000,
        description="likelihood calls, and draws beyond the prior, after which a system has no more rounds",
    )

    @model_validator(mode="after")
    def _two_rounds(self) -> ImportanceSettings:
        least = FIRST_CALLS + 2 * self.draws
        if self.max_calls < least:
            raise ValueError(
                f"max_calls: {self.max_calls} is too small for two rounds of {self.draws} draws and what comes before "
                f"them: raise it to {least} or more"
            )
        return self
