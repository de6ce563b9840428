"""Settings of the kinds of PSF kernels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field

from lensvit.io.settings import Name, Settings


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the kernel has a central pixel")
    return value


Odd = Annotated[int, Field(ge=11, le=1001), AfterValidator(_odd)]


class HstPsf(Settings):
    """HST ACS F814W, from the pupil, as Tiny Tim does."""

    kind: Literal["hst_acs"]
    instrument: Name
    pixels: Odd = Field(101, description="kernel side [pixel], odd")
    spectral_index: float = Field(ge=-5, le=5, description="alpha of F_nu ~ nu^alpha")
    despace_um: float = Field(ge=-20, le=20, description="despace of the secondary mirror [um]")


class KeckPsf(Settings):
    """Keck laser-guide-star adaptive optics in K', from its optical transfer function."""

    kind: Literal["keck_ao"]
    instrument: Name
    pixels: Odd = Field(201, description="kernel side [pixel], odd")
    r0: float = Field(gt=0.02, le=1, description="Fried parameter at 500 nm at zenith [m]")
    zenith_angle_deg: float = Field(30, ge=0, le=70, description="zenith angle [deg]")
    outer_scale: float = Field(30, ge=1, le=1000, description="outer scale of the turbulence [m]")
    residual_nm: float = Field(ge=0, le=1000, description="corrected residual wavefront error, rms [nm]")
    jitter_mas: tuple[float, float] = Field(description="tip-tilt jitter along its axes, rms [mas]")
    static_nm: float = Field(100, ge=0, le=500, description="static wavefront error, rms [nm]")
    seed: int = Field(1, ge=0, description="seed of the static wavefront")


class FitsPsf(Settings):
    """A user's own kernel: 2-D, square, odd, finite, centred within 0.2 pixel."""

    kind: Literal["fits"]
    instrument: Name
    path: str = Field(min_length=1, description="FITS file, absolute or relative to the working directory")
    extension: int | str = Field(0, description="extension number or name")
    file_pixel_scale: float | None = Field(
        None, gt=0, le=1, description="pixel scale [arcsec], where the header has none"
    )


Psf = Annotated[HstPsf | KeckPsf | FitsPsf, Discriminator("kind")]


class _Kernel(Settings):
    name: str
    pixel_scale: float = Field(gt=0, description="of the camera [arcsec]")


class HstKernel(HstPsf, _Kernel):
    """Settings of the stage ``psf`` for an HST kernel."""


class KeckKernel(KeckPsf, _Kernel):
    """Settings of the stage ``psf`` for a Keck kernel."""


class FitsKernel(FitsPsf, _Kernel):
    """Settings of the stage ``psf`` for a user's own kernel."""


KernelSettings = Annotated[HstKernel | KeckKernel | FitsKernel, Discriminator("kind")]
