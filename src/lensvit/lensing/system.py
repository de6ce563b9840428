"""A lens system, and lenstronomy's arguments for the light of its galaxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.settings import Light


@dataclass(frozen=True)
class System:
    """A lens system.

    Parameters
    ----------
    parameters
        Values of the 14 parameters of :data:`lensvit.parameters.NAMES`.
    quasar_images
        Images of the quasar.
    redraws
        The number of draws before this one that could not be imaged.
    """

    parameters: Mapping[str, float]
    quasar_images: QuasarImages
    redraws: int = 0


def source_kwargs(parameters: Mapping[str, float], scene: Light) -> list[dict[str, float]]:
    """Arguments of lenstronomy for the light of the source galaxy, an elliptical Sersic profile."""
    return [
        {
            "amp": scene.source_amp,
            "R_sersic": parameters["source_R_sersic"],
            "n_sersic": parameters["source_n_sersic"],
            "e1": scene.source_e1,
            "e2": scene.source_e2,
            "center_x": parameters["source_x"],
            "center_y": parameters["source_y"],
        }
    ]


def lens_light_kwargs(parameters: Mapping[str, float], scene: Light) -> list[dict[str, float]]:
    """Arguments of lenstronomy for the light of the lens galaxy, whose centre and ellipticity are those of its mass."""
    tied = ("R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
    return [{"amp": scene.lens_amp} | {name: parameters[name] for name in tied}]
