"""Settings of the time delays."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.settings import LabelSettings
from lensvit.io.settings import Seeded, Settings
from lensvit.lensing.settings import Population


class Propagation(Settings):
    """How errors of lenses are propagated to differences of the Fermat potential."""

    draws: int = Field(ge=4, le=100_000, description="most draws of each method and system")
    astrometry: float = Field(
        gt=0, le=0.1, description="error of each coordinate of a quasar image's position [arcsec]"
    )


class Goal(Settings):
    """What is asked of many lenses together."""

    goal: float = Field(gt=0, lt=1, description="relative uncertainty of H0 for which the number of lenses is quoted")


class FermatSettings(Population, Propagation, Seeded):
    """Settings of the stage ``fermat``."""

    max_images: int = Field(description="most quasar images of a system; the brightest are kept")


class Figure6Settings(LabelSettings, Goal):
    """Settings of the stage ``figure6``."""
