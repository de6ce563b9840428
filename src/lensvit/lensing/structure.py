"""What a scene is made of: which parameters it has beside those of every lens, and the parts whose amplitudes are free.

The paper's scene has none of this: the lens galaxy's light follows its mass, the source's shape is the same in all
systems, and all amplitudes are known. A real lens has all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lensvit.parameters import FURTHER, NAMES, PARAMETERS, Parameter

LENS_SHAPE = ("light_x", "light_y", "light_e1", "light_e2")
SOURCE_SHAPE = ("source_e1", "source_e2")
LENS, SOURCE, QUASAR, SKY = "lens", "source", "quasar", "sky"


@dataclass(frozen=True)
class Structure:
    """What a scene with free amplitudes is made of.

    Parameters
    ----------
    lens_shape
        Whether the lens galaxy's light has its own centre and ellipticity; otherwise they are those of its mass.
    source_shape
        Whether the ellipticity of the source galaxy is a parameter; otherwise the source is round.
    quasar_fluxes
        Whether each image of the quasar has its own flux, as microlensing and dust make it; otherwise their fluxes
        are the magnifications times one flux.
    sky
        Whether the image has a constant background of its own.
    most_images
        Most images of the quasar, the brightest.
    position_error
        Standard deviation of the quasar images' positions along each axis about those of the lens equation [arcsec],
        for what the mass model lacks, such as satellites, and for errors of the PSF. It counts to first order.
    """

    lens_shape: bool = True
    source_shape: bool = True
    quasar_fluxes: bool = True
    sky: bool = True
    most_images: int = 4
    position_error: float = 0.0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that are not linear: those of every lens, then the others."""
        return NAMES + LENS_SHAPE * self.lens_shape + SOURCE_SHAPE * self.source_shape

    @cached_property
    def table(self) -> tuple[Parameter, ...]:
        """Rows of the table of parameters, in the order of ``names``."""
        rows = {row.name: row for row in (*PARAMETERS, *FURTHER)}
        return tuple(rows[name] for name in self.names)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts whose amplitudes are free, apart from shifts of the quasar's images.

        Amplitudes of galaxies are lenstronomy's [counts/s/arcsec^2], those of quasar images fluxes [counts/s], and that
        of the sky its brightness [counts/s per pixel].
        """
        quasars = [f"{QUASAR}_{number + 1}" for number in range(self.most_images)] if self.quasar_fluxes else [QUASAR]
        return (LENS, SOURCE, *quasars, *[SKY] * self.sky)
