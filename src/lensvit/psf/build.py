"""The PSF stage: a kernel from physics (HST, Keck) or from a user's FITS file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from lensvit.io.files import write_text
from lensvit.io.settings import canonical, read_settings
from lensvit.psf import hst, keck, kernel, plausible, user
from lensvit.psf.exposure_map import load_exposure_map
from lensvit.psf.kernel import Cards, Kernel
from lensvit.psf.plausible import RADII
from lensvit.psf.settings import AnyKernel, FitsKernel, HstKernel, KeckKernel, KernelSettings, LibraryKernel

NO_CARDS = ("kind", "name", "path", "pixel_scale", "exposure_map", "image_pixels")


def build_kernel(settings: Path, output: Path) -> None:
    """Build one PSF kernel, write it with its header as FITS, and write what the paper says of it as JSON.

    Measures of the kernel are printed, and a warning of what a star's image cannot be.

    Parameters
    ----------
    settings
        YAML file of :data:`lensvit.psf.settings.KernelSettings`.
    output
        FITS file; its manifest and the summary (.json) are written beside it.

    Raises
    ------
    LensvitError
        If the kind is not known, the kernel's size does not suit, or the user's file is unfit.
    """
    choice: AnyKernel = read_settings(
        settings,
        KernelSettings,  # type: ignore[arg-type]  # mypy knows no type of unions
    )
    result, cards = _build(choice)
    if choice.exposure_map is not None and choice.image_pixels is not None:
        exposure_map = load_exposure_map(Path(choice.exposure_map), choice.image_pixels)
        result = dataclasses.replace(result, exposure_map=exposure_map)
    print(f"PSF {choice.name}: {plausible.measures(result, cards)}", flush=True)
    for warning in plausible.warnings(result, cards):
        print(f"PSF {choice.name}: warning: {warning}", flush=True)
    kernel.write_kernel(output, result, {**cards, **_settings_cards(choice)})
    summary = {**_measured(result), "strehl": cards["STREHL"][0] if "STREHL" in cards else None}
    write_text(Path(output).with_suffix(".json"), json.dumps(summary, indent=1) + "\n")


def _measured(result: Kernel) -> dict[str, Any]:
    """Side [pixel], pixel scale [arcsec], full width at half maximum [arcsec], share of the light in each of RADII."""
    return {
        "pixels": result.native.shape[0],
        "pixel_scale": result.pixel_scale,
        "fwhm": float(kernel.fwhm(result.native, result.pixel_scale)),
        "radii": RADII,
        "enclosed": [float(kernel.encircled_energy(result.native, result.pixel_scale, radius)) for radius in RADII],
    }


def _build(settings: AnyKernel) -> tuple[Kernel, Cards]:
    """The kernel of the settings, and header cards on its origin."""
    match settings:
        case HstKernel():
            return _hst(settings)
        case KeckKernel():
            return _keck(settings)
        case LibraryKernel():
            return user.load_library_kernel(
                Path(settings.path), settings.pixel_scale, settings.extension, settings.file_pixel_scale,
                settings.oversampling, settings.mix, settings.seed,
            )  # fmt: skip
        case FitsKernel():
            path, scale = Path(settings.path), settings.pixel_scale
            return user.load_user_kernel(path, scale, settings.extension, settings.file_pixel_scale)


def _hst(settings: HstKernel) -> tuple[Kernel, Cards]:
    pixel, pixels = _fine_grid(settings)
    light = hst.light(settings.spectral_index, settings.despace_um, pixel, pixels)
    return kernel.from_supersampled(light, settings.pixel_scale), hst.LABELS


def _keck(settings: KeckKernel) -> tuple[Kernel, Cards]:
    pixel, pixels = _fine_grid(settings)
    light, strehl = keck.light(
        r0=settings.r0,
        zenith_angle_deg=settings.zenith_angle_deg,
        outer_scale=settings.outer_scale,
        residual_nm=settings.residual_nm,
        jitter_mas=settings.jitter_mas,
        static_nm=settings.static_nm,
        seed=settings.seed,
        pixel=pixel,
        pixels=pixels,
    )
    result = kernel.from_supersampled(light, settings.pixel_scale)
    return result, {**keck.LABELS, "STREHL": (strehl, "Strehl ratio, over the passband")}


def _fine_grid(settings: HstKernel | KeckKernel) -> tuple[float, int]:
    """Pixel side [arcsec] and number of pixels along a side of the supersampled kernel."""
    return settings.pixel_scale / kernel.OVERSAMPLING, settings.pixels * kernel.OVERSAMPLING


def _settings_cards(settings: AnyKernel) -> Cards:
    """The settings as header cards, without the path of a user's file: the same file gives the same bytes."""
    cards = {"KIND": (settings.kind, "how the kernel was made"), "NAME": (settings.name, "name in the config")}
    for key, value in sorted(canonical(settings).items()):
        if key not in NO_CARDS and value is not None:
            number = isinstance(value, int | float)
            cards[f"HIERARCH SETTING {key}"] = (value if number else str(value)[:40], "")
    return cards
