"""What a scene is made of: which parameters it has beside those of every lens, and the parts whose amplitudes are free.

The paper's scene has none of this: the lens galaxy's light follows its mass, the source's shape is the same in all
systems, and all amplitudes are known. A real lens has all of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lensvit.parameters import FURTHER, NAMES, PARAMETERS, Parameter

FLATTEST = 0.995  # largest |e|; the number of terms of the deflection grows without bound towards 1
LENS_SHAPE = ("light_x", "light_y", "light_e1", "light_e2")
SOURCE_SHAPE = ("source_e1", "source_e2")
HOST_OFFSET = ("host_x", "host_y")
BULGE = ("bulge_R_sersic",)
LOGARITHMS = ("R_sersic", "n_sersic", "source_R_sersic", "source_n_sersic", "bulge_R_sersic")
BULGE_INDEX = 1.5  # Sérsic index of a bulge: a steeper one can hardly be told from the quasar in it


@dataclass(frozen=True)
class Structure:
    """What a scene with free amplitudes is made of.

    Sizes and indices of galaxies, :data:`LOGARITHMS`, span decades and cannot be negative. Where a scene is fitted, its
    parameters are their natural logarithms; :meth:`natural` gives the sizes and indices themselves.

    Parameters
    ----------
    lens_shape
        Whether the lens galaxy's light has its own centre and ellipticity; otherwise they are those of its mass.
    source_shape
        Whether the ellipticity of the source galaxy is a parameter; otherwise it is ``source_ellipticity``.
    host_offset
        Whether the source galaxy has its centre elsewhere than the quasar.
    bulge
        Whether the source galaxy has a round bulge around the quasar, with a Sérsic index of :data:`BULGE_INDEX`.
    quasar_fluxes
        Whether each image of the quasar has its own flux, as microlensing and dust make it; otherwise their fluxes
        are the magnifications times one flux.
    sky
        Whether each exposure has a constant background of its own.
    most_images
        Most images of the quasar, the brightest.
    position_error
        Standard deviation of the quasar images' positions along each axis about those of the lens equation [arcsec],
        for what the mass model lacks, such as satellites, and for errors of the PSF. It counts to first order.
    source_ellipticity
        e1 and e2 of the source galaxy where they are no parameters.
    """

    lens_shape: bool = True
    source_shape: bool = True
    host_offset: bool = True
    bulge: bool = True
    quasar_fluxes: bool = True
    sky: bool = True
    most_images: int = 4
    position_error: float = 0.0
    source_ellipticity: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that are not linear: those of every lens, then the others."""
        return (
            *NAMES,
            *(LENS_SHAPE if self.lens_shape else ()),
            *(SOURCE_SHAPE if self.source_shape else ()),
            *(HOST_OFFSET if self.host_offset else ()),
            *(BULGE if self.bulge else ()),
        )

    @cached_property
    def table(self) -> tuple[Parameter, ...]:
        """Rows of the table of parameters, in the order of ``names``, with the bounds of logarithms."""
        rows = {row.name: row for row in (*PARAMETERS, *FURTHER)}
        return tuple(_logarithm(rows[name]) if name in LOGARITHMS else rows[name] for name in self.names)

    @cached_property
    def logarithms(self) -> list[int]:
        """Columns of the parameters that are logarithms."""
        return [column for column, name in enumerate(self.names) if name in LOGARITHMS]

    def natural(self, parameters: np.ndarray) -> np.ndarray:
        """Parameters (..., P), with sizes and indices in place of their logarithms."""
        result = np.array(parameters, dtype=float)
        result[..., self.logarithms] = np.exp(result[..., self.logarithms])
        return result

    @cached_property
    def galaxies(self) -> tuple[str, ...]:
        """Names of the parts that are galaxies, whose amplitudes are lenstronomy's [counts/s/arcsec^2]."""
        return ("lens", "source", *(["bulge"] if self.bulge else []))

    @cached_property
    def quasars(self) -> tuple[str, ...]:
        """Names of the parts that are images of the quasar, whose amplitudes are fluxes [counts/s]."""
        return tuple(f"image_{number + 1}" for number in range(self.most_images)) if self.quasar_fluxes else ("quasar",)


def _logarithm(row: Parameter) -> Parameter:
    """A row of the table of parameters with the bounds of its logarithm."""
    return dataclasses.replace(row, low=float(np.log(row.low)), high=float(np.log(row.high)))
