"""Lenses of a user in the config, under ``observations``: files, and what these do not say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lensvit.io.settings import Seeded, Settings

# as lenses are called: J1251+2935, WGD 2038-4008 without its space
LensName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=40)]
Paths = str | list[str]


class ObservedDelays(Settings):
    """Measured time delays of an observed lens, for H0."""

    images: list[tuple[float, float]] = Field(
        min_length=2, description="x and y of the monitored images, the reference first [arcsec]"
    )
    days: list[float] = Field(min_length=1, description="delays of the others behind the reference [day]")
    errors: list[float] = Field(min_length=1, description="standard deviations of the delays [day]")
    lens_redshift: float = Field(gt=0, le=20, description="redshift of the lens")
    source_redshift: float = Field(gt=0, le=20, description="redshift of the quasar")
    omega_m: float = Field(0.3, gt=0, lt=1, description="matter density of the flat LambdaCDM cosmology")

    @model_validator(mode="after")
    def _as_many(self) -> ObservedDelays:
        for key in ("days", "errors"):
            if len(getattr(self, key)) != len(self.images) - 1:
                raise ValueError(
                    f"{key}: {len(getattr(self, key))} numbers for {len(self.images)} images; give one for each image "
                    "but the first"
                )
        if not all(error > 0 for error in self.errors):
            raise ValueError("errors: give numbers above 0")
        if self.lens_redshift >= self.source_redshift:
            raise ValueError(f"lens_redshift {self.lens_redshift:g} is not below {self.source_redshift:g}")
        return self


class Published(Settings):
    """What is published of an observed lens, to be shown beside the fit; it changes nothing of it."""

    theta_E: float | None = Field(None, gt=0, description="Einstein radius [arcsec]")  # noqa: N815 (lenstronomy's name)
    theta_E_sigma: float | None = Field(None, gt=0, description="its standard deviation [arcsec]")  # noqa: N815
    gamma: float | None = Field(None, description="slope of the mass")
    gamma_sigma: float | None = Field(None, gt=0, description="its standard deviation")
    reference: str = Field(min_length=1, max_length=80, description="where it is published, as printed")


class ObservedLens(Settings):
    """A lens of your own: its image, and what the file does not say (docs/your-lens.md)."""

    image: Paths = Field(
        min_length=1, description="FITS or HDF5 file; a list: exposures of the lens that are fitted together"
    )
    psf: Paths | None = Field(None, description="file of the PSF, or one for each exposure; null: in the image's file")
    psf_oversampling: int = Field(1, ge=1, le=20, description="pixels of the PSF along the side of an image's pixel")
    psf_variance: Paths | None = Field(None, description="file of the PSF's variance for a flux of 1")
    noise: Paths | None = Field(None, description="file of the noise's standard deviation in each pixel")
    mask: Paths | None = Field(None, description="file that is 0 where a pixel does not count")
    pixel_scale: float | None = Field(None, gt=0, le=10, description="side of a pixel [arcsec]; null: the header's")
    exposure_time: float | None = Field(None, gt=0, description="exposure time [s]; null: the header's")
    background_rms: float | None = Field(
        None, gt=0, description="standard deviation of the background [counts/s per pixel]; null: measured"
    )
    unit: Literal["counts", "counts/s"] | None = Field(
        None, description="unit of the pixels, counts or counts/s; null: the header's"
    )
    size: int | None = Field(None, ge=24, le=300, description="side of the square that is fitted [pixel]; null: all")
    center: tuple[float, float] | None = Field(
        None, description="column and row of the lens in the file, from 0, needs size; null: found"
    )
    sky: tuple[float, float] | None = Field(
        None, description="right ascension and declination of the lens [degree], needs size; null: found"
    )
    quasar_images: Literal[2, 3, 4] | None = Field(None, description="images of the quasar, 2, 3 or 4; null: found")
    delays: ObservedDelays | None = Field(None, description="measured time delays, for H0")
    lens_redshift: float | None = Field(
        None, gt=0, le=20, description="redshift of the lens, where there are no delays; null: not known"
    )
    source_redshift: float | None = Field(
        None, gt=0, le=20, description="redshift of the quasar, where there are no delays; null: not known"
    )
    published: Published | None = Field(None, description="what is published of it, to be shown beside the fit")

    @model_validator(mode="after")
    def _place(self) -> ObservedLens:
        given = [key for key in ("center", "sky") if getattr(self, key) is not None]
        if len(given) == 2:
            raise ValueError("center and sky both say where the lens is: give one of them")
        if given and self.size is None:
            raise ValueError(f"{given[0]} needs size, the side of the square around the lens")
        return self

    @model_validator(mode="after")
    def _redshifts(self) -> ObservedLens:
        given = [value for value in (self.lens_redshift, self.source_redshift) if value is not None]
        if given and self.delays is not None:
            raise ValueError("lens_redshift and source_redshift: give them under delays")
        if len(given) == 2 and given[0] >= given[1]:
            raise ValueError(f"lens_redshift {given[0]:g} is not below {given[1]:g}")
        return self

    @model_validator(mode="after")
    def _one_for_each(self) -> ObservedLens:
        for key in ("psf", "psf_variance", "noise", "mask"):
            paths = getattr(self, key)
            if isinstance(paths, list) and len(paths) not in (1, len(self.images)):
                raise ValueError(
                    f"{key}: {len(paths)} files for {len(self.images)} images; give one for all, or one for each"
                )
        return self

    @property
    def images(self) -> list[str]:
        """The exposures."""
        return self.image if isinstance(self.image, list) else [self.image]

    def paths(self, key: str) -> list[str]:
        """The files of one of the keys, one for each exposure; none where it is null."""
        given = getattr(self, key)
        if given is None:
            return []
        several = given if isinstance(given, list) else [given]
        return several * len(self.images) if len(several) == 1 else several

    @property
    def files(self) -> list[str]:
        """All files that the fit reads."""
        keys = ("image", "psf", "psf_variance", "noise", "mask")
        return list(dict.fromkeys(path for key in keys for path in self.paths(key)))


class ObserveStage(Seeded):
    """Settings of the fit of one lens."""

    name: LensName = Field(description="name of the lens, and of its files")
    lens: ObservedLens = Field(description="its files, and what these do not say")
