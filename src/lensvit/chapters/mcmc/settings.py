"""Settings of the Markov chains."""

from __future__ import annotations

from pydantic import Field

from lensvit.inference.settings import EnsembleSettings
from lensvit.lensing.settings import LensModel


class ChainSettings(EnsembleSettings):
    """How many chains, how long, and what is written of them."""

    systems: int = Field(
        ge=1, le=1_000_000, description="test systems, by lot from each camera, the refined ones first"
    )
    attempts: int = Field(ge=1, le=100, description="annealings of a chain, until one explains the image")
    samples: int = Field(ge=10, le=1_000_000, description="of each chain that are written, evenly from all of it")


class McmcSettings(LensModel, ChainSettings):
    """Settings of the stage ``mcmc``."""

    seed: int
