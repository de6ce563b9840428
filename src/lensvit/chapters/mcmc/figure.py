"""Figure 5: the posterior of one system by every method, on the networks' scale and on the chains'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.mcmc.table import read_chains, representative
from lensvit.chapters.quoting import METHOD_LABELS
from lensvit.chapters.settings import LabelSettings
from lensvit.figures import corner, style
from lensvit.io import products, tables
from lensvit.io.settings import read_settings
from lensvit.parameters import TARGET_COLUMNS


def figure5(
    settings: Path,
    mcmc: Path,
    draws: list[Path],
    output: list[Path],
    refined: Path | None = None,
    importance: Path | None = None,
) -> None:
    """Draw figure 5: the posterior of one system by every method.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    mcmc
        mcmc.parquet, with the samples (.h5) beside it; the first system with a converged chain is shown.
    draws
        predictions/{model}.h5 of every model.
    output
        .pdf and .png files.
    refined
        refined/{model}.parquet, with the covariances (.h5) beside it, if there is one.
    importance
        importance.parquet, with the samples (.h5) beside it, if there is one.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    labels = read_settings(settings, LabelSettings).labels
    row, samples = read_chain(Path(mcmc))
    networks = {Path(path).stem: corner.read_network(path, row["id"]) for path in draws}
    fit = None if refined is None else corner.read_laplace(Path(refined), row["id"])
    exact = None if importance is None else corner.read_exact(Path(importance), row["id"])
    truth = tables.target_values(row.to_frame().T, "truth")[0]
    style.save(corner.draw(truth, networks, from_pixels(samples, exact, fit), labels), output)


def from_pixels(
    samples: np.ndarray | None, exact: np.ndarray | None, fit: corner.TargetGaussian | None
) -> list[corner.FromPixels]:
    """What is shown beside a chain; nothing where there is none.

    Parameters
    ----------
    samples
        (S, K) of the chain, if there is one.
    exact
        (S, K) of the exact posterior, if there is one.
    fit
        The refined estimate, if there is one.
    """
    if samples is None:
        return []
    found = [corner.FromPixels(METHOD_LABELS["mcmc"], corner.CHAIN, "-", samples)]
    return found + corner.of_pixels(exact, fit, METHOD_LABELS)


def read_chain(path: Path) -> tuple[pd.Series, np.ndarray | None]:
    """The row and the targets' samples (S, K) of the first converged chain; without any, the first row and None."""
    table = read_chains(path)
    good = representative(table)
    if good.empty:
        return table.iloc[0], None
    row = good.iloc[0]
    return row, products.read_samples(path, [row["id"]], [good.index[0]])[0][:, TARGET_COLUMNS]
