"""Settings of the simulation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.lensing.settings import Camera, PriorChange, Scene


class Simulation(Settings):
    """How an image is computed."""

    engine: Literal["lenstronomy", "torch"] = Field(
        description="lenstronomy, or this package's own way in torch: the same systems and images, faster"
    )
    supersampling: Literal[1, 5] = Field(description="PSF kernel of the quasars: native (1, the paper) or 5x finer")
    external_shear: bool = Field(description="the notebook has it, the paper's text does not")


class SystemSettings(Settings):
    """What the systems of one PSF are drawn from, and what their images are computed with."""

    seed: int
    name: str = Field(description="the PSF's key in the config")
    priors: dict[str, PriorChange]
    scene: Scene
    instrument: Camera
    supersampling: Literal[1, 5]
    external_shear: bool


class SimulateSettings(SystemSettings):
    """Settings of the stage ``simulate``."""

    engine: Literal["lenstronomy", "torch"]
