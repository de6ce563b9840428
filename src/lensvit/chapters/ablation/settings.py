"""Settings of the table of the ablation."""

from __future__ import annotations

from pydantic import Field

from lensvit.io.settings import Settings


class Sizes(Settings):
    """Images of each split."""

    train: int
    validation: int
    test: int


class Group(Settings):
    """Networks that differ in their seeds alone."""

    model: str = Field(description="key of the model in the config")
    model_label: str = Field(description="its label, as printed")
    variant: str | None = Field(description="key of the variant; null: the model as it is")
    label: str | None = Field(description="its label, as printed")
    recipe: str | None = Field(description="another recipe; null: the model's")
    networks: list[str] = Field(description="keys of the networks, one a seed")


class AblationSettings(Settings):
    """Settings of the stage ``ablation_table``."""

    run: str
    data: Sizes
    passes: int
    groups: list[Group] = Field(alias="options")
