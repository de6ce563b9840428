"""The key ``shift`` of the config."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from lensvit.config.schema import (
    Run,
    Sample,
    Section,
    Stages,
    check_free_fits,
    check_imaged,
    check_label,
    check_names,
    check_scene,
    chunks,
    known_name,
    lens_model,
    system_settings,
    systems_of,
)
from lensvit.io.settings import Name, Settings, WithoutNull, partial_schema, shown
from lensvit.lensing.settings import PriorChange, PriorChanges, Scene, check_priors


def _scene_schema() -> JsonSchemaValue:
    """The schema of changes of a scene, of whose magnitudes some may be given alone."""
    schema = partial_schema(Scene)
    for kind in schema["properties"]["magnitudes"]["anyOf"]:
        kind.pop("required", None)
    return schema


class ShiftCase(Settings):
    """Systems unlike those of the training in what is named here, and in nothing else."""

    label: str = Field(min_length=1, max_length=30, description="name as printed")
    priors: PriorChanges = Field(default_factory=dict, description="priors that differ from those of the run")
    scene: Annotated[dict[str, Any], WithJsonSchema(_scene_schema()), WithoutNull] = Field(
        default_factory=dict, description="keys of `scene` that differ"
    )


class Shift(Section):
    """How one network does on systems unlike those that it was trained on."""

    enabled: bool = Field(description="make the test, and show it in a table, figure 7 and a section of the paper")
    model: Name | None = Field(description="model that is tested; null: the last of `models`")
    systems: int | None = Field(ge=1, le=1_000_000, description="test systems of each case; null: all")
    left_out: Name | None = Field(
        description="PSF without which the network is trained once more, to be tested on it; null: none"
    )
    cases: Annotated[dict[Name, ShiftCase], WithoutNull] = Field(
        default_factory=dict, description="changes of `priors` and `scene`; all else stays as in the test systems"
    )

    def check(self, run: Run) -> None:
        """Raise a ValueError if the test asks for what the run does not have."""
        if self.enabled:
            self._check(run)

    def _check(self, run: Run) -> None:
        check_free_fits(run, "shift")
        known_name("shift.model", self.tested(run), run.models)
        if self.left_out is not None:
            known_name("shift.left_out", self.left_out, run.psfs)
        if self.left_out is not None and len(run.psfs) == 1:
            raise ValueError(f"shift.left_out: {self.left_out} is the only PSF; set it to null")
        if self.left_out is not None and self._without(run) < 2:
            raise ValueError(
                f"shift.left_out: without {self.left_out} one training image is left of data.train "
                f"({run.data.train}): raise that, or set left_out to null"
            )
        if self.left_out is not None:
            run.check_groups(self.tested(run), self.left_out)
        if self.left_out is None and not self.cases:
            raise ValueError("shift: has no case and leaves no PSF out; set shift.enabled to false")
        if self.systems is not None and not len(run.psfs) <= self.systems <= run.data.test:
            raise ValueError(
                f"shift.systems: {self.systems}; between one a PSF ({len(run.psfs)}) and the test systems "
                f"({run.data.test}) are possible, as each has a test system as its counterpart"
            )
        labels = [case.label for case in self.cases.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"shift.cases: the labels {', '.join(labels)} are not all different")
        check_names("shift.cases", self.cases)
        for name, case in self.cases.items():
            check_label(f"shift.cases.{name}.label", case.label)
            if not case.priors and not case.scene:
                raise ValueError(f"shift.cases.{name}: changes neither priors nor scene")
            self._check_case(run, name)

    def _check_case(self, run: Run, name: str) -> None:
        try:
            shifted = self.shifted(run, name)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("scene", *first["loc"]))
            raise ValueError(f"shift.cases.{name}.{where}: {first['msg']} (got {shown(first['input'])})") from error
        check_priors(shifted.priors, f"shift.cases.{name}.priors")
        check_scene(shifted, f"shift.cases.{name}.priors")
        check_imaged(shifted, f"shift.cases.{name}.priors")

    def tested(self, run: Run) -> str:
        """The network that is tested."""
        return self.model or list(run.models)[-1]

    def _without(self, run: Run) -> int:
        """How many training systems remain without the PSF that is left out."""
        return sum(systems_of(run, psf, "train") for psf in run.psfs if psf != self.left_out)

    def given_images(self, run: Run) -> list[Sample]:
        """The training without one PSF, and the test systems that the network predicts."""
        if not self.enabled:
            return []
        network = self.tested(run)
        systems = run.data.test if self.systems is None else self.systems
        found = [Sample(network, systems, "shift.systems")] if self.cases else []
        if self.left_out is not None:
            remaining = self._without(run)
            found.append(Sample(network, remaining, "data.train without shift.left_out", is_trained_on=True))
        return found

    def resolved(self, run: Run) -> dict[str, Any]:
        """The key as plain data, with the network that is tested."""
        return self.model_dump() | {"model": self.tested(run)}

    def shifted(self, run: Run, name: str) -> Run:
        """The run whose test systems are those of a case: the same systems, but for the shift."""
        case, own = self.cases[name], dict(run.priors)
        for parameter, change in case.priors.items():
            inherits = parameter in own and change.kind is None
            inherited = own[parameter].model_dump(exclude_none=True) if inherits else {}
            own[parameter] = PriorChange(**{**inherited, **change.model_dump(exclude_none=True)})
        before, changes = run.scene.model_dump(), dict(case.scene)
        if isinstance(changes.get("magnitudes"), dict):  # which may be some of them alone
            changes["magnitudes"] = {**(before["magnitudes"] or {}), **changes["magnitudes"]}
        scene = Scene(**{**before, **changes})
        own = {key: change for key, change in own.items() if key in scene.structure.names or key in case.priors}
        return run.with_fewer(self.systems).model_copy(update={"priors": own, "scene": scene})

    def stages(self, run: Run) -> Stages:
        """The settings of ``shift_simulate``, ``shift_scores`` and ``figure7``."""
        return {
            "shift_simulate": lambda item: self._simulate(run, item),
            "shift_scores": lambda item: self._scores(run),
            "figure7": lambda item: self._figure(),
        }

    def _simulate(self, run: Run, item: str) -> dict[str, Any]:
        case, _, psf = item.partition("/")
        return system_settings(self.shifted(run, case), psf)

    def _scores(self, run: Run) -> dict[str, Any]:
        content = lens_model(run)
        fewer = run.with_fewer(self.systems)
        for psf, camera in content["options"].items():
            whole = run if psf == self.left_out else fewer
            camera["systems"] = sum(count for _, _, count in chunks(whole, psf, "test"))
        return content

    def _figure(self) -> dict[str, Any]:
        return {"left_out": self.left_out, "options": {key: case.label for key, case in self.cases.items()}}
