"""The simulation stage: systems drawn from the priors and their noise-free images, in one file a chunk."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np

from lensvit.io import files
from lensvit.io.images import EXPOSURE_MAP
from lensvit.io.settings import read_settings
from lensvit.lensing.system import AMPLITUDES, System, flux_columns
from lensvit.parameters import TABLE
from lensvit.psf import kernel
from lensvit.simulation.engines import ENGINES, Engine
from lensvit.simulation.sampler import Sampler, imaged
from lensvit.simulation.settings import SimulateSettings

BATCH = 100  # systems that are solved and rendered at once
UNITS = (
    {parameter.name: parameter.unit for parameter in TABLE.values()}
    | {"sigma_bkg": "counts/s", "exposure": "s"}
    | dict.fromkeys(AMPLITUDES, "counts/s/arcsec^2")
    | dict.fromkeys(flux_columns(5), "counts/s")
)


def simulate(settings: Path, psf: Path, split: str, first: int, count: int, output: Path) -> None:
    """Simulate systems ``first`` to ``first + count - 1`` of one PSF and split.

    A system follows from the seed, the name of its PSF, its split and its index alone, not from the chunk that it is
    in, from the machine or from the order of jobs. A system that cannot be imaged is drawn again from another random
    stream. Each such draw is printed, and the column ``redraws`` counts them.

    Parameters
    ----------
    settings
        YAML file of :class:`lensvit.simulation.settings.SimulateSettings`.
    psf
        FITS file of ``lensvit psf``.
    split
        train, validation or test.
    first
        Index of the first system.
    count
        The number of systems.
    output
        HDF5 file with ``image`` (n, ny, nx), float32 [counts/s per pixel], one dataset for each column of the
        catalogue in ``systems``, and ``exposure_map`` (ny, nx) where the camera has one; its manifest is written beside
        it.

    Raises
    ------
    LensvitError
        If the PSF does not suit the settings, or the priors allow no system that can be imaged.
    """
    choice = read_settings(settings, SimulateSettings)
    engine = ENGINES[choice.engine](choice, psf)
    sampler = Sampler(choice, split, engine.solve)
    with files.atomic(output) as temporary, h5py.File(temporary, "w") as file:
        systems = _write_images(file, sampler, engine, range(first, first + count))
        columns = _columns(systems, sampler, range(first, first + count))
        _write_systems(file, columns, chunk=output.stem)
        file.attrs.update(
            unit="counts/s per pixel",
            pixel_scale=choice.instrument.pixel_scale,
            pixel_scale_unit="arcsec",
            exposure=choice.scene.exposure,
            exposure_unit="s",
        )
        exposure_map = kernel.read_kernel(psf).exposure_map
        if exposure_map is not None:
            file[EXPOSURE_MAP] = exposure_map
    files.write_manifest(output)


def _write_images(file: h5py.File, sampler: Sampler, engine: Engine, indices: range) -> list[System]:
    """Write the images of systems as they are computed, and return the systems."""
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
    """The catalogue's columns of this chunk, except those that say where in which file an image is."""
    scene = sampler.settings.scene
    return {
        "id": [sampler.id(index) for index in indices],
        "split": [sampler.split] * len(systems),
        "psf": [sampler.psf] * len(systems),
        **{name: [system.parameters[name] for system in systems] for name in systems[0].parameters},
        **_fluxes(systems, scene.max_images),
        "n_images": [len(system.quasar_images) for system in systems],
        "sigma_bkg": [sampler.sigma_bkg(index) for index in indices],
        **({} if scene.exposure_high is None else {"exposure": [sampler.exposure(index) for index in indices]}),
        "seed": [sampler.noise_seed(index) for index in indices],
        "redraws": [system.redraws for system in systems],
    }


def _fluxes(systems: list[System], most: int) -> dict[str, list]:
    """Columns of the quasar images' fluxes, 0 where there is no image; none where the magnifications give them."""
    rows = [[] if system.fluxes is None else system.fluxes.tolist() for system in systems]
    if not any(rows):
        return {}
    return {name: [row[k] if k < len(row) else 0.0 for row in rows] for k, name in enumerate(flux_columns(most))}


def _write_systems(file: h5py.File, columns: dict[str, list], chunk: str) -> None:
    """Write the catalogue's columns of this chunk."""
    count = len(columns["id"])
    columns = columns | {"chunk": [chunk] * count, "row": list(range(count))}
    group = file.create_group("systems")
    for name, values in columns.items():
        if isinstance(values[0], str):
            group.create_dataset(name, data=values, dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=np.array(values))
            group[name].attrs["unit"] = UNITS.get(name, "")
