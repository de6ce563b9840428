"""A lens system, and lenstronomy's arguments for the light of its galaxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.settings import Light
from lensvit.lensing.structure import BULGE_INDEX, LENS_SHAPE

AMPLITUDES = ("lens_amp", "source_amp", "bulge_amp")  # of a system's own, in lenstronomy's terms [counts/s/arcsec^2]


def flux_columns(most: int) -> tuple[str, ...]:
    """Columns of the catalogue with the fluxes of so many quasar images [counts/s], the brightest by the lens first."""
    return tuple(f"flux_{number + 1}" for number in range(most))


@dataclass(frozen=True)
class System:
    """A lens system.

    Parameters
    ----------
    parameters
        Values of the parameters by name: the 14 of :data:`lensvit.parameters.NAMES`, those that a free scene has beside
        them (:class:`lensvit.lensing.structure.Structure`), and the amplitudes of :data:`AMPLITUDES` that are its own.
    quasar_images
        Images of the quasar.
    redraws
        The number of draws before this one that could not be imaged.
    fluxes
        Fluxes of the quasar's images in their order [counts/s]; None where they are the magnifications times the flux
        of the scene.
    """

    parameters: Mapping[str, float]
    quasar_images: QuasarImages
    redraws: int = 0
    fluxes: np.ndarray | None = None


def source_kwargs(parameters: Mapping[str, float], scene: Light) -> list[dict[str, float]]:
    """Arguments of lenstronomy for the light of the source galaxy, an elliptical Sersic profile, and of its bulge."""
    galaxy = {
        "amp": parameters.get("source_amp", scene.source_amp),
        "R_sersic": parameters["source_R_sersic"],
        "n_sersic": parameters["source_n_sersic"],
        "e1": parameters.get("source_e1", scene.source_e1),
        "e2": parameters.get("source_e2", scene.source_e2),
        "center_x": parameters["source_x"] + parameters.get("host_x", 0.0),
        "center_y": parameters["source_y"] + parameters.get("host_y", 0.0),
    }
    if "bulge_R_sersic" not in parameters:
        return [galaxy]
    bulge = {
        "amp": parameters["bulge_amp"],
        "R_sersic": parameters["bulge_R_sersic"],
        "n_sersic": BULGE_INDEX,
        "e1": 0.0,
        "e2": 0.0,
        "center_x": parameters["source_x"],
        "center_y": parameters["source_y"],
    }
    return [galaxy, bulge]


def lens_light_kwargs(parameters: Mapping[str, float], scene: Light) -> list[dict[str, float]]:
    """Arguments of lenstronomy for the light of the lens galaxy.

    Its centre and ellipticity are those of its mass, unless it has its own.
    """
    own = dict(zip(("center_x", "center_y", "e1", "e2"), LENS_SHAPE, strict=True))
    shape = {name: parameters.get(light, parameters[name]) for name, light in own.items()}
    profile = {name: parameters[name] for name in ("R_sersic", "n_sersic")}
    return [{"amp": parameters.get("lens_amp", scene.lens_amp)} | profile | shape]
