"""What errors of a lens mean for H0: the longest delay of each test system, by every method's draws of its lens.

A delay is D_dt / c times the difference of the Fermat potential of two images (:mod:`lensvit.inference.delays`), so that
the error of ln of this difference is that of ln H0 from a delay measured without error. Three treatments say
from what a method's draws come:

prediction : a network alone. It predicts neither the shear, which is drawn from its prior, nor the source, which
    is put where the rays of the observed images meet on average.
images : the same draws, with the shear and the source from their priors, given the observed positions of the
    quasar images too, which come with every measured delay. So it is for the priors without a network.
pixels : a posterior of all parameters given all pixels: Laplace's of the refinement, the samples of a chain, and
    the limit of information at the truth. The source is each draw's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import torch

from lensvit.chapters.fermat.settings import FermatSettings
from lensvit.chapters.fermat.thresholds import MOST_UNPHYSICAL
from lensvit.errors import LensvitError
from lensvit.inference.coordinates import to_coordinates, to_parameters
from lensvit.inference.delays import fermat_potentials, match_positions
from lensvit.io import files, tables
from lensvit.io.products import read_limits
from lensvit.io.settings import read_settings
from lensvit.jobs.seeds import derive
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.lens_equation import QuasarImages
from lensvit.parameters import NAMES, TARGET_NAMES, Prior

FEWEST_DRAWS = 4  # different ones, without which a system has no sigma
TARGETS = [NAMES.index(name) for name in TARGET_NAMES]
SHEAR = [NAMES.index(name) for name in ("gamma_ext", "psi_ext")]
SOURCE = [NAMES.index(name) for name in ("source_x", "source_y")]
PARTS = {"gamma": [NAMES.index("gamma")], "theta_E": [NAMES.index("theta_E")], "shear": SHEAR}
SHARES = ("gamma", "theta_E")
ORDER = (
    "id", "psf", "n_images", "method", "treatment", "difference", "draws", "unphysical", "used", "error", "sigma", "z",
    *(f"share_{name}" for name in SHARES), *(f"sigma_{part}" for part in PARTS),
)  # fmt: skip


def fermat(
    settings: Path,
    catalog: Path,
    draws: list[Path],
    output: Path,
    limit: Path | None = None,
    amplitudes: str = "known",
    refined: Path | None = None,
    mcmc: Path | None = None,
) -> None:
    """Propagate draws to the longest delay of each test system that has one.

    Parameters
    ----------
    settings : YAML with seed, ``draws`` (most of each method), ``astrometry`` (error of each coordinate of an
        image's position [arcsec]), ``max_images``, ``priors`` and ``external_shear``.
    catalog : catalog.parquet. draws : predictions/{model}.h5.
    output : Parquet, one row a system, method (a model's name, prior, refined, mcmc or limit) and treatment: id,
        psf, n_images; difference of the Fermat potential, true [arcsec^2]; draws; unphysical (their number);
        used (whether there are enough different draws, and few unphysical ones); of the physical draws error and
        sigma, the mean and standard deviation of ln(difference / true), z, their ratio, share_gamma and
        share_theta_E, the squared correlation of this logarithm with the parameter; and, of a network alone,
        sigma_gamma, sigma_theta_E, sigma_shear, the sigma if only these draws vary. NaN where there is none.
    limit : limit.parquet with its .h5 beside. amplitudes : "known" or "marginalised", which limit.
    refined : refined/{model}.parquet with its .h5 beside.
    mcmc : HDF5 with ``id``, ``converged`` (n,) and ``samples`` (n, S, 14) of the parameters.

    Raises
    ------
    LensvitError
        If a file is absent or broken, has no draws of a system, or no system has two images.
    """
    torch.set_num_threads(1)
    options = read_settings(settings, FermatSettings)
    systems = lenses(tables.read_parquet(catalog), options)
    rows = [
        *(row for path in draws for row in of_network(systems, path, options)),
        *of_priors(systems, options),
        *(of_laplace(systems, refined, options) if refined else ()),
        *(of_chain(systems, mcmc, options) if mcmc else ()),
        *(of_limit(systems, limit, amplitudes, options) if limit else ()),
    ]
    table = pd.DataFrame(rows, columns=list(ORDER))
    with files.atomic(output) as temporary:
        table.to_parquet(temporary, index=False)
    files.write_manifest(output)
    for (method, treatment), part in table.groupby(["method", "treatment"], sort=False):
        print(f"{method}, {treatment}: {part['used'].sum()} of {len(part)} systems used", flush=True)


# ---------------------------------------------------------------- systems


class Lens(NamedTuple):
    """A test system.

    truth : (14,). positions : (M, 2) of the images, as observed [arcsec]. pair : of the longest delay, the last
    to arrive first. difference : of its Fermat potential, true [arcsec^2].
    """

    id: str
    psf: str
    truth: np.ndarray
    positions: np.ndarray
    pair: tuple[int, int]
    difference: float

    def ratios(self, parameters: np.ndarray, sources: np.ndarray | None = None) -> np.ndarray:
        """The pair's difference over the true one, (K,) for lenses (K, 14)."""
        potential = fermat_potentials(parameters, self.positions, sources)
        return (potential[:, self.pair[0]] - potential[:, self.pair[1]]) / self.difference


def lenses(catalog: pd.DataFrame, options: FermatSettings) -> list[Lens]:
    """The test systems with two images or more, their positions with errors of ``options.astrometry``.

    Raises
    ------
    LensvitError
        If there is none.
    """
    rows = catalog[catalog["split"] == "test"]
    parameters = rows[list(NAMES)].to_dict("records")
    found = []
    for row, system, images in zip(rows.itertuples(), parameters, solve(parameters), strict=True):
        if isinstance(images, QuasarImages) and len(images.brightest(options.max_images)) > 1:
            found.append(_lens(row, system, images.brightest(options.max_images), options))
    if not found:
        raise LensvitError("no test system has two images and so a delay: set fermat.enabled to false")
    return found


def _lens(row: NamedTuple, system: Mapping[str, float], images: QuasarImages, options: FermatSettings) -> Lens:
    truth = np.array([system[name] for name in NAMES])
    places = np.column_stack([images.x, images.y])
    potential = fermat_potentials(truth[None], places, truth[None, SOURCE])[0]
    pair = int(potential.argmax()), int(potential.argmin())
    rng = np.random.default_rng(derive(options.seed, "astrometry", row.id))
    observed = places + options.astrometry * rng.standard_normal(places.shape)
    return Lens(row.id, row.psf, truth, observed, pair, float(potential[pair[0]] - potential[pair[1]]))


# ---------------------------------------------------------------- methods


def of_network(systems: list[Lens], path: Path, options: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of a network's draws, alone and with the positions of the images."""
    model = Path(path).stem
    ids, values = _datasets(path, "id", "draws")
    for system, place in zip(systems, _places(path, ids, systems), strict=True):
        targets = values[: options.draws, place].astype(float)
        rng = np.random.default_rng(derive(options.seed, "fermat", model, system.id))
        drawn = with_priors(targets, options.known, rng)
        yield _row(system, model, "prediction", drawn, None) | _parts(system, drawn)
        yield _given_images(system, model, drawn, options)


def of_priors(systems: list[Lens], options: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of the priors with the positions of the images: what is known without a network."""
    for system in systems:
        rng = np.random.default_rng(derive(options.seed, "fermat", "prior", system.id))
        targets = np.column_stack([options.known[name].draws(rng, options.draws) for name in TARGET_NAMES])
        yield _given_images(system, "prior", with_priors(targets, options.known, rng), options)


def of_laplace(systems: list[Lens], path: Path, options: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of the refinement's Gaussians; those that have not converged have no draws."""
    table = tables.read_parquet(path).set_index("id")
    ids, center, spread = _datasets(Path(path).with_suffix(".h5"), "id", "coordinates", "covariance")
    place = {name: number for number, name in enumerate(ids)}
    for system in systems:
        if system.id in place:
            row = place[system.id]
            good = bool(table.loc[system.id, "converged"])
            yield _gaussian(system, "refined", center[row], spread[row] if good else None, options)


def of_limit(systems: list[Lens], path: Path, amplitudes: str, options: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of the limit of information, about the truth: they have a sigma and no error."""
    valid = read_limits(path, amplitudes).index
    ids, spread = _datasets(Path(path).with_suffix(".h5"), "id", amplitudes)
    for system, place in zip(systems, _places(path, ids, systems), strict=True):
        truth = to_coordinates(torch.tensor(system.truth[None]))[0].numpy()
        row = _gaussian(system, "limit", truth, spread[place] if system.id in valid else None, options)
        yield row | {"error": np.nan, "z": np.nan}


def of_chain(systems: list[Lens], path: Path, options: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of samples of a system's chains, evenly thinned; where none has converged there are no draws."""
    ids, converged, samples = _datasets(path, "id", "converged", "samples")
    for system in systems:
        own = ids == system.id
        if own.any():
            chain = samples[own & converged.astype(bool)].reshape(-1, len(NAMES)).astype(float)
            some = chain[np.linspace(0, len(chain) - 1, min(options.draws, len(chain))).round().astype(int)]
            yield _row(system, "mcmc", "pixels", some, some[:, SOURCE])


def with_priors(targets: np.ndarray, known: Mapping[str, Prior], rng: np.random.Generator) -> np.ndarray:
    """Draws (K, 8) of the targets with draws from the priors of what is no target: (K, 14)."""
    others = [name for name in NAMES if name not in TARGET_NAMES]
    return np.column_stack([targets, *(known[name].draws(rng, len(targets)) for name in others)])


def _given_images(system: Lens, method: str, drawn: np.ndarray, options: FermatSettings) -> dict[str, object]:
    """The row of draws (K, 14) given the images; unphysical are those that no lens was found for."""
    coordinates = to_coordinates(torch.tensor(drawn))
    generator = torch.Generator().manual_seed(derive(options.seed, "match", system.id))
    places = torch.tensor(system.positions)
    matched = match_positions(coordinates, _spread(coordinates), places, options.astrometry, generator)
    parameters = to_parameters(matched).numpy()
    return _row(system, method, "images", parameters, parameters[:, SOURCE])


def _spread(coordinates: torch.Tensor) -> torch.Tensor:
    """Covariance (14, 14) of draws, without the chance correlations of what was drawn independently."""
    result = torch.cov(coordinates.T)
    of = torch.tensor([0] * len(TARGETS) + [1] * len(SHEAR) + [2] * len(SOURCE) + [3, 4])
    return torch.where(of[:, None] == of, result, 0)


def _parts(system: Lens, drawn: np.ndarray) -> dict[str, float]:
    """Sigmas if only some parameters vary, the others at their means, the shear's being none."""
    still = np.tile(drawn.mean(0), (len(drawn), 1))
    still[:, SHEAR[0]] = 0.0
    result = {}
    for part, columns in PARTS.items():
        some = still.copy()
        some[:, columns] = drawn[:, columns]
        result[f"sigma_{part}"] = _moments(system.ratios(some))[1]
    return result


def _gaussian(
    system: Lens, method: str, center: np.ndarray, spread: np.ndarray | None, options: FermatSettings
) -> dict[str, object]:
    """A row of draws of a Gaussian in the coordinates (14,); no draws where there is no covariance."""
    rng = np.random.default_rng(derive(options.seed, "fermat", method, system.id))
    drawn = np.empty((0, len(NAMES)))
    if spread is not None:
        drawn = rng.multivariate_normal(center, spread, options.draws, method="eigh")
    parameters = to_parameters(torch.tensor(drawn)).numpy()
    return _row(system, method, "pixels", parameters, parameters[:, SOURCE])


# ---------------------------------------------------------------- rows


def _row(
    system: Lens, method: str, treatment: str, parameters: np.ndarray, sources: np.ndarray | None
) -> dict[str, object]:
    ratios = system.ratios(parameters, sources)
    good = int(np.count_nonzero(ratios > 0))
    distinct = len(np.unique(ratios[ratios > 0]))  # sampling with replacement may leave a few
    used = distinct >= FEWEST_DRAWS and len(ratios) - good <= MOST_UNPHYSICAL * len(ratios)
    error, sigma = _moments(ratios)
    return {
        "id": system.id,
        "psf": system.psf,
        "n_images": len(system.positions),
        "method": method,
        "treatment": treatment,
        "difference": system.difference,
        "draws": len(ratios),
        "unphysical": len(ratios) - good,
        "used": used,
        "error": error,
        "sigma": sigma,
        "z": error / sigma,
        **{f"share_{name}": _share(ratios, parameters[:, NAMES.index(name)]) for name in SHARES},
        **{f"sigma_{part}": np.nan for part in PARTS},
    }


def _moments(ratios: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm of the positive ones; NaN where they are too few."""
    logarithm = np.log(ratios[ratios > 0])
    if len(logarithm) < FEWEST_DRAWS:
        return np.nan, np.nan
    return float(logarithm.mean()), float(logarithm.std(ddof=1))


def _share(ratios: np.ndarray, values: np.ndarray) -> float:
    """Squared correlation of the logarithm of the positive ratios with a parameter."""
    good = ratios > 0
    if np.count_nonzero(good) < FEWEST_DRAWS or not np.ptp(values[good]) > 0:
        return np.nan
    return float(np.corrcoef(np.log(ratios[good]), values[good])[0, 1] ** 2)


# ---------------------------------------------------------------- files


def _datasets(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Datasets of an HDF5 file; ids as text."""
    try:
        with h5py.File(path) as file:
            return tuple(file[name].asstr()[:] if name == "id" else file[name][:] for name in names)
    except FileNotFoundError as error:
        raise LensvitError(f"no file {path}: run snakemake again, which makes it") from error
    except (OSError, KeyError) as error:
        raise LensvitError(f"{path} is truncated or broken: delete it and run snakemake again") from error


def _places(path: Path, ids: np.ndarray, systems: list[Lens]) -> list[int]:
    """Where each system stands in a file."""
    place = {name: number for number, name in enumerate(ids)}
    missing = [system.id for system in systems if system.id not in place]
    if missing:
        raise LensvitError(f"{path} has nothing of the system {missing[0]}: delete it and run snakemake again")
    return [place[system.id] for system in systems]
