"""The chapter's part of numbers.json: the data set, the priors, the instruments and their PSFs."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from lensvit.chapters.quoting import Numbers, own_first
from lensvit.lensing.settings import Camera, LabelledCamera, Scene


class Multiplicity(Numbers):
    """Systems with one number of quasar images."""

    images: int = Field(description="quasar images of a system")
    fraction: float = Field(description="share of all systems that have so many")


class Dataset(Scene, Numbers):
    """The simulated systems, and what is the same in all of them."""

    total: int = Field(description="systems of all splits")
    train: int = Field(description="systems of the training split")
    validation: int = Field(description="systems of the validation split")
    test: int = Field(description="systems of the test split")
    redraws: int = Field(description="draws from the priors that could not be imaged and were replaced")
    external_shear: bool = Field(description="whether lenses have an external shear")
    streamed: bool = Field(description="whether training systems are new in every epoch")
    engine: str = Field(description="what computed the images: lenstronomy or torch")
    supersampling: int = Field(description="how many times finer than the pixels the kernel of the quasars is: 1 or 5")
    light_samples: int = Field(1, description="samples of the galaxies' light along the side of a pixel")
    free: bool = Field(False, description="whether systems have shapes or amplitudes of their own, unlike the paper's")
    multiplicity: list[Multiplicity] = Field(
        description="systems by their number of quasar images; rare numbers are left out, and the list may be empty"
    )

    @model_serializer(mode="wrap")
    def _own_first(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return own_first(handler(self), Scene.model_fields)


class PrintedPrior(Numbers):
    """A parameter, its prior, and what was drawn from it."""

    name: str = Field(description="lenstronomy's name of the parameter")
    label: str = Field(description="LaTeX without dollar signs")
    unit: str = Field(description='as printed; "" where there is none')
    description: str = Field(description="what the parameter is, in a few words")
    target: bool = Field(description="whether the networks predict it")
    kind: str = Field(description='"normal", "uniform", "lognormal" or "rayleigh"')
    mean: float | None = Field(
        description="mean of a normal prior before the bounds, median of a lognormal one, in the unit; else null"
    )
    sd: float | None = Field(
        description="standard deviation of a normal prior before the bounds, in the unit, of a lognormal one that of "
        "the logarithm, of a rayleigh one that of each component; null for a uniform"
    )
    low: float | None = Field(description="floor of a normal, lower limit of a uniform, in the unit; null: none")
    high: float | None = Field(description="ceiling of a normal, upper limit of a uniform, in the unit; null: none")
    sample_mean: float = Field(description="mean over all systems, in the unit")
    sample_sd: float = Field(description="standard deviation over all systems, in the unit")
    at_low: float = Field(description="share of all systems that lie on the lower bound")
    at_high: float = Field(description="share of all systems that lie on the upper bound")


class Instrument(LabelledCamera, Numbers):
    """An instrument that is in use."""

    name: str = Field(description="key in the config")
    exposure_map: str | None = Field(
        None, description="file of the share of the exposure that each pixel has; absent: all are exposed alike"
    )

    @model_serializer(mode="wrap")
    def _own_first(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = own_first(handler(self), [*Camera.model_fields, "label"])
        return {key: value for key, value in content.items() if key != "exposure_map" or value is not None}


class PrintedPsf(Numbers):
    """One PSF kernel."""

    name: str = Field(description="key in the config")
    instrument: str = Field(description="key of its instrument")
    kind: str = Field(description='how it was made: "hst_acs", "keck_ao", "fits" or "library"')
    settings: dict[str, float | list[float]] = Field(
        description="keys of the config that tell the kernels of a kind apart; none for a user's own"
    )
    pixels: int = Field(description="side of the kernel [pixel]")
    pixel_scale: float = Field(description="pixel scale [arcsec]")
    fwhm: float = Field(description="full width at half maximum [arcsec]")
    radii: list[float] = Field(description="radii of `enclosed` [arcsec], the same for all kernels")
    enclosed: list[float] = Field(description="share of the flux within each of the radii")
    strehl: float | None = Field(description="Strehl ratio; null where it is not defined")
    train: int = Field(description="training images with it")
    validation: int = Field(description="validation images with it")
    test: int = Field(description="test images with it")


class Spread(Numbers):
    """How attention spreads over the patches, on average over systems."""

    strongest: float = Field(description="share of the weight of all patches that falls on the strongest")
    entropy: float = Field(description="entropy of the weights, in units of that of an even spread")
    effective: float = Field(description="effective number of patches: exponential of the entropy")


class AttentionNumbers(Numbers):
    """What the attention of figure 1 does, over random test systems."""

    systems: int = Field(description="random test systems over which it is averaged")
    patches: int = Field(description="patches of an image")
    layers: int = Field(description="layers of the network")
    layer: int = Field(description="the layer that is shown, from 1")
    heads: int = Field(description="heads of a layer")
    single: Spread = Field(description="a single head of the layer, on average over the heads")
    mean: Spread = Field(description="the mean over the heads of the layer")
    rollout: Spread = Field(description="attention rollout through all layers")
    threshold: float = Field(description="effective patches below which the attention of a head has collapsed")
    collapsed: list[int] = Field(description="heads of the layer that have collapsed, from 1")
    share: float | None = Field(
        description="least mean share of the weight on the strongest patch of a collapsed head; null: none"
    )
    same: float | None = Field(
        description="least share of systems in which a collapsed head prefers the patch that it prefers most often; "
        "null: none"
    )
    collapsed_everywhere: int = Field(description="heads of all layers that have collapsed")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    dataset: Dataset = Field(description="the simulated systems")
    priors: list[PrintedPrior] = Field(description="one a parameter")
    instruments: list[Instrument] = Field(description="those in use")
    psf_radii: list[float] = Field(description="radii of `enclosed` in `psfs` [arcsec]")
    psfs: list[PrintedPsf] = Field(description="one a kernel")
