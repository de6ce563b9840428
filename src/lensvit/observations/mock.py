"""Mock observations: lensed quasars drawn from the priors of surveys, as a camera would have seen them.

They are what fits are tried on before they meet real images, with a PSF and noise of one's own
(:mod:`lensvit.observations.trial`). The mass, the shapes and the places follow
:data:`lensvit.observations.survey.SURVEY`. Magnitudes, backgrounds and exposure times span those of HST's images of
lensed quasars in F814W.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from astropy.io import fits

from lensvit.errors import LensvitError
from lensvit.inference.following import solve_quasar_images
from lensvit.io import files
from lensvit.jobs.seeds import derive
from lensvit.lensing.brightness import counts, sersic_flux
from lensvit.lensing.exposure import Cusp, Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import BULGE_INDEX, FLATTEST, LENS_SHAPE, LOGARITHMS, SOURCE_SHAPE, Structure
from lensvit.observations.cosmography import expected_delays
from lensvit.observations.observation import ObservedImage
from lensvit.observations.reading import ANISOTROPY, prepared_psf, read_psf
from lensvit.observations.survey import CENTER_ERROR, POSITION_ERROR, survey_priors
from lensvit.parameters import NAMES, Prior, normal
from lensvit.psf import hst, kernel

PIXELS, PIXEL_SCALE = 99, 0.05  # of a mock image; HST's camera ACS [arcsec]
COARSEST = 0.2  # pixel for which HST's PSF is computed [arcsec]
ZERO_POINT = 25.12  # AB magnitude of 1 count/s, about that of HST's F814W
QUASAR, LENS, HOST = (20.0, 23.5), (17.5, 21.0), (21.5, 24.5)  # magnitudes; of quasar and host without lensing
BULGE = 0.05, 0.3  # share of a host's light that its bulge has
MICROLENSING = 0.3  # standard deviation of the log of an image's flux about its magnification
EXPOSURE_TIME = 1300.0, 5200.0  # [s]
BACKGROUND = 0.003, 0.012  # standard deviation of its noise [counts/s per pixel]
SKY = 0.002  # standard deviation of the constant that is left of the sky [counts/s per pixel]
THETA_E = 0.5, 2.0  # of the lenses that a survey resolves and a cutout holds [arcsec]
APART = 3.0  # least distance of two images of the quasar [FWHM of the PSF]
INSIDE = 0.4  # farthest image of the quasar, in units of the side of the cutout
OFF_MIDDLE = 2.0  # farthest distance of the lens galaxy from the middle of the image, along each axis [pixel]
SHAPES = 20.0  # largest size of a galaxy, in units of the Einstein radius
BATCH, TRIES = 200, 30  # lenses that are drawn at once, and how often, until one has the images that are asked for
DESPACE, SPECTRAL_INDEX = 2.0, -0.5  # of the PSF where none is given, see lensvit.psf.hst
EVERYWHERE = 3  # samples of the galaxies' light along a pixel; more than a fit has
CUSPS, SAMPLES = 0.3, 9  # radius around the quasar's images within which there are more [arcsec], and how many


class Camera(NamedTuple):
    """What takes the images.

    Parameters
    ----------
    kernel
        The PSF (k, k) on pixels, k being odd.
    pixel_scale
        Side of a pixel [arcsec].
    pixels
        Side of an image [pixel].
    exposure_time
        Least and largest exposure time [s].
    background_rms
        Least and largest standard deviation of the background [counts/s per pixel].
    """

    kernel: np.ndarray
    pixel_scale: float = PIXEL_SCALE
    pixels: int = PIXELS
    exposure_time: tuple[float, float] = EXPOSURE_TIME
    background_rms: tuple[float, float] = BACKGROUND


class Mock(NamedTuple):
    """A lens and the image of it.

    Parameters
    ----------
    image
        The image, its noise and its PSF.
    clean
        The same without noise (n, n) [counts/s per pixel].
    truth
        Parameters by name, sizes and indices themselves.
    positions
        Where the quasar's images are (M, 2) [arcsec].
    magnification
        Their magnifications by the lens (M,).
    fluxes
        Their fluxes (M,) [counts/s].
    exposure_time
        [s].
    background_rms
        [counts/s per pixel].
    """

    image: ObservedImage
    clean: np.ndarray
    truth: dict[str, float]
    positions: np.ndarray
    magnification: np.ndarray
    fluxes: np.ndarray
    exposure_time: float
    background_rms: float


def hst_kernel(pixel_scale: float, pixels: int = 61) -> np.ndarray:
    """HST's PSF in F814W (k, k) on pixels of some side [arcsec]."""
    fine = hst.light(SPECTRAL_INDEX, DESPACE, pixel_scale / kernel.OVERSAMPLING, pixels * kernel.OVERSAMPLING)
    return kernel.from_supersampled(fine, pixel_scale).native


def draw_mock(camera: Camera, images: int, seed: int, priors: dict[str, Prior] | None = None) -> Mock:
    """Draw a lensed quasar with some number of images, and its image.

    Parameters
    ----------
    camera
        What takes it.
    images
        How many images of the quasar it has: 2 or 4.
    seed
        Seed of everything.
    priors
        Priors that stand instead of those of surveys, by parameter.

    Raises
    ------
    LensvitError
        If next to no lens of these priors has so many images that a cutout of this size holds, apart from each other.
    """
    random, structure = np.random.default_rng(seed), Structure()
    place = random.uniform(-OFF_MIDDLE, OFF_MIDDLE, 2) * camera.pixel_scale
    # the light is where a survey sees the lens, and the mass lies about it
    known = survey_priors(place, CENTER_ERROR, {}) | {
        f"light_{axis}": normal(float(at), 0.0) for axis, at in zip("xy", place, strict=True)
    }
    known |= priors or {}
    for _ in range(TRIES):
        drawn = {name: known[name].draws(random, BATCH) for name in structure.names}
        values = np.stack([drawn[name] for name in structure.names], 1)
        values = values[_possible(drawn, structure)]
        lenses = torch.as_tensor(values[:, : len(NAMES)])
        places, magnification, solved = solve_quasar_images(lenses, structure.most_images)
        for row in np.flatnonzero(solved.numpy()):
            present = magnification[row] != 0
            where = places[row][present].numpy()
            if int(present.sum()) == images and _resolved(where, camera):
                truth = dict(zip(structure.names, values[row].tolist(), strict=True))
                return _taken(camera, structure, truth, where, magnification[row][present].numpy(), random)
    raise LensvitError(
        f"among {TRIES * BATCH} lenses of these priors none has {images} images of its quasar that lie apart from each "
        "other inside the image: give larger --pixels or another --quasar-images"
    )


def _possible(drawn: dict[str, np.ndarray], structure: Structure) -> np.ndarray:
    """Which of n lenses can be computed, and fit into a cutout, (n,)."""
    size = drawn["theta_E"]
    result = (THETA_E[0] <= size) & (size <= THETA_E[1])
    for row in structure.table:
        natural = np.log(drawn[row.name]) if row.name in LOGARITHMS else drawn[row.name]
        result &= (row.low <= natural) & (natural <= row.high)
    for first, second in (("e1", "e2"), LENS_SHAPE[2:], SOURCE_SHAPE):
        result &= np.hypot(drawn[first], drawn[second]) < FLATTEST
    return result & (np.maximum(drawn["R_sersic"], drawn["source_R_sersic"]) < SHAPES * size)


def _resolved(positions: np.ndarray, camera: Camera) -> bool:
    """Whether images at positions (M, 2) are apart from each other, inside of a cutout."""
    apart = np.hypot(*(positions[:, None] - positions[None]).transpose(2, 0, 1))
    nearest = apart[~np.eye(len(positions), dtype=bool)].min()
    width = kernel.fwhm(camera.kernel, camera.pixel_scale)
    return bool(nearest > APART * width and np.abs(positions).max() < INSIDE * camera.pixels * camera.pixel_scale)


def _taken(
    camera: Camera,
    structure: Structure,
    truth: dict[str, float],
    positions: np.ndarray,
    magnification: np.ndarray,
    random: np.random.Generator,
) -> Mock:
    """The image of a lens."""
    galaxy, hosts = np.array([[truth["light_x"], truth["light_y"]]]), Cusp(positions, CUSPS, SAMPLES)
    exposure = Exposure(
        camera.pixels, camera.pixel_scale, camera.kernel, supersampling=EVERYWHERE, cusps=(hosts,), nuclei=galaxy
    )
    parts = Parts([exposure], structure)
    row = [np.log(truth[name]) if name in LOGARITHMS else truth[name] for name in structure.names]
    where = np.zeros((structure.most_images, 2))
    bright = np.zeros(structure.most_images)
    moved = positions + POSITION_ERROR * random.standard_normal(positions.shape)
    where[: len(positions)], bright[: len(positions)] = moved, magnification
    [part] = parts.images(torch.tensor([row]).double(), torch.as_tensor(where)[None], torch.as_tensor(bright)[None])
    host, share = counts(random.uniform(*HOST), ZERO_POINT), random.uniform(*BULGE)
    fluxes = counts(random.uniform(*QUASAR), ZERO_POINT) * np.abs(magnification)
    fluxes = fluxes * np.exp(MICROLENSING * random.standard_normal(len(fluxes)))
    amplitudes = np.zeros(parts.count)
    light = {
        "lens": counts(random.uniform(*LENS), ZERO_POINT) / sersic_flux(truth["R_sersic"], truth["n_sersic"]),
        "source": (1 - share) * host / sersic_flux(truth["source_R_sersic"], truth["source_n_sersic"]),
        "bulge": share * host / sersic_flux(truth["bulge_R_sersic"], BULGE_INDEX),
    }
    amplitudes[parts.galaxies] = [light[name] for name in structure.galaxies]
    amplitudes[parts.quasars][: len(fluxes)] = fluxes
    amplitudes[parts.skies] = SKY * random.standard_normal()
    clean = (amplitudes @ part.numpy()).reshape(camera.pixels, camera.pixels)
    time, background = (
        float(np.exp(random.uniform(*np.log(limits)))) for limits in (camera.exposure_time, camera.background_rms)
    )
    data = clean + np.sqrt(background**2 + clean.clip(0) / time) * random.standard_normal(clean.shape)
    variance = background**2 + data.clip(0) / time  # as an observer knows it
    image = ObservedImage(data, variance, camera.pixel_scale, camera.kernel, exposure_time=time)
    return Mock(image, clean, truth, moved, magnification, fluxes, time, background)


def write_mock(mock: Mock, path: Path) -> Path:
    """Write a mock as a FITS file that ``lensvit fit`` reads: the image, its PSF, and the truth as tables.

    Parameters
    ----------
    mock
        The mock.
    path
        Where to.
    """
    primary = fits.PrimaryHDU(mock.image.data.astype(np.float32))
    for key, value, comment in (
        ("BUNIT", "counts/s", "unit of the pixels"),
        ("PIXSCALE", mock.image.pixel_scale, "side of a pixel [arcsec]"),
        ("EXPTIME", mock.exposure_time, "exposure time [s]"),
        ("BKGRMS", mock.background_rms, "standard deviation of the background [counts/s]"),
    ):
        primary.header[key] = (value, comment)
    truth = np.array(list(mock.truth.items()), dtype=[("parameter", "U20"), ("value", float)])
    seen = np.zeros(len(mock.fluxes), dtype=[(name, float) for name in ("x", "y", "magnification", "flux")])
    seen["x"], seen["y"] = mock.positions.T
    seen["magnification"], seen["flux"] = mock.magnification, mock.fluxes
    units = [
        primary,
        fits.ImageHDU(mock.image.kernel.astype(np.float32), name="PSF"),
        fits.BinTableHDU(truth, name="TRUTH"),
        fits.BinTableHDU(seen, name="IMAGES"),
    ]
    with files.atomic(path) as temporary:
        fits.HDUList(units).writeto(temporary, overwrite=True)
    return path


def camera_of(
    psf: Path | None,
    pixel_scale: float | None,
    pixels: int,
    exposure_time: float | None = None,
    background_rms: float | None = None,
) -> Camera:
    """The camera that options of the command line describe.

    Parameters
    ----------
    psf
        A file with its PSF; None for HST's.
    pixel_scale
        Side of a pixel [arcsec]; None for the PSF's own.
    pixels
        Side of an image [pixel].
    exposure_time
        Exposure time of all images [s]; None for those of HST's images of lensed quasars.
    background_rms
        The same for the standard deviation of the background [counts/s per pixel].

    Raises
    ------
    LensvitError
        If something is missing or impossible.
    """
    if pixels < 33:
        raise LensvitError(f"--pixels {pixels}: give 33 or more")
    for option, value in (
        ("pixel-scale", pixel_scale), ("exposure-time", exposure_time), ("background-rms", background_rms)
    ):  # fmt: skip
        if value is not None and not (np.isfinite(value) and value > 0):
            raise LensvitError(f"--{option} {value:g}: give a number above 0")
    found, own_scale = (None, PIXEL_SCALE) if psf is None else read_psf(psf)
    scale = own_scale if pixel_scale is None else pixel_scale
    if scale is None:
        raise LensvitError(f"{psf}: its header has no PIXSCALE: give --pixel-scale [arcsec]")
    if psf is not None and own_scale is not None and abs(own_scale - scale) > ANISOTROPY * scale:
        raise LensvitError(
            f"{psf}: its pixels are {own_scale:.5g} arcsec wide, and --pixel-scale is {scale:.5g}: give a PSF on "
            "pixels of the image"
        )
    if psf is None and scale > COARSEST:
        raise LensvitError(f"--pixel-scale {scale:g}: HST's PSF needs {COARSEST:g} or less; give --psf for another one")
    own = hst_kernel(scale) if found is None else prepared_psf(found, 1, str(psf), [])
    times = EXPOSURE_TIME if exposure_time is None else (exposure_time, exposure_time)
    noises = BACKGROUND if background_rms is None else (background_rms, background_rms)
    return Camera(own, scale, pixels, times, noises)


def mock(
    output: Path,
    count: int = 1,
    quasar_images: int = 4,
    psf: Path | None = None,
    pixel_scale: float | None = None,
    pixels: int = PIXELS,
    exposure_time: float | None = None,
    background_rms: float | None = None,
    h0: float | None = None,
    lens_redshift: float = 0.5,
    source_redshift: float = 1.7,
    delay_error: float = 0.3,
    seed: int = 0,
) -> None:
    """Make images of lensed quasars, to try fits on: FITS files with their PSF and, as tables, the truth.

    Parameters
    ----------
    output
        Folder of mock_000.fits and so on, and of truth.csv.
    count
        How many.
    quasar_images
        How many images each quasar has: 2 or 4.
    psf
        FITS or HDF5 file of the camera's PSF on pixels of the image; HST's in F814W by default.
    pixel_scale
        Side of a pixel [arcsec]; 0.05 or that of the PSF by default.
    pixels
        Side of an image [pixel].
    exposure_time
        Exposure time [s]; drawn between 1,300 and 5,200 s by default.
    background_rms
        Standard deviation of the background noise [counts/s per pixel]; drawn between 0.003 and 0.012 by default.
    h0
        Hubble constant [km/s/Mpc] for which time delays are written, in mock_000_delays.json and so on; none by
        default.
    lens_redshift
        Redshift of the lens, for the delays.
    source_redshift
        Redshift of the quasar, for the delays.
    delay_error
        Standard deviation of the errors that the delays have [day].
    seed
        Seed of the first one; the next ones have the next seeds.

    Raises
    ------
    LensvitError
        If the PSF cannot be read, or an option is impossible.
    """
    if quasar_images not in (2, 4):
        raise LensvitError(f"--quasar-images {quasar_images}: give 2 or 4")
    for option, value in (("h0", h0), ("delay-error", delay_error)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise LensvitError(f"--{option} {value:g}: give a number above 0")
    camera, rows = camera_of(psf, pixel_scale, pixels, exposure_time, background_rms), []
    output.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        made = draw_mock(camera, quasar_images, seed + number)
        name = f"mock_{seed + number:03d}"
        write_mock(made, output / f"{name}.fits")
        if h0 is not None:
            _write_delays(
                made, output / f"{name}_delays.json", h0, lens_redshift, source_redshift, delay_error, seed + number
            )
        rows.append({"name": name, **made.truth})
    with files.atomic(output / "truth.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.8g")
    print(f"{count} images in {output}; lensvit fit --image {output}/mock_{seed:03d}.fits --output {output}/fits")


def _write_delays(
    made: Mock, path: Path, h0: float, lens_redshift: float, source_redshift: float, error: float, seed: int
) -> None:
    """Write time delays as somebody would have measured them who monitored all images of a lens."""
    parameters = np.array([made.truth[name] for name in NAMES])
    exact = expected_delays(parameters, made.positions, h0, lens_redshift, source_redshift)
    scatter = np.random.default_rng(derive(seed, "delays")).standard_normal(exact.shape)
    content = {
        "images": made.positions.round(4).tolist(),
        "days": (exact + error * scatter).round(2).tolist(),
        "errors": [error] * len(exact),
        "lens_redshift": lens_redshift,
        "source_redshift": source_redshift,
    }
    files.write_text(path, json.dumps(content, indent=1) + "\n")
