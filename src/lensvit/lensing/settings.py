"""Settings of lenses and of their images: priors, cameras, the scene, and how an image is computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from lensvit.io.settings import Settings
from lensvit.parameters import Prior, priors


class PriorChange(Settings):
    """Fields of a prior that stand instead of the paper's, in the parameter's own unit."""

    kind: Literal["normal", "uniform"] | None = None
    mean: float | None = Field(None, description="mean of a normal, before the bounds")
    sd: float | None = Field(None, ge=0, description="standard deviation of a normal, before the bounds")
    low: float | None = Field(None, description="floor of a normal, lower limit of a uniform")
    high: float | None = Field(None, description="ceiling of a normal, upper limit of a uniform")


def full_priors(changes: dict[str, PriorChange]) -> dict[str, Prior]:
    """The priors of all parameters, in the order of the table of parameters.

    Parameters
    ----------
    changes
        Parameter to what differs from the paper's prior.
    """
    return priors({name: change.model_dump(exclude_none=True) for name, change in changes.items()})


class Camera(Settings):
    """The images of a camera."""

    pixels: int = Field(ge=16, le=1024, description="image side [pixel]")
    pixel_scale: float = Field(gt=0, le=1, description="pixel scale [arcsec]")


class NamedCamera(Camera):
    """The images of a camera, and the camera's key in the config."""

    name: str


class LabelledCamera(Camera):
    """The images of a camera, and the camera's name as printed."""

    label: str = Field(description="as printed")


class Light(Settings):
    """What is the same in all systems; amplitudes are lenstronomy's, in counts/s."""

    source_amp: float = Field(ge=0, description="Sersic amplitude of the source [counts/s/arcsec^2]")
    source_e1: float = Field(ge=-0.9, le=0.9, description="ellipticity of the source, first component")
    source_e2: float = Field(ge=-0.9, le=0.9, description="ellipticity of the source, second component")
    lens_amp: float = Field(ge=0, description="Sersic amplitude of the lens light [counts/s/arcsec^2]")
    quasar_amp: float = Field(ge=0, description="unlensed flux of the quasar [counts/s]")
    max_images: int = Field(ge=1, le=5, description="the brightest quasar images that are kept")
    exposure: float = Field(gt=0, description="exposure time [s]")


class Scene(Light):
    """What is the same in all systems, and the range of their background noise."""

    sigma_bkg_low: float = Field(ge=0, description="least background noise [counts/s per pixel, rms]")
    sigma_bkg_high: float = Field(gt=0, description="largest background noise [counts/s per pixel, rms]")

    @model_validator(mode="after")
    def _ordered(self) -> Scene:
        if self.sigma_bkg_high < self.sigma_bkg_low:
            raise ValueError("sigma_bkg_high must not lie below sigma_bkg_low")
        return self


class LensModel(Settings):
    """What is known of the lenses of a run, for whoever computes their images again.

    The settings files keep the key ``options`` of earlier versions for the cameras, so that a run that was made
    by one of them is not made again.
    """

    priors: dict[str, PriorChange]
    scene: Light
    external_shear: bool
    supersampling: Literal[1, 5]
    cameras: dict[str, NamedCamera] = Field(alias="options", description="PSF to the camera that it belongs to")
