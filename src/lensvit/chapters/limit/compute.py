r"""How well the parameters of each test system can be known at all: the information in its image.

The Fisher information J of the noise-free image over all parameters (:mod:`lensvit.inference.likelihood`), with the
precision P of the priors, limits the squared errors of the targets to the diagonal of

.. math:: (J + P)^{-1},

in which the shear and the source are unknowns like the targets: the covariance of the posterior wherever
the image is linear over its width. Its mean over the test systems, the limit of Table 1, is the error that the best
estimator is expected to have as far as this holds, and no strict bound: in fits to 300 test systems, started at the
truth, squared errors are 0.98 of it, averaged over the targets. The inequality of van Trees (Gill & Levit 1995,
Bernoulli 1, 59), a strict bound, takes the expectation of J before the inverse. Over all systems together it says
little (0.011 for the overall error of the demo); over 12 classes of PSF and noise it is 0.036, over 60 it is 0.041,
where the limit is 0.044; the smaller the classes, the less certain (:mod:`lensvit.chapters.limit.table`).

The PSF, the noise, the light profiles and their fixed parameters, and the number of quasar images are taken as
known. The amplitudes of the source, the lens light and the quasar, one value for all systems, are either "known" or
"marginalised" over, with nothing known of them.

The limit does not hold in three cases:

- Near a caustic: the magnification there falls with the distance d from it as d^(-1/2), so that
  a scatter s of ln mu means a scatter of 2 s d: the source is 1 / (2 s) standard deviations away. Nearer than
  :data:`lensvit.io.products.NEAREST_CAUSTIC` the posterior reaches where the number of images differs, and the
  system is left out. The other side, on which two images are about to appear, cannot be seen from derivatives.
- Priors that end: a clipped normal counts as the normal it was: an estimator that knew which systems lie on a
  bound would do better there. The 23% of systems with the slope at its floor change the overall limit by 0.3%
  if their slope is known. A uniform prior, as that of the shear's angle, counts as no information.
- Priors of the shear: its size is informed, its direction is not. Were both, as by a normal prior of the
  same width on each component, theta_E, e1 and e2 would be better by 14 to 20%, and the overall limit by 0.4%.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.grouping import by_chunk, by_psf, parameters_of
from lensvit.chapters.limit.free import FreeLimit
from lensvit.chapters.limit.inputs import counted, input_information
from lensvit.chapters.limit.settings import InputGrid, LimitStage
from lensvit.chapters.sharing import Share
from lensvit.inference.coordinates import COORDINATES, coordinate_jacobian, sheared
from lensvit.inference.likelihood import Equations, Likelihood, by_coordinates, covariance
from lensvit.inference.prior import LogPrior
from lensvit.inference.selection import select_systems
from lensvit.io.products import NEAREST_CAUSTIC
from lensvit.io.settings import read_settings
from lensvit.io.tables import LIGHTS
from lensvit.lensing import cameras
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.galaxies import AMPLITUDES
from lensvit.lensing.power_law import PowerLaw, inside
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.lensing.renderer import BatchedRenderer, system_tensors
from lensvit.lensing.settings import full_priors
from lensvit.lensing.system import AMPLITUDES as OWN_AMPLITUDES
from lensvit.lensing.system import System, flux_columns
from lensvit.parameters import FURTHER, NAMES, TARGET_COLUMNS, TARGET_NAMES, Prior

# treatment of the amplitudes -> how many parameters are unknown
UNKNOWN = {"known": len(NAMES), "marginalised": len(NAMES) + len(AMPLITUDES)}
SIGNALS = tuple(f"signal_{light}" for light in LIGHTS)
BATCH = 8  # systems whose derivatives are held at once


def limit(settings: Path, catalog: Path, psfs: list[Path], output: Path, chunks: list[str] | None = None) -> None:
    """Compute the limit of each test system: how well its parameters can be known at all.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.limit.settings.LimitStage`.
    catalog
        catalog.parquet.
    psfs
        psf/{name}.fits of every PSF of the systems.
    output
        Parquet, one row a test system in the catalogue's order: id, psf, instrument, n_images, sigma_bkg and, for
        the amplitudes ``known`` and ``marginalised``, the standard deviation of each target (``{target}_known``), the
        same from what is left in each input of a network (``{target}_known_graded60``), the distance of the source
        from the caustic in standard deviations (``caustic_known``) and whether the limit holds (``valid_known``); and
        the ratio of signal to noise of the image and of each light in it (``signal_image``, see :func:`signals`).
        Values are NaN where there is no limit. Beside it (.h5) lie ``id`` and the whole covariances ``known`` and
        ``marginalised`` (n, 14, 14) by the coordinates of :mod:`lensvit.inference.coordinates`.
    chunks
        Image files, as {psf}/{chunk}, of whose systems the output is a shard, see :mod:`lensvit.io.shards`; without
        them it has the systems of all files.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    choice = read_settings(settings, LimitStage)
    share = Share.of(catalog, psfs, chunks, lambda every: select_systems(every, None, 0, choice.cameras))
    systems = share.rows
    if systems.empty:
        share.write(output, COORDINATES)
        return
    result = systems[["id", "psf", "n_images", "sigma_bkg"]].copy()
    result.insert(2, "instrument", [choice.cameras[psf].name for psf in systems["psf"]])
    spreads = {treatment: np.empty((len(systems), len(NAMES), len(NAMES))) for treatment in UNKNOWN}
    parts = []
    for psf, rows in by_psf(systems):
        started, renderer = time.perf_counter(), cameras.camera_renderer(choice, psf, share.kernels[psf])
        for _, some in by_chunk(rows):
            part, spread = of_camera(some, renderer, choice)
            parts.append(part)
            for treatment, values in spread.items():
                spreads[treatment][systems.index.get_indexer(some.index)] = values
        print(f"{psf}: {len(rows)} systems in {time.perf_counter() - started:.1f} s", flush=True)
    share.write(output, COORDINATES, result.join(pd.concat(parts)), **spreads)


def of_camera(
    rows: pd.DataFrame, renderer: BatchedRenderer, settings: LimitStage
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The limits of n systems of one PSF.

    Parameters
    ----------
    rows
        Rows of the catalogue.
    renderer
        The renderer of their camera.
    settings
        Priors, shear, scene and inputs.

    Returns
    -------
    columns
        The columns of the output of :func:`limit` from the first target on, with the index of ``rows``.
    covariances
        Treatment of the amplitudes to (n, 14, 14).
    """
    places, systems = _imaged(rows, settings.scene.max_images)
    free = FreeLimit(renderer, settings) if settings.scene.is_free else None
    exposure = rows.get("exposure", pd.Series(settings.scene.exposure, rows.index)).to_numpy(dtype=float)
    parts: dict[str, list[np.ndarray]] = {}
    spreads = {treatment: np.full((len(rows), len(NAMES), len(NAMES)), np.nan) for treatment in UNKNOWN}
    for start in range(0, len(systems), BATCH):
        sigma = torch.tensor(rows["sigma_bkg"].to_numpy()[places[start : start + BATCH]])
        some = systems[start : start + BATCH]
        if free:
            seconds = exposure[places[start : start + BATCH]]
            spreads_of, signal, tensors = free.of(some, sigma, seconds)
        else:
            information, signal, tensors = image_information(renderer, some, sigma, settings.inputs)
            spreads_of = _covariances(information, tensors[0], settings)
        columns, spread = _columns(spreads_of, tensors, settings.inputs)
        columns |= {name: column.numpy() for name, column in zip(SIGNALS, signal.T, strict=True)}
        for name, values in columns.items():
            parts.setdefault(name, []).append(values)
        for treatment, values in spread.items():
            spreads[treatment][places[start : start + BATCH]] = values
    found = pd.DataFrame({name: np.concatenate(part) for name, part in parts.items()}, rows.index[places])
    found = found.reindex(index=rows.index, columns=[*_names(settings.inputs)])
    valid = {f"valid_{treatment}": found[f"valid_{treatment}"].eq(True) for treatment in UNKNOWN}
    return found.assign(**valid), spreads


def _imaged(rows: pd.DataFrame, most: int) -> tuple[np.ndarray, list[System]]:
    """Places in ``rows`` of the systems whose quasar images are the catalogue's, and these systems."""
    parameters = parameters_of(rows)
    within = inside(torch.tensor(rows[list(NAMES)].to_numpy(dtype=float)))
    own = [name for name in (*(row.name for row in FURTHER), *OWN_AMPLITUDES) if name in rows]
    further = [dict(zip(own, values, strict=True)) for values in rows[own].to_numpy(dtype=float).tolist()]
    columns = [name for name in flux_columns(most) if name in rows]
    fluxes = rows[columns].to_numpy(dtype=float)
    places, systems = [], []
    for place, (system, images) in enumerate(zip(parameters, solve(parameters), strict=True)):
        if not within[place] or not isinstance(images, QuasarImages):
            continue
        brightest = images.brightest(most)
        if len(brightest) == rows["n_images"].iloc[place]:
            places.append(place)
            flux = fluxes[place, : len(brightest)] if columns else None
            systems.append(System(system | further[place], brightest, fluxes=flux))
    return np.array(places, dtype=int), systems


def image_information(
    renderer: BatchedRenderer, systems: list[System], sigma_bkg: Tensor, inputs: Sequence[InputGrid] = ()
) -> tuple[list[Tensor], Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Fisher information of images, and of inputs of networks, by the 14 parameters and the three amplitudes.

    Parameters
    ----------
    renderer
        The renderer of the camera.
    systems
        B systems.
    sigma_bkg
        (B,) background noise [counts/s per pixel].
    inputs
        Inputs of networks.

    Returns
    -------
    information
        That of the images, then that of each input: (B, 17, 17) by the parameters in the order of
        :data:`lensvit.parameters.NAMES`, then the amplitudes.
    signal
        (B, 4) ratios of signal to noise, see :func:`signals`.
    tensors
        What it was computed at: the parameters and amplitudes (B, 17), with a shear of 1e-8 or more, and the
        positions and magnifications of the quasar images as :func:`lensvit.lensing.renderer.system_tensors` has them.
    """
    parameters, positions, magnification = system_tensors(systems)
    amplitudes = [getattr(renderer.scene, name) for name in AMPLITUDES]
    parameters = torch.cat([sheared(parameters), parameters.new_tensor(amplitudes).expand(len(systems), -1)], 1)
    image, jacobian = renderer.jacobian(parameters, positions, magnification)
    exposure_map = renderer.exposure_map
    likelihood = Likelihood(image, sigma_bkg, renderer.scene.exposure, exposure_map=exposure_map)
    signal = signals(image, jacobian, likelihood.variance(image), parameters[:, len(NAMES) :])
    every = [likelihood.equations(image, jacobian).information]
    for grid in inputs:
        seen, variance = counted(jacobian, likelihood.variance(image), exposure_map)
        left = input_information(seen, variance, grid.image_size, grid.resize)
        every.append(every[0] if left is None else left)
    return every, signal, (parameters, positions, magnification)


def signals(image: Tensor, jacobian: Tensor, variance: Tensor, amplitudes: Tensor) -> Tensor:
    """Signal to noise of B images, and of the light of host, lens and quasar in them: (B, 4) in the order ``SIGNALS``.

    It is the root of the sum over the pixels of the squared light over the variance of the noise, which the photons of
    everything in the image make: what one finds who knows the light's form and asks for its amplitude alone.

    Parameters
    ----------
    image
        (B, ny, nx).
    jacobian
        (B, P, ny, nx) its derivatives, the last three of them by the amplitudes, to which light is proportional.
    variance
        (B, ny, nx).
    amplitudes
        (B, 3).
    """
    lights = jacobian[:, -len(AMPLITUDES) :] * amplitudes.to(jacobian)[:, :, None, None]
    whole = torch.cat([image[:, None], lights], 1)
    return (whole.square() / variance[:, None]).sum((2, 3), dtype=torch.float64).sqrt()


def _covariances(information: Sequence[Tensor], parameters: Tensor, settings: LimitStage) -> dict[str, list[Tensor]]:
    """Covariances of the image and of each input by the treatment of the amplitudes, (B, 14, 14) or (B, 17, 17)."""
    known = full_priors(settings.priors)
    return {
        treatment: [
            posterior_covariance(one[:, :count, :count], parameters[:, :count], known, settings.external_shear)
            for one in information
        ]
        for treatment, count in UNKNOWN.items()
    }


def _columns(
    covariances: Mapping[str, Sequence[Tensor]],
    tensors: tuple[Tensor, Tensor, Tensor],
    inputs: Sequence[InputGrid],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Columns (B,) of the table, and covariances (B, 14, 14) by the treatment of the amplitudes."""
    result: dict[str, np.ndarray] = {}
    spreads = {}
    for treatment, (spread, *others) in covariances.items():
        distance = caustic_distance(spread, *tensors)
        sigma = _sigma(spread)
        valid = sigma.isfinite().all(1) & (distance > NEAREST_CAUSTIC)
        for part, suffix in zip((spread, *others), _suffixes(inputs), strict=True):
            columns = zip(TARGET_NAMES, _sigma(part).T, strict=True)
            result |= {f"{name}_{treatment}{suffix}": column.numpy() for name, column in columns}
        result |= {f"caustic_{treatment}": distance.numpy(), f"valid_{treatment}": valid.numpy()}
        spreads[treatment] = spread[:, : len(NAMES), : len(NAMES)].numpy()
    return result, spreads


def _sigma(spread: Tensor) -> Tensor:
    """The standard deviations (B, K) of the targets in covariances (B, P, P)."""
    return torch.diagonal(spread, dim1=1, dim2=2)[:, TARGET_COLUMNS].sqrt()


def _suffixes(inputs: Sequence[InputGrid]) -> list[str]:
    """What the columns of the image's limit, and of those of the inputs, end with."""
    return ["", *(f"_{grid.key}" for grid in inputs)]


def _names(inputs: Sequence[InputGrid]) -> Iterator[str]:
    """The columns of the table from the first target on."""
    for treatment in UNKNOWN:
        for suffix in _suffixes(inputs):
            yield from (f"{name}_{treatment}{suffix}" for name in TARGET_NAMES)
        yield from (f"caustic_{treatment}", f"valid_{treatment}")
    yield from SIGNALS


def posterior_covariance(
    information: Tensor, parameters: Tensor, known: Mapping[str, Prior], external_shear: bool = True
) -> Tensor:
    """The limit of the covariance of P unknowns, (B, P, P) by the coordinates of :mod:`lensvit.inference.coordinates`.

    Parameters
    ----------
    information
        (B, P, P) Fisher information of the images by the parameters; P is 14, or 17 with the amplitudes.
    parameters
        (B, P) where it was computed, with a shear above 0.
    known
        The priors of the 14 parameters.
    external_shear
        Whether the lenses have an external shear; without, it is known to be 0.
    """
    prior = LogPrior(known, external_shear, amplitudes=parameters.shape[1] > len(NAMES))
    equations = Equations(torch.zeros_like(parameters), information) + prior.equations(parameters)
    return covariance(by_coordinates(equations, parameters).information)[0]


def caustic_distance(spread: Tensor, parameters: Tensor, positions: Tensor, magnification: Tensor) -> Tensor:
    """How far (B,) the source is inside the nearest caustic, in standard deviations of the posterior.

    Parameters
    ----------
    spread
        (B, P, P) covariance, see :func:`posterior_covariance`.
    parameters
        (B, P).
    positions
        (B, M, 2) of the quasar images [arcsec].
    magnification
        (B, M), 0 where there is no image.
    """
    law, present = PowerLaw(parameters), magnification != 0
    place = torch.where(present, torch.complex(*positions.unbind(-1)), law.center + law.theta_E)
    _, brightened = law.moving_images(place)  # (B, M, 14)
    count = len(NAMES)
    by = brightened @ coordinate_jacobian(parameters[:, :count])
    scatter = ((by @ spread[:, :count, :count]) * by).sum(-1).sqrt()  # of ln mu, (B, M)
    return 1 / (2 * torch.where(present, scatter, 0).amax(1))
