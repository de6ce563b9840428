"""What a kernel looks like beside what its telescope can do: a line of measures, and warnings of what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from warnings import catch_warnings

import numpy as np
from astropy import units

from lensvit.psf import kernel as kernels
from lensvit.psf.kernel import Cards, Kernel

DIAMETERS = {"HST": 2.4, "KECK": 10.95, "JWST": 6.6, "EUCLID": 1.2}  # of telescopes, by the start of their names [m]
BANDS = {"J": 1.25, "H": 1.63, "K": 2.2, "KP": 2.124, "K PRIME": 2.124, "KS": 2.146, "VIS": 0.7}  # wavelengths [um]
AIRY = 1.03  # full width at half maximum of a circle's diffraction image, in wavelengths over diameters
NARROWEST = 0.85  # share of that width down to which obstructions and measures may bring a kernel
# a kernel wider than this many times hypot(diffraction limit, pixel) is probably sampled too finely
WIDEST = 2.0
WIDEST_PIXELS = 5.0  # or wider than this many pixels, where the diffraction limit is not known
APART = 3.0  # distance from the centre, in full widths at half maximum, where nothing of the star itself is bright
SECOND_PEAK = 0.05  # brightness there, as a share of the peak, above which it is another star
RADII = (0.1, 0.25, 0.5)  # of the circles whose share of the light is given [arcsec]
NO_IMAGE = {  # words in the names of extensions
    "VAR", "VARIANCE", "IVAR", "INVVAR", "PSFVAR", "ERR", "ERROR", "ERRORS", "RMS", "SIGMA", "STDDEV", "UNCERT",
    "UNCERTAINTY", "WHT", "WEIGHT", "WEIGHTS", "DQ", "MASK", "CON", "CTX",
}  # fmt: skip
LIGHT = (  # units whose square is a variance
    units.electron, units.count, units.photon, units.adu, units.DN, units.Jy, units.erg, units.W,
)  # fmt: skip
SPELLINGS = {  # of these units in headers, beside astropy's own
    spelling(word): unit
    for word, unit in {
        "electron": units.electron, "electrons": units.electron, "count": units.count, "counts": units.count,
        "photon": units.photon, "photons": units.photon, "adu": units.adu, "cps": units.count / units.s,
    }.items()
    for spelling in (str.lower, str.upper, str.capitalize)
}  # fmt: skip
ELECTRONS = re.compile(r"\be-?(?![\w+.-])")  # as "e-" in "e-/s", but not in "1e-17"
# the square of a unit in brackets, which astropy does not read
SQUARED = re.compile(r"(?:1\s*/\s*)?\((.+)\)\s*(?:\*\*|\^)\s*\(?[+-]?2\)?")


def measures(kernel: Kernel, cards: Cards) -> str:
    """One line with the width of a kernel, its light within circles, and the diffraction limit where it is known.

    Parameters
    ----------
    kernel
        The kernel.
    cards
        Header cards on its origin.
    """
    width = kernels.fwhm(kernel.native, kernel.pixel_scale)
    light = ", ".join(
        f'{kernels.encircled_energy(kernel.native, kernel.pixel_scale, radius):.1%} within {radius:g}"'
        for radius in RADII
    )
    limit = diffraction_limit(cards)
    beside = "the telescope or its filter is not known" if limit is None else f'diffraction limit {limit:.3f}"'
    return f'FWHM {width:.3f}" ({width / kernel.pixel_scale:.1f} pixels; {beside}); light: {light}'


def warnings(kernel: Kernel, cards: Cards) -> Iterator[str]:
    """One line for each thing that a star's image cannot be.

    Parameters
    ----------
    kernel
        The kernel.
    cards
        Header cards on its origin, with the ``EXTENSN`` and the ``UNIT`` of a user's image where they are known.
    """
    width, limit = kernels.fwhm(kernel.native, kernel.pixel_scale), diffraction_limit(cards)
    if limit is not None and width < NARROWEST * limit:
        yield (
            f'the kernel is narrower (FWHM {width:.3f}") than the telescope\'s diffraction limit ({limit:.3f}"): is '
            "the pixel scale right, and is it no deconvolved or model image?"
        )
    expected = None if limit is None else float(np.hypot(limit, kernel.pixel_scale))
    if width > (WIDEST_PIXELS * kernel.pixel_scale if expected is None else WIDEST * expected):
        beside = "" if expected is None else f', where diffraction and pixels make {expected:.3f}"'
        yield (
            f'the kernel is {width / kernel.pixel_scale:.1f} pixels wide (FWHM {width:.3f}"{beside}): is it sampled '
            "finer than the camera's pixels? then bin it to these, unless the air has blurred it"
        )
    offset = np.arange(len(kernel.native)) - len(kernel.native) // 2
    far = np.hypot(offset[:, None], offset) > APART * max(width / kernel.pixel_scale, 1)
    second = float((kernel.native * far).max() / kernel.native.max())
    if second > SECOND_PEAK:
        row, column = np.array(np.unravel_index((kernel.native * far).argmax(), far.shape)) - len(far) // 2
        yield (
            f"a second peak of {second:.0%} lies ({column:+d}, {row:+d}) pixels off the "
            "centre: is it another star? then mask it"
        )
    name, unit = (str(cards.get(key, ("", ""))[0]) for key in ("EXTENSN", "UNIT"))
    if NO_IMAGE & set(re.findall("[A-Z]+", name.upper())) or _is_variance(unit):
        image = f"the image {name}".strip()
        yield f"{image} (unit {unit or 'not given'}) is rather a map of variance, weight or quality"


def _is_variance(text: str) -> bool:
    """Whether a unit is the square of one of light, or its inverse; what astropy cannot read is not."""
    text = ELECTRONS.sub("electron", text.strip())
    squared = SQUARED.fullmatch(text)
    with catch_warnings(action="ignore"), units.set_enabled_aliases(SPELLINGS):
        unit = units.Unit(squared[1] if squared else text, parse_strict="silent")
    if isinstance(unit, units.UnrecognizedUnit):
        return False
    power = 1 if squared else 2
    return any(
        abs(exponent) == power and any(base.is_equivalent(light) for light in LIGHT)
        for base, exponent in zip(unit.bases, unit.powers, strict=True)
    )


def diffraction_limit(cards: Cards) -> float | None:
    """Full width at half maximum [arcsec] of the diffraction image, where telescope and filter are known, else None.

    Parameters
    ----------
    cards
        Header cards on a kernel's origin, of which ``TELESCOP`` and ``FILTER`` count.
    """
    telescope, band = (str(cards.get(key, ("", ""))[0]).upper().strip() for key in ("TELESCOP", "FILTER"))
    diameter = next((size for name, size in DIAMETERS.items() if telescope.startswith(name)), None)
    wavelength = _wavelength(telescope, band)
    if diameter is None or wavelength is None:
        return None
    return float(np.degrees(AIRY * wavelength * 1e-6 / diameter) * 3600)


def _wavelength(telescope: str, band: str) -> float | None:
    """The wavelength of a filter [um]: from its digits, as HST and JWST name filters, or from a table."""
    digits = re.match(r"F(\d{3})[A-Z]", band)
    if not digits:
        return BANDS.get(band)
    number = int(digits[1])
    hundredths = telescope.startswith("JWST") or number < 200  # F160W of HST is 1.6 um, F814W 0.814 um
    return number / (100 if hundredths else 1000)
