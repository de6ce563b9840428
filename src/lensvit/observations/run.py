"""Fits of users' own lenses: by the command line, and from Python as ``lensvit.fit``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lensvit.errors import LensvitError
from lensvit.inference.settings import ImportanceSettings
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.jobs.threads import one_thread
from lensvit.lensing.structure import LOGARITHMS, Structure
from lensvit.observations.cosmography import Delays, Redshifts, hubble, read_delays
from lensvit.observations.figure import write_figures
from lensvit.observations.fitting import fit_scene, sample_scene
from lensvit.observations.observation import Observation
from lensvit.observations.reading import Given, read_image
from lensvit.observations.result import LensResult
from lensvit.observations.settings import ObserveStage
from lensvit.observations.start import Guess
from lensvit.observations.survey import POSITION_ERROR
from lensvit.parameters import FURTHER, NAMES, PARAMETERS, Prior

SAMPLING = ImportanceSettings(effective=400, draws=500, max_calls=12000)
SAMPLES = 1000  # draws of equal weight that are kept
MOST_PROCESSES = 16  # that draw at once: rounds of draws have work for no more
NEAREST = 0.3  # farthest distance of a monitored image from one of the fit [arcsec]


def fit_images(
    observation: Observation,
    *,
    priors: Mapping[str, Prior] | None = None,
    structure: Structure | None = None,
    images: int | None = None,
    delays: Delays | None = None,
    redshifts: Redshifts | None = None,
    sampling: ImportanceSettings | None = SAMPLING,
    seed: int = 0,
    guess: Guess | None = None,
) -> LensResult:
    """Fit a lens, from its images to parameters, exact posterior and Hubble constant.

    On Linux draws of the posterior come from as many processes as torch has threads, 16 at most.

    Parameters
    ----------
    observation
        The images of the lens.
    priors
        Priors that stand instead of those of surveys, by parameter; those of sizes and Sersic indices are lognormal.
    structure
        What the scene is made of; a power law with shear, elliptical galaxies, a bulge and a sky by default.
    images
        How many images the quasar has, where this is known.
    delays
        Measured time delays.
    redshifts
        Redshifts, where there are no delays; they change nothing of the fit and go into the file for COOLEST.
    sampling
        Size and budget of the draws of the posterior; None for none.
    seed
        Seed of all draws.
    guess
        What is thought of the mass, as by a network, from which searches start too. It is no prior.

    Raises
    ------
    LensvitError
        If the image cannot be the one of a lensed quasar, or something that is given cannot be.
    """
    started = time.perf_counter()
    check_priors(priors or {})
    if delays is not None:
        if not isinstance(delays, Delays):
            raise LensvitError(f"delays are a {type(delays).__name__}; give lensvit.observations.cosmography.Delays")
        if sampling is None:
            raise LensvitError("H0 needs draws of the posterior: leave out --no-samples, or the delays")
        delays = delays.checked()
        redshifts = Redshifts(delays.lens_redshift, delays.source_redshift, delays.omega_m)
    if redshifts is not None and not isinstance(redshifts, Redshifts):
        raise LensvitError(
            f"redshifts are a {type(redshifts).__name__}; give lensvit.observations.cosmography.Redshifts"
        )
    redshifts = (redshifts or Redshifts()).checked()
    if not observation.name or "/" in observation.name or observation.name.startswith("."):
        raise LensvitError(f"a lens named {observation.name!r}: files are named so; give --name without a slash")
    if images is not None and images not in (2, 3, 4):
        raise LensvitError(f"{images} images of the quasar: give 2, 3 or 4")
    structure = structure or Structure(position_error=POSITION_ERROR)
    sample = None
    with one_thread() as threads:
        found = fit_scene(observation, structure, priors, seeds.derive(seed, observation.name, "starts"), images, guess)
        if delays is not None:
            check_monitored(LensResult(found, None, None, 0.0), delays)  # before minutes of draws
        if sampling is not None:
            drawing = seeds.derive(seed, observation.name, "posterior")
            sample = sample_scene(found, sampling, drawing, SAMPLES, min(threads, MOST_PROCESSES))
    constant, count = None, 0
    if delays is not None and sample is not None:
        constant, count = hubble(sample.parameters[:, : len(NAMES)], delays), len(delays.days)
    seconds = time.perf_counter() - started
    return LensResult(found, sample, constant, seconds, sampling is not None, redshifts, count)


def check_priors(priors: Mapping[str, Prior]) -> None:
    """Check priors of users.

    Raises
    ------
    LensvitError
        If a parameter is not known, or its prior has a kind that fits do not have.
    """
    known = [row.name for row in (*PARAMETERS, *FURTHER)]
    if not isinstance(priors, Mapping):
        raise LensvitError(f"priors are a {type(priors).__name__}; give a dict from parameters to priors")
    for name, prior in priors.items():
        if name not in known:
            raise LensvitError(f"a prior of {name!r}: there is no such parameter; there are: {', '.join(known)}")
        if not isinstance(prior, Prior):
            raise LensvitError(f"the prior of {name} is {prior!r}; give one such as lensvit.parameters.normal(2, 0.05)")
        if name in LOGARITHMS and prior.kind != "lognormal":
            raise LensvitError(
                f"the prior of {name} is {prior.kind}; for sizes and Sersic indices give a lognormal one"
            )
        if name == "gamma_ext" and prior.kind != "rayleigh":
            raise LensvitError(
                f"the prior of gamma_ext is {prior.kind}; give a rayleigh one, by the sd of each component"
            )


def check_monitored(result: LensResult, delays: Delays) -> None:
    """Check that the monitored images are those of a fit, each of them one.

    Raises
    ------
    LensvitError
        If there is no image of the quasar at one of them, or two of them are the same.
    """
    seen, taken = result.images[["x", "y"]].to_numpy(), dict[int, tuple[float, float]]()
    for x, y in delays.images:
        distance = np.hypot(*(seen - [x, y]).T)
        if distance.min() > NEAREST:
            raise LensvitError(
                f"no image of the quasar lies at ({x:g}, {y:g}) arcsec, where a delay was given; the fit has: "
                + ", ".join(f"({a:.2f}, {b:.2f})" for a, b in seen)
            )
        nearest = int(distance.argmin())
        if nearest in taken:
            raise LensvitError(
                f"delays were given for ({taken[nearest][0]:g}, {taken[nearest][1]:g}) and ({x:g}, {y:g}) arcsec, "
                "which are the same image of the quasar: give the place of each once"
            )
        taken[nearest] = float(x), float(y)


def fit(
    image: list[Path],
    output: Path,
    name: str | None = None,
    joint: bool = False,
    psf: list[Path] | None = None,
    psf_oversampling: int = 1,
    psf_variance: list[Path] | None = None,
    pixel_scale: float | None = None,
    exposure_time: float | None = None,
    background_rms: float | None = None,
    noise: list[Path] | None = None,
    mask: list[Path] | None = None,
    unit: str | None = None,
    size: int | None = None,
    center: list[float] | None = None,
    sky: list[float] | None = None,
    quasar_images: int | None = None,
    delays: list[float] | None = None,
    delay_errors: list[float] | None = None,
    delay_images: list[float] | None = None,
    delay_file: Path | None = None,
    lens_redshift: float | None = None,
    source_redshift: float | None = None,
    omega_m: float = 0.3,
    samples: bool = True,
    seed: int = 0,
    threads: int | None = None,
) -> None:
    """Fit lensed quasars in your own images: parameters, exact posteriors, figures, and H0 from time delays.

    Every image is a lens of its own, unless they are exposures of one. What is written, for each: {name}.json (all
    results and the verdict), {name}.csv (parameters), {name}_images.csv (the quasar's images), {name}.parquet (draws of
    the posterior), {name}_model.fits (model, residual, chi^2 and parts), {name}.pdf and {name}_corner.pdf, both also as
    PNG, and {name}_coolest.json (the model in COOLEST's terms, for other codes) with two FITS files that it names.

    Parameters
    ----------
    image
        FITS or HDF5 files, one a lens. A FITS file may have extensions PSF, SIGMA (standard deviation of the noise),
        MASK (0 where a pixel does not count) and PSFVAR; HDF5 is as lenstronomy and dolphin have it.
    output
        Folder of the results.
    name
        Name of the lens; the (first) file's by default. For one lens alone.
    joint
        Whether all images are exposures of one lens, with the same orientation, which are fitted together.
    psf
        FITS or HDF5 files of the PSF, for images without an extension PSF: one for all, or one for each image, as also
        for the next files.
    psf_oversampling
        Pixels of the PSF along the side of a pixel of the image.
    psf_variance
        Files of the variance of the PSF in each pixel, for a flux of 1.
    pixel_scale
        Side of a pixel [arcsec], where the header has neither PIXSCALE nor a WCS.
    exposure_time
        Exposure time [s], where the header has no EXPTIME.
    background_rms
        Standard deviation of the background noise [counts/s per pixel]; measured at the image's edge by default.
    noise
        Files of the standard deviation of the noise in each pixel, in the image's unit.
    mask
        Files that are 0 where a pixel does not count.
    unit
        counts/s or counts, where the header has no BUNIT or a wrong one.
    size
        Side of the square around the lens that is fitted [pixel]; the image's by default.
    center
        Column and row of the lens in the file, from 0, around which the square is cut; found by its light by default.
        Needs --size.
    sky
        Right ascension and declination of the lens [degree], by the WCS, in place of these. Needs --size.
    quasar_images
        How many images the quasar has: 2, 3 or 4; found by default.
    delays
        Time delays behind the first monitored image [day], one for each other.
    delay_errors
        Their standard deviations [day].
    delay_images
        Positions of the monitored images, x and y [arcsec] one after the other, the first one first.
    delay_file
        JSON file in place of these, with images ([[x, y], ...]), days, errors, lens_redshift and source_redshift.
    lens_redshift
        Redshift of the lens, for H0 and for the file in COOLEST's terms.
    source_redshift
        Redshift of the quasar, for the same.
    omega_m
        Matter density of the flat LambdaCDM cosmology.
    samples
        Whether to draw from the posterior.
    seed
        Seed of all draws.
    threads
        Cores of the CPU that draw at once, 16 at most; all by default. They change no result.

    Raises
    ------
    LensvitError
        If a file cannot be read, something is missing or wrong, or an image shows no lensed quasar.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name is not None and len(image) > 1 and not joint:
        raise LensvitError(
            f"--name is for one lens, and there are {len(image)}: give --joint if they are exposures of one"
        )
    groups = [list(range(len(image)))] if joint else [[number] for number in range(len(image))]
    names = [name or Path(image[group[0]]).stem for group in groups]
    for twice in {one for one in names if names.count(one) > 1}:
        raise LensvitError(f"two images are named {twice!r}: their results would have the same files")
    measured = _delays(delays, delay_errors, delay_images, lens_redshift, source_redshift, omega_m)
    if delay_file is not None:
        if measured is not None or lens_redshift is not None or source_redshift is not None:
            raise LensvitError("--delay-file has all of the delays and both redshifts: leave the other options out")
        measured = read_delays(delay_file)
    if measured is not None and not samples:
        raise LensvitError("H0 needs draws of the posterior: leave out --no-samples, or the delays")
    redshifts = Redshifts(lens_redshift, source_redshift, omega_m).checked()
    if measured is not None and len(groups) > 1:
        raise LensvitError("time delays are those of one lens: give one image with them")
    if redshifts[:2] != (None, None) and len(groups) > 1:
        raise LensvitError("redshifts are those of one lens: give one image with them")
    files = {"psf": psf, "noise": noise, "mask": mask, "psf_variance": psf_variance}
    for option, paths in files.items():
        if paths is not None and len(paths) not in (1, len(image)):
            raise LensvitError(
                f"--{option.replace('_', '-')}: {len(paths)} files for {len(image)} images; give one for all, "
                "or one for each"
            )

    def given(number: int) -> Given:
        own = {option: None if paths is None else Path(paths[number % len(paths)]) for option, paths in files.items()}
        return Given(
            pixel_scale=pixel_scale, exposure_time=exposure_time, background_rms=background_rms, unit=unit, size=size,
            center=center, sky=sky, psf_oversampling=psf_oversampling, **own,
        )  # fmt: skip

    lenses = {
        own: [(Path(image[number]), given(number)) for number in group]
        for own, group in zip(names, groups, strict=True)
    }
    fit_files(
        lenses, output, images=quasar_images, delays=measured, redshifts=redshifts,
        sampling=SAMPLING if samples else None, seed=seed,
    )  # fmt: skip


def fit_files(
    lenses: Mapping[str, Sequence[tuple[Path, Given]]],
    output: Path,
    guesses: Mapping[str, Guess] | None = None,
    **options: Any,
) -> None:
    """Fit lenses in files, one after the other, and write their results.

    Parameters
    ----------
    lenses
        Name of a lens to its exposures: files, and what these do not say.
    output
        Folder of the results.
    guesses
        Name of a lens to what is thought of its mass.
    **options
        What :func:`fit_images` takes, for all lenses.

    Raises
    ------
    LensvitError
        If a lens was not fitted. Those after it are fitted before this is raised.
    """
    output.mkdir(parents=True, exist_ok=True)  # before minutes of work
    failed = list[str]()
    for own, exposures in lenses.items():
        try:
            result = fit_images(_observation(own, exposures), guess=(guesses or {}).get(own), **options)
        except LensvitError as error:
            if len(lenses) == 1:
                raise
            failed.append(str(error))
            print(f"{own}: {error}", flush=True)
            continue
        result.write(output)
        write_figures(result, output)
        print(report(result), flush=True)
    if failed:
        raise LensvitError(f"{len(failed)} of {len(lenses)} images were not fitted; the lines above say why")


def observe(settings: Path, output: Path, threads: int = 1) -> None:
    """Fit a lens of the config's key ``observations``, and write what ``lensvit fit`` writes.

    Parameters
    ----------
    settings
        Settings of the stage.
    output
        Folder of the results.
    threads
        Threads of the CPU.

    Raises
    ------
    LensvitError
        If a file cannot be read, something is missing or wrong, or the image shows no lensed quasar.
    """
    torch.set_num_threads(threads)
    stage = read_settings(settings, ObserveStage)
    lens = stage.lens
    said: dict[str, Any] = {
        key: getattr(lens, key)
        for key in (
            "pixel_scale",
            "exposure_time",
            "background_rms",
            "unit",
            "size",
            "center",
            "sky",
            "psf_oversampling",
        )
    }
    exposures = []
    for number, path in enumerate(lens.images):
        own = {key: lens.paths(key) for key in ("psf", "psf_variance", "noise", "mask")}
        paths = {key: Path(some[number]) for key, some in own.items() if some}
        exposures.append((Path(path), Given(**said | paths)))
    delays = None
    if lens.delays is not None:
        given = lens.delays
        days, errors = np.array(given.days), np.array(given.errors)
        places = np.array(given.images)
        delays = Delays(places, days, errors, given.lens_redshift, given.source_redshift, given.omega_m)
    result = fit_images(
        _observation(stage.name, exposures), images=lens.quasar_images, delays=delays,
        redshifts=Redshifts(lens.lens_redshift, lens.source_redshift), seed=stage.seed,
    )  # fmt: skip
    result.write(output)
    write_figures(result, output)
    print(report(result), flush=True)


def _observation(name: str, exposures: Sequence[tuple[Path, Given]]) -> Observation:
    """An observation as files have it."""
    read = [read_image(path, given) for path, given in exposures]
    notes = dict.fromkeys(note for _, said in read for note in said)
    return Observation(name, tuple(one for one, _ in read), tuple(notes))


def report(result: LensResult) -> str:
    """A few lines on a fit, for a terminal."""
    table, lines = result.table, [f"{result.fit.observation.name}: {result.seconds:.0f} s"]
    for name in ("theta_E", "gamma", "e1", "e2", "gamma_ext", "psi_ext"):
        row = table.loc[name]
        spread = f" +- {row['sigma']:.4f}" if "sigma" in row else ""
        lines.append(f"  {name:10s} {row.get('mean', row['most_probable']):8.4f}{spread} {row['unit']}")
    if result.hubble is not None:
        lines.append(f"  H0         {result.hubble.h0:8.1f} +- {result.hubble.h0_sigma:.1f} km/s/Mpc")
    notes = [f"  - {note}" for note in result.fit.observation.notes]
    return "\n".join([*lines, *(f"  ! {sentence}" for sentence in result.verdict), *notes])


def _delays(
    days: Sequence[float] | None,
    errors: Sequence[float] | None,
    places: Sequence[float] | None,
    lens_redshift: float | None,
    source_redshift: float | None,
    omega_m: float,
) -> Delays | None:
    """Time delays as they are given on the command line; None if there are none."""
    given = {
        "--delays": days,
        "--delay-errors": errors,
        "--delay-images": places,
        "--lens-redshift": lens_redshift,
        "--source-redshift": source_redshift,
    }
    missing = [name for name, value in given.items() if value is None]
    if days is None and errors is None and places is None:
        return None
    if missing:
        raise LensvitError(f"H0 needs {', '.join(given)}; missing: {', '.join(missing)}")
    assert days is not None and errors is not None and places is not None
    assert lens_redshift is not None and source_redshift is not None
    if len(places) % 2:
        raise LensvitError("--delay-images has x and y of each image, an even number of values")
    positions = np.array(places, dtype=float).reshape(-1, 2)
    return Delays(positions, np.array(days), np.array(errors), lens_redshift, source_redshift, omega_m).checked()
