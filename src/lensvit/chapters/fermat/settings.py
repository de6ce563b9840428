"""Settings of the time delays."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from lensvit.chapters.settings import LabelSettings
from lensvit.io.settings import Settings
from lensvit.lensing.settings import PriorChange, full_priors
from lensvit.parameters import Prior


class FermatSettings(Settings):
    """Settings of the stage ``fermat``."""

    seed: int
    priors: dict[str, PriorChange]
    external_shear: bool
    max_images: int = Field(description="the brightest quasar images that are kept")
    draws: int = Field(description="most draws of each method and system")
    astrometry: float = Field(description="error of each coordinate of an image's position [arcsec]")

    @cached_property
    def known(self) -> dict[str, Prior]:
        """The priors of all parameters; a shear that the systems do not have is known to be 0."""
        known = full_priors(self.priors)
        if not self.external_shear:
            known["gamma_ext"] = Prior("uniform", low=0.0, high=0.0)
        return known


class Figure6Settings(LabelSettings):
    """Settings of the stage ``figure6``."""

    goal: float = Field(description="relative uncertainty of H0 that the number of lenses is for")
