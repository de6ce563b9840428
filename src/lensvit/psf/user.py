"""PSFs of users in FITS files, which are checked, cleaned and brought to the form of all kernels.

lenstronomy takes NaN, an off-centre star and an even grid (which it resamples) without a word. Here each is an error
that says what to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.psf import kernel as kernels
from lensvit.psf.kernel import Cards, Kernel

SMALLEST, LARGEST = 11, 1001  # side of the kernel [pixel]
OFF_CENTRE = 0.2  # largest offset of the centroid [pixel]
SCALE_KEYS = ("PIXSCALE", "PIXELSCL")  # where Tiny Tim and WebbPSF write the pixel scale [arcsec]
SCALE_TOLERANCE = 0.01 * (1 + 1e-9)  # relative difference of pixel scales; 0.0495 for 0.05 passes
DEEPEST_NEGATIVE = 0.02  # largest depth of a negative pixel as a share of the peak, after background subtraction
NEGATIVE_SUM = 0.05  # largest negative sum as a share of the positive sum


def load_user_kernel(
    path: Path,
    pixel_scale: float,
    extension: int | str = 0,
    file_pixel_scale: float | None = None,
) -> tuple[Kernel, Cards]:
    """Read a user's PSF at the detector's own sampling.

    The background is the median of the pixels outside the largest circle that fits in the square. It is subtracted,
    small negative pixels that remain are set to 0, the border is tapered, which removes those corners altogether, and
    the sum is made 1.

    Parameters
    ----------
    path
        The FITS file.
    pixel_scale
        Pixel scale of the instrument [arcsec].
    extension
        Number or name of the image in the file.
    file_pixel_scale
        Pixel scale of the image where neither its header nor that of a primary unit without an image has it [arcsec].

    Returns
    -------
    tuple[Kernel, Cards]
        The kernel, whose ``enclosed`` is the share of the file's own light (above the background) that the taper
        leaves, and header cards on its origin.

    Raises
    ------
    LensvitError
        If the file cannot be used; the message says what was found, what is allowed and what to do.
    """
    image, header, primary, scaled = _open(Path(path), extension)
    with _naming(path):
        _check_image(image)
        _check_scale(scaled, pixel_scale, file_pixel_scale)
        return _cleaned(image, pixel_scale, Path(path), header, primary)


def load_library_kernel(
    path: Path,
    pixel_scale: float,
    extension: int | str = 0,
    file_pixel_scale: float | None = None,
    oversampling: int = 1,
    mix: int = 3,
    seed: int = 1,
) -> tuple[Kernel, Cards]:
    """A random mix of the kernels of a library, at the detector's own sampling.

    Parameters
    ----------
    path
        The FITS file, whose image is a cube (n, k, k) of effective PSFs: the response of a pixel is in them, as in
        STScI's empirical libraries.
    pixel_scale
        Pixel scale of the instrument [arcsec].
    extension
        Number or name of the cube in the file.
    file_pixel_scale
        Side of the cube's pixels [arcsec], where its header does not have it; that of the camera over the
        oversampling by default.
    oversampling
        Pixels of the cube along the side of a pixel of the camera; of the mix every so many-th is taken.
    mix
        How many kernels are mixed; all of them where there are fewer.
    seed
        Seed of the choice, and of the weights, which are uniform among all of sum 1.

    Returns
    -------
    tuple[Kernel, Cards]
        As of :func:`load_user_kernel`.

    Raises
    ------
    LensvitError
        If the file cannot be used.
    """
    cube, header, primary, scaled = _open(Path(path), extension)
    with _naming(path):
        if cube.ndim != 3 or cube.shape[1] != cube.shape[2]:
            shape = " x ".join(str(side) for side in cube.shape)
            raise LensvitError(f"the image is {shape} pixels; a library is a cube of square kernels")
        if cube.shape[1] % 2 == 0:
            raise LensvitError(
                f"the kernels have a side of {cube.shape[1]} pixels; it must be odd: cut off one row and column"
            )
        fine = pixel_scale / oversampling
        _check_scale(scaled, fine, fine if file_pixel_scale is None else file_pixel_scale)
        random = np.random.default_rng(seed)
        chosen = np.sort(random.choice(len(cube), min(mix, len(cube)), replace=False))
        bad = int((~np.isfinite(cube[chosen])).sum())
        if bad:
            raise LensvitError(f"{bad} pixels of the kernels are NaN or infinite; fill them in (interpolate) first")
        sums = cube[chosen].sum((1, 2))
        if not (sums > 0).all():
            raise LensvitError("a kernel of the library has no light; is this the right `extension`?")
        weights = random.dirichlet(np.ones(len(chosen))) / sums
        first = (cube.shape[1] // 2) % oversampling
        image = np.tensordot(weights, cube[chosen], 1)[first::oversampling, first::oversampling]
        _check_image(image)
        kernel, cards = _cleaned(image, pixel_scale, Path(path), header, primary)
    members = " ".join(map(str, chosen.tolist()))
    return kernel, {**cards, "MEMBERS": (members, "kernels of the library that are mixed, from 0")}


def _cleaned(
    image: np.ndarray, pixel_scale: float, path: Path, header: fits.Header, primary: fits.Header
) -> tuple[Kernel, Cards]:
    """The kernel of an image (k, k) and header cards on its origin."""
    image, background = subtract_background(image)
    _check_centre(image)
    clean, clipped = _clip(image)
    native = clean * kernels.window(len(clean))
    enclosed = float(native.sum() / clean.sum())
    cards = {
        "SOURCE": (Path(path).name.encode("ascii", "backslashreplace").decode(), "file of origin"),
        "SRCSHA": (files.sha256(path), ""),
        "BACKGRND": (background, "subtracted from the file's pixels"),
        "CLIPPED": (clipped, "negative sum set to 0, share of the positive"),
    }
    for key in ("TELESCOP", "INSTRUME", "FILTER"):
        value = header.get(key, primary.get(key))
        if isinstance(value, str):
            cards[key] = (value, "as in the file of origin")
    for key, origin in (("EXTENSN", "EXTNAME"), ("UNIT", "BUNIT")):
        if isinstance(header.get(origin), str):
            cards[key] = (header[origin], f"{origin} in the file of origin")
    return Kernel(native / native.sum(), pixel_scale, enclosed), cards


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before the message of an error."""
    try:
        yield
    except LensvitError as error:
        raise LensvitError(f"PSF {path}: {error}") from error


def _open(path: Path, extension: int | str) -> tuple[np.ndarray, fits.Header, fits.Header, dict[str, fits.Header]]:
    """Of a FITS file: an extension's image, its header, the primary header, and where the pixel scale may be.

    This is a mapping from names to headers: the extension's, and the primary one unless it has an image of its own,
    whose pixel scale it would give.
    """
    images: list[str] = []
    try:
        with (
            warnings.catch_warnings(action="ignore", category=AstropyWarning),
            fits.open(path, memmap=False, ignore_missing_simple=True) as units,
        ):
            images = [f"{i} {unit.name}".strip() for i, unit in enumerate(units) if _has_image(unit)]
            unit = units[extension]
            if not _has_image(unit):
                raise KeyError(extension)
            header, primary = unit.header.copy(), units[0].header.copy()
            scaled = {"header": header} if _has_image(units[0]) else {"header": header, "primary header": primary}
            return np.array(unit.data, dtype=float), header, primary, scaled
    except FileNotFoundError as error:
        raise LensvitError(
            f"PSF {path}: there is no such file; give `path` as an absolute path, or relative to the folder "
            "in which you start"
        ) from error
    except (KeyError, IndexError) as error:
        raise LensvitError(
            f"PSF {path}: extension {extension!r} holds no image; set `extension` to one of: "
            f"{', '.join(images) or 'none, the file has no images'}"
        ) from error
    except Exception as error:  # astropy reports damage with many classes
        if files.trouble(error) is not None:
            raise LensvitError(f"PSF {path}: {files.trouble(error)}") from error
        raise LensvitError(
            f"PSF {path}: cannot be read as FITS, or is damaged ({files.first_line(error)}); check it with `fitsinfo`, "
            "or copy it again"
        ) from error


def open_image(path: Path, what: str) -> np.ndarray:
    """The first image of a FITS file, float64.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for messages.

    Raises
    ------
    LensvitError
        If it is absent, damaged or without an image.
    """
    with (
        files.reading(path, what),
        warnings.catch_warnings(action="ignore", category=AstropyWarning),
        fits.open(path, memmap=False, ignore_missing_simple=True) as units,
    ):
        for unit in units:
            if _has_image(unit):
                return np.array(unit.data, dtype=float)
        raise ValueError("no extension holds an image")


def _has_image(unit: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU) -> bool:
    return unit.is_image and bool(unit.shape)


def _check_image(image: np.ndarray) -> None:
    """Raise LensvitError for an image that is not square, odd, of a suitable size and finite."""
    shape = " x ".join(str(side) for side in image.shape)
    if image.ndim != 2 or image.shape[0] != image.shape[1]:
        raise LensvitError(f"the image is {shape} pixels; cut out a square, 2-D image around the star")
    if len(image) % 2 == 0:
        raise LensvitError(
            f"the image is {shape} pixels; the side must be odd, with the star in the central pixel: "
            "resample it, or cut off one row and column where the star is on a pixel's centre"
        )
    if not SMALLEST <= len(image) <= LARGEST:
        raise LensvitError(f"the image is {shape} pixels; the side must be {SMALLEST} to {LARGEST}: crop or pad it")
    bad = int((~np.isfinite(image)).sum())
    if bad:
        raise LensvitError(f"{bad} of {image.size} pixels are NaN or infinite; fill them in (interpolate) first")


def _check_scale(headers: Mapping[str, fits.Header], expected: float, given: float | None) -> None:
    """Raise LensvitError unless the pixel scale is the expected one [arcsec].

    It is that of the first header that has one, or else the one given, which must not contradict a header.
    """
    known = ((f"the {name}", header_pixel_scale(header)) for name, header in headers.items())
    source, scale = next((pair for pair in known if pair[1] is not None), ("`file_pixel_scale`", given))
    if scale is None:
        raise LensvitError(
            f"no pixel scale is in {' or '.join(f'the {name}' for name in headers)} (PIXSCALE or PIXELSCL in arcsec, "
            "or a WCS); set `file_pixel_scale` [arcsec] for this PSF in the config"
        )
    if given is not None and abs(scale - given) > SCALE_TOLERANCE * given:
        raise LensvitError(
            f"{source} says {scale:.6g} arcsec a pixel, `file_pixel_scale` says {given:.6g}; "
            "correct one, or leave `file_pixel_scale` out"
        )
    if abs(scale - expected) > SCALE_TOLERANCE * expected:
        raise LensvitError(
            f"{source} says {scale:.6g} arcsec a pixel, the instrument's pixels are {expected:.6g}; they must agree "
            "within 1%: resample the PSF, or set the instrument's `pixel_scale`"
        )


def header_pixel_scale(header: fits.Header) -> float | None:
    """Pixel scale [arcsec] from PIXSCALE or PIXELSCL, or else from the celestial WCS; None where there is neither."""
    for key in SCALE_KEYS:
        if isinstance(header.get(key), int | float) and header[key] > 0:
            return float(header[key])
    try:
        with warnings.catch_warnings(action="ignore"):
            wcs = WCS(header, naxis=2)
    except ValueError:
        return None
    if not wcs.has_celestial:
        return None
    return float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs.celestial))) * 3600)


def subtract_background(image: np.ndarray) -> tuple[np.ndarray, float]:
    """An image (n, n) less its background, and the background, which is the median outside the inscribed circle."""
    offset = np.arange(len(image)) - len(image) // 2
    background = float(np.median(image[np.hypot(offset[:, None], offset) > len(image) // 2]))
    return image - background, background


def _check_centre(image: np.ndarray) -> None:
    """Raise LensvitError unless the star is in the central pixel, near its centre."""
    middle = len(image) // 2
    row, column = (int(index) for index in np.unravel_index(image.argmax(), image.shape))
    if image.max() <= 0:
        raise LensvitError("no pixel is brighter than the background; is this the right `extension`?")
    if (row, column) != (middle, middle):
        raise LensvitError(
            f"the brightest pixel is ({column}, {row}) from 0, the central one ({middle}, {middle}); "
            "shift or crop the image so that the star is in the centre"
        )
    x, y = kernels.centroid(image)
    if np.hypot(x, y) > OFF_CENTRE:
        raise LensvitError(
            f"the star is ({x:+.2f}, {y:+.2f}) pixels off the centre of the central pixel; at most "
            f"{OFF_CENTRE} is allowed: shift it by interpolation"
        )


def _clip(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The image with negative pixels set to 0, and their sum as a share of the positive sum."""
    clean = np.clip(image, 0, None)
    clipped = float((clean - image).sum() / clean.sum())
    depth = float(-image.min() / image.max())
    if depth > DEEPEST_NEGATIVE or clipped > NEGATIVE_SUM:
        raise LensvitError(
            f"negative pixels reach {depth:.1%} of the peak and sum to {clipped:.1%} of the light "
            f"(allowed: {DEEPEST_NEGATIVE:.0%} and {NEGATIVE_SUM:.0%}) after the background of the corners "
            "is subtracted; remove artefacts, average more stars, or crop the noisy outskirts"
        )
    return clean, max(clipped, 0.0)
