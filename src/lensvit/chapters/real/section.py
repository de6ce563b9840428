"""The key ``real`` of the config."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from lensvit.config.schema import Run, Section, Stages


class Real(Section):
    """Lenses of `observations` beside what the run's networks say of them."""

    comes_later: ClassVar[bool] = True  # whether runs that are kept were made before there was this key

    enabled: bool = Field(True, description="show them in a section of the paper, where the run has observations")

    def is_shown(self, run: Run) -> bool:
        """Whether the paper has the chapter."""
        return self.enabled and bool(run.observations)

    def stages(self, run: Run) -> Stages:
        """The settings of ``predict_observed``, ``real_table``, ``figure11`` and ``figure12``."""
        return {
            "predict_observed": lambda item: self._predicted(run),
            "real_table": lambda item: self._shown(run),
            "figure11": lambda item: {"labels": self._labels(run)},
        }

    def _predicted(self, run: Run) -> dict[str, Any]:
        keys = {"image", "pixel_scale", "exposure_time", "unit", "size", "mask"}
        lenses = {
            name: lens.model_dump(mode="json", include=keys, exclude_none=True)
            for name, lens in run.observations.items()
        }
        return {"seed": run.seed, "passes": run.evaluation.validation_passes, "lenses": lenses}

    def _shown(self, run: Run) -> dict[str, Any]:
        published = {
            name: lens.published.model_dump(exclude_none=True)
            for name, lens in run.observations.items()
            if lens.published is not None
        }
        return {"published": published}

    def _labels(self, run: Run) -> dict[str, str]:
        return {name: model.label for name, model in run.models.items()}
