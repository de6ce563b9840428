"""Settings of the kinds of PSF kernels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field

from lensvit.io.settings import Name, Settings

WIDEST = 25.0  # side of a kernel that is computed from optics, at most [arcsec]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the kernel has a central pixel")
    return value


Odd = Annotated[int, Field(ge=11, le=1001, json_schema_extra={"not": {"multipleOf": 2}}), AfterValidator(_odd)]


class PsfBase(Settings):
    """What PSFs of all kinds have; a kind's own ``kind`` tells it from others."""

    instrument: Name = Field(description="camera that the PSF belongs to, one of `instruments`")


class HstPsf(PsfBase):
    """HST ACS F814W, from the pupil, as Tiny Tim does."""

    kind: Literal["hst_acs"] = Field(
        description="hst_acs: HST's camera ACS, filter F814W, computed from the telescope's pupil"
    )
    pixels: Odd = Field(101, description="side of the kernel, odd [pixel]")
    spectral_index: float = Field(ge=-5, le=5, description="power alpha of the quasar's spectrum, F_nu ~ nu^alpha")
    despace_um: float = Field(
        ge=-20, le=20, description="displacement of the secondary mirror, which defocuses the image [um]"
    )


class KeckPsf(PsfBase):
    """Keck laser-guide-star adaptive optics in K', from its optical transfer function."""

    kind: Literal["keck_ao"] = Field(
        description="keck_ao: Keck's adaptive optics with a laser guide star, in the band K'"
    )
    pixels: Odd = Field(201, description="side of the kernel, odd [pixel]")
    r0: float = Field(
        gt=0.02,
        le=1,
        description="Fried parameter at 500 nm at the zenith: the larger, the weaker the turbulence [m]",
    )
    zenith_angle_deg: float = Field(30, ge=0, le=70, description="angle from the zenith [deg]")
    outer_scale: float = Field(30, ge=1, le=1000, description="outer scale of the turbulence [m]")
    residual_nm: float = Field(ge=0, le=1000, description="wavefront error that the correction leaves, rms [nm]")
    jitter_mas: tuple[float, float] = Field(description="jitter of the image along x and y, rms [mas]")
    static_nm: float = Field(100, ge=0, le=500, description="wavefront error that does not vary in time, rms [nm]")
    seed: int = Field(1, ge=0, description="seed of the shape of the static wavefront error")


class FitsPsf(PsfBase):
    """A user's own kernel: 2-D, square, odd, finite, centred within 0.2 pixel."""

    kind: Literal["fits"] = Field(description="fits: a kernel of your own in a FITS file")
    path: str = Field(min_length=1, description="FITS file, absolute or relative to the working directory")
    extension: int | str = Field(0, description="number or name of the extension in the file")
    file_pixel_scale: float | None = Field(
        None, gt=0, le=1, description="side of a pixel of the file, where its header has none [arcsec]"
    )


class LibraryPsf(FitsPsf):
    """A mix of kernels of a library, as a field of view has them: a cube in a FITS file, with the pixels' response."""

    kind: Literal["library"] = Field(  # type: ignore[assignment]
        description="library: a random mix of the kernels of a cube in a FITS file"
    )
    oversampling: int = Field(
        1, ge=1, le=20, description="pixels of the library's kernels along the side of a pixel of the camera"
    )
    mix: int = Field(3, ge=1, le=100, description="kernels of the library that are mixed, drawn by the seed")
    seed: int = Field(1, ge=0, description="seed of the draw and of the weights of the mix")


Psf = Annotated[HstPsf | KeckPsf | FitsPsf | LibraryPsf, Discriminator("kind")]


class _Kernel(Settings):
    """What the stage ``psf`` reads beside the PSF itself."""

    name: str = Field(description="key of the PSF in the config")
    pixel_scale: float = Field(gt=0, description="side of a pixel of the camera [arcsec]")
    exposure_map: str | None = Field(None, description="FITS file of the camera's exposure map; null: none")
    image_pixels: int | None = Field(None, description="side of the camera's images, where there is such a map [pixel]")


class HstKernel(HstPsf, _Kernel):
    """Settings of the stage ``psf`` for an HST kernel."""


class KeckKernel(KeckPsf, _Kernel):
    """Settings of the stage ``psf`` for a Keck kernel."""


class FitsKernel(FitsPsf, _Kernel):
    """Settings of the stage ``psf`` for a user's own kernel."""


class LibraryKernel(LibraryPsf, _Kernel):
    """Settings of the stage ``psf`` for a mix of a library's kernels."""


AnyKernel = HstKernel | KeckKernel | FitsKernel | LibraryKernel
KernelSettings = Annotated[AnyKernel, Discriminator("kind")]
