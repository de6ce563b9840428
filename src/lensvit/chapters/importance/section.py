"""The key ``importance`` of the config."""

from __future__ import annotations

from pydantic import Field

from lensvit.chapters.importance.settings import SamplingSettings
from lensvit.config.schema import Run, Section, Sharing, Stages, figure_labels, lens_model


class Importance(SamplingSettings, Section):
    """Exact posteriors of refined test systems by importance sampling, each with a certificate."""

    enabled: bool = Field(
        description="sample them, and show them in Table 1, figures 8 and 9 and a section of the paper"
    )
    systems_per_job: int | None = Field(
        ge=1, description="most systems that one job samples, if no image file holds more; null: one job samples all"
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if there are too few fits to start from."""
        if not self.enabled:
            return
        if not _refined(run):
            raise ValueError(
                "importance needs the fits of refine: set refine.enabled to true, or importance.enabled to false"
            )
        most = _most(run)
        if most is not None and self.systems is not None and self.systems > most:
            raise ValueError(
                f"importance.systems: {self.systems} is more than refine.systems: {most}, and only systems that are "
                "refined can be sampled: raise the second or lower the first"
            )

    def stages(self, run: Run) -> Stages:
        """The settings of ``importance``, ``figure8`` and ``figure9``."""
        chosen = self.model_dump(include=set(SamplingSettings.model_fields))
        return {
            "importance": lambda item: {"seed": run.seed, **lens_model(run), **chosen, "systems": self._systems(run)},
            "figure8": lambda item: figure_labels(run),
            "figure9": lambda item: figure_labels(run),
        }

    def sharing(self, run: Run) -> dict[str, Sharing]:
        """``importance`` may be shared among jobs."""
        if not self.enabled:
            return {}
        return {"importance": Sharing(["importance"], self._systems(run), self.systems_per_job)}

    def _systems(self, run: Run) -> int | None:
        """The number of systems; None for all test systems."""
        return _most(run) if self.systems is None else self.systems


def _refined(run: Run) -> bool:
    """Whether the run has fits of refine."""
    return bool(getattr(run.sections.get("refine"), "enabled", False))


def _most(run: Run) -> int | None:
    """The number of systems that are refined; None for all test systems."""
    return getattr(run.sections.get("refine"), "systems", None)
