"""Which systems figure 1 shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from lensvit.errors import LensvitError
from lensvit.jobs.seeds import derive

SHARES = {1: (3,), 2: (2, 1), 3: (1, 1, 1)}  # instruments -> examples of each


def choose_examples(systems: pd.DataFrame, ids: Sequence[str], labels: Mapping[str, str], seed: int) -> pd.DataFrame:
    """The example systems, rows of the catalogue.

    Without ``ids`` these are three of the test split: two of the first instrument, of different PSFs if it has
    several, and one of the second; or one of each of the first three instruments. Systems with four images come
    first, then those whose Einstein radius lies between the quartiles; among these a number made from the seed and
    the id decides.

    Parameters
    ----------
    systems
        The whole catalogue.
    ids
        The systems wanted, in their order; empty for a choice.
    labels
        PSF to the label of its instrument, in the config's order.
    seed
        The seed of the run.

    Raises
    ------
    LensvitError
        If an id is unknown, or the test split has no system of these PSFs.
    """
    if ids:
        return _named(systems, ids)
    test = systems[(systems["split"] == "test") & systems["psf"].isin(list(labels))]
    if test.empty:
        raise LensvitError("the test split is empty: set data.test above 0, or name figures.examples")
    ranked = test.loc[_ranks(test, seed).index]
    instrument = ranked["psf"].astype(str).map(labels)
    present = list(dict.fromkeys(label for label in labels.values() if (instrument == label).any()))[:3]
    parts = [
        _spread(ranked[instrument == label], count) for label, count in zip(present, SHARES[len(present)], strict=True)
    ]
    return pd.concat(parts).reset_index(drop=True)


def choose_sample(systems: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Random systems of the test split, rows of the catalogue; all of them where there are fewer.

    Parameters
    ----------
    systems
        The whole catalogue.
    count
        How many.
    seed
        The seed of the run.
    """
    test = systems[systems["split"] == "test"]
    lots = pd.Series([derive(seed, "sample", name) for name in test["id"]], index=test.index)
    return test.loc[lots.sort_values().index[:count]].reset_index(drop=True)


def _named(systems: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    unknown = [name for name in ids if name not in set(systems["id"])]
    if unknown:
        raise LensvitError(
            f"the catalogue has no system {', '.join(unknown)}: correct figures.examples "
            f"(an id looks like {systems['id'].iloc[0]})"
        )
    return systems.set_index("id", drop=False).loc[list(ids)].reset_index(drop=True)


def _ranks(test: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What decides between the systems, the best first; adding systems does not change the order of the others."""
    low, high = test["theta_E"].quantile([0.25, 0.75])
    ranks = pd.DataFrame(
        {
            "few": test["n_images"] != 4,
            "extreme": ~test["theta_E"].between(low, high),
            "lot": [derive(seed, "example", name) for name in test["id"]],
        },
        index=test.index,
    )
    return ranks.sort_values(["few", "extreme", "lot"])


def _spread(ranked: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first ``count`` rows, the best of each PSF before the second best of any."""
    turn = ranked.groupby("psf", observed=True).cumcount()
    return ranked.loc[turn.sort_values(kind="stable").index].head(count)
