"""The PSF stage: a kernel from physics (HST, Keck) or from a user's FITS file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lensvit.io.files import write_text
from lensvit.io.settings import canonical, read_settings
from lensvit.psf import hst, keck, kernel, user
from lensvit.psf.kernel import Cards, Kernel
from lensvit.psf.settings import FitsKernel, HstKernel, KeckKernel, KernelSettings

RADII = (0.1, 0.25, 0.5)  # arcsec


def build_kernel(settings: Path, output: Path) -> None:
    """Build one PSF kernel and write it, with its header, as FITS; what the paper says of it as JSON.

    Parameters
    ----------
    settings : YAML with name, kind (hst_acs, keck_ao or fits), pixel_scale [arcsec] and what the
        kind needs; see ``lensvit.config.schema``.
    output : the FITS file; its manifest and its summary (.json) are written beside it.

    Raises
    ------
    LensvitError
        If the kind is not known, the kernel's size does not suit, or the user's file is unfit.
    """
    options = read_settings(settings, KernelSettings)
    result, cards = _KINDS[options.kind](options)
    kernel.write_kernel(output, result, {**cards, **_settings_cards(options)})
    summary = {**_measured(result), "strehl": cards["STREHL"][0] if "STREHL" in cards else None}
    write_text(Path(output).with_suffix(".json"), json.dumps(summary, indent=1) + "\n")


def _measured(result: Kernel) -> dict[str, Any]:
    """Side [pixel], full width at half maximum [arcsec], share of the flux within each of RADII."""
    return {
        "pixels": result.native.shape[0],
        "pixel_scale": result.pixel_scale,
        "fwhm": float(kernel.fwhm(result.native, result.pixel_scale)),
        "radii": RADII,
        "enclosed": [float(kernel.encircled_energy(result.native, result.pixel_scale, radius)) for radius in RADII],
    }


def _hst(options: HstKernel) -> tuple[Kernel, Cards]:
    pixel, pixels = _fine_grid(options)
    light = hst.light(options.spectral_index, options.despace_um, pixel, pixels)
    return kernel.from_supersampled(light, options.pixel_scale), hst.LABELS


def _keck(options: KeckKernel) -> tuple[Kernel, Cards]:
    pixel, pixels = _fine_grid(options)
    physics = {name: getattr(options, name) for name in _KECK_PHYSICS}
    light, strehl = keck.light(**physics, pixel=pixel, pixels=pixels)
    result = kernel.from_supersampled(light, options.pixel_scale)
    return result, {**keck.LABELS, "STREHL": (strehl, "Strehl ratio, over the passband")}


_KECK_PHYSICS = (
    "r0", "zenith_angle_deg", "outer_scale", "residual_nm", "jitter_mas", "static_nm", "seed",
)  # fmt: skip


def _user(options: FitsKernel) -> tuple[Kernel, Cards]:
    return user.load_user_kernel(Path(options.path), options.pixel_scale, options.extension, options.file_pixel_scale)


def _fine_grid(options: HstKernel | KeckKernel) -> tuple[float, int]:
    """Pixel side [arcsec] and number of pixels along a side of the supersampled kernel."""
    return options.pixel_scale / kernel.OVERSAMPLING, options.pixels * kernel.OVERSAMPLING


def _settings_cards(options: KernelSettings) -> Cards:
    """The settings as header cards; a user's path is not among them, the same file gives the same bytes."""
    cards = {"KIND": (options.kind, "how the kernel was made"), "NAME": (options.name, "name in the config")}
    for key, value in sorted(canonical(options).items()):
        if key not in ("kind", "name", "path", "pixel_scale") and value is not None:
            number = isinstance(value, int | float)
            cards[f"HIERARCH SETTING {key}"] = (value if number else str(value)[:40], "")
    return cards


_KINDS = {"hst_acs": _hst, "keck_ao": _keck, "fits": _user}
