"""Settings of the table of the ablation."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Settings


class Sizes(Settings):
    """Images of each split."""

    train: int = Field(description="training images")
    validation: int = Field(description="validation images")
    test: int = Field(description="test images")


class Group(Settings):
    """Networks that differ in their seeds alone."""

    model: str = Field(description="key of the model in the config")
    model_label: str = Field(description="label of the model, as printed")
    variant: str | None = Field(description="key of the variant; null: the model as it is")
    label: str | None = Field(description="label of the variant, as printed; null: the model as it is")
    recipe: str | None = Field(description="name of the recipe; null: the model's")
    networks: list[str] = Field(description="keys of the networks, one a seed")


class AblationSettings(Settings):
    """Settings of the stage ``ablation_table``."""

    run: str = Field(description="name of the run")
    data: Sizes = Field(description="number of images of each split")
    passes: int = Field(description="passes over the validation images, each with dropout drawn anew")
    groups: list[Group] = Field(alias="options", description="networks that are compared")
