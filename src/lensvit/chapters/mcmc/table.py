"""What the Markov chains reach and cost, beside the other methods on the same systems: mcmc.csv and chains.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.chapters.grouping import of_group, with_all
from lensvit.chapters.mcmc.thresholds import ENOUGH, PRIOR, REASONS
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import reading, write_text
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics.compare import scored
from lensvit.statistics.metrics import bootstrap_weights, mean_error, root_mean_square

MCMC, LIMIT, REFINED, IMPORTANCE = "mcmc", "limit", "refined", "importance"  # methods beside the models
CHAINS = (  # columns of mcmc.parquet
    "instrument", "start", "converged", "reason", "attempts", "tau", "steps", "ess_bulk", "ess_tail", "burn_in",
    "seconds", "calls", *tables.PREDICTED,
)  # fmt: skip
MEASURED = ("rmse", "rmse_error", "width", "width_error", "z", "offset")  # columns of mcmc.csv
COSTS = ("seconds", "calls")


def mcmc_table(
    mcmc: Path,
    predictions: list[Path],
    output: Path,
    chains: Path,
    limit: Path | None = None,
    amplitudes: str = "known",
    refined: Path | None = None,
    importance: Path | None = None,
) -> None:
    """Write what Markov chains reach and cost, beside the other methods.

    A system is represented by the converged chain from the network's draws or the exact posterior's samples, or else by
    that from the priors; a system without a converged chain is in no comparison.

    Parameters
    ----------
    mcmc
        mcmc.parquet.
    predictions
        predictions/{model}.parquet of every model.
    output
        CSV, one row a method ("mcmc", then the models, "refined", "importance", "limit") and target ("overall"
        first): kind ("chain", "model", "refined", "exact", "limit"); systems that are compared; rmse of the means, or
        the root mean square of the limit, with the bootstrap standard error rmse_error; width, the mean ratio of the
        method's sigma to the chain's, with its standard error width_error; z, the root mean square of error / sigma;
        offset of the mean from the chain's, root mean square in the chain's sigma; seconds a system, empty for models;
        calls of the likelihood a system, of chains and exact posteriors. Values are empty where there is no system to
        compare, and standard errors where there is only one.
    chains
        CSV, one row a start ("prior", "network", "importance") and instrument ("all", then each if there are several):
        chains, converged, and the failures unexplained, short, disagree; means over all chains of seconds, calls,
        burn_in (calls before the chain) and attempts; means over the converged ones of tau, steps, ess_bulk, ess_tail,
        calls_enough (calls of one with the same burn-in and an effective size of 200), seconds_converged and
        calls_converged; burn_in_ratio, mean burn_in over that from the priors, both for the systems of which both
        chains have converged.
    limit
        limit.parquet, if there is one.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".
    refined
        refined/{model}.parquet, if there is one.
    importance
        importance.parquet, if there is one; the certified posteriors count.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or predictions lack a system.
    """
    table = read_chains(mcmc)
    write_text(chains, _chains(table).to_csv(index=False, float_format="%.6g"))
    reference = tables.by_id(mcmc, representative(table))
    parts = [_compared(MCMC, "chain", reference, reference)]
    for model, predicted in tables.read_predictions(predictions).items():
        if not reference.index.isin(predicted.index).all():
            raise LensvitError(f"{mcmc} and the predictions of {model} are of different systems: delete {mcmc}")
        parts.append(_compared(model, "model", predicted, reference))
    if refined is not None:
        fits = tables.read_refined(refined)
        parts.append(_compared(REFINED, "refined", fits[fits["converged"]], reference))
    if importance is not None:
        exact = tables.certified(tables.read_importance(importance))
        parts.append(_compared(IMPORTANCE, "exact", exact, reference))
    if limit is not None:
        parts.append(_limit(tables.read_limits(limit, amplitudes), amplitudes, reference))
    write_text(output, pd.concat(parts).to_csv(index=False, float_format="%.6g"))


def read_chains(path: Path) -> pd.DataFrame:
    """The table of the chains; see :func:`lensvit.io.tables.read_parquet`.

    All that have not converged say why not, and those that have have widths.
    """
    table = tables.read_parquet(path, *CHAINS)
    with reading(path):
        tables.check_reasons(table, "converged", REASONS)
        tables.check_widths(table[table["converged"]].set_index("id"))
    return table


def representative(table: pd.DataFrame) -> pd.DataFrame:
    """One converged chain of each system that has any, in the table's order; that from the priors stands back."""
    good = table[table["converged"]]
    order = np.argsort((good["start"] == PRIOR).to_numpy(), kind="stable")
    return good.iloc[order].drop_duplicates("id").sort_index()


def _compared(method: str, kind: str, table: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Rows of a method with means and sigmas, on the systems that it shares with the reference."""
    chain = reference[reference.index.isin(table.index)]
    same = table.loc[chain.index]
    result = _rows(method, kind, len(chain))
    if chain.empty:
        return result
    error, sigma = tables.prediction_errors(same), tables.target_values(same, "sigma")
    width = tables.target_values(chain, "sigma")
    result = result.assign(**_scores(error, sigma / width))
    offset = (tables.target_values(same, "mean") - tables.target_values(chain, "mean")) / width
    for name, values in {"z": error / sigma, "offset": offset}.items():
        result[name] = root_mean_square(np.square(values).mean(0))
    for name in COSTS:
        if name in same:
            result[name] = same[name].mean()
    return result


def _limit(limit: pd.DataFrame, amplitudes: str, reference: pd.DataFrame) -> pd.DataFrame:
    """Rows of the limit, on the systems for which it holds."""
    valid = limit[limit[f"valid_{amplitudes}"]]
    chain = reference[reference.index.isin(valid.index)]
    result = _rows(LIMIT, "limit", len(chain))
    if chain.empty:
        return result
    sigma = valid.loc[chain.index, [f"{name}_{amplitudes}" for name in TARGET_NAMES]].to_numpy()
    return result.assign(**_scores(sigma, sigma / tables.target_values(chain, "sigma")))


def _rows(method: str, kind: str, systems: int) -> pd.DataFrame:
    """One row a target, without values."""
    rows = pd.DataFrame({"method": method, "kind": kind, "target": ["overall", *TARGET_NAMES], "systems": systems})
    return rows.assign(**dict.fromkeys((*MEASURED, *COSTS), np.nan))


def _scores(error: np.ndarray, width: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of errors (n, K) and ratios of widths (n, K), overall first, each with its standard error.

    The targets of a system are not independent: the overall width is a mean over systems of their mean over targets.
    """
    scores = scored(np.square(error), bootstrap_weights(len(error), derive("bootstrap")))
    widths = np.column_stack([width.mean(1), width])
    return {
        "rmse": scores.values,
        "rmse_error": scores.errors,
        "width": widths.mean(0),
        "width_error": mean_error(widths),
    }


def _chains(table: pd.DataFrame) -> pd.DataFrame:
    """The table of the chains."""
    rows = []
    instruments = with_all(table["instrument"].unique())
    for start, same in table.groupby("start", sort=False):
        for instrument in instruments:
            some = of_group(same, "instrument", instrument)
            ratio = np.nan if start == PRIOR else _burn_in_ratio(some, table[table["start"] == PRIOR])
            rows.append({"start": start, "instrument": instrument} | _summary(some) | {"burn_in_ratio": ratio})
    return pd.DataFrame(rows)


def _summary(chains: pd.DataFrame) -> dict[str, object]:
    """How many chains have converged, why the others have not, and what they cost."""
    good = chains[chains["converged"]]
    result: dict[str, object] = {"chains": len(chains), "converged": len(good)}
    result |= {reason: int((chains["reason"] == reason).sum()) for reason in REASONS}
    result |= {name: chains[name].mean() for name in ("seconds", "calls", "burn_in", "attempts")}
    result |= {name: good[name].mean() for name in ("tau", "steps", "ess_bulk", "ess_tail")}
    result["calls_enough"] = (good["burn_in"] + (good["calls"] - good["burn_in"]) * ENOUGH / good["ess_bulk"]).mean()
    return result | {f"{name}_converged": good[name].mean() for name in ("seconds", "calls")}


def _burn_in_ratio(chains: pd.DataFrame, prior: pd.DataFrame) -> float:
    """Mean calls before chains over those from the priors, for the same systems, of which both chains converged."""
    pairs = chains[chains["converged"]].merge(prior[prior["converged"]], on="id", suffixes=("", "_prior"))
    return pairs["burn_in"].mean() / pairs["burn_in_prior"].mean()
