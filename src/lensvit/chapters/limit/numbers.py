"""The chapter's part of numbers.json: the limit of information."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import Extreme, Heading, Numbers


class InstrumentLimit(Numbers):
    """The limit for the images of one instrument."""

    label: str = Field(description="the instrument, as printed")
    value: float = Field(description="limit of the overall error")
    error: float | None = Field(description="its standard error from the finite test set; null: one system")


class Signals(Numbers):
    """Median ratios of signal to noise of the images of one instrument."""

    label: str | None = Field(description="the instrument, as printed; null: there is only one")
    image: float = Field(description="of the whole image: root of the sum of squared signals over variances")
    host: float = Field(description="of the light of the quasar's host galaxy in it")
    lens: float = Field(description="of the light of the lens galaxy")
    quasar: float = Field(description="of the quasar images")


class LimitRow(Heading):
    """The limit of one target, and how far the models are from it."""

    known: float = Field(description="limit with known amplitudes of the light, in the unit")
    marginalised: float = Field(description="limit with unknown amplitudes of the light, in the unit")
    known_error: float | None = Field(description="standard error of `known` from the finite test set")
    marginalised_error: float | None = Field(description="standard error of `marginalised`")
    ratios: dict[str, float] = Field(description="model to its error over the limit that counts")
    ratio_errors: dict[str, float | None] = Field(description="model to the paired standard error of its ratio")
    gaps: dict[str, float] = Field(description="model to its error over that limit from its own input")
    gap_errors: dict[str, float | None] = Field(description="model to the paired standard error of its gap")


class LimitModel(Numbers):
    """How far one model is from the limit."""

    key: str = Field(description="key in the config")
    label: str = Field(description="as printed")
    ratio: float = Field(description="overall error over the limit that counts")
    ratio_error: float | None = Field(description="its paired standard error")
    least: Extreme | None = Field(description="target with the smallest ratio")
    most: Extreme | None = Field(description="target with the largest ratio")
    lost: float = Field(description="limit of the overall error from the model's own input over that from the image")
    lost_error: float | None = Field(description="its paired standard error")
    lost_most: Extreme | None = Field(description="target for which the input loses most, and by which factor")
    gap: float = Field(description="overall error over the limit from the model's own input")
    gap_error: float | None = Field(description="its paired standard error")


class LimitNumbers(Numbers):
    """How well the targets can be known from the images."""

    amplitudes: Literal["known", "marginalised"] = Field(
        description="which limit counts: known, with known amplitudes of the light; marginalised, with unknown ones"
    )
    systems: int = Field(description="test systems that have a limit")
    nearest: float = Field(description="standard deviations of the source from a caustic, below which there is none")
    overall: float = Field(description="limit of the overall error")
    overall_error: float | None = Field(description="its standard error from the finite test set")
    other: float = Field(description="limit of the overall error with the other treatment of the amplitudes")
    other_error: float | None = Field(description="its standard error")
    pooled: float = Field(
        description="bound of van Trees on the overall error with known amplitudes, all systems in one class"
    )
    coarse: float = Field(description="estimate of that bound, systems sorted by PSF and noise into large classes")
    coarse_classes: int = Field(description="number of large classes")
    fine: float = Field(description="estimate of that bound with small classes, of few systems each")
    fine_classes: int = Field(description="number of small classes")
    widened: Extreme = Field(description="target whose limit unknown amplitudes widen most, and by which factor")
    instruments: list[InstrumentLimit] = Field(description="one an instrument; empty where there is only one")
    signals: list[Signals] = Field(description="one an instrument")
    rows: list[LimitRow] = Field(description='one a target, "overall" first')
    models: list[LimitModel] = Field(description="one a model")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    limit: LimitNumbers = Field(description="the limit of information")
