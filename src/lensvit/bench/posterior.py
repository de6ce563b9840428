"""CPU time of a likelihood call, anywhere and near a maximum of the posterior, for draws from Laplace's Gaussian.

Both ways compute the same draws in turn, one thread each, so that whatever else the machine does slows both alike; a
first round warms up and is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lensvit.bench.simulation import CAMERAS, SCENE, moffat
from lensvit.bench.table import publish
from lensvit.inference.coordinates import start_from, to_parameters
from lensvit.inference.likelihood import covariance
from lensvit.inference.posterior import Posterior, possible
from lensvit.inference.prior import LogPrior
from lensvit.inference.search import climb
from lensvit.jobs.processes import share_work
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.galaxies import AMPLITUDES, CompiledGalaxies, Galaxies
from lensvit.lensing.noise import noise
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, PARAMETERS, priors

STEPS = 60  # most steps of the search for a maximum
BATCH = 32  # draws of one call
ROUNDS = 7  # of which the fastest counts
SEED, SIGMA = 1, 1.0  # of the system, and of its background noise [counts/s per pixel]

Way = Callable[[], object]


def run(images: int, output: Path | None) -> None:
    """Measure calls for a system of each camera, in a table with the CPU time of both ways and their ratio.

    Parameters
    ----------
    images
        Number of draws, half of them for each camera.
    output
        The CSV file; nothing is written without it.
    """
    cameras = [(name, max(2, images // 2)) for name in CAMERAS]
    publish([row for rows in share_work(_camera, cameras, 1) for row in rows], output)


def _camera(name: str, count: int) -> list[dict[str, object]]:
    """The rows of one camera: a whole call, its parts, and the derivatives."""
    posterior, maximum = system_posterior(name)
    near, draws = posterior.near(maximum), _draws(posterior, maximum, count)
    rows = torch.zeros(len(draws), dtype=torch.long)
    batches = list(zip(draws.split(BATCH), rows.split(BATCH), strict=True))
    found, followed = (torch.cat([some.log_density(*batch) for batch in batches]) for some in (posterior, near))
    call = _row(
        f"{name}, likelihood call, batches of {BATCH}", len(draws),
        lambda: [posterior.log_density(*batch) for batch in batches],
        lambda: [near.log_density(*batch) for batch in batches],
    ) | {"max_difference": float((found - followed).abs().max())}  # fmt: skip
    few = draws[:BATCH]
    parts = [_row(f"{name}, {part}", len(few), *ways) for part, *ways in _parts(posterior, near, few)]
    models = posterior.models(maximum)
    slopes = posterior.slopes(models)
    return [
        call,
        *parts,
        _row(f"{name}, derivatives by {len(NAMES)} parameters", 1, lambda: posterior.slopes(models)),
        _row(f"{name}, gradient and information", 1, lambda: posterior.equations(models, rows[:1], slopes=slopes)),
    ]


def _parts(posterior: Posterior, near: Posterior, draws: Tensor) -> Iterator[tuple[str, Way, Way]]:
    """The parts of a call, in both ways."""
    parameters, renderer = to_parameters(draws), posterior.renderer
    yield "lens equation", lambda: posterior.quasars(parameters, 4), lambda: near.quasars(parameters, 4)
    amplitudes = parameters.new_tensor([getattr(SCENE, name) for name in AMPLITUDES]).expand(len(draws), -1)
    given = torch.cat([parameters, amplitudes], 1), renderer.axis, SCENE, renderer.dtype

    def light(of: Callable[[Galaxies], Galaxies | CompiledGalaxies]) -> None:
        galaxies = of(Galaxies.of(*given))
        for row in range(len(draws)):
            galaxies.light(slice(row, row + 1))

    yield "light of galaxies", lambda: light(lambda galaxies: galaxies), lambda: light(CompiledGalaxies)
    models = posterior.models(draws).images

    def blur() -> None:
        for image in models:
            renderer.blur(image[None, None])

    yield "PSF", blur, blur
    every, one = posterior.likelihood(torch.zeros(len(draws), dtype=torch.long)), near.likelihood(torch.arange(1))
    yield "sum over pixels", lambda: every.log_density(models), lambda: [one.compiled()(image) for image in models]


def _row(case: str, count: int, full: Way, near: Way | None = None) -> dict[str, object]:
    """A row of the table for ``count`` draws, whose time is given for one."""
    ways = [full, near] if near else [full]
    times = np.min([[_seconds(way) for way in ways] for _ in range(ROUNDS + 1)][1:], axis=0) / count * 1e3
    row: dict[str, object] = {"case": case, "milliseconds": times[0]}
    return row | ({"near_milliseconds": times[1], "ratio": times[0] / times[1]} if near else {})


def _seconds(work: Way) -> float:
    """The CPU time that ``work`` takes [s]."""
    started = time.process_time()
    work()
    return time.process_time() - started


def system_posterior(name: str) -> tuple[Posterior, Tensor]:
    """The posterior of a system with four quasar images, and the coordinates (1, 14) of its maximum."""
    pixels, pixel_scale, side, fwhm = CAMERAS[name]
    renderer = BatchedRenderer(pixels, pixel_scale, moffat(side, pixel_scale, fwhm), SCENE)
    values = {row.name: row.prior.mean or 0.0 for row in PARAMETERS}
    values |= {"e1": 0.2, "e2": 0.1, "psi_ext": 0.5, "source_x": 0.04, "source_y": 0.03}
    [found] = solve([values])
    assert isinstance(found, QuasarImages)
    [image] = renderer.render([System(values, found.brightest(SCENE.max_images))])
    data = torch.as_tensor(noise(image, SIGMA, SCENE.exposure, SEED))[None]
    posterior = Posterior(
        renderer, data, torch.full((1,), SIGMA), SCENE.exposure, LogPrior(priors({})), SCENE.max_images
    )
    truth = start_from(torch.tensor([[values[key] for key in NAMES]]))
    return posterior, climb(posterior, truth, torch.zeros(1, dtype=torch.long), STEPS).coordinates


def _draws(posterior: Posterior, maximum: Tensor, count: int) -> Tensor:
    """Draws (count, 14) around a maximum (1, 14) from Laplace's approximation, of which an image can be computed."""
    information = posterior.equations(posterior.models(maximum), torch.zeros(1, dtype=torch.long)).information
    root = torch.linalg.cholesky(covariance(information)[0][0])
    generator = torch.Generator().manual_seed(SEED)
    draws = maximum + torch.randn(4 * count, len(NAMES), generator=generator, dtype=torch.float64) @ root.mT
    return draws[possible(draws)][:count]
