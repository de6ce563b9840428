"""The simulation stage: systems drawn from the priors, imaged without noise, in one file a chunk."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np

from lensvit.io import files
from lensvit.io.settings import read_settings
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, PARAMETERS
from lensvit.simulation.engines import ENGINES, Engine
from lensvit.simulation.sampler import Sampler, imaged
from lensvit.simulation.settings import SimulateSettings

BATCH = 100  # systems whose images are looked for and rendered at once
UNITS = {parameter.name: parameter.unit for parameter in PARAMETERS} | {"sigma_bkg": "counts/s"}


def simulate(settings: Path, psf: Path, split: str, first: int, count: int, output: Path) -> None:
    """Simulate systems ``first`` to ``first + count - 1`` of one PSF and split.

    A system follows from the seed, its PSF's name, its split and its index alone: never from
    the chunk that it is in, the machine or the order of jobs. One that cannot be imaged is
    drawn again from a stream of its own, said so, and counted in the column ``redraws``.

    Parameters
    ----------
    settings : YAML with seed, name (of the PSF), priors, external_shear, scene, instrument,
        supersampling (1 or 5) and engine; see ``lensvit.config.schema``.
    psf : FITS file of ``lensvit psf``.
    split : train, validation or test.
    first, count : the first index and the number of systems.
    output : HDF5 with ``image`` (n, ny, nx) float32 [counts/s per pixel] and one dataset for
        each column of the catalogue in ``systems``. A manifest is written beside it.

    Raises
    ------
    LensvitError
        If the PSF does not suit the settings, or the priors allow no system that can be imaged.
    """
    options = read_settings(settings, SimulateSettings)
    engine = ENGINES[options.engine](options, psf)
    sampler = Sampler(options, split, engine.solve)
    with files.atomic(output) as temporary, h5py.File(temporary, "w") as file:
        systems = _write_images(file, sampler, engine, range(first, first + count))
        columns = _columns(systems, sampler, range(first, first + count))
        _write_systems(file, columns, chunk=output.stem)
        file.attrs.update(
            unit="counts/s per pixel",
            pixel_scale=options.instrument.pixel_scale,
            pixel_scale_unit="arcsec",
            exposure=options.scene.exposure,
            exposure_unit="s",
        )
    files.write_manifest(output)


def _write_images(file: h5py.File, sampler: Sampler, engine: Engine, indices: range) -> list[System]:
    systems: list[System] = []
    started = time.perf_counter()
    dataset = None
    for start in range(0, len(indices), BATCH):
        batch, images = imaged(sampler, engine, indices[start : start + BATCH])
        if dataset is None:
            dataset = file.create_dataset("image", (len(indices), *images.shape[1:]), np.float32)
        dataset[start : start + len(batch)] = images
        systems += batch
        seconds = time.perf_counter() - started
        print(f"{len(systems)} of {len(indices)} images, {len(systems) / seconds:.1f} images/s", flush=True)
    return systems


def _columns(systems: list[System], sampler: Sampler, indices: range) -> dict[str, list]:
    """The catalogue's columns of this chunk, but for those that name the file."""
    return {
        "id": [sampler.id(index) for index in indices],
        "split": [sampler.split] * len(systems),
        "psf": [sampler.psf] * len(systems),
        **{name: [system.parameters[name] for system in systems] for name in NAMES},
        "n_images": [len(system.quasar_images) for system in systems],
        "sigma_bkg": [sampler.sigma_bkg(index) for index in indices],
        "seed": [sampler.noise_seed(index) for index in indices],
        "redraws": [system.redraws for system in systems],
    }


def _write_systems(file: h5py.File, columns: dict[str, list], chunk: str) -> None:
    count = len(columns["id"])
    columns = columns | {"chunk": [chunk] * count, "row": list(range(count))}
    group = file.create_group("systems")
    for name, values in columns.items():
        if isinstance(values[0], str):
            group.create_dataset(name, data=values, dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=np.array(values))
            group[name].attrs["unit"] = UNITS.get(name, "")
