"""What each method says of the test systems: means, standard deviations and correlations of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lensvit.chapters.mcmc.table import read_chains, representative
from lensvit.io import tables
from lensvit.io.products import read_draws, read_laplace, read_limit_covariances, read_samples
from lensvit.parameters import TARGET_COLUMNS, TARGET_NAMES

PAIRS = np.triu_indices(len(TARGET_NAMES), 1)  # of targets: (0, 1), (0, 2) to (6, 7)


class Method(NamedTuple):
    """What one method says of n systems, about K targets in their own units.

    Parameters
    ----------
    key
        Key of the model, or refined, importance, mcmc or limit.
    ids
        Ids of the systems that it says something of.
    mean
        (n, K)
    sigma
        (n, K)
    correlation
        (n, K (K - 1) / 2) in the order of ``PAIRS``.
    """

    key: str
    ids: list[str]
    mean: np.ndarray
    sigma: np.ndarray
    correlation: np.ndarray

    @property
    def block(self) -> np.ndarray:
        """All numbers, (n, 2 K + K (K - 1) / 2), as the page stores them."""
        return np.concatenate([self.mean, self.sigma, self.correlation], axis=1)


def correlations(covariance: np.ndarray) -> np.ndarray:
    """The correlations (n, pairs) of covariances (n, K, K); 0 where something does not vary."""
    sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2).clip(0))
    scale = (sigma[:, :, None] * sigma[:, None, :])[:, *PAIRS]
    values = covariance[:, *PAIRS]
    return np.divide(values, scale, out=np.zeros_like(values), where=scale > 0).clip(-1, 1)


def of_network(key: str, table: pd.DataFrame, draws: Path, ids: Sequence[str]) -> Method:
    """The predictions of a network, with the correlations of its draws.

    Parameters
    ----------
    key
        Key of the model.
    table
        Its predictions by id, see :func:`lensvit.io.tables.read_predictions`.
    draws
        predictions/{model}.h5.
    ids
        Ids of the systems that are shown.

    Raises
    ------
    LensvitError
        If the file is absent or broken, or lacks a system.
    """
    values = read_draws(Path(draws), list(ids)).swapaxes(0, 1)  # (n, passes, K)
    return _method(key, table.loc[list(ids)], _scatter(values))


def of_fits(path: Path, ids: Sequence[str]) -> Method:
    """Laplace's approximations of converged fits; see :func:`lensvit.io.products.read_laplace`."""
    table = tables.read_refined(path)
    some = table[table["converged"] & table.index.isin(list(ids))]
    return _method("refined", some, read_laplace(path, some.index).of_targets().covariance)


def of_exact(path: Path, ids: Sequence[str]) -> Method:
    """Certified exact posteriors; see :func:`lensvit.io.products.read_samples`."""
    table = tables.certified(tables.read_importance(path))
    some = table[table.index.isin(list(ids))]
    return _method("importance", some, _scatter(read_samples(path, some.index)[..., TARGET_COLUMNS]))


def of_chains(path: Path, ids: Sequence[str]) -> Method:
    """One converged Markov chain of each system that has any; see :func:`lensvit.io.products.read_samples`."""
    table = representative(read_chains(path))
    some = table[table["id"].isin(list(ids))]
    samples = read_samples(path, some["id"], rows=list(some.index))
    return _method("mcmc", some.set_index("id"), _scatter(samples[..., TARGET_COLUMNS]))


def of_limit(path: Path, amplitudes: str, rows: pd.DataFrame) -> Method:
    """The limit of information around the truth.

    Parameters
    ----------
    path
        limit.parquet, with the arrays beside it.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".
    rows
        Rows of the catalogue that are shown.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    table = tables.read_limits(path, amplitudes)
    some = rows[rows["id"].isin(table.index[table[f"valid_{amplitudes}"]])]
    every = read_limit_covariances(path, amplitudes, some["id"])
    covariance = every[:, TARGET_COLUMNS][..., TARGET_COLUMNS]
    mean = some[list(TARGET_NAMES)].to_numpy(dtype=float)
    sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return Method("limit", list(some["id"]), mean, sigma, correlations(covariance))


def _method(key: str, table: pd.DataFrame, covariance: np.ndarray) -> Method:
    """Means and sigmas of a table by id, and the correlations of covariances (n, K, K)."""
    mean, sigma = (tables.target_values(table, kind) for kind in ("mean", "sigma"))
    return Method(key, list(table.index), mean, sigma, correlations(covariance))


def _scatter(values: np.ndarray) -> np.ndarray:
    """The covariances (n, K, K) of samples (n, S, K)."""
    centred = values - values.mean(1, keepdims=True)
    return np.einsum("nsk,nsl->nkl", centred, centred) / max(values.shape[1] - 1, 1)
