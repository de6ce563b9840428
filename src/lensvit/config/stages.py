"""The part of a run that each stage reads."""

from __future__ import annotations

from typing import Any

from lensvit.config.schema import (
    BESIDE,
    INSTRUMENT_DEFAULTS,
    SCENE_DEFAULTS,
    SIMULATION_DEFAULTS,
    Run,
    Stages,
    figure_labels,
    lens_model,
    prior_changes,
    system_settings,
    without_defaults,
)
from lensvit.io.settings import canonical


def stage_settings(run: Run, part: str) -> dict[str, Any]:
    """The settings of one stage, as plain data in canonical order.

    Parameters
    ----------
    run
        The whole config.
    part
        The stage's name, with the item's name behind a slash where the stage works on one item: ``psf/hst_a``,
        ``simulate/hst_a``, ``train/vit``, ``limit``.
    """
    stage, _, item = part.partition("/")
    return canonical(all_stages(run)[stage](item))


def all_stages(run: Run) -> Stages:
    """Every stage that reads settings."""
    found: Stages = {
        "psf": lambda item: _psf(run, item),
        "simulate": lambda item: system_settings(run, item),
        "train": lambda item: _train(run, item),
        "evaluate": lambda item: _evaluate(run, run.evaluation.passes),
        "evaluate_validation": lambda item: _evaluate(run, run.evaluation.validation_passes),
        "reference": lambda item: _reference(run),
        "model_card": lambda item: _model_card(run, item),
        "figure1": lambda item: _figure1(run),
        "preview": lambda item: _preview(run),
        "figure2": lambda item: {"seed": run.seed, "systems": run.figures.systems, **figure_labels(run)},
        "figure3": lambda item: figure_labels(run),
        "figure4": lambda item: figure_labels(run),
        "figure10": lambda item: figure_labels(run),
        "numbers": lambda item: _numbers(run),
        "page": lambda item: {"seed": run.seed, **lens_model(run)},
        "observe": lambda item: {
            "seed": run.seed,
            "name": item,
            "lens": run.observations[item].model_dump(mode="json", exclude={"published"}),
        },
    }
    for section in run.sections.values():
        found |= section.stages(run)
    return found


def _psf(run: Run, name: str) -> dict[str, Any]:
    psf = run.psfs[name]
    camera = run.instruments[psf.instrument]
    content = {"name": name, **psf.model_dump(), "pixel_scale": camera.pixel_scale}
    if camera.exposure_map is not None:
        content |= {"exposure_map": camera.exposure_map, "image_pixels": camera.pixels}
    return content


def _train(run: Run, name: str) -> dict[str, Any]:
    model = run.networks[name]
    content = {
        "seed": run.seed if model.seed is None else model.seed,
        "network": model.model_dump(exclude=BESIDE),
        "recipe": run.recipe(name),
    }
    if run.training.stream:
        systems = {psf: system_settings(run, psf) for psf in run.psfs}
        for entry in systems.values():
            del entry["engine"]  # always the fast one
        content["stream"] = {"options": systems}
    return content


def _evaluate(run: Run, passes: int) -> dict[str, Any]:
    return {"seed": run.seed, **run.evaluation.model_dump(exclude={"validation_passes"}), "passes": passes}


def _reference(run: Run) -> dict[str, Any]:
    scene = run.scene
    return {
        **_evaluate(run, run.evaluation.validation_passes),
        "run": run.run,
        "cameras": _cameras(run),
        "background": (scene.sigma_bkg_low, scene.sigma_bkg_high),
    }


def _model_card(run: Run, name: str) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "run": run.run,
        "name": name,
        "label": run.networks[name].label,
        "data": run.data.model_dump(exclude={"chunk"}),
        "priors": prior_changes(run),
        "external_shear": run.simulation.external_shear,
        "scene": without_defaults(run.scene.model_dump(), SCENE_DEFAULTS),
        "cameras": _cameras(run),
    }


def _figure1(run: Run) -> dict[str, Any]:
    figures = run.figures
    return {
        "seed": run.seed,
        "examples": figures.examples,
        "model": figures.attention_model,
        "layer": figures.attention_layer,
        "options": _cameras(run),
    }


def _preview(run: Run) -> dict[str, Any]:
    return {"systems": {psf: system_settings(run, psf) for psf in run.psfs}, "cameras": _cameras(run)}


def _cameras(run: Run) -> dict[str, Any]:
    """PSF to the camera that it belongs to."""
    return {psf: run.instruments[entry.instrument].camera(label=True) for psf, entry in run.psfs.items()}


def _numbers(run: Run) -> dict[str, Any]:
    sections = {name: section.resolved(run) for name, section in run.sections.items()}
    # what the paper says of a user's own lenses stands in tables of their own
    hidden = {name for name, section in run.sections.items() if section.comes_later and not section.is_shown(run)}
    config = run.model_dump(exclude={"observations"}) | sections
    config = {key: value for key, value in config.items() if key not in hidden}
    config["scene"] = without_defaults(config["scene"], SCENE_DEFAULTS)
    config["instruments"] = {
        name: without_defaults(entry, INSTRUMENT_DEFAULTS) for name, entry in config["instruments"].items()
    }
    config["simulation"] = without_defaults(config["simulation"], SIMULATION_DEFAULTS)
    return {"config": config, "scale": run.scale}
