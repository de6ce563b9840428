"""Settings of lenses and of their images: priors, cameras, the scene, and how an image is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lensvit.io.settings import Settings, WithoutNull
from lensvit.lensing.structure import Structure
from lensvit.parameters import NAMES, TABLE, Prior, priors

# ---------------------------------------------------------------- priors


class PriorChange(Settings):
    """Fields of a prior that stand instead of the paper's, in the parameter's own unit."""

    kind: Literal["normal", "uniform", "lognormal", "rayleigh"] | None = Field(
        None,
        description="normal, uniform, lognormal (of a free scene's sizes and indices) or rayleigh (of gamma_ext: both "
        "components of the shear are normal); another kind than the table's needs all numbers of that kind",
    )
    mean: float | None = Field(None, description="mean of a normal prior, before the bounds; median of a lognormal one")
    sd: float | None = Field(
        None,
        ge=0,
        description="standard deviation of a normal prior, before the bounds; of a lognormal one that of the natural "
        "logarithm; of a rayleigh one that of each component",
    )
    low: float | None = Field(
        None, description="lower limit of a uniform prior; floor of a normal one, to which lower draws are raised"
    )
    high: float | None = Field(
        None, description="upper limit of a uniform prior; ceiling of a normal one, to which higher draws are lowered"
    )


PriorChanges = Annotated[
    dict[str, PriorChange],
    WithoutNull,
    Field(
        description="priors that differ from the paper's (src/lensvit/parameters.py), in the parameter's unit; "
        "for example theta_E: {mean: 1.0, sd: 0.2}",
        json_schema_extra={"propertyNames": {"enum": list(TABLE)}},
    ),
]
ExternalShear = Annotated[
    bool,
    Field(description="whether lenses have an external shear, as in the authors' notebook but not in the paper"),
]


def full_priors(changes: dict[str, PriorChange], names: Sequence[str] = NAMES) -> dict[str, Prior]:
    """The priors of all parameters of a scene, in their order.

    Parameters
    ----------
    changes
        Parameter to what differs from the table's prior.
    names
        Names of the parameters, those of the paper's scene by default.
    """
    return priors({name: change.model_dump(exclude_none=True) for name, change in changes.items()}, names)


def check_priors(changes: dict[str, PriorChange], where: str = "priors") -> None:
    """Check the priors of all parameters, see :meth:`lensvit.parameters.Parameter.check`.

    Parameters
    ----------
    changes
        Parameter to what differs from the table's prior.
    where
        Key of the priors in the config, for the message.

    Raises
    ------
    ValueError
        If a parameter is not known, or a prior is impossible.
    """
    for name in changes:
        if name not in TABLE:
            raise ValueError(f"{where}.{name}: {name!r} is not known; there are: {', '.join(TABLE)}")
    for name, prior in full_priors(changes, tuple(TABLE)).items():
        try:
            TABLE[name].check(prior)
        except ValueError as error:
            raise ValueError(f"{where}.{name}: {error}") from error


class Population(Settings):
    """What the parameters of the systems of a run are drawn from."""

    priors: PriorChanges
    external_shear: ExternalShear

    @model_validator(mode="after")
    def _possible(self) -> Population:
        check_priors(self.priors)
        return self

    @cached_property
    def known(self) -> dict[str, Prior]:
        """The priors of all parameters; a shear that the systems do not have is known to be 0.

        The simulation does not draw from these, but from :func:`full_priors`, and sets the shear to 0 afterwards: so
        a system has the same other parameters with and without shear.
        """
        known = full_priors(self.priors)
        if not self.external_shear:
            known["gamma_ext"] = Prior("uniform", low=0.0, high=0.0)
        return known


# ---------------------------------------------------------------- images


class Camera(Settings):
    """The images of a camera."""

    pixels: int = Field(ge=16, le=1024, description="side of an image [pixel]")
    pixel_scale: float = Field(gt=0, le=1, description="side of a pixel [arcsec]")


class NamedCamera(Camera):
    """The images of a camera, and the camera's key in the config."""

    name: str = Field(description="key of the camera in the config")


class LabelledCamera(Camera):
    """The images of a camera, and the camera's name as printed."""

    label: str = Field(description="name as printed")


class Instrument(LabelledCamera):
    """A camera of the config."""

    exposure_map: str | None = Field(
        None,
        min_length=1,
        description="FITS file of `pixels` a side: how long each pixel of an image was exposed, in any unit, the "
        "largest value for the whole exposure time, and 0 or NaN where it has no data; null: all are exposed alike",
    )

    def camera(self, label: bool = False) -> dict[str, Any]:
        """What stages read of it as plain data, with its label if this is wanted."""
        return self.model_dump(include=set((LabelledCamera if label else Camera).model_fields))


FREE_KEYS = ("exposure_high", "lens_light", "source_shape", "bulge", "magnitudes")  # of a scene, which make it free
BRIGHTEST = 1e12  # largest amplitude and noise; far below what the images' float32 holds
FAINTEST_FACTOR = 30.0  # magnitudes of that


Range = tuple[float, float]


class Magnitudes(Settings):
    """How bright the parts of each system are: AB magnitudes, each drawn uniformly between two."""

    zero_point: float = Field(ge=-20, le=60, description="magnitude of 1 count/s")
    lens: Range = Field(description="range of the lens galaxy's magnitude")
    source: Range = Field(description="range of the source galaxy's magnitude without lensing, its bulge included")
    quasar: Range = Field(description="range of the quasar's magnitude without lensing")
    bulge_share: Range = Field((0.05, 0.3), description="range of the bulge's share of the source galaxy's light")
    microlensing: float = Field(
        0.0,
        ge=0,
        le=2,
        description="standard deviation of the natural logarithm of a quasar image's flux about its magnification, as "
        "microlensing and dust make it",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Magnitudes:
        for name in ("lens", "source", "quasar", "bulge_share"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name}: {low:g} lies above {high:g}")
        for name in ("lens", "source", "quasar"):
            if min(getattr(self, name)) < self.zero_point - FAINTEST_FACTOR:
                raise ValueError(f"{name}: {min(getattr(self, name)):g} is brighter than 1e12 counts/s")
        if not (self.bulge_share[0] >= 0 and self.bulge_share[1] < 1):
            raise ValueError(f"bulge_share: {list(self.bulge_share)}: give numbers from 0 to below 1")
        return self


class Light(Settings):
    """What is the same in all systems; amplitudes are lenstronomy's, in counts/s."""

    source_amp: float = Field(
        ge=0, le=BRIGHTEST, description="Sersic amplitude of the source galaxy [counts/s/arcsec^2]"
    )
    source_e1: float = Field(ge=-0.9, le=0.9, description="ellipticity of the source galaxy, first component")
    source_e2: float = Field(ge=-0.9, le=0.9, description="ellipticity of the source galaxy, second component")
    lens_amp: float = Field(ge=0, le=BRIGHTEST, description="Sersic amplitude of the lens galaxy [counts/s/arcsec^2]")
    quasar_amp: float = Field(ge=0, le=BRIGHTEST, description="flux of the quasar without lensing [counts/s]")
    max_images: int = Field(ge=1, le=5, description="most quasar images of a system; the brightest are kept")
    exposure: float = Field(gt=0, le=BRIGHTEST, description="exposure time [s]")
    exposure_high: float | None = Field(
        None,
        gt=0,
        le=BRIGHTEST,
        description="upper bound of the exposure time, which is uniform from `exposure` on [s]; null: the same for all",
    )
    lens_light: Literal["tied", "free"] = Field(
        "tied",
        description="light of the lens galaxy: tied (centre and ellipticity are those of its mass, as in the paper) or "
        "free (its own: priors light_x to light_e2)",
    )
    source_shape: Literal["fixed", "free"] = Field(
        "fixed",
        description="shape of the source galaxy: fixed (the ellipticity above, around the quasar, as in the paper) or "
        "free (priors source_e1 to host_y)",
    )
    bulge: bool = Field(
        False, description="whether the source galaxy has a bulge around the quasar (prior bulge_R_sersic)"
    )
    magnitudes: Magnitudes | None = Field(
        None,
        description="brightness of each system, drawn instead of the amplitudes above: {zero_point: 25.1, lens: [18, "
        "21], source: [22, 24], quasar: [20, 23]}; null: the amplitudes",
    )

    @model_validator(mode="after")
    def _bulge_of_some_light(self) -> Light:
        if self.exposure_high is not None and self.exposure_high < self.exposure:
            raise ValueError("exposure_high must not lie below exposure")
        if self.bulge and self.magnitudes is None:
            raise ValueError("bulge: true needs magnitudes, of which it has a share")
        return self

    @property
    def structure(self) -> Structure:
        """What a system is made of."""
        shaped = self.source_shape == "free"
        return Structure(
            lens_shape=self.lens_light == "free",
            source_shape=shaped,
            host_offset=shaped,
            bulge=self.bulge,
            quasar_fluxes=self.magnitudes is not None,
            sky=False,
            most_images=self.max_images,
            source_ellipticity=(self.source_e1, self.source_e2),
        )

    @property
    def is_free(self) -> bool:
        """Whether systems have more to them than the paper's."""
        shaped = self.lens_light == "free" or self.source_shape == "free"
        return shaped or self.magnitudes is not None or self.exposure_high is not None


class Scene(Light):
    """What is the same in all systems, and the range of their background noise."""

    sigma_bkg_low: float = Field(
        ge=0,
        le=BRIGHTEST,
        description="lower bound of the background noise, which is uniform [counts/s per pixel, rms]",
    )
    sigma_bkg_high: float = Field(
        gt=0, le=BRIGHTEST, description="upper bound of the background noise [counts/s per pixel, rms]"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Scene:
        if self.sigma_bkg_high < self.sigma_bkg_low:
            raise ValueError("sigma_bkg_high must not lie below sigma_bkg_low")
        return self


Supersampling = Annotated[
    Literal[1, 5],
    Field(
        description="PSF of the quasars: 1 (sampled by the camera's pixels, as in the paper) or 5 (five "
        "times finer, accurate)"
    ),
]
LightSamples = Annotated[
    int,
    Field(
        ge=1,
        le=15,
        description="samples of the galaxies' light along the side of a pixel: 1 (at its centre, as in the paper) or "
        "more",
    ),
]


class LensModel(Population):
    """What is known of the lenses of a run, for whoever computes their images again.

    The settings files keep the key ``options`` of earlier versions for the cameras, so that a run that was made
    by one of them is not made again.
    """

    scene: Light = Field(description="what is the same in all systems")
    supersampling: Supersampling
    light_samples: LightSamples = 1
    cameras: Mapping[str, NamedCamera] = Field(alias="options", description="PSF to the camera that it belongs to")
