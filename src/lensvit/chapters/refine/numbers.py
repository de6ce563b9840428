"""The chapter's part of numbers.json: fits to all pixels."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.quoting import Extreme, Heading, Numbers


class FitCounts(Numbers):
    """How many fits converged, how long they took, and how good they are."""

    systems: int = Field(description="systems that were fitted")
    converged: int = Field(description="fits that converged")
    share: float = Field(description="share of the fits that converged")
    seconds: float = Field(description="mean time of a system, whether it converged or not [s]")
    ratio: float | None = Field(description="overall error over the limit, of converged fits; null: there are none")
    ratio_error: float | None = Field(description="its paired standard error; null: there are fewer than two")


class FittedInstrument(Numbers):
    """An instrument whose images were fitted."""

    label: str = Field(description="the instrument, as printed")


class InstrumentFits(FitCounts, FittedInstrument):
    """The fits to the images of one instrument."""


class Start(Numbers):
    """Where fits start."""

    key: str = Field(description='key of the model, or "prior"')
    label: str | None = Field(description="the model, as printed; null for the means of the priors")
    network: bool = Field(description="whether the fits start from draws of a network")


class FitStart(FitCounts, Start):
    """The fits from one start."""

    rmse: float | None = Field(description="overall error of converged fits; null: there are none")
    rmse_error: float | None = Field(description="its standard error; null: fewer than two fits converged")
    z: float | None = Field(description="root mean square of error / sigma; null: no fit converged")
    z_error: float | None = Field(description="its standard error")
    network_rmse: float | None = Field(
        description="the network's overall error on the same systems; null for the priors, or if no fit converged"
    )
    network_error: float | None = Field(description="the standard error of `network_rmse`")
    least: Extreme | None = Field(description="target with the smallest ratio of error and limit; null: there is none")
    most: Extreme | None = Field(description="target with the largest ratio of error and limit; null: there is none")
    at_limit: bool = Field(description="whether all targets' errors are near the limit")
    instruments: list[InstrumentFits] = Field(description="one an instrument; empty where there is only one")
    shared: int | None = Field(
        description="systems whose fits from this and from the first start converged; null for the first"
    )
    apart: float | None = Field(
        description="root mean square difference of these fits, in units of sigma; null: there are none"
    )
    first_ratio: float | None = Field(
        description="the first start's overall error over the limit for these systems; null: there are none"
    )
    first_ratio_error: float | None = Field(
        description="its paired standard error; null: there are fewer than two such systems"
    )


class FitValues(Numbers):
    """What the converged fits from one start reach for one target; null: there are none."""

    rmse: float | None = Field(description="root mean squared error, in the unit")
    rmse_error: float | None = Field(description="its standard error")
    limit: float | None = Field(description="limit of information, root mean square over the same systems, in the unit")
    limit_error: float | None = Field(description="its standard error")
    ratio: float | None = Field(description="rmse over limit")
    ratio_error: float | None = Field(description="its paired standard error")
    sigma: float | None = Field(description="median predicted uncertainty, in the unit; null for overall")
    z: float | None = Field(description="root mean square of error / sigma")
    z_error: float | None = Field(description="its standard error")
    network: float | None = Field(description="the network's error before, in the unit; null for the priors")
    network_error: float | None = Field(description="its standard error")


class FitRow(Heading):
    """What the fits reach for one target."""

    starts: dict[str, FitValues] = Field(description="key of the start to what its fits reach")


class RefineNumbers(Numbers):
    """Fits to all pixels of some test images."""

    systems: int = Field(description="systems that were fitted from the networks' draws")
    needed: bool = Field(
        description="whether clearly more fits converge from the first network's draws than from the priors"
    )
    cut: bool = Field(
        description="whether a limit of a uniform prior cuts off the posterior of at least one converged fit"
    )
    starts: list[FitStart] = Field(description="one a start, the networks first")
    rows: list[FitRow] = Field(description='one a target, "overall" first')


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    refine: RefineNumbers = Field(description="fits to all pixels")
