"""The chapter's part of numbers.json: what each part of the recipe brings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lensvit.chapters.quoting import Numbers

AblationVerdict = Literal["worse", "better", "undecided"]


class AblationSizes(Numbers):
    """Systems of each split."""

    test: int = Field(description="test systems")
    train: int = Field(description="training systems")
    validation: int = Field(description="validation systems")


class AblationOrigin(Numbers):
    """Where the table was measured."""

    commit: str | None = Field(description="commit of the code; null: unknown")
    cores: int | None = Field(description="cores of the machine; null: unknown")
    data: AblationSizes = Field(description="systems of each split")
    date: str = Field(description="day of the last training, as 2026-01-31")
    hardware: str = Field(description="processor or graphics card")
    passes: int = Field(description="passes over these systems")
    platform: str = Field(description="operating system")
    python: str = Field(description="version of Python")
    run: str = Field(description="name of the run")
    split: Literal["validation", "test"] = Field(
        "test", description="systems on which networks are compared: validation, or test in tables of earlier versions"
    )
    versions: dict[str, str] = Field(description="package to its version")


class AblationVariant(Numbers):
    """A variant against the model as it is."""

    label: str = Field(description="as printed")
    ratio: float = Field(description="its overall error over that of the model as it is")
    verdict: AblationVerdict | None = Field(
        description="clearly worse or better, or undecided; null: nothing was trained twice"
    )
    recipe: bool = Field(description="whether it has another recipe")


class AblationModel(Numbers):
    """A model and its variants, in each list the largest effect first."""

    key: str = Field(description="key in the config")
    label: str = Field(description="as printed")
    recipe: str = Field(description="name of its recipe")
    seeds: list[int] = Field(description="the fewest and the most trainings of a variant")
    images: int = Field(description="images that one training sees, a repeated one as often as it is seen")
    rmse: float = Field(description="overall error of the model as it is")
    error: float | None = Field(description="standard error of rmse; null: nothing was trained twice")
    scatter: float | None = Field(
        description="relative scatter of the overall error from seed to seed; null: nothing was trained twice"
    )
    recipes: list[AblationVariant] = Field(description="variants with another recipe")
    worse: list[AblationVariant] = Field(description="of the others: those that are clearly worse")
    better: list[AblationVariant] = Field(description="of the others: those that are clearly better")
    undecided: list[AblationVariant] = Field(description="of the others: those without a clear difference")


class AblationValue(Numbers):
    """The overall error of one variant of one model."""

    rmse: float | None = Field(description="mean over the trainings")
    error: float | None = Field(description="standard error of rmse; null: nothing was trained twice")
    difference: float | None = Field(description="rmse minus that of the model as it is; null for the latter")
    difference_error: float | None = Field(description="standard error of the difference; null: there is none")
    seeds: int = Field(description="trainings")
    verdict: AblationVerdict | None = Field(
        description="clearly worse or better, or undecided; null: nothing was trained twice"
    )


class AblationRow(Numbers):
    """One variant of all models."""

    label: str | None = Field(description="the variant, as printed; null for the models as they are")
    values: dict[str, AblationValue | None] = Field(description="model to its value; null: it has no such variant")


class AblationNumbers(Numbers):
    """What each part of the recipe brings."""

    origin: AblationOrigin = Field(description="where the table was measured: in this run or in an earlier one")
    sampled: bool = Field(
        description="whether errors of differences contain, beside the scatter between trainings, the paired error "
        "from the finite set of systems; tables of earlier versions lack it"
    )
    models: list[AblationModel] = Field(description="one a model")
    rows: list[AblationRow] = Field(description="one a variant, the models as they are first")


class Part(Numbers):
    """What the chapter gives to numbers.json."""

    ablation: AblationNumbers = Field(description="what each part of the recipe brings")
