"""The chapter's part of numbers.json: one network out of distribution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import Heading, LabelledTarget, Measured, Numbers

Change = Literal["larger", "smaller", "same", "too few"]


class WorstTarget(Measured, LabelledTarget):
    """The ratio of errors of the target whose error grows most."""


class ScoreArea(Measured):
    """How well a score tells shifted systems from ordinary ones: the area under its ROC curve."""

    verdict: Literal["found", "partly", "missed", "reversed", "too few"] = Field(
        description="found: most of them; partly: better than chance; missed: no better; reversed: worse; or "
        "too few systems"
    )


class ShiftedPrior(Numbers):
    """A prior that a case changes, as it then is."""

    name: str = Field(description="lenstronomy's name of the parameter")
    label: str = Field(description="LaTeX without dollar signs")
    unit: str = Field(description='as printed; "" where there is none')
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


SceneValue = bool | int | float | str | list[float]


class ShiftedScene(Numbers):
    """A key of the scene that a case changes."""

    key: str = Field(description="key of `scene` in the config; one of `magnitudes` has that before it, and a dot")
    value: SceneValue = Field(description="value in the case, in the unit of the key")
    before: SceneValue | None = Field(description="value in the run, in the unit of the key; null: it has none")


class ShiftContrast(Numbers):
    """Shifted systems against ordinary ones, both predicted by the same network."""

    key: str = Field(description='key of the case in the config, "left_out" or "control"')
    label: str = Field(description="as printed")
    systems: int = Field(description="shifted systems")
    ordinary: int = Field(description="ordinary systems")
    too_few: bool = Field(description="whether either are too few for a claim")
    ratio: Measured = Field(description="overall error of shifted systems over that of ordinary ones")
    error: Change = Field(description="overall error: clearly larger or smaller, the same, or too few systems")
    most: WorstTarget = Field(description="target with the largest ratio of errors")
    coverage: float = Field(description="share of truths within one sigma, mean over targets, of shifted systems")
    ordinary_coverage: float = Field(description="the same of ordinary systems")
    coverage_error: float = Field(description="standard error of the difference of these two")
    z: float = Field(description="root mean square of error / sigma of shifted systems")
    honesty: Literal["lower", "higher", "same", "too few"] = Field(
        description="coverage: clearly lower or higher, the same, or too few systems"
    )
    areas: dict[str, ScoreArea] = Field(description="score to the area under its ROC curve")
    flagged: bool = Field(description="whether at least one score finds some of the shifted systems")
    priors: list[ShiftedPrior] = Field(description="priors that the case changes")
    scene: list[ShiftedScene] = Field(description="keys of the scene that the case changes")


class UnseenKernel(Measured):
    """What not having seen the kernel costs: the ratio without it over the ratio of the control."""

    cost: Change = Field(description="clearly larger or smaller than one, the same, or too few systems")


class ShiftRow(Heading):
    """The error of shifted over that of ordinary systems, for one target."""

    ratios: dict[str, Measured] = Field(description="key of the case to the ratio")


class ShiftNumbers(Numbers):
    """One network on systems unlike those that it was trained on."""

    model: str = Field(description="label of the network")
    left_out: str | None = Field(description="the PSF that the network is trained without; null: none")
    fewest: int = Field(description="systems, with fewer of which nothing is claimed")
    good: float = Field(description="area under a ROC curve from which on a score finds a shift")
    scores: list[str] = Field(description="keys of the scores")
    cases: list[ShiftContrast] = Field(description="one a case; without the kernel and its control first")
    too_few: bool = Field(description="whether one of the cases has too few systems")
    worse: list[str] = Field(description="labels of the cases whose error clearly grows")
    silent: list[str] = Field(description="labels of those of them that no score finds")
    unseen: UnseenKernel | None = Field(description="what leaving the PSF out costs; null: none is left out")
    rows: list[ShiftRow] = Field(description='one a target, "overall" first')


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    shift: ShiftNumbers = Field(description="one network out of distribution")
