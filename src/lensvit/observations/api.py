"""Fits of images from Python: ``lensvit.fit``."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lensvit.errors import LensvitError
from lensvit.observations.cosmography import Delays, Redshifts
from lensvit.observations.observation import Observation
from lensvit.observations.reading import Given, image_of_arrays, read_image
from lensvit.observations.result import LensResult
from lensvit.observations.run import SAMPLING, fit_images
from lensvit.parameters import Prior

Image = np.ndarray | str | Path
FILES = "noise", "mask", "psf_variance"  # options that are files where the image is one


def fit(
    image: Image | Sequence[Image],
    psf: Image | Sequence[Image] | None = None,
    *,
    name: str = "lens",
    priors: Mapping[str, Prior] | None = None,
    images: int | None = None,
    delays: Delays | None = None,
    redshifts: Redshifts | None = None,
    samples: bool = True,
    seed: int = 0,
    **given: Any,
) -> LensResult:
    """Fit a lensed quasar: parameters, exact posterior, and the Hubble constant from time delays.

    On Linux draws of the posterior come from as many processes as torch has threads, 16 at most. These are the
    machine's cores unless ``torch.set_num_threads`` says otherwise. Their number changes no result.

    Parameters
    ----------
    image
        The image (ny, nx) [counts/s per pixel], or the path of a FITS or HDF5 file; or several exposures of one lens
        with the same orientation, which are fitted together.
    psf
        Its PSF (k, k) or the path of one; one for all exposures, or one for each. None for files that have it.
    name
        Name of the lens.
    priors
        Priors by parameter in place of those of surveys, such as ``{"gamma": lensvit.parameters.normal(2, 0.05)}``.
    images
        How many images the quasar has, where it is known: 2, 3 or 4.
    delays
        Measured time delays, see :class:`lensvit.observations.cosmography.Delays`.
    redshifts
        Redshifts, where there are no delays, for the file in COOLEST's terms; see
        :class:`lensvit.observations.cosmography.Redshifts`.
    samples
        Whether to draw from the posterior.
    seed
        Seed of all draws.
    **given
        For arrays what :func:`lensvit.observations.reading.image_of_arrays` takes: ``pixel_scale`` [arcsec],
        ``exposure_time`` [s], ``background_rms`` [counts/s per pixel], ``noise``, ``mask``, ``psf_oversampling``,
        ``psf_variance``, ``size`` and ``center``. For files what they do not say, see
        :class:`lensvit.observations.reading.Given`. The same for all exposures, or a list with one for each.

    Returns
    -------
    LensResult
        Tables, samples and the verdict; ``result.write(folder)`` writes files.

    Raises
    ------
    LensvitError
        If something is missing or wrong, or the image shows no lensed quasar.

    Examples
    --------
    >>> result = lensvit.fit(image, psf, pixel_scale=0.04, exposure_time=1428.0)  # doctest: +SKIP
    >>> result.table.loc["theta_E", ["mean", "sigma"]]  # doctest: +SKIP
    """
    several: list[Any] = list(image) if isinstance(image, list | tuple) else [image]
    if not several:
        raise LensvitError("no image is given")
    strange = [one for one in several if not isinstance(one, np.ndarray | str | Path)]
    if strange:
        raise LensvitError(f"an image is a {type(strange[0]).__name__}; give an array or the path of a file")
    _check_options(given, any(isinstance(one, np.ndarray) for one in several))
    read, notes = [], list[str]()
    for number, one in enumerate(several):
        own = {key: _one(value, number, len(several), key) for key, value in given.items()}
        kernel = _one(psf, number, len(several), "psf")
        if isinstance(one, np.ndarray):
            if not isinstance(kernel, np.ndarray):
                raise LensvitError("an image in an array needs a PSF in an array")
            picture, said = image_of_arrays(one, kernel, **own)
        else:
            files = {"psf": kernel} | {key: own.get(key) for key in FILES}
            for key, path in files.items():
                if path is not None and not isinstance(path, str | Path):
                    raise LensvitError(
                        f"{key} is a {type(path).__name__}, and the image a file: give the path of a file"
                    )
            paths = {key: None if path is None else Path(path) for key, path in files.items()}
            picture, said = read_image(Path(one), Given(**own | paths))
        read.append(picture)
        notes += said
    observation = Observation(name, tuple(read), tuple(notes))
    return fit_images(
        observation, priors=priors, images=images, delays=delays, redshifts=redshifts,
        sampling=SAMPLING if samples else None, seed=seed,
    )  # fmt: skip


def _check_options(given: Mapping[str, Any], arrays: bool) -> None:
    """Check the names of options, and that arrays have a pixel scale."""
    function: Any = image_of_arrays if arrays else Given
    known = [name for name in inspect.signature(function).parameters if name not in ("image", "psf")]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"do you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise LensvitError(f"no option {name!r} for {'arrays' if arrays else 'files'}; {hint}")
    if arrays and "pixel_scale" not in given:
        raise LensvitError("an image in an array needs pixel_scale [arcsec]")


def _one(value: Any, number: int, count: int, key: str) -> Any:
    """What holds for one of several exposures."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != count:
        raise LensvitError(f"{key}: {len(value)} values for {count} exposures")
    return value[number]
