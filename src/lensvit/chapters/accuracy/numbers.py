"""The chapter's part of numbers.json: Table 1 and the uncertainties."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import Heading, Numbers


class Column(Numbers):
    """A column of Table 1."""

    key: str = Field(description="key in `table`: of a model, or a name of its own")
    label: str = Field(description="as printed")
    kind: Literal["model", "ensemble", "refined", "exact", "baseline", "limit", "bayes", "published"] = Field(
        description="model: of this run; ensemble: weighted mean of these; refined: fits to all pixels; exact: means "
        "of certified posteriors; baseline: the prior's mean; limit: of information; bayes: root mean variance of "
        "certified posteriors; published: in the original paper"
    )
    reference: str | None = Field(
        description="for a model: key of the published column that it is held against; null: there is none"
    )
    systems: int | None = Field(description="systems that it is of; null for published")
    trainings: int | None = Field(
        description="for a model: trainings that differ in their seeds, whose scatter is part of the standard errors; "
        "null for others"
    )
    scatter: float | None = Field(
        description="for a model: relative standard deviation of the overall error between trainings, from all models "
        "together; null: all were trained once"
    )


class Pair(Numbers):
    """Two columns of Table 1 in one row, compared on the same systems."""

    first: str = Field(description="key of a model")
    second: str = Field(description='key of another model, or "ensemble", or "prior"')
    difference: float = Field(description="error of the first minus that of the second")
    difference_error: float | None = Field(description="its paired standard error; null: one system")
    ratio: float = Field(description="error of the first over that of the second")
    ratio_error: float | None = Field(description="its paired standard error")


class ErrorRow(Heading):
    """A row of Table 1: errors in the target's unit, or in units of the prior's scatter."""

    target: str = Field(
        description='name of the target; "overall": root of the sum of mean squared errors; "standardised": root of '
        'their mean in units of the scatter of the training split; "mass": the same of the targets that the mass has'
    )
    values: dict[str, float] = Field(description="column to its error")
    errors: dict[str, float] = Field(
        description="column to the standard error of its value: all but the published ones and those of one system"
    )
    pairs: list[Pair] = Field(description="each pair of models, and each model with their ensemble and the prior")


class OverallUncertainty(Heading):
    """How honest the predicted uncertainties are, in the mean over the targets."""

    percent_error: None = Field(None, description="null: percentages of different targets have no mean")
    coverage: dict[str, float] = Field(description="model to the share of truths within one sigma")
    coverage_error: dict[str, float] = Field(description="model to the standard error of its coverage")
    epistemic_share: dict[str, float] = Field(description="model to the epistemic share of the predicted variance")
    epistemic_error: dict[str, float] = Field(description="model to the standard error of its epistemic share")


class Uncertainty(Heading):
    """How honest the predicted uncertainties of one target are."""

    coverage: dict[str, float] = Field(description="model to the share of truths within one sigma")
    coverage_error: dict[str, float] = Field(description="model to the standard error of its coverage")
    epistemic_share: dict[str, float] = Field(description="model to the epistemic share of the predicted variance")
    epistemic_error: dict[str, float] = Field(description="model to the standard error of its epistemic share")
    percent_error: dict[str, float] = Field(
        description="model to its median absolute error over the truth, as a fraction"
    )
    percent_standard_error: dict[str, float] = Field(description="model to the standard error of this median")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    columns: list[Column] = Field(description="columns of Table 1; one of them is the baseline `prior`")
    table: list[ErrorRow] = Field(description='rows of Table 1, "overall", "standardised" and "mass" first')
    uncertainty: list[OverallUncertainty | Uncertainty] = Field(description='one a target, "overall" first')
