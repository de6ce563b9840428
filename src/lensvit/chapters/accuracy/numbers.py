"""The chapter's part of numbers.json: Table 1 and the uncertainties."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import Heading, Numbers


class Column(Numbers):
    """A column of Table 1."""

    key: str = Field(description="key in `table`: of a model, or a name of its own")
    label: str = Field(description="as printed")
    kind: Literal["model", "refined", "exact", "baseline", "limit", "bayes", "published"] = Field(
        description="model: of this run; refined: fits to all pixels; exact: means of certified posteriors; baseline: "
        "the prior's mean; limit: of information; bayes: root mean variance of certified posteriors; published: in the "
        "original paper"
    )
    reference: str | None = Field(
        description="for a model: key of the published column that it is held against; null: there is none"
    )
    systems: int | None = Field(description="systems that it is of; null for limit and published")


class ErrorRow(Heading):
    """A row of Table 1: root mean squared errors in the target's unit."""

    values: dict[str, float] = Field(description="column to its error")
    errors: dict[str, float] = Field(
        description="column to the standard error of its value from the finite test set: models, refined, exact, "
        "prior and bayes"
    )


class OverallUncertainty(Heading):
    """How honest the predicted uncertainties are, in the mean over the targets."""

    percent_error: None = Field(None, description="null: percentages of different targets have no mean")
    coverage: dict[str, float] = Field(description="model to the share of truths within one sigma")
    epistemic_share: dict[str, float] = Field(description="model to the epistemic share of the predicted variance")


class Uncertainty(Heading):
    """How honest the predicted uncertainties of one target are."""

    coverage: dict[str, float] = Field(description="model to the share of truths within one sigma")
    epistemic_share: dict[str, float] = Field(description="model to the epistemic share of the predicted variance")
    percent_error: dict[str, float] = Field(
        description="model to its median absolute error over the truth, as a fraction"
    )


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    columns: list[Column] = Field(description="columns of Table 1; one of them is the baseline `prior`")
    table: list[ErrorRow] = Field(description='rows of Table 1, "overall" first')
    uncertainty: list[OverallUncertainty | Uncertainty] = Field(description='one a target, "overall" first')
