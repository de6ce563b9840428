"""The simulation stage: systems drawn from the priors, imaged without noise, in one file a chunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np

from lensvit import files, seeds
from lensvit import settings as stage_settings
from lensvit.errors import LensvitError
from lensvit.lens_equation import Images, NoSolution, solve_each
from lensvit.parameters import NAMES, PARAMETERS, priors
from lensvit.psf import kernel
from lensvit.scene import Renderer, System

ATTEMPTS = 100  # draws of one system before the priors are called impossible
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
        supersampling (1 or 5) and engine; see ``lensvit.config``.
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
    options = stage_settings.read(settings)
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


Solver = Callable[[Sequence[Mapping[str, float]]], Sequence[Images | NoSolution]]


@dataclass(frozen=True)
class Engine:
    """What computes a system.

    render : images (n, ny, nx) [counts/s per pixel] of systems.
    solve : of each system's parameters the images of the quasar, or why there are none.
    """

    render: Callable[[Sequence[System]], np.ndarray]
    solve: Solver


def _lenstronomy(options: SimpleNamespace, psf: Path) -> Engine:
    return Engine(Renderer(*_camera(options, psf)).render, solve_each)


def torch_engine(options: SimpleNamespace, psf: Path, device: str = "cpu") -> Engine:
    """The engine of this package's own; ``device`` is where it renders."""
    from lensvit import batched_lens_equation  # torch takes a second or two to import
    from lensvit.renderer import BatchedRenderer

    return Engine(BatchedRenderer(*_camera(options, psf), device=device).render, batched_lens_equation.solve)


def _camera(options: SimpleNamespace, psf: Path) -> tuple[int, float, np.ndarray, SimpleNamespace, np.ndarray | None]:
    """The arguments of a renderer."""
    loaded, instrument = kernel.read(psf), options.instrument
    if not np.isclose(loaded.pixel_scale, instrument.pixel_scale, rtol=1e-6):
        raise LensvitError(
            f"{psf} has pixels of {loaded.pixel_scale:g} arcsec, the instrument of "
            f"{instrument.pixel_scale:g}: delete it, so that the next run builds it for this instrument"
        )
    if options.supersampling > 1 and loaded.supersampled is None:
        raise LensvitError(
            f"simulation.supersampling: {options.supersampling}, but the PSF {options.name} is known at the "
            "detector's sampling only: set it to 1, or use a PSF with a finer grid"
        )
    fine = loaded.supersampled if options.supersampling > 1 else None
    return instrument.pixels, instrument.pixel_scale, loaded.native, options.scene, fine


# config's name of an engine -> a function of the settings and the PSF's path
ENGINES: dict[str, Callable[[SimpleNamespace, Path], Engine]] = {"lenstronomy": _lenstronomy, "torch": torch_engine}


class Sampler:
    """Draws systems: the one of an index is the same whenever, wherever and among whichever others it is drawn.

    Parameters
    ----------
    options : the stage's settings. split : train, validation or test. solve : an engine's.
    """

    def __init__(self, options: SimpleNamespace, split: str, solve: Solver = solve_each) -> None:
        self.options, self.prefix, self.solve = options, f"{options.name}-{split}", solve
        self.split, self.psf = split, options.name
        self.priors = priors(options.priors)

    def id(self, index: int) -> str:
        """The system's name, from the PSF, the split and the index."""
        return f"{self.prefix}-{index:06d}"

    def noise_seed(self, index: int) -> int:
        """The 63-bit seed of the one noise realisation that the system has."""
        return seeds.derive(self.options.seed, self.id(index), "noise")

    def sigma_bkg(self, index: int) -> float:
        """Standard deviation of the background noise [counts/s per pixel]."""
        scene = self.options.scene
        return float(self._stream(index, "background").uniform(scene.sigma_bkg_low, scene.sigma_bkg_high))

    def parameters(self, index: int, attempt: int = 0) -> dict[str, float]:
        """The 14 parameters of one draw, by name."""
        rng = self._stream(index, "parameters", attempt)
        parameters = {name: prior.draw(rng) for name, prior in self.priors.items()}
        if not self.options.external_shear:
            parameters["gamma_ext"] = 0.0
        return parameters

    def draw(self, index: int, attempt: int = 0) -> System:
        """The first system from ``attempt`` on that can be imaged; see :meth:`draws`."""
        return self.draws([index], attempt)[0]

    def draws(self, indices: Sequence[int], attempt: int = 0) -> list[System]:
        """For each index the first system from ``attempt`` on that can be imaged.

        Raises
        ------
        LensvitError
            If one has none in 100 attempts.
        """
        found: dict[int, System] = {}
        for redraws in range(attempt, ATTEMPTS):
            waiting = [index for index in indices if index not in found]
            drawn = [self.parameters(index, redraws) for index in waiting]
            for index, parameters, images in zip(waiting, drawn, self.solve(drawn), strict=True):
                if isinstance(images, NoSolution):
                    print(f"{self.id(index)}: drawn again, {images}", flush=True)
                else:
                    brightest = images.brightest(self.options.scene.max_images)
                    found[index] = System(parameters, brightest, redraws)
            if len(found) == len(indices):
                return [found[index] for index in indices]
        missing = next(index for index in indices if index not in found)
        raise LensvitError(
            f"{self.id(missing)}: none of {ATTEMPTS} draws can be imaged (reasons above): change `priors`, "
            "which leave no room for a multiply imaged quasar"
        )

    def _stream(self, index: int, *purpose: int | str) -> np.random.Generator:
        return np.random.default_rng(seeds.derive(self.options.seed, self.id(index), *purpose))


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


def imaged(sampler: Sampler, engine: Engine, indices: Sequence[int]) -> tuple[list[System], np.ndarray]:
    """Systems and their noise-free images (n, ny, nx) float32 [counts/s per pixel], all finite.

    Raises
    ------
    LensvitError
        If the priors allow no system that can be imaged.
    """
    systems = sampler.draws(indices)
    with np.errstate(over="ignore", invalid="ignore"):
        images = engine.render(systems).astype(np.float32)
        for row, index in enumerate(indices):
            while not np.isfinite(images[row]).all():
                print(f"{sampler.id(index)}: drawn again, its image is not finite", flush=True)
                systems[row] = sampler.draw(index, systems[row].redraws + 1)
                images[row] = engine.render([systems[row]])[0]
    return systems, images


def _columns(systems: list[System], sampler: Sampler, indices: range) -> dict[str, list]:
    """The catalogue's columns of this chunk, but for those that name the file."""
    return {
        "id": [sampler.id(index) for index in indices],
        "split": [sampler.split] * len(systems),
        "psf": [sampler.psf] * len(systems),
        **{name: [system.parameters[name] for system in systems] for name in NAMES},
        "n_images": [len(system.images) for system in systems],
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
