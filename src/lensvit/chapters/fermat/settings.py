"""Settings of the time delays."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from lensvit.chapters.settings import LabelSettings
from lensvit.io.settings import Seeded, Settings
from lensvit.lensing.settings import Population, full_priors
from lensvit.parameters import Prior


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

    @cached_property
    def known(self) -> dict[str, Prior]:
        """The priors of all parameters; a shear that the systems do not have is known to be 0."""
        known = full_priors(self.priors)
        if not self.external_shear:
            known["gamma_ext"] = Prior("uniform", low=0.0, high=0.0)
        return known


class Figure6Settings(LabelSettings, Goal):
    """Settings of the stage ``figure6``."""
