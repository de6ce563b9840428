"""The key ``ablation`` of the config."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from lensvit.config.schema import (
    SPLITS,
    Network,
    RecipeChanges,
    Run,
    Section,
    Stages,
    check_label,
    check_names,
    known_name,
)
from lensvit.io.settings import Name, Settings, WithoutNull


class Variant(Settings):
    """A network of the ablation: what differs from the model that it is a variant of."""

    label: str = Field(description="name as printed", min_length=1)
    recipe: Name | None = Field(None, description="name of another recipe; null: the model's")
    changes: RecipeChanges = Field(default_factory=dict, description="keys of the recipe that differ from the model's")
    seeds: int | None = Field(
        None, ge=1, le=100, description="trainings of this variant; null: as many as `ablation.seeds`"
    )


class Group(NamedTuple):
    """Networks that differ in their seeds alone; ``variant`` is None for a model as it is."""

    model: str
    variant: str | None
    networks: list[str]


class Ablation(Section):
    """What each part of a recipe brings, by training networks without it."""

    enabled: bool = Field(description="show it in a section of the paper")
    train: bool = Field(
        description="true: train the variants in this run; false: show paper/data/ablation.csv of another run"
    )
    seeds: int = Field(ge=1, le=100, description="trainings of each model and of each variant, with different seeds")
    models: Annotated[dict[Name, list[Name]], WithoutNull] = Field(
        description="model to the variants of it that are trained, for example resnet: [paper, raw]"
    )
    variants: Annotated[dict[Name, Variant], WithoutNull] = Field(
        description="variants: each lacks a part of the recipe that its model has, or has another recipe"
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if a model or a variant is not known, or there is nothing to train."""
        if not (self.enabled and self.train):
            return
        for name, variants in self.models.items():
            known_name("ablation.models", name, run.models)
            for chosen in variants:
                known_name(f"ablation.models.{name}", chosen, self.variants)
        if "seed" in self.variants:
            raise ValueError("ablation.variants.seed: this is the model as it is; choose another key")
        check_names("ablation.variants", self.variants)
        for name, variant in self.variants.items():
            check_label(f"ablation.variants.{name}.label", variant.label)
        if not self.models:
            raise ValueError("ablation.models: is empty; name a model and its variants, or set ablation.train: false")

    def groups(self) -> list[Group]:
        """What is trained; nothing where the ablation is switched off or takes an earlier run's table.

        The first network of a model as it is is the model itself.
        """
        found: list[Group] = []
        if not (self.enabled and self.train):
            return found
        for model, variants in self.models.items():
            more = [f"{model}-seed-{number}" for number in range(2, self.seeds + 1)]
            found.append(Group(model, None, [model, *more]))
            for variant in variants:
                seeds = self.variants[variant].seeds or self.seeds
                found.append(Group(model, variant, [f"{model}-{variant}-{number}" for number in range(1, seeds + 1)]))
        return found

    def networks(self, run: Run) -> dict[str, Network]:
        """The networks of all groups, by key."""
        return {
            name: self._member(run, group, number)
            for group in self.groups()
            for number, name in enumerate(group.networks)
        }

    def _member(self, run: Run, group: Group, number: int) -> Network:
        """A network of the ablation; the same number is the same seed in all variants of a model."""
        network = list(run.of_seeds(group.model, number + 1).values())[-1]
        if group.variant is None:
            return network
        different = self.variants[group.variant]
        changes = {**network.changes, **different.changes}
        seed = run.seed if network.seed is None else network.seed
        return network.model_copy(
            update={"seed": seed, "recipe": different.recipe or network.recipe, "changes": changes}
        )

    def stages(self, run: Run) -> Stages:
        """The settings of ``ablation_table``."""
        return {"ablation_table": lambda item: self._settings(run)}

    def _settings(self, run: Run) -> dict[str, Any]:
        return {
            "run": run.run,
            "data": run.data.model_dump(include=set(SPLITS)),
            "passes": run.evaluation.validation_passes,
            "options": [self._group(run, group) for group in self.groups()],
        }

    def _group(self, run: Run, group: Group) -> dict[str, Any]:
        variant = None if group.variant is None else self.variants[group.variant]
        return {
            "model": group.model,
            "model_label": run.models[group.model].label,
            "variant": group.variant,
            "label": None if variant is None else variant.label,
            "recipe": run.models[group.model].recipe if variant is None else variant.recipe,
            "networks": group.networks,
        }
