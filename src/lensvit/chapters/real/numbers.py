"""The chapter's part of numbers.json: real lenses."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.quoting import Measured, Numbers


class RealValue(Numbers):
    """A value of one lens, and its standard deviation."""

    value: float = Field(description="the value, without a unit")
    sigma: float | None = Field(description="its standard deviation; null: it is not known")


class RealRow(Numbers):
    """One method on one lens."""

    method: str = Field(description='key of the network, "fit" or "published"')
    label: str = Field(description="as printed")
    theta_E: RealValue | None = Field(description="Einstein radius [arcsec]; null: not given")  # noqa: N815
    gamma: RealValue | None = Field(description="slope of the mass; null: not given")
    certified: bool | None = Field(description="whether a fit's posterior is certified; null: no fit")
    trusted: bool | None = Field(description="whether nothing speaks against a fit; null: no fit")
    warned: bool | None = Field(description="whether a network was warned; null: no network")
    distance: float | None = Field(description="how unlike the training, in units of the threshold; null: no network")
    off: float | None = Field(
        description="how far a network is off a fit, the worst of four parameters in units of both errors together; "
        "null: the fit has no errors"
    )
    wrong: bool | None = Field(description="whether this is too far; null: the fit has no errors")


class RealLens(Numbers):
    """What is known of one lens."""

    name: str = Field(description="name of the lens")
    verdict: str = Field(description='what speaks against the fit, in sentences; "" if nothing does')
    reference: str | None = Field(description="where the published values are from; null: there are none")
    rows: list[RealRow] = Field(description="one a method")


class RealNetwork(Numbers):
    """How one network does on all lenses."""

    label: str = Field(description="as printed")
    warned: list[str] = Field(description="lenses on which it was warned")
    judged: int = Field(description="lenses whose fit has errors")
    wrong: list[str] = Field(description="those of them on which it is wrong")
    unwarned: list[str] = Field(description="those of these on which it was not warned")


class RealPopulation(Numbers):
    """What the exact posteriors say of the population of one parameter."""

    label: str = Field(description="label of the parameter, LaTeX without dollar signs")
    unit: str = Field(description='unit of the parameter, as printed; "" where there is none')
    mean: Measured = Field(description="mean of the population")
    scatter: float = Field(description="standard deviation of the population, the posterior's median")
    scatter_low: float = Field(description="lower end of its central 68%")
    scatter_high: float = Field(description="upper end of its central 68%")
    lenses: int = Field(description="lenses that it stands on")
    certified: bool = Field(description="whether their posteriors are certified")
    resolved: bool = Field(description="whether the draws of each lens reach to where the population is")
    prior_mean: float = Field(description="mean of the fits' prior")
    prior_sd: float = Field(description="standard deviation of the fits' prior")


class RealNumbers(Numbers):
    """Real lenses."""

    lenses: list[RealLens] = Field(description="one a lens")
    trusted: int = Field(description="fits that nothing speaks against")
    certified: int = Field(description="fits with a certified posterior")
    wrong: float = Field(description="errors from which on a network is wrong")
    networks: list[RealNetwork] = Field(description="one a network")
    population: list[RealPopulation] = Field(description="one a parameter; empty: too few posteriors")
    least: int = Field(description="posteriors without which there is no population")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    real: RealNumbers = Field(description="real lenses")
