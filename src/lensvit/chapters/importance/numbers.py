"""The chapter's part of numbers.json: exact posteriors."""

from __future__ import annotations

from pydantic import Field, field_validator

from lensvit.chapters.quoting import Extreme, Heading, Numbers
from lensvit.io.tables import REASONS


class SampledCounts(Numbers):
    """How many posteriors are certified, and what they cost."""

    systems: int = Field(description="systems that were sampled")
    certified: int = Field(description="posteriors with a certificate")
    calls: float | None = Field(description="mean likelihood calls of a certified system; null: there is none")
    seconds: float | None = Field(description="mean time of a certified system on one thread [s]; null: there is none")


class SampledInstrument(SampledCounts):
    """The posteriors of one instrument's systems."""

    label: str = Field(description="the instrument, as printed")


class SampledRow(Heading):
    """What certified posteriors reach for one target; null: there are none."""

    rmse: float | None = Field(description="root mean squared error of posterior means, in the unit")
    bayes: float | None = Field(description="root mean posterior variance, in the unit")
    limit: float | None = Field(description="limit of information, root mean square over the same systems, in the unit")
    limit_error: float | None = Field(description="standard error of `limit`; null: fewer than two systems")
    refined: float | None = Field(description="root mean squared error of the fits of the same systems, in the unit")
    refined_error: float | None = Field(description="standard error of `refined`; null: fewer than two systems")
    width: float | None = Field(description="mean ratio of sigma to that of Laplace's approximation")
    width_error: float | None = Field(description="standard error of `width`; null: fewer than two systems")
    offset: float | None = Field(description="root mean square of (most probable - mean) / sigma")
    offset_error: float | None = Field(description="standard error of `offset`; null: fewer than two systems")
    z: float | None = Field(description="root mean square of error / sigma")
    z_error: float | None = Field(description="standard error of `z`; null: fewer than two systems")
    p: float | None = Field(
        description="p-value of simulation-based calibration, of all targets jointly for overall; null: too few systems"
    )


class ImportanceNumbers(SampledCounts):
    """Exact posteriors of refined test systems by importance sampling."""

    share: float = Field(description="share of the systems with a certificate")
    ess: float | None = Field(description="mean effective size of certified samples; null: there is none")
    effective: int = Field(description="effective size that a sample must reach")
    most: int = Field(description="most likelihood calls of a system")
    reasons: dict[str, int] = Field(
        description=f"why systems have no certificate: {', '.join(REASONS)}; each reason to their number"
    )
    instruments: list[SampledInstrument] = Field(description="one an instrument; empty where there is only one")
    rows: list[SampledRow] = Field(description='one a target, "overall" first')
    farthest: Extreme | None = Field(
        description="target whose most probable value lies farthest from its mean, in sigma; null: there is none"
    )
    least_p: Extreme | None = Field(description="target with the smallest p-value; null: there is none")
    tested: int = Field(description="number of p-values")
    fair_p: float | None = Field(
        description="below this the smallest of so many fair p-values lies in one run of twenty; null: there are none"
    )
    largest_k: float = Field(
        description="largest shape of the Pareto distribution of the weights of a certified sample"
    )

    @field_validator("reasons")
    @classmethod
    def _each(cls, reasons: dict[str, int]) -> dict[str, int]:
        if {*reasons} != {*REASONS}:
            raise ValueError(f"has {', '.join(reasons)} in place of {', '.join(REASONS)}")
        return reasons


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    importance: ImportanceNumbers = Field(description="exact posteriors")
