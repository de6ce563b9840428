"""What the delays of a population of lenses are worth: tables/fermat.csv.

The systems' errors of ln H0 are combined as measurements are, with weights 1 / sigma^2 of the predicted sigmas.
Two standard errors of the combined value are given: what the sigmas predict, and what the scatter of the systems says
(by a bootstrap over systems). They agree if the sigmas are honest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.jobs.seeds import derive
from lensvit.statistics.metrics import bootstrap_rows

COLUMNS = (
    "n_images", "method", "treatment", "draws", "unphysical", "used", "error", "sigma", "z", "share_gamma",
    "share_theta_E", "sigma_gamma", "sigma_theta_E", "sigma_shear",
)  # fmt: skip
MEDIANS = ("sigma", "share_gamma", "share_theta_E", "sigma_gamma", "sigma_theta_E", "sigma_shear")


def fermat_table(fermat: Path, goal: float, output: Path) -> None:
    """Write what the delays of each method's systems are worth together.

    Parameters
    ----------
    fermat
        fermat.parquet.
    goal
        Relative uncertainty of H0 for which the number of lenses is given.
    output
        CSV, one row a method, treatment and number of images ("all" first): systems, used; unphysical, a share of all
        draws; then of the used systems: error, the median of its absolute value; z, the root mean square of
        error / sigma; error_spread and z_spread, bootstrap standard errors of these two; combined, the weighted mean
        error of ln H0; predicted and observed, its standard errors by the sigmas and by the scatter; tension, combined
        over observed; lenses and lenses_observed, how many it takes for the goal by either standard error; the medians
        of sigma, share_gamma, share_theta_E, sigma_gamma, sigma_theta_E and sigma_shear.

    Raises
    ------
    LensvitError
        If the file is absent or broken.
    """
    table = tables.read_parquet(fermat, *COLUMNS)
    write_text(output, pd.DataFrame(_rows(table, goal)).to_csv(index=False, float_format="%.6g"))


def combine(error: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the last axis with weights 1 / sigma^2, and its standard error by the sigmas."""
    weight = sigma**-2.0
    return (weight * error).sum(-1) / weight.sum(-1), weight.sum(-1) ** -0.5


def observed_error(error: np.ndarray, sigma: np.ndarray, seed: int) -> float:
    """Standard error of :func:`combine` of n systems by their scatter: that over resampled systems.

    Parameters
    ----------
    error
        (n,) errors of the systems.
    sigma
        (n,) their predicted standard deviations.
    seed
        Seed of the resampling.
    """
    rows = bootstrap_rows(len(error), seed)
    return float(combine(error[rows], sigma[rows])[0].std(ddof=1))


def _rows(table: pd.DataFrame, goal: float) -> Iterator[dict[str, object]]:
    """The rows of the table."""
    for (method, treatment), part in table.groupby(["method", "treatment"], sort=False):
        for images in with_all(sorted(part["n_images"].unique())):
            some = of_group(part, "n_images", images)
            yield {"method": method, "treatment": treatment, "images": images, **_population(some, goal)}


def _population(part: pd.DataFrame, goal: float) -> dict[str, float]:
    """What the systems of one row say together."""
    used = part[part["used"]]
    count = len(used)
    error, sigma = used["error"].to_numpy(), used["sigma"].to_numpy()
    combined, predicted = combine(error, sigma) if count else (np.nan, np.nan)
    seed = derive("bootstrap", "fermat")
    observed = observed_error(error, sigma, seed) if count > 1 else np.nan
    again = used[["error", "z"]].to_numpy()[bootstrap_rows(count, seed)] if count > 1 else np.full((2, 1, 2), np.nan)
    return {
        "systems": len(part),
        "used": count,
        "unphysical": part["unphysical"].sum() / max(part["draws"].sum(), 1),
        "error": used["error"].abs().median(),
        "z": np.sqrt(np.square(used["z"]).mean()),
        "error_spread": np.median(np.abs(again[..., 0]), axis=1).std(ddof=1),
        "z_spread": np.sqrt(np.square(again[..., 1]).mean(1)).std(ddof=1),
        "combined": combined,
        "predicted": predicted,
        "observed": observed,
        "tension": combined / observed,
        "lenses": count * (predicted / goal) ** 2,
        "lenses_observed": count * (observed / goal) ** 2,
        **{name: used[name].median() for name in MEDIANS},
    }
