"""The key ``limit`` of the config."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lensvit.chapters.limit.settings import input_key
from lensvit.config.schema import Run, Section, Sharing, Stages, lens_model


class Limit(Section):
    """How well the parameters of each test system can be known at all."""

    enabled: bool = Field(description="compute it, and show it in Table 1, figure 3 and a section of the paper")
    amplitudes: Literal["known", "marginalised"] = Field(
        description="amplitudes of the scene: known or marginalised (unknown too)"
    )
    systems_per_job: int | None = Field(
        ge=1, description="most systems of one job, if no image file holds more; null: one job has all"
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if amplitudes are taken as known that each system has of its own."""
        if self.enabled and self.amplitudes == "known" and run.scene.magnitudes is not None:
            raise ValueError(
                "limit.amplitudes: known, but each system has its own (scene.magnitudes): set it to marginalised"
            )

    def sharing(self, run: Run) -> dict[str, Sharing]:
        """``limit`` may be shared among jobs."""
        return {"limit": Sharing(["limit"], None, self.systems_per_job)} if self.enabled else {}

    def stages(self, run: Run) -> Stages:
        """The settings of ``limit``."""
        return {"limit": lambda item: {**lens_model(run), "inputs": _inputs(run)}}

    def inputs_of_models(self, run: Run) -> list[str]:
        """The names of the models' inputs in limit.parquet, in the order of the models."""
        return [input_key(run.recipe(name).resize, model.image_size) for name, model in run.models.items()]


def _inputs(run: Run) -> list[dict[str, Any]]:
    """The inputs of the run's models, each once."""
    seen = {(model.image_size, run.recipe(name).resize) for name, model in run.models.items()}
    return [{"image_size": size, "resize": how} for size, how in sorted(seen)]
