"""Settings of the Markov chains."""

from __future__ import annotations

from pydantic import Field

from lensvit.inference.settings import EnsembleSettings
from lensvit.io.settings import Seeded
from lensvit.lensing.settings import LensModel


class ChainSettings(EnsembleSettings):
    """How many chains, how long, and what is written of them."""

    systems: int = Field(
        ge=1,
        le=1_000_000,
        description="test systems with two chains each, drawn by lot for each camera; refined ones come first",
    )
    attempts: int = Field(ge=1, le=100, description="most annealings of a chain, until one explains the image")
    samples: int = Field(ge=10, le=1_000_000, description="samples of each chain that are kept, evenly from all of it")


class McmcSettings(LensModel, ChainSettings, Seeded):
    """Settings of the stage ``mcmc``."""
