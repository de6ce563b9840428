"""The command ``lensvit predict``: a trained network on images in files, and fits that start from what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import Field

from lensvit.errors import LensvitError
from lensvit.io.files import write_text
from lensvit.io.settings import Seeded, read_settings
from lensvit.observations.reading import Given
from lensvit.observations.run import SAMPLING, fit_files
from lensvit.observations.settings import ObservedLens
from lensvit.parameters import TARGET_NAMES
from lensvit.prediction.network import PASSES, Predictions, load, units

SHOWN = 20  # images of which a terminal shows the numbers


def predict(
    image: list[Path],
    model: Path,
    output: Path,
    pixel_scale: float | None = None,
    exposure_time: float | None = None,
    unit: str | None = None,
    size: int | None = None,
    center: list[float] | None = None,
    sky: list[float] | None = None,
    mask: list[Path] | None = None,
    passes: int = PASSES,
    fit: bool = False,
    psf: list[Path] | None = None,
    psf_oversampling: int = 1,
    background_rms: float | None = None,
    noise: list[Path] | None = None,
    samples: bool = True,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Predict the lenses in your own images by a trained network, in milliseconds each.

    What is written: predictions.csv and predictions.parquet (for each image means, calibrated sigmas, scores and
    whether the network was warned, see docs/predict.md) and predictions_covariance.csv. An image that is unlike those
    of the training is said to be so.

    Parameters
    ----------
    image
        FITS or HDF5 files, each with one image or a cube of many.
    model
        Folder of the network: results/RUN/models/MODEL.
    output
        Folder of the results.
    pixel_scale
        Side of a pixel [arcsec], where the header has neither PIXSCALE nor a WCS.
    exposure_time
        Exposure time [s], where the image is in counts and the header has no EXPTIME.
    unit
        counts/s or counts, where the header has no BUNIT or a wrong one.
    size
        Side of the square around the lens that counts [pixel]; the image's by default.
    center
        Column and row of the lens in the file, from 0, around which the square is cut; found by its light by default.
        Needs --size.
    sky
        Right ascension and declination of the lens [degree], by the WCS, in place of these. Needs --size.
    mask
        Files that are 0 where a pixel does not count: one for all images, or one for each.
    passes
        Passes of Monte-Carlo dropout over each image.
    fit
        Whether each image is fitted too (`lensvit fit`), from what the network says.
    psf
        With --fit: files of the PSF, for images without an extension PSF.
    psf_oversampling
        With --fit: pixels of the PSF along the side of a pixel of the image.
    background_rms
        With --fit: standard deviation of the background noise [counts/s per pixel]; measured by default.
    noise
        With --fit: files of the standard deviation of the noise in each pixel.
    samples
        With --fit: whether to draw from the posterior.
    seed
        Seed of all draws.
    device
        cpu or gpu.
    threads
        Threads of the CPU.

    Raises
    ------
    LensvitError
        If a file cannot be read, or something is missing or wrong.
    """
    torch.set_num_threads(threads)
    of_each = {"psf": psf, "noise": noise, "mask": mask}
    for option, paths in of_each.items():
        if paths is not None and len(paths) not in (1, len(image)):
            raise LensvitError(
                f"--{option}: {len(paths)} files for {len(image)} images; give one for all, or one for each"
            )
    if not fit and (psf or noise or background_rms is not None):
        raise LensvitError("--psf, --noise and --background-rms are for fits: give --fit, or leave them out")
    stems = [Path(one).stem for one in image]
    for twice in {one for one in stems if stems.count(one) > 1}:
        raise LensvitError(f"two images are named {twice!r}: their results would have the same name")

    def given(number: int, **more: Any) -> Given:
        own = {option: Path(paths[number % len(paths)]) for option, paths in of_each.items() if paths is not None}
        said = {
            "pixel_scale": pixel_scale, "exposure_time": exposure_time, "unit": unit, "size": size, "center": center,
            "sky": sky,
        }  # fmt: skip
        return Given(**(said | own | more))

    network = load(model)
    Path(output).mkdir(parents=True, exist_ok=True)
    found = network.predict_files({one: given(number) for number, one in enumerate(image)}, passes, seed, device)
    found.write(output)
    print(report(found), flush=True)
    if not fit:
        return
    cubes = [stem for stem in stems if stem not in set(found.table["name"])]
    if cubes:
        raise LensvitError(f"{cubes[0]} holds a cube of images, and fits need a file for each")
    lenses = {
        stem: [(Path(one), given(number, psf_oversampling=psf_oversampling, background_rms=background_rms))]
        for number, (stem, one) in enumerate(zip(stems, image, strict=True))
    }
    fit_files(
        lenses, Path(output), {name: found.guess(name) for name in lenses}, sampling=SAMPLING if samples else None,
        seed=seed,
    )  # fmt: skip


class ObservedImages(Seeded):
    """Settings of the stage ``predict_observed``."""

    passes: int = Field(description="passes of Monte-Carlo dropout over each image")
    lenses: dict[str, ObservedLens] = Field(description="name of a lens to its files, and what these do not say")


def predict_observed(settings: Path, model: Path, output: Path, threads: int = 1) -> None:
    """Predict the lenses of the config's key ``observations``; of several exposures the first.

    Parameters
    ----------
    settings
        YAML of :class:`ObservedImages`.
    model
        Folder of the network.
    output
        The CSV file, see :class:`lensvit.prediction.network.Predictions`.
    threads
        Threads of the CPU.

    Raises
    ------
    LensvitError
        If a file cannot be read, or something is missing or wrong.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, ObservedImages)
    parts = list[pd.DataFrame]()
    network = load(model)
    for name, lens in choice.lenses.items():
        masks = lens.paths("mask")
        given = Given(
            pixel_scale=lens.pixel_scale, exposure_time=lens.exposure_time, unit=lens.unit, size=lens.size,
            center=lens.center, sky=lens.sky, mask=Path(masks[0]) if masks else None,
        )  # fmt: skip
        found = network.predict_files({Path(lens.images[0]): given}, choice.passes, choice.seed, "cpu")
        if len(found.table) > 1:
            raise LensvitError(f"observations.{name}: {lens.images[0]} holds a cube of images; give a file for each")
        parts.append(found.table.assign(name=name))
        print(report(dataclasses.replace(found, table=parts[-1])), flush=True)
    write_text(output, pd.concat(parts).to_csv(index=False, float_format="%.6g"))


def report(found: Predictions) -> str:
    """A few lines on predictions, for a terminal."""
    unit, lines = units(), list[str]()
    for _, row in found.table.head(SHOWN).iterrows():
        lines.append(f"{row['name']}:")
        for name in TARGET_NAMES:
            lines.append(f"  {name:10s} {row[f'{name}_mean']:8.4f} +- {row[f'{name}_sigma']:.4f} {unit[name]}")
        lines += [f"  ! {row['verdict']}"] * bool(row["warned"])
    lines += [f"  - {note}" for note in found.notes]
    rest = len(found.table) - SHOWN
    if rest > 0:
        lines.append(f"and {rest} more images")
    lines.append(f"{int(found.table['warned'].sum())} of {len(found.table)} images are unlike those of the training")
    return "\n".join(lines)
