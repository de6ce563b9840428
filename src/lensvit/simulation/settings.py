"""Settings of the simulation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lensvit.io.settings import Seeded, Settings
from lensvit.lensing.settings import Camera, ExternalShear, LightSamples, Population, Scene, Supersampling

EngineName = Annotated[
    Literal["lenstronomy", "torch"],
    Field(description="lenstronomy, or torch: own code, several times faster, same images to 1e-6 of their peak"),
]


def system_id(psf: str, split: str, index: int) -> str:
    """The id of a system.

    Parameters
    ----------
    psf
        Key of its PSF in the config.
    split
        train, validation or test.
    index
        Its number among the systems of this PSF and split, from 0.
    """
    return f"{psf}-{split}-{index:06d}"


class Simulation(Settings):
    """How images are computed."""

    engine: EngineName
    supersampling: Supersampling
    light_samples: LightSamples = 1
    external_shear: ExternalShear


class SystemSettings(Population, Seeded):
    """What the systems of one PSF are drawn from, and what their images are computed with."""

    name: str = Field(description="key of the PSF in the config")
    scene: Scene = Field(description="what is the same in all systems")
    instrument: Camera = Field(description="camera that takes the images")
    supersampling: Supersampling
    light_samples: LightSamples = 1


class SimulateSettings(SystemSettings):
    """Settings of the stage ``simulate``."""

    engine: EngineName
