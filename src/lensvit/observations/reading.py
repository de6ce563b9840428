"""Images of lenses in files: FITS as archives have them, and HDF5 as users of lenstronomy and dolphin do.

Everything is checked before any work, and whatever is wrong or missing is one line that says what to give. What is
found in a file or measured in the image, and what is done with it, is noted in a sentence.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from scipy import ndimage

from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.observations.observation import ObservedImage, Sky
from lensvit.psf import kernel as kernels
from lensvit.psf.user import SCALE_KEYS

EXPOSURE_KEYS = ("EXPTIME", "TEXPTIME", "EXPOSURE")
BACKGROUND_KEYS = ("BKGRMS", "BACKGROUND_RMS", "SKYRMS")
UNIT_KEYS = ("BUNIT",)
COUNTS = re.compile(r"(electrons?|e-?|counts?|cts?|dn|adu|photons?)")
DETECTOR = re.compile(r"dn|adu")  # counts that are no electrons
PER_SECOND = re.compile(COUNTS.pattern + r"\*?(/s(ec(onds?)?)?|persecond|s(ec)?(\^|\*\*)?-1|\.s-1)|cps")
ANISOTROPY = 0.01  # largest relative difference of the pixel scales along both axes
SHEAR = 0.01  # largest cosine of the angle between the axes of a WCS
FINEST, COARSEST = 0.001, 1.0  # pixel scale [arcsec]
SMALLEST, LARGEST = 24, 300  # side of an image [pixel]
EDGE = 0.06  # width of the edge in which the noise is measured, in units of the side
LOUD = 1.3  # noise measured at the edge over the quoted one from which on the measured one counts
TOO_LOUD, TOO_QUIET = 10.0, 30.0  # the same, and the quoted one over the measured one, from which on it is no noise
QUIET = 4.0  # the quoted noise over the measured one from which on it is worth a word
EMPTY = 0.01  # share of pixels that are exactly 0 from which on these hold no data
SATURATED, FAR_ABOVE = 3, 50.0  # pixels of the largest value that are saturated, and its height [noise at the edge]
PEDESTAL, FALLS = 0.08, 1.25  # light of a PSF in a constant, and how much a PSF falls at least from 2/3 of its radius
MOST_BAD = 0.2  # largest share of pixels that may not count
DEEPEST = 5.0  # depth of a pixel below the edge's median, in units of the noise, from which on it does not count
OFF_CENTRE = 0.3  # largest offset of a PSF's centroid that is mended by interpolation [pixel]
FAINT_WINGS = 1e-3  # light outside of a PSF's circle that is not worth a word


@dataclass(frozen=True)
class Given:
    """What a user says about an image; None where the file is to say it.

    Parameters
    ----------
    pixel_scale
        Side of a pixel [arcsec].
    exposure_time
        Exposure time [s].
    background_rms
        Standard deviation of the background noise [counts/s per pixel].
    noise
        File of the noise's standard deviation in each pixel [counts/s].
    mask
        File that is 0 where a pixel does not count.
    psf
        File of the PSF.
    psf_variance
        File of the PSF's variance.
    psf_oversampling
        Pixels of the PSF along the side of a pixel of the image.
    unit
        "counts/s" or "counts", where the header does not say it or is wrong.
    size
        Side of the square that is fitted [pixel]; the image's by default.
    center
        Column and row of the lens, from 0, around which the square is cut; found by default.
    sky
        Right ascension and declination of the lens (ICRS) [degree], by the WCS, in place of ``center``.
    """

    pixel_scale: float | None = None
    exposure_time: float | None = None
    background_rms: float | None = None
    noise: Path | None = None
    mask: Path | None = None
    psf: Path | None = None
    psf_variance: Path | None = None
    psf_oversampling: int = 1
    unit: str | None = None
    size: int | None = None
    center: Sequence[float] | None = None
    sky: Sequence[float] | None = None


@dataclass
class _File:
    """What a file says.

    Parameters
    ----------
    image
        The image (ny, nx).
    header
        Keywords, in capitals.
    wcs
        The WCS, None where there is none.
    arrays
        Further arrays by name: "SIGMA", "MASK", "PSF", "PSFVAR", "EXPOSURE" and "WHT".
    headers
        The keywords of these, where they have some.
    unused
        Names of the extensions that are not used.
    """

    image: np.ndarray
    header: Mapping[str, object]
    wcs: WCS | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    headers: dict[str, Mapping[str, object]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


NAMES = {
    "SIGMA": ("SIGMA", "NOISE", "ERR", "RMS"),
    "MASK": ("MASK",),
    "PSF": ("PSF",),
    "PSFVAR": ("PSFVAR", "PSF_VARIANCE"),
    "EXPOSURE": ("EXPOSURE", "EXPMAP"),
    "WHT": ("WHT", "WEIGHT"),
}
# extensions that are no image of the sky either
OTHERS = {"CTX", "CON", "DQ", "IVAR", "VAR", "VARIANCE", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "SAMP", "TIME"}
COMPANIONS = OTHERS.union(*NAMES.values())


def read_image(path: Path, given: Given | None = None) -> tuple[ObservedImage, list[str]]:
    """Read and check an image, its noise and its PSF.

    Parameters
    ----------
    path
        FITS or HDF5 file.
    given
        What the file does not say.

    Returns
    -------
    image : ObservedImage
        The image, ready to be fitted.
    notes : list[str]
        What was found, measured and changed, in sentences.

    Raises
    ------
    LensvitError
        If something is wrong or missing; the message is one line that says what to give.
    """
    given, path = given or Given(), Path(path)
    file = _read(path)
    try:
        return _checked(file, given)
    except LensvitError as error:
        raise LensvitError(f"{path}: {error}") from error


def image_of_arrays(
    image: np.ndarray,
    psf: np.ndarray,
    *,
    pixel_scale: float,
    exposure_time: float | np.ndarray | None = None,
    background_rms: float | None = None,
    noise: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    psf_oversampling: int = 1,
    psf_variance: np.ndarray | None = None,
    size: int | None = None,
    center: Sequence[float] | None = None,
) -> tuple[ObservedImage, list[str]]:
    """An image in arrays, checked as one in a file.

    Parameters
    ----------
    image
        Image (ny, nx) [counts/s per pixel].
    psf
        PSF (k, k).
    pixel_scale
        Side of a pixel [arcsec].
    exposure_time
        Exposure time [s], of all pixels or (ny, nx).
    background_rms
        Standard deviation of the background noise [counts/s per pixel]; None to measure it at the image's edge.
    noise
        Standard deviation of the noise (ny, nx) [counts/s per pixel], in place of both.
    mask
        (ny, nx), 0 where a pixel does not count.
    psf_oversampling
        Pixels of the PSF along the side of a pixel of the image.
    psf_variance
        Variance (m, m) of the PSF on pixels of the image, for a flux of 1.
    size
        Side of the square that is fitted [pixel].
    center
        Column and row of the lens, from 0, around which the square is cut; found by default.

    Returns
    -------
    image : ObservedImage
        The image, ready to be fitted.
    notes : list[str]
        What was found, measured and changed, in sentences.

    Raises
    ------
    LensvitError
        If something is wrong or missing.
    """
    if isinstance(exposure_time, np.ndarray) and exposure_time.ndim == 0:
        exposure_time = float(exposure_time)
    arrays = {
        "PSF": (psf, "the PSF"), "SIGMA": (noise, "noise"), "MASK": (mask, "mask"),
        "PSFVAR": (psf_variance, "psf_variance"),
        "EXPOSURE": (exposure_time if isinstance(exposure_time, np.ndarray) else None, "exposure_time"),
    }  # fmt: skip
    known = {key: _numbers(value, name) for key, (value, name) in arrays.items() if value is not None}
    file = _File(_numbers(image, "the image"), {"BUNIT": "counts/s"}, None, known)
    given = Given(
        pixel_scale=pixel_scale,
        exposure_time=None if isinstance(exposure_time, np.ndarray) else exposure_time,
        background_rms=background_rms,
        psf_oversampling=psf_oversampling,
        size=size,
        center=center,
    )
    return _checked(file, given)


def _numbers(value: Any, name: str) -> np.ndarray:
    """An array of a user in floats, NaN where it is masked."""
    unit = getattr(value, "unit", None)
    if unit is not None:
        raise LensvitError(f"{name} has the unit {str(unit)!r}; give an array without, in counts/s where it is light")
    plain = value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    if plain.dtype.kind not in "biuf":
        raise LensvitError(f"{name} has values of the type {plain.dtype}; give real numbers")
    plain = plain.astype(float)
    return plain.filled(np.nan) if isinstance(plain, np.ma.MaskedArray) else plain


def _check(given: Given) -> None:
    """Check that options are the numbers that they have to be."""
    for name in ("pixel_scale", "exposure_time", "background_rms"):
        value = getattr(given, name)
        if value is not None and (not isinstance(value, Real) or isinstance(value, bool)):
            raise LensvitError(f"--{name.replace('_', '-')} {value!r} is no number")
    for name in ("psf_oversampling", "size"):
        value = getattr(given, name)
        if value is not None and not isinstance(value, Integral):
            raise LensvitError(f"--{name.replace('_', '-')} {value!r} is no whole number")
    for name, of in (("center", "column and row"), ("sky", "right ascension and declination")):
        value = getattr(given, name)
        if value is None:
            continue
        numbers = list(value) if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) else []
        if len(numbers) != 2 or not all(isinstance(one, Real) and np.isfinite(float(one)) for one in numbers):
            raise LensvitError(f"--{name} {value!r}: give two numbers, {of}")
        if given.size is None:
            raise LensvitError(f"--{name} needs --size, the side of the square around the lens [pixel]")
    if given.center is not None and given.sky is not None:
        raise LensvitError("--center and --sky both say where the lens is: give one of them")


def _read(path: Path) -> _File:
    """What a FITS or HDF5 file says."""
    if not path.is_file():
        raise LensvitError(f"{path}: there is no such file; give the path of a FITS or HDF5 file")
    with path.open("rb") as stream:
        start = stream.read(8)
    try:
        return _read_hdf5(path) if start.startswith(b"\x89HDF") else _read_fits(path)
    except LensvitError:
        raise
    except Exception as error:  # the libraries report damage with many classes
        reason = files.trouble(error) or files.first_line(error)
        raise LensvitError(f"{path}: cannot be read as FITS or HDF5 ({reason})") from error


def _read_fits(path: Path) -> _File:
    with (
        warnings.catch_warnings(action="ignore", category=AstropyWarning),
        fits.open(path, memmap=False, ignore_missing_simple=True) as units,
    ):
        pictures = [unit for unit in units if unit.is_image and unit.data is not None and unit.data.ndim >= 2]
        if not pictures:
            raise LensvitError(f"{path}: no extension holds an image")
        several = [unit for unit in pictures if unit.name.upper() == "SCI"]
        if len(several) > 1:
            raise LensvitError(f"{path}: has {len(several)} extensions SCI; give a file of one image")
        images = several or [unit for unit in pictures if unit.name.upper() not in COMPANIONS]
        sci = (images or pictures)[0]
        arrays, headers, unused = dict[str, np.ndarray](), dict[str, Mapping[str, object]](), list[str]()
        for unit in pictures:
            key = next((key for key, names in NAMES.items() if unit.name.upper() in names), None)
            if key is not None and key not in arrays and unit is not sci:
                arrays[key], headers[key] = _plane(unit.data), dict(unit.header)
            elif unit is not sci:
                unused.append(unit.name or "without a name")
        header = {**dict(units[0].header), **dict(sci.header)}
        with warnings.catch_warnings(action="ignore"):
            try:
                wcs = WCS(sci.header, naxis=2)
            except Exception:  # astropy reports bad keywords with many classes
                wcs = None
        known = wcs if wcs is not None and wcs.has_celestial else None
        return _File(_plane(sci.data), header, known, arrays, headers, tuple(unused))


def _read_hdf5(path: Path) -> _File:
    """Of a file as dolphin and lenstronomy write it: image_data, exposure_time, background_rms, a matrix, and a PSF."""
    with h5py.File(path) as file:
        content = {name.lower(): item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    names = {"image_data": "image", "image": "image", "kernel_point_source": "PSF", "psf_variance_map": "PSFVAR"}
    names |= {"noise_map": "SIGMA", "mask": "MASK"}
    arrays = {names[name]: np.asarray(value, dtype=float) for name, value in content.items() if name in names}
    header: dict[str, object] = {"BUNIT": "counts/s"}
    exposure = np.asarray(content.get("exposure_time", np.nan), dtype=float)
    if exposure.ndim == 2:
        arrays["EXPOSURE"] = exposure
    elif np.isfinite(exposure).all():
        header["EXPTIME"] = float(exposure)
    if "background_rms" in content:
        header["BKGRMS"] = float(content["background_rms"])
    if "transform_pix2angle" in content:
        header["MATRIX"] = np.asarray(content["transform_pix2angle"], dtype=float)
    image = arrays.pop("image", None)
    if image is None and "PSF" not in arrays:
        raise LensvitError(f"{path}: holds neither image_data nor kernel_point_source")
    return _File(np.empty((0, 0)) if image is None else image, header, None, arrays)


def _plane(data: np.ndarray) -> np.ndarray:
    """An image (ny, nx) of data that may have further axes of length 1."""
    plane = np.asarray(data, dtype=float)
    while plane.ndim > 2 and plane.shape[0] == 1:
        plane = plane[0]
    return plane


class Plain(NamedTuple):
    """A square image without its noise and its PSF.

    Parameters
    ----------
    data
        Square image (n, n) [counts/s per pixel], 0 where a pixel is NaN or infinite.
    bad
        Whether a pixel does not count (n, n).
    pixel_scale
        Side of a pixel [arcsec].
    corner
        Column and row of the file's image where this one begins, counted from 0.
    exposure_time
        Exposure time [s]; None if it is not known.
    divisor
        What the file's image was divided by to be in counts/s.
    """

    data: np.ndarray
    bad: np.ndarray
    pixel_scale: float
    corner: tuple[int, int]
    exposure_time: float | None
    divisor: float = 1.0


def read_plain(path: Path, given: Given | None = None) -> tuple[list[Plain], list[str]]:
    """Read and check the image or the images of a file, without what fits need beside them: noise and PSF.

    Parameters
    ----------
    path
        FITS or HDF5 file, of one image (ny, nx) or of many of one camera (n, ny, nx).
    given
        What the file does not say.

    Returns
    -------
    images : list[Plain]
        The images.
    notes : list[str]
        What was found and changed, in sentences.

    Raises
    ------
    LensvitError
        If something is wrong or missing; the message is one line that says what to give.
    """
    given, path, notes = given or Given(), Path(path), list[str]()
    file = _read(path)
    planes = file.image if file.image.ndim == 3 else [file.image]
    result = list[Plain]()
    for number, plane in enumerate(planes):
        try:
            result.append(_plain(replace(file, image=plane), given, notes))
        except LensvitError as error:
            which = f", image {number} (from 0)" if file.image.ndim == 3 else ""
            raise LensvitError(f"{path}{which}: {error}") from error
    return result, list(dict.fromkeys(notes))


def plain_of_array(image: np.ndarray, pixel_scale: float) -> Plain:
    """An image (ny, nx) [counts/s per pixel] in an array, checked as one in a file.

    Raises
    ------
    LensvitError
        If something is wrong.
    """
    file = _File(_numbers(image, "the image"), {"BUNIT": "counts/s"})
    return _plain(file, Given(pixel_scale=pixel_scale), [])


def _plain(file: _File, given: Given, notes: list[str]) -> Plain:
    """The square of an image that counts, in counts/s."""
    _check(given)
    image = file.image
    if image.ndim != 2:
        raise LensvitError(f"the image has the shape {image.shape}; give one plane of two axes")
    scale = _pixel_scale(file, given, notes)
    divisor, per_second = _divisor(image, file, given, notes)
    image = image / divisor
    if file.unused:
        notes.append(f"Not used of the file: {', '.join(dict.fromkeys(file.unused))}.")
    masks = [~np.isfinite(image)]
    mask = _companion(given.mask, file, "MASK", image.shape)
    if mask is not None:
        masks.append(~(mask > 0))
    weight = file.arrays.get("WHT")
    if weight is not None and weight.shape == image.shape:
        masks.append(~(weight > 0))
    empty = image == 0
    if not _whole(image) and empty.mean() > EMPTY:
        masks.append(empty)
        notes.append(f"{empty.sum()} pixels are exactly 0, as where a camera saw nothing, and do not count.")
    bad = np.logical_or.reduce(masks)
    row, column, side = _square(image, bad, given, file.wcs, notes)
    cut = (slice(row, row + side), slice(column, column + side))
    bad, data = bad[cut].copy(), np.where(np.isfinite(image), image, 0.0)[cut]
    if bad.mean() > MOST_BAD:
        raise LensvitError(
            f"{bad.mean():.0%} of the pixels are NaN, infinite, without data or masked; at most {MOST_BAD:.0%} may be: "
            "cut out the lens"
            + ("" if mask is None else "; or is the mask 0 where a pixel counts? It is to be 1 there")
        )
    if float(np.ptp(data[~bad])) == 0:
        raise LensvitError("all pixels have the same value; is this the right extension?")
    return Plain(data, bad, scale, (column, row), per_second, divisor)


def _whole(image: np.ndarray) -> bool:
    """Whether all values of an image are whole numbers."""
    known = image[np.isfinite(image)]
    return bool((known == np.round(known)).all())


def _checked(file: _File, given: Given) -> tuple[ObservedImage, list[str]]:
    notes = list[str]()
    data, bad, scale, (column, row), per_second, divisor = _plain(file, given, notes)
    side = len(data)
    cut = (slice(row, row + side), slice(column, column + side))
    variance = _variance(data, bad, file, given, cut, per_second, divisor, notes)
    sky = np.median(data[_edge(data.shape) & ~bad])
    holes = (sky - data > DEEPEST * np.sqrt(variance)) & ~bad
    if holes.any():
        bad |= holes
        notes.append(f"{holes.sum()} pixels lie far below the sky and do not count.")
    if bad.mean() > MOST_BAD:
        raise LensvitError(
            f"{holes.mean():.0%} of the pixels lie far below the sky at the image's edge; is it a negative, or not an "
            "image of the sky? Give one on which light is positive"
        )
    _note_cores(data, bad, sky, notes)
    if bad.any():
        notes.append(f"{bad.sum()} of {bad.size} pixels do not count.")
    kernel, oversampling, psf_variance = _psf(file, given, scale, data.shape, notes)
    read = ObservedImage(
        data, np.where(bad, np.inf, variance), scale, kernel, oversampling, psf_variance, (column, row),
        exposure_time=None if "EXPOSURE" in file.arrays else per_second,
        sky=None if file.wcs is None else _sky(file.wcs, column + (side - 1) / 2, row + (side - 1) / 2),
    )  # fmt: skip
    return read, notes


def _note_cores(data: np.ndarray, bad: np.ndarray, sky: float, notes: list[str]) -> None:
    """Say whether the cores of bright sources are saturated or do not count."""
    highest = data[~bad].max()
    top = (data == highest) & ~bad
    if top.sum() >= SATURATED and highest - sky > FAR_ABOVE * edge_noise(data, bad):
        notes.append(
            f"{top.sum()} pixels all have the largest value, as where a detector is saturated: fluxes of such images "
            "of the quasar are too low, and the PSF does not explain them."
        )
    beside = ndimage.binary_dilation(bad) & ~bad
    if beside.any() and data[beside].max() - sky > (highest - sky) / 2:
        notes.append(
            "Pixels that do not count lie in the brightest places: an image of the quasar without its core is placed "
            "by its wings alone, and one of which they hide more than about a PSF's width is not found."
        )


def _sky(wcs: WCS, x: float, y: float) -> Sky | None:
    """Where a column and a row, counted from 0, lie on the sky, and where the north is there; None off the sky."""
    try:
        middle, right, above = wcs.celestial.pixel_to_world([x, x + 1, x], [y, y, y + 1]).icrs
        steps = [[float(step.arcsec) for step in middle.spherical_offsets_to(near)] for near in (right, above)]
    except Exception:  # astropy and its libraries report frames and projections that cannot be with many classes
        return None
    eastward = np.array(steps).T  # from columns and rows to east and north [arcsec]
    if not np.isfinite(eastward).all() or np.linalg.det(eastward) == 0:
        return None
    along, up = np.linalg.solve(eastward, [0.0, 1.0])  # of the north
    north = float(np.degrees(np.arctan2(-along, up)))
    return Sky(float(middle.ra.deg), float(middle.dec.deg), north, bool(np.linalg.det(eastward) > 0))


def _pixel_scale(file: _File, given: Given, notes: list[str]) -> float:
    """Side of a pixel [arcsec], from the user, the header or the WCS, which must agree."""
    known = list[tuple[str, float]]()
    if given.pixel_scale is not None:
        known.append(("--pixel-scale", given.pixel_scale))
    written = _first_number(file.header, SCALE_KEYS)
    if written is not None and written[1] > 0:
        known.append(written)
    matrix = file.header.get("MATRIX")
    if isinstance(matrix, np.ndarray):
        known.append(("transform_pix2angle", _of_matrix(matrix)))
    if file.wcs is not None:
        sides = np.array(proj_plane_pixel_scales(file.wcs.celestial)) * 3600
        cosine = _axes_cosine(file.wcs)
        if abs(sides[0] - sides[1]) > ANISOTROPY * sides.mean() or abs(cosine) > SHEAR:
            raise LensvitError(
                f"the WCS has pixels of {sides[0]:.4g} by {sides[1]:.4g} arcsec, or axes that are not at right angles; "
                "resample the image to square pixels"
            )
        known.append(("the WCS", float(sides.mean())))
    if not known:
        raise LensvitError("no pixel scale is in the header (PIXSCALE, or a WCS); give --pixel-scale [arcsec]")
    (source, scale), *others = known
    for name, other in others:
        if abs(other - scale) > ANISOTROPY * scale:
            raise LensvitError(
                f"{source} says {scale:.5g} arcsec a pixel, and {name} {other:.5g}; correct one of them in the file, "
                "or cut it from the header"
            )
    if not FINEST <= scale <= COARSEST:
        raise LensvitError(
            f"a pixel scale of {scale:g} arcsec is not between {FINEST:g} and {COARSEST:g}; is it in arcsec? Give "
            "--pixel-scale, and correct the header"
        )
    notes.append(f"Pixels are {scale:.5g} arcsec wide ({source}).")
    return scale


def _first_number(header: Mapping[str, object], keys: Sequence[str]) -> tuple[str, float] | None:
    """The first of some keywords that a header has as a number, or as text of one, and its value; None if none is."""
    for key in keys:
        value = header.get(key)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                return key, float(value)
            except ValueError:
                continue
    return None


def _of_matrix(matrix: np.ndarray) -> float:
    """Pixel scale [arcsec] of a matrix from pixels to angles."""
    sides = np.hypot(*matrix)
    cosine = (matrix[:, 0] @ matrix[:, 1]) / sides.prod()
    if abs(sides[0] - sides[1]) > ANISOTROPY * sides.mean() or abs(cosine) > SHEAR:
        raise LensvitError("transform_pix2angle has no square pixels; resample the image")
    return float(sides.mean())


def _axes_cosine(wcs: WCS) -> float:
    """Cosine of the angle between the axes of pixels on the sky."""
    matrix = wcs.celestial.pixel_scale_matrix
    return float((matrix[:, 0] @ matrix[:, 1]) / (np.linalg.norm(matrix[:, 0]) * np.linalg.norm(matrix[:, 1])))


def _exposure(file: _File, given: Given) -> float | None:
    """Exposure time [s]; None if nobody says it."""
    if given.exposure_time is not None:
        value, source = given.exposure_time, "--exposure-time"
    else:
        known = _first_number(file.header, EXPOSURE_KEYS)
        if known is None:
            return None
        source, value = known
    if not (np.isfinite(value) and value > 0):
        raise LensvitError(f"{source} is {value:g} s; an exposure time is positive: give --exposure-time [s]")
    return float(value)


def _unit(header: Mapping[str, object]) -> str:
    """The unit that a header says; nothing if it says none."""
    return next((str(header[key]).strip() for key in UNIT_KEYS if header.get(key)), "")


def _divisor(image: np.ndarray, file: _File, given: Given, notes: list[str]) -> tuple[float, float | None]:
    """What an image is divided by to be in counts/s, and the exposure time [s] if it is known."""
    exposure = _exposure(file, given)
    unit = given.unit or _unit(file.header)
    plain = unit.lower().replace(" ", "")
    if given.unit is not None and plain not in ("counts/s", "counts"):
        raise LensvitError(f"--unit {given.unit!r} is not known; give counts/s or counts")
    if plain and DETECTOR.match(plain):
        notes.append(f"The image is in {unit}: its noise is right if each of these is one electron (a gain of 1).")
    if COUNTS.fullmatch(plain):
        if exposure is None:
            raise LensvitError(
                f"the image is in {unit}, and no exposure time is in the header; give --exposure-time [s]"
            )
        notes.append(f"The image is in {unit} and was divided by the exposure time of {exposure:g} s.")
        return exposure, exposure
    if plain and not PER_SECOND.fullmatch(plain):
        raise LensvitError(
            f"the unit of the image is {unit!r} (BUNIT); only counts or electrons, or these per second, have the noise "
            "of counts: convert it, or give --unit counts/s or counts"
        )
    if given.unit is None and exposure not in (None, 1.0) and _whole(image) and np.ptp(image[np.isfinite(image)]) > 0:
        raise LensvitError(
            "all pixels are whole numbers, as counts are, and not "
            + (f"in {unit}" if plain else "counts per second, as which an image without BUNIT is taken")
            + ": give --unit counts, or counts/s if they are; divide an array by its exposure time"
        )
    if not plain:
        notes.append("The header has no BUNIT: the image is taken to be in counts per second.")
    return 1.0, exposure


def _place(given: Given, wcs: WCS | None) -> tuple[float, float] | None:
    """Row and column of the lens where a user says it, from 0."""
    if given.center is not None:
        return float(given.center[1]), float(given.center[0])
    if given.sky is None:
        return None
    if wcs is None:
        raise LensvitError("--sky needs an image with a WCS: give --center, column and row")
    try:
        column, row = wcs.celestial.world_to_pixel(SkyCoord(*given.sky, unit="deg"))
    except Exception as error:  # astropy reports positions off the sky, and off projections, with many classes
        raise LensvitError(f"--sky {given.sky[0]:g} {given.sky[1]:g}: {files.first_line(error)}") from error
    return float(row), float(column)


def _square(
    image: np.ndarray, bad: np.ndarray, given: Given, wcs: WCS | None, notes: list[str]
) -> tuple[int, int, int]:
    """First row and column and side of the square that is fitted: the whole image, or one around its light."""
    rows, columns = image.shape
    side = min(rows, columns) if given.size is None else given.size
    if not SMALLEST <= side <= min(rows, columns):
        raise LensvitError(
            f"the image has {columns} x {rows} pixels, and a square of {side} is not possible; {SMALLEST} pixels a "
            "side are the least"
        )
    if side > LARGEST:
        raise LensvitError(
            f"the image has {columns} x {rows} pixels; give --size of {LARGEST} or less, for the square that is "
            "fitted, and --center if something is brighter than the lens"
        )
    place = _place(given, wcs)
    if place is not None and not (-0.5 <= place[0] < rows - 0.5 and -0.5 <= place[1] < columns - 0.5):
        raise LensvitError(
            f"the lens is said to be at column {place[1]:.1f} and row {place[0]:.1f} (from 0), outside of the image of "
            f"{columns} x {rows} pixels"
        )
    if rows == columns == side:
        return 0, 0, side
    light = np.where(bad, 0.0, image - np.median(image[~bad]) if (~bad).any() else 0.0)
    weight = ndimage.gaussian_filter(light, 3.0).clip(0) ** 2
    row, column = ndimage.center_of_mass(weight) if weight.any() else ((rows - 1) / 2, (columns - 1) / 2)
    row, column = place or (row, column)
    first = [
        int(np.clip(round(middle - (side - 1) / 2), 0, length - side))
        for middle, length in ((row, rows), (column, columns))
    ]
    notes.append(
        f"Of {columns} x {rows} pixels a square of {side} is fitted, from column {first[1]} and row {first[0]} "
        "on (from 0)."
    )
    return first[0], first[1], side


def _companion(path: Path | None, file: _File, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """A further array of the image's shape, from a file of its own or from the image's; None if there is none."""
    if path is not None:
        found = _read(Path(path))
        array, name = found.image, str(path)
    elif key in file.arrays:
        array, name = file.arrays[key], f"extension {key}"
    else:
        return None
    if array.shape != tuple(shape):
        raise LensvitError(f"{name} has {array.shape[::-1]} pixels and the image {tuple(shape)[::-1]}; they must agree")
    return array


def _variance(
    data: np.ndarray,
    bad: np.ndarray,
    file: _File,
    given: Given,
    cut: tuple[slice, slice],
    exposure: float | None,
    divisor: float,
    notes: list[str],
) -> np.ndarray:
    """Variance of the noise (n, n), and what the edge of the image says of it."""
    measured = edge_noise(data, bad)
    quoted: float | None
    sigma = _companion(given.noise, file, "SIGMA", file.image.shape)
    option = "--background-rms [counts/s per pixel]"
    if sigma is not None:
        option = "--noise, the standard deviation in the unit of the image"
        header = file.headers.get("SIGMA", {}) if given.noise is None else _read(Path(given.noise)).header
        own = _unit(header).lower().replace(" ", "")
        if own and PER_SECOND.fullmatch(own):
            divisor = 1.0
        elif own and COUNTS.fullmatch(own) and exposure is not None and given.unit is None:
            divisor = exposure
        sigma = sigma[cut] / divisor
        wrong = ~bad & ~(np.isfinite(sigma) & (sigma > 0))
        if wrong.any():
            raise LensvitError(
                f"{wrong.sum()} pixels have a noise of 0, below, or none; give --mask with a 0 where a pixel does "
                "not count"
            )
        variance = np.where(bad, 1.0, sigma) ** 2
        edge = _edge(data.shape) & ~bad
        quoted = float(np.sqrt(np.median(variance[edge])))
    else:
        times = _companion(None, file, "EXPOSURE", file.image.shape)
        if times is None and exposure is None:
            raise LensvitError("no exposure time is in the header (EXPTIME); give --exposure-time [s], or --noise")
        share = np.full(data.shape, exposure) if times is None else times[cut]
        if not (share[~bad] > 0).all():
            raise LensvitError("the map of exposure times has pixels of 0 or below; give --mask with a 0 there")
        found = _first_number(file.header, BACKGROUND_KEYS)
        said = None if found is None else found[1]
        quoted = said if given.background_rms is None else given.background_rms
        if quoted is not None and not (np.isfinite(quoted) and quoted > 0):
            raise LensvitError(f"a background rms of {quoted:g} is not possible; give --background-rms above 0")
        unknown = given.unit is None and not _unit(file.header)
        if unknown and (quoted is None or not _alike(measured, quoted)):
            raise LensvitError(
                "the header has no BUNIT, on which the noise depends; give --unit counts or counts/s, or --noise"
            )
        if quoted is None:
            notes.append(f"The background rms was measured at the image's edge: {measured:.4g} counts/s a pixel.")
        floor = measured if quoted is None else quoted
        variance = floor**2 + np.where(bad, 0.0, data.clip(0) / np.where(share > 0, share, 1.0))
    if quoted is not None and measured > 0:
        _compare(measured, quoted, option, notes)
    if not (variance[~bad] > 0).all() or (quoted is None and measured == 0):
        raise LensvitError("pixels at the image's edge do not scatter, and no noise is given; give --background-rms")
    if quoted is not None and measured > LOUD * quoted:
        notes.append(
            f"At the image's edge pixels scatter by {measured:.4g} counts/s, and the given noise is {quoted:.4g}: the "
            "difference was added to the noise."
        )
        variance = variance + (measured**2 - quoted**2)
    return variance


def _alike(measured: float, quoted: float) -> bool:
    """Whether a noise that is given may be that of an image which scatters so much at its edge."""
    return 1 / TOO_QUIET <= measured / quoted <= TOO_LOUD


def _compare(measured: float, quoted: float, option: str, notes: list[str]) -> None:
    """Hold the noise that is given against the one at the image's edge [counts/s per pixel]."""
    if not _alike(measured, quoted):
        raise LensvitError(
            f"pixels at the image's edge scatter by {measured:.3g} counts/s, and the given noise there is "
            f"{quoted:.3g}; is it a variance, a weight or in another unit? Give {option}"
        )
    if quoted > QUIET * measured:
        notes.append(
            f"At the image's edge pixels scatter by {measured:.4g} counts/s only, and the given noise is {quoted:.4g}: "
            "if they are not correlated, the noise is too large."
        )


def _edge(shape: tuple[int, ...]) -> np.ndarray:
    """The pixels (n, n) at the edge of an image."""
    width, result = max(3, round(EDGE * shape[0])), np.ones(shape, dtype=bool)
    result[width:-width, width:-width] = False
    return result


def edge_noise(data: np.ndarray, bad: np.ndarray) -> float:
    """Standard deviation of the pixels at the edge of an image (n, n), by differences of those next to each other.

    Differences leave out the light of galaxies, which changes slowly; the median leaves out stars. Pixels of drizzled
    images are correlated, by which the result is too small: it is a lower limit of the noise.
    """
    edge = _edge(data.shape) & ~bad
    pairs = [np.diff(np.where(edge, data, np.nan), axis=axis).ravel() for axis in (0, 1)]
    steps = np.concatenate(pairs)
    steps = steps[np.isfinite(steps)]
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2)) if len(steps) else 0.0


def _psf(
    file: _File, given: Given, scale: float, shape: tuple[int, ...], notes: list[str]
) -> tuple[np.ndarray, int, np.ndarray | None]:
    """The PSF (k, k), its oversampling, and its variance (m, m) if it is known."""
    header: Mapping[str, object] = {}
    variance = file.arrays.get("PSFVAR")
    if given.psf is not None:
        found = _read(Path(given.psf))
        kernel, header, name = _kernel(found), _kernel_header(found), str(given.psf)
        variance = found.arrays.get("PSFVAR", variance)
    elif "PSF" in file.arrays:
        kernel, name, header = file.arrays["PSF"], "the extension PSF", file.headers.get("PSF", {})
    else:
        raise LensvitError("no PSF: give --psf, a FITS or HDF5 file, or add an extension PSF")
    if given.psf_variance is not None:
        variance = _read(Path(given.psf_variance)).image
    if given.psf_oversampling < 1:
        raise LensvitError(f"--psf-oversampling {given.psf_oversampling}: it is 1 or more")
    own = _first_number(header, SCALE_KEYS)
    if own is not None and abs(own[1] * given.psf_oversampling - scale) > ANISOTROPY * 2 * scale:
        ratio = scale / own[1]
        raise LensvitError(
            f"the pixels of the PSF ({name}) are {own[1]:.5g} arcsec wide, those of the image {scale:.5g}: give "
            f"--psf-oversampling {ratio:.0f}"
            + ("" if abs(ratio - round(ratio)) < 0.02 else ", after resampling the PSF")
        )
    kernel = prepared_psf(kernel, given.psf_oversampling, name, notes)
    if len(kernel) / given.psf_oversampling > 2 * shape[0]:
        notes.append("The PSF is more than twice as large as the image; what lies outside does not count.")
    return kernel, given.psf_oversampling, None if variance is None else _prepared_variance(variance, name)


def _kernel(file: _File) -> np.ndarray:
    """The PSF (k, k) of a file: its extension PSF, or its image."""
    return file.arrays.get("PSF", file.image)


def _kernel_header(file: _File) -> Mapping[str, object]:
    """The keywords of the PSF of a file, which stand before those of its image."""
    return {**file.header, **file.headers.get("PSF", {})}


def read_psf(path: Path) -> tuple[np.ndarray, float | None]:
    """A PSF (k, k) as its file has it, and the side of its pixels [arcsec], None if the header does not say it.

    Raises
    ------
    LensvitError
        If the file cannot be read.
    """
    found = _read(Path(path))
    scale = _first_number(_kernel_header(found), SCALE_KEYS)
    return _kernel(found), None if scale is None else scale[1]


def prepared_psf(kernel: np.ndarray, oversampling: int, name: str, notes: list[str]) -> np.ndarray:
    """A PSF (k, k) as fits need it: odd, centred, not negative, falling to 0 at its border, of sum 1.

    A kernel of an even side gets a row and a column of 0 on the sides that bring its peak into the middle. A star
    that is more than 0.3 pixels off it is moved there by a cubic spline. A smaller distance moves the whole scene, and
    nothing within it.

    Parameters
    ----------
    kernel
        The PSF as it was given.
    oversampling
        Its pixels along the side of a pixel of the image.
    name
        Where it is from, for messages.
    notes
        Sentences to which those on changes are added.

    Raises
    ------
    LensvitError
        If it is no PSF.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise LensvitError(f"the PSF ({name}) has {kernel.shape[::-1]} pixels; cut out a square around the star")
    if len(kernel) < 9:
        raise LensvitError(f"the PSF ({name}) has {len(kernel)} pixels a side; 9 are the least")
    if not np.isfinite(kernel).all():
        raise LensvitError(f"the PSF ({name}) has pixels that are NaN or infinite; fill them in first")
    peak = float(kernel.max())
    if not peak > 0:
        raise LensvitError(f"no pixel of the PSF ({name}) is above 0")
    negative = float(-kernel.clip(None, 0).sum() / kernel.clip(0).sum())
    if negative > 0.05:
        raise LensvitError(f"negative pixels of the PSF ({name}) sum to {negative:.0%} of its light; 5% are the most")
    row, column = np.unravel_index(kernel.argmax(), kernel.shape)
    middle = (len(kernel) - 1) / 2
    if max(abs(row - middle), abs(column - middle)) > 1.5 * oversampling + 0.5:
        raise LensvitError(
            f"the brightest pixel of the PSF ({name}) is ({column}, {row}) from 0, far from its middle; crop it "
            "around the star"
        )
    share, falls = _pedestal(kernel)
    if share > PEDESTAL and falls < FALLS:
        raise LensvitError(
            f"the PSF ({name}) does not fall towards its border: {share:.0%} of its light is a constant; subtract the "
            "sky around the star"
        )
    clean = kernel.clip(0)
    if len(clean) % 2 == 0:
        first = [side - np.floor(middle) < 1 for side in (row, column)]  # whether the star lies before the middle
        clean = np.pad(clean, [(1, 0) if before else (0, 1) for before in first])
        notes.append(f"The PSF has an even side of {len(kernel)} pixels and got one more, with its peak in the middle.")
    x, y = kernels.centroid(clean)
    if np.hypot(x, y) > OFF_CENTRE:
        if np.hypot(x, y) > 1.5 * oversampling:
            raise LensvitError(f"the star of the PSF ({name}) is ({x:+.2f}, {y:+.2f}) pixels off its middle; centre it")
        clean = ndimage.shift(clean, (-y, -x), order=3, mode="constant").clip(0)
        notes.append(f"The PSF was moved by ({-x:+.2f}, {-y:+.2f}) of its pixels, so that its core lies in the middle.")
    result = clean * kernels.window(len(clean))
    return result / result.sum()


def _pedestal(kernel: np.ndarray) -> tuple[float, float]:
    """Share of a PSF's light (k, k) that is a constant of its border's height, and how much it falls to there."""
    axis = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    radius = np.hypot(axis, axis[:, None]) / axis[-1]
    border, within = (
        float(np.median(kernel[(low <= radius) & (radius <= high)])) for low, high in ((0.88, 1.0), (0.6, 0.72))
    )
    return border * np.pi * axis[-1] ** 2 / float(kernel.sum()), within / border if border > 0 else np.inf


def _prepared_variance(variance: np.ndarray, name: str) -> np.ndarray:
    """The variance (m, m) of a PSF, with a border of 0."""
    if variance.ndim != 2 or variance.shape[0] != variance.shape[1] or len(variance) % 2 == 0:
        raise LensvitError(f"the PSF's variance ({name}) has {variance.shape[::-1]} pixels; it must be square and odd")
    if not (np.isfinite(variance).all() and (variance >= 0).all()):
        raise LensvitError(f"the PSF's variance ({name}) has pixels that are negative, NaN or infinite")
    return np.pad(variance, 1)
