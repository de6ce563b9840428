"""The chapter's part of numbers.json: Markov chains, and the other methods on the same systems."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from lensvit.chapters.mcmc.settings import ChainSettings
from lensvit.chapters.quoting import Extremes, Heading, Numbers, own_first


class Chains(ChainSettings, Numbers):
    """How the chains were run."""

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return own_first(handler(self), ChainSettings.model_fields)


class ChainCounts(Numbers):
    """How chains ended, and what they took."""

    chains: int = Field(description="chains that were run")
    converged: int = Field(description="chains that converged")
    unexplained: int = Field(description="chains that failed because they do not explain the image")
    short: int = Field(description="chains that failed because they are too short")
    disagree: int = Field(description="chains that failed because they disagree with the other one of their system")
    seconds: float | None = Field(description="mean time of a chain [s]")
    calls: float | None = Field(description="mean number of calls of the likelihood, in a chain")
    burn_in: float | None = Field(description="mean number of calls before a chain, for annealing and tuning")
    attempts: float | None = Field(description="mean number of annealings of a chain")
    tau: float | None = Field(description="mean autocorrelation time of converged chains [step]; null: there are none")
    steps: float | None = Field(description="mean length of converged chains after the burn-in; null: there are none")
    ess_bulk: float | None = Field(
        description="mean effective size of converged chains, of the parameter where it is smallest; null: there are "
        "none"
    )
    ess_tail: float | None = Field(description="the same for the 5% and 95% quantiles; null: there are none")
    calls_enough: float | None = Field(
        description="mean calls of converged chains, had they ended at an effective size of `enough`; null: there are "
        "none"
    )


class ChainedInstrument(Numbers):
    """An instrument on whose images there are chains."""

    label: str = Field(description="the instrument, as printed")


class InstrumentChains(ChainCounts, ChainedInstrument):
    """The chains from one start on the images of one instrument."""


class StartKey(Numbers):
    """Where chains start."""

    key: Literal["prior", "network", "importance"] = Field(
        description="prior: draws of the priors, or of free scenes the end of a search that knows no network; network: "
        "draws of a network; importance: samples of exact posteriors"
    )


class ChainStart(ChainCounts, StartKey):
    """The chains from one start."""

    burn_in_ratio: float | None = Field(
        description="mean calls before a chain over those from the priors, for the systems of which both chains "
        "converged; null: there are none, or these are the priors"
    )
    instruments: list[InstrumentChains] = Field(
        description="one an instrument with chains from this start; empty where there is only one"
    )


class ChainMethod(Numbers):
    """A method that is compared on the systems with a converged chain."""

    key: str = Field(description='key of the model, or "mcmc", "refined", "importance" or "limit"')
    kind: Literal["chain", "model", "refined", "exact", "limit"] = Field(
        description="chain: Markov chains; model: a network; refined: fits; exact: posteriors by importance sampling; "
        "limit: of information"
    )
    label: str = Field(description="as printed")
    systems: int = Field(description="systems that are compared")
    seconds: float | None = Field(description="mean time of a system [s]; null: not measured")
    calls: float | None = Field(
        description="mean calls of the likelihood of a system; null: it has none, or they were not counted"
    )


class ChainValues(Numbers):
    """A method on the systems with a converged chain; null where there is nothing to say."""

    rmse: float | None = Field(description="root mean squared error, in the unit; of the limit its root mean square")
    rmse_error: float | None = Field(description="its standard error; null: fewer than two systems are compared")
    width: float | None = Field(description="mean ratio of the method's sigma to that of the chain")
    width_error: float | None = Field(description="its standard error; null: fewer than two systems are compared")
    z: float | None = Field(description="root mean square of error / sigma")
    offset: float | None = Field(
        description="root mean square of the method's mean minus that of the chain, in the chain's sigma"
    )


class ChainRow(Heading):
    """All methods for one target."""

    methods: dict[str, ChainValues] = Field(description="key of the method to its values")


class Speed(Numbers):
    """A network against chains that converged."""

    label: str = Field(description="the model, as printed")
    chain: float = Field(description="mean time of a chain that converged [s]")
    network: float = Field(description="time of the network for a system [s]")
    ratio: float = Field(description="time of a chain over that of the network")
    orders: float = Field(description="decimal logarithm of the ratio")
    training: float = Field(description="time of the training [s]")
    simulation: float = Field(description="time of the simulation, all its jobs together [s]")
    whole: float = Field(description="time for a system with training and simulation, shared by the test systems [s]")
    whole_ratio: float = Field(description="time of a chain over the whole time")
    tested: int = Field(description="test systems")
    break_even: int | None = Field(description="systems from which on the network is the quicker way; null: never")


class McmcNumbers(Numbers):
    """Markov chains of all parameters of some test systems."""

    settings: Chains = Field(description="how the chains were run")
    model: str = Field(
        description="label of the network whose draws second chains start from where they have no exact posterior"
    )
    systems: int = Field(description="systems with a converged chain")
    agree: float = Field(description="largest R-hat of two chains that agree")
    enough: int = Field(description="effective size for which calls are given")
    starts: list[ChainStart] = Field(description="one a start")
    methods: list[ChainMethod] = Field(description="one a method, the chains first")
    rows: list[ChainRow] = Field(description='one a target, "overall" first')
    widths: Extremes | None = Field(
        description="targets with extreme ratios of the fits' sigma to the chains'; null: no fit was compared"
    )
    speed: list[Speed] = Field(description="one a model whose times are known; empty without a converged chain")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    mcmc: McmcNumbers = Field(description="Markov chains")
