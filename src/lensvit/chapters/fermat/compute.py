"""What errors of a lens mean for H0: the longest delay of each test system, by every method's draws of its lens.

A delay is D_dt / c times the difference of the Fermat potential of two images (:mod:`lensvit.inference.delays`), so
that the error of ln of this difference is that of ln H0 from a delay measured without error. Three treatments say
from what a method's draws come:

prediction
    A network alone. It predicts neither the shear, which is drawn from its prior, nor the source, which is put where
    the rays of the observed images meet on average.
images
    The same draws, with the shear and the source from their priors, given the observed positions of the quasar images
    too, which come with every measured delay. The priors without a network are treated in the same way.
pixels
    A posterior of all parameters given all pixels: Laplace's of the refinement, samples of an exact posterior or of a
    chain, or the limit of information at the truth. The source is each draw's own.

Scenes may have more to them than the parameters of every lens. Delays ask for these alone, so that draws of all else
are left out, and with them the amplitudes, which posteriors of such scenes have marginalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from lensvit.chapters.fermat.settings import FermatSettings
from lensvit.chapters.fermat.thresholds import MOST_UNPHYSICAL
from lensvit.chapters.grouping import parameters_of
from lensvit.errors import LensvitError
from lensvit.inference.coordinates import to_coordinates, to_parameters
from lensvit.inference.delays import fermat_potentials, match_positions
from lensvit.io import files, tables
from lensvit.io.hdf5 import find_systems, read_datasets
from lensvit.io.products import read_laplace, read_limits, read_samples
from lensvit.io.settings import read_settings
from lensvit.jobs.seeds import derive
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.power_law import PowerLaw
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES, Prior

MATCHED = 4096  # draws that are matched with positions side by side: fewer take longer, more take memory
FEWEST_DRAWS = 4  # with fewer different draws a system has no sigma
SHEAR = [NAMES.index(name) for name in ("gamma_ext", "psi_ext")]
SOURCE = [NAMES.index(name) for name in ("source_x", "source_y")]
PARTS = {"gamma": [NAMES.index("gamma")], "theta_E": [NAMES.index("theta_E")], "shear": SHEAR}
SHARES = ("gamma", "theta_E")
COLUMNS = (
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
    importance: Path | None = None,
    mcmc: Path | None = None,
) -> None:
    """Propagate draws to the longest time delay of each test system that has one.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.fermat.settings.FermatSettings`.
    catalog
        catalog.parquet.
    draws
        predictions/{model}.h5 of every model.
    output
        Parquet, one row a system, method (a model's name, prior, refined, importance, mcmc or limit) and
        treatment: id, psf; n_images, without one in the lens's centre; difference of the Fermat potential, true
        [arcsec^2]; draws and unphysical, their numbers; used (whether there are enough different draws, and few
        unphysical ones). Of the physical draws: error and sigma, the mean and standard deviation of
        ln(difference / true); z, their ratio; share_gamma and share_theta_E, the squared correlation of this logarithm
        with the parameter. Of a network alone: sigma_gamma, sigma_theta_E and sigma_shear, the sigma if only these
        draws vary. NaN where there is none.
    limit
        limit.parquet, with the covariances (.h5) beside it.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".
    refined
        refined/{model}.parquet, with the covariances (.h5) beside it.
    importance
        importance.parquet, with the samples (.h5) beside it; the certified posteriors count.
    mcmc
        mcmc.parquet, with the samples (.h5) beside it; all converged chains of a system count together.

    Raises
    ------
    LensvitError
        If a file is absent or broken, has no draws of a system, or no system has two images.
    """
    torch.set_num_threads(1)
    choice = read_settings(settings, FermatSettings)
    systems = lenses(tables.read_catalog(catalog), choice)
    rows = [
        *(row for path in draws for row in of_network(systems, path, choice)),
        *of_priors(systems, choice),
        *(of_laplace(systems, refined, choice) if refined else ()),
        *(of_exact(systems, importance, choice) if importance else ()),
        *(of_chains(systems, mcmc, choice) if mcmc else ()),
        *(of_limit(systems, limit, amplitudes, choice) if limit else ()),
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    with files.atomic(output) as temporary:
        table.to_parquet(temporary, index=False)
    files.write_manifest(output)
    for (method, treatment), part in table.groupby(["method", "treatment"], sort=False):
        print(f"{method}, {treatment}: {part['used'].sum()} of {len(part)} systems used", flush=True)


# ---------------------------------------------------------------- systems


class Lens(NamedTuple):
    """A test system.

    Parameters
    ----------
    id
        Its id in the catalogue.
    psf
        The name of its PSF.
    truth
        (14,) its parameters.
    positions
        (M, 2) of its images, as observed [arcsec].
    pair
        The two images of the longest delay, the last to arrive first.
    difference
        The true difference of the Fermat potential between them [arcsec^2].
    """

    id: str
    psf: str
    truth: np.ndarray
    positions: np.ndarray
    pair: tuple[int, int]
    difference: float

    def ratios(self, parameters: np.ndarray, sources: np.ndarray | None = None) -> np.ndarray:
        """The pair's difference over the true one, (K,) for lenses (K, 14)."""
        pair = list(self.pair)
        if sources is None:
            last, first = fermat_potentials(parameters, self.positions)[:, pair].T
        else:
            last, first = fermat_potentials(parameters, self.positions[pair], sources).T
        return (last - first) / self.difference


def lenses(catalog: pd.DataFrame, settings: FermatSettings) -> list[Lens]:
    """The test systems with two images or more beside the central one, whose positions are observed with errors.

    Raises
    ------
    LensvitError
        If there is none.
    """
    rows = catalog[catalog["split"] == "test"]
    parameters = parameters_of(rows)
    found = []
    for name, psf, system, solution in zip(rows["id"], rows["psf"], parameters, solve(parameters), strict=True):
        if isinstance(solution, QuasarImages):
            truth = np.array(list(system.values()))
            images = without_central(solution.brightest(settings.max_images), truth)
            if len(images) > 1:
                found.append(_lens(name, psf, truth, images, settings))
    if not found:
        raise LensvitError("no test system has two images and so a delay: set fermat.enabled to false")
    return found


def without_central(images: QuasarImages, truth: np.ndarray) -> QuasarImages:
    """The images without that in the lens's centre, which a lens with parameters ``truth`` (14,) may have.

    It is the maximum of the arrival time, and so would belong to the longest delay. A slope well below 2 makes it
    bright enough to be an image of the simulation, with some thousandths of the others' light in the midst of the lens
    galaxy's: nobody measures a delay there.
    """
    position = torch.complex(torch.tensor(images.x), torch.tensor(images.y))[None]
    _, kappa, _ = PowerLaw(torch.tensor(truth[None]), slopes=False).focusing(position)
    seen = (kappa[0].numpy() < 1) | (images.magnification < 0)
    return images if seen.all() else QuasarImages(images.x[seen], images.y[seen], images.magnification[seen])


def _lens(name: str, psf: str, truth: np.ndarray, images: QuasarImages, settings: FermatSettings) -> Lens:
    """The system of this id and PSF with the parameters ``truth`` (14,) and observed images."""
    places = np.column_stack([images.x, images.y])
    potential = fermat_potentials(truth[None], places, truth[None, SOURCE])[0]
    pair = int(potential.argmax()), int(potential.argmin())
    rng = np.random.default_rng(derive(settings.seed, "astrometry", name))
    observed = places + settings.astrometry * rng.standard_normal(places.shape)
    return Lens(name, psf, truth, observed, pair, float(potential[pair[0]] - potential[pair[1]]))


# ---------------------------------------------------------------- methods


def of_network(systems: list[Lens], path: Path, settings: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of a network's draws, alone and with the positions of the images."""
    model = Path(path).stem
    ids, values = read_datasets(path, "id", "draws")
    places = dict(zip([system.id for system in systems], _rows_of(path, ids, systems), strict=True))

    def drawn(system: Lens) -> np.ndarray:
        rng = np.random.default_rng(derive(settings.seed, "fermat", model, system.id))
        return with_priors(values[: settings.draws, places[system.id]].astype(float), settings.known, rng)

    for system, given in zip(systems, _given_images(systems, model, drawn, settings), strict=True):
        draws = drawn(system)
        yield _row(system, model, "prediction", draws, None) | _parts(system, draws)
        yield given


def of_priors(systems: list[Lens], settings: FermatSettings) -> list[dict[str, object]]:
    """Rows of the priors with the positions of the images: what is known without a network."""

    def drawn(system: Lens) -> np.ndarray:
        rng = np.random.default_rng(derive(settings.seed, "fermat", "prior", system.id))
        targets = np.column_stack([settings.known[name].draws(rng, settings.draws) for name in TARGET_NAMES])
        return with_priors(targets, settings.known, rng)

    return _given_images(systems, "prior", drawn, settings)


def of_laplace(systems: list[Lens], path: Path, settings: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of the Gaussians of the refinement; a fit that has not converged has no draws."""
    table = tables.read_refined(path)
    good = table.index[table["converged"]]
    fits = {name: (mean, spread) for name, mean, spread in zip(good, *read_laplace(path, good), strict=True)}
    for system in systems:
        if system.id in table.index:
            center, spread = fits.get(system.id, (np.empty(0), None))
            yield _gaussian(system, "refined", center, spread, settings)


def of_limit(systems: list[Lens], path: Path, amplitudes: str, settings: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of the limit of information at the truth, which have a sigma and no error."""
    valid = read_limits(path, amplitudes).index
    ids, spread = read_datasets(Path(path).with_suffix(".h5"), "id", amplitudes)
    for system, place in zip(systems, _rows_of(path, ids, systems), strict=True):
        truth = to_coordinates(torch.tensor(system.truth[None]))[0].numpy()
        row = _gaussian(system, "limit", truth, spread[place] if system.id in valid else None, settings)
        yield row | {"error": np.nan, "z": np.nan}


def of_exact(systems: list[Lens], path: Path, settings: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of samples of exact posteriors, of which the certified ones count."""
    table = tables.read_importance(path)
    good = tables.certified(table).index
    samples = {name: [some] for name, some in zip(good, read_samples(path, good), strict=True)}
    yield from _of_samples(systems, "importance", table.index, samples, settings)


def of_chains(systems: list[Lens], path: Path, settings: FermatSettings) -> Iterator[dict[str, object]]:
    """Rows of samples of chains, of which the converged ones count; a system may have two."""
    table = tables.read_parquet(path, "id", "converged")
    rows = np.flatnonzero(table["converged"]).tolist()
    good, samples = table["id"].iloc[rows], dict[str, list[np.ndarray]]()
    for name, some in zip(good, read_samples(path, good, rows), strict=True):
        samples.setdefault(name, []).append(some)
    yield from _of_samples(systems, "mcmc", pd.Index(table["id"]), samples, settings)


def _of_samples(
    systems: list[Lens],
    method: str,
    known: pd.Index,
    samples: Mapping[str, list[np.ndarray]],
    settings: FermatSettings,
) -> Iterator[dict[str, object]]:
    """Rows of evenly thinned samples, lists of (S, 14) by id; a system that is known and has none has no draws."""
    for system in systems:
        if system.id in known:
            every = np.concatenate([np.empty((0, len(NAMES))), *samples.get(system.id, [])])
            some = every[np.linspace(0, len(every) - 1, min(settings.draws, len(every))).round().astype(int)]
            yield _row(system, method, "pixels", some, some[:, SOURCE])


def with_priors(targets: np.ndarray, known: Mapping[str, Prior], rng: np.random.Generator) -> np.ndarray:
    """Draws (K, 14) of all parameters: those (K, 8) of the targets, and draws of the others from their priors."""
    others = [name for name in NAMES if name not in TARGET_NAMES]
    return np.column_stack([targets, *(known[name].draws(rng, len(targets)) for name in others)])


def _given_images(
    systems: list[Lens], method: str, drawn: Callable[[Lens], np.ndarray], settings: FermatSettings
) -> list[dict[str, object]]:
    """The row of each system's draws (K, 14) given the images; those for which no lens is found count as unphysical.

    Too few draws have no spread in which a lens could be sought, and leave no draws.

    Parameters
    ----------
    systems
        The systems.
    method
        The method's name.
    drawn
        The draws of a system, of which all have equally many.
    settings
        Settings of the stage.
    """
    count = len(drawn(systems[0]))
    if count < FEWEST_DRAWS:
        nothing = np.empty((0, len(NAMES)))
        return [_row(system, method, "images", nothing, nothing[:, SOURCE]) for system in systems]
    rows = {}
    for some in _side_by_side(systems, max(MATCHED // count, 1)):
        coordinates = torch.stack([to_coordinates(torch.tensor(drawn(system))) for system in some])
        spread = torch.stack([_spread(draws) for draws in coordinates])
        positions = torch.tensor(np.stack([system.positions for system in some]))
        generators = [torch.Generator().manual_seed(derive(settings.seed, "match", system.id)) for system in some]
        matched = match_positions(coordinates, spread, positions, settings.astrometry, generators)
        for system, draws in zip(some, matched, strict=True):
            parameters = to_parameters(draws).numpy()
            rows[system.id] = _row(system, method, "images", parameters, parameters[:, SOURCE])
    return [rows[system.id] for system in systems]


def _side_by_side(systems: list[Lens], most: int) -> Iterator[list[Lens]]:
    """The systems in lists of at most ``most``, of one number of images each."""
    for images in sorted({len(system.positions) for system in systems}):
        same = [system for system in systems if len(system.positions) == images]
        yield from (same[start : start + most] for start in range(0, len(same), most))


def _spread(coordinates: torch.Tensor) -> torch.Tensor:
    """Covariance (14, 14) of draws, without the chance correlations of what was drawn independently.

    Targets, shear, source position and the two parameters of the source's light were drawn independently.
    """
    result = torch.cov(coordinates.T)
    block = torch.tensor([0] * len(TARGET_COLUMNS) + [1] * len(SHEAR) + [2] * len(SOURCE) + [3, 4])
    return torch.where(block[:, None] == block, result, 0)


def _parts(system: Lens, drawn: np.ndarray) -> dict[str, float]:
    """Sigmas if only some parameters vary: the others are at their means, and without its draws the shear is 0."""
    still = np.tile(drawn.mean(0), (len(drawn), 1))
    still[:, SHEAR[0]] = 0.0
    varied = np.stack([still] * len(PARTS))
    for some, columns in zip(varied, PARTS.values(), strict=True):
        some[:, columns] = drawn[:, columns]
    ratios = system.ratios(varied.reshape(-1, len(NAMES))).reshape(len(PARTS), -1)
    return {f"sigma_{part}": _moments(some)[1] for part, some in zip(PARTS, ratios, strict=True)}


def _gaussian(
    system: Lens, method: str, center: np.ndarray, spread: np.ndarray | None, settings: FermatSettings
) -> dict[str, object]:
    """The row of draws of a Gaussian in the coordinates, with mean (14,) and covariance (14, 14).

    Without a covariance there are no draws.
    """
    rng = np.random.default_rng(derive(settings.seed, "fermat", method, system.id))
    drawn = np.empty((0, len(NAMES)))
    if spread is not None:
        drawn = rng.multivariate_normal(center, spread, settings.draws, method="eigh")
    parameters = to_parameters(torch.tensor(drawn)).numpy()
    return _row(system, method, "pixels", parameters, parameters[:, SOURCE])


def _rows_of(path: Path, ids: np.ndarray, systems: list[Lens]) -> list[int]:
    """The row of each system in a file whose rows have these ids."""
    return find_systems(path, ids, [system.id for system in systems])


# ---------------------------------------------------------------- rows


def _row(
    system: Lens, method: str, treatment: str, parameters: np.ndarray, sources: np.ndarray | None
) -> dict[str, object]:
    """The row of a method's draws (K, 14) of a system, with their sources (K, 2) or where the rays meet."""
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
        "z": error / sigma if sigma > 0 else np.nan,  # draws that are all the same have no z
        **{f"share_{name}": _share(ratios, parameters[:, NAMES.index(name)]) for name in SHARES},
        **{f"sigma_{part}": np.nan for part in PARTS},
    }


def _moments(ratios: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm of the positive ratios; NaN where these are too few."""
    logarithm = np.log(ratios[ratios > 0])
    if len(logarithm) < FEWEST_DRAWS:
        return np.nan, np.nan
    return float(logarithm.mean()), float(logarithm.std(ddof=1))


def _share(ratios: np.ndarray, values: np.ndarray) -> float:
    """Squared correlation of the logarithm of the positive ratios with a parameter."""
    good = ratios > 0
    logarithm = np.log(ratios[good])
    if len(logarithm) < FEWEST_DRAWS or not (np.ptp(values[good]) > 0 and np.ptp(logarithm) > 0):
        return np.nan
    return float(np.corrcoef(logarithm, values[good])[0, 1] ** 2)
