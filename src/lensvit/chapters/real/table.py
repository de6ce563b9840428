"""Real lenses: a row for each lens and method, and the population that the exact posteriors are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, uniform

from lensvit.chapters.real.settings import RealSettings
from lensvit.errors import LensvitError
from lensvit.io import files, tables
from lensvit.io.settings import read_settings
from lensvit.observations.settings import Published
from lensvit.parameters import Prior
from lensvit.statistics.population import population

FIT, PUBLISHED = "fit", "published"
LABELS = {FIT: "Fit", PUBLISHED: "Published"}  # of what is no network, as printed
COMPARED = ("theta_E", "gamma", "e1", "e2")  # of a network and of a fit
POPULATION = ("theta_E", "gamma")
WRONG = 3.0  # errors by which a network is off a fit from which on it counts as wrong
LEAST = 3  # lenses without which there is no population
COLUMNS = (
    "lens", "method", "theta_E", "theta_E_sigma", "gamma", "gamma_sigma", "e1", "e1_sigma", "e2", "e2_sigma",
    "converged", "certified", "trusted", "distance", "warned", "off", "wrong", "reference", "verdict",
)  # fmt: skip


def real_table(settings: Path, results: list[Path], predictions: list[Path], output: Path, summary: Path) -> None:
    """Bring together what is known of the observed lenses.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.real.settings.RealSettings`.
    results
        observations/{lens}.json of each lens.
    predictions
        observations/networks/{model}.csv of each network.
    output
        real.csv, a row for each lens and method: "fit", each network, "published". ``trusted`` says of a fit that
        nothing speaks against it, ``warned`` and ``distance`` of a network whether it was warned and how unlike the
        training the image is in units of the threshold, ``off`` how far it is off a fit that has converged and whose
        posterior was drawn, the worst of four parameters in units of both errors together, and ``wrong`` whether this
        is more than three.
    summary
        population.csv, a row for each of theta_E and gamma: lenses, mean and scatter of the population with their
        errors, and the prior of the fits. It stands on certified posteriors, or where fewer than three lenses have one
        on all that were drawn from fits that have converged, which ``certified`` says; nothing but ``lenses`` where
        there are fewer than three.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    published = read_settings(settings, RealSettings).published
    fits = {str(found["name"]): (path, found) for path in results for found in [_result(path)]}
    networks = {Path(path).stem: _predictions(path, list(fits)) for path in predictions}
    rows = list[dict[str, Any]]()
    for lens, (_, found) in fits.items():
        fit = _fit(lens, found)
        rows.append(fit)
        rows += [_network(lens, model, dict(table.loc[lens]), fit) for model, table in networks.items()]
        if lens in published:
            rows.append(_published(lens, published[lens]))
    files.write_text(output, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False, float_format="%.6g"))
    drawn = [entry for entry in fits.values() if entry[1]["posterior"] and entry[1]["converged"]]
    certified = [entry for entry in drawn if _certified(entry[1])]
    enough = len(certified) >= LEAST
    found_rows = _populations(certified if enough else drawn, enough)
    columns = [
        "parameter", "lenses", "certified", "mean", "mean_error", "scatter", "scatter_low", "scatter_high",
        "resolved", "prior_mean", "prior_sd",
    ]  # fmt: skip
    files.write_text(summary, pd.DataFrame(found_rows, columns=columns).to_csv(index=False, float_format="%.6g"))


def _result(path: Path) -> Mapping[str, Any]:
    """The results of a fit."""
    keys = ("name", "parameters", "posterior", "verdict", "converged", "priors")
    return files.read_json(path, *keys, kind="result of a fit")


def _predictions(path: Path, lenses: Sequence[str]) -> pd.DataFrame:
    """A network's predictions of lenses, by name."""
    table = tables.read_csv(path, "name", "verdict").set_index("name")
    missing = [lens for lens in lenses if lens not in table.index]
    if missing:
        raise LensvitError(f"{path} has no prediction of {missing[0]}: delete it and run snakemake again")
    return table


def _certified(found: Mapping[str, Any]) -> bool:
    return bool((found["posterior"] or {}).get("certified"))


def _fit(lens: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a fit."""
    row: dict[str, Any] = {"lens": lens, "method": FIT, "certified": _certified(found)}
    for name in COMPARED:
        entry = found["parameters"][name]
        row |= {name: entry.get("mean", entry["most_probable"]), f"{name}_sigma": entry.get("sigma")}
    row |= {"trusted": not found["verdict"], "verdict": " ".join(found["verdict"])}
    return row | {"converged": bool(found["converged"])}


def _network(lens: str, model: str, predicted: Mapping[str, Any], fit: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a network, which is held against a fit that has converged and whose posterior was drawn."""
    row: dict[str, Any] = {"lens": lens, "method": model}
    for name in COMPARED:
        row |= {name: predicted[f"{name}_mean"], f"{name}_sigma": predicted[f"{name}_sigma"]}
    row |= {"distance": predicted["distance"], "warned": bool(predicted["warned"]), "verdict": predicted["verdict"]}
    sigmas = [fit[f"{name}_sigma"] for name in COMPARED]
    if fit["converged"] and all(sigma is not None for sigma in sigmas):
        off = max(
            abs(row[name] - fit[name]) / np.hypot(row[f"{name}_sigma"], fit[f"{name}_sigma"]) for name in COMPARED
        )
        row |= {"off": off, "wrong": bool(off > WRONG)}
    return row


def _published(lens: str, known: Published) -> dict[str, Any]:
    """The row of a published model."""
    values = known.model_dump(exclude={"reference"}, exclude_none=True)
    return {"lens": lens, "method": PUBLISHED, **values, "reference": known.reference}


def _populations(fits: Sequence[tuple[Path, Mapping[str, Any]]], certified: bool) -> list[dict[str, Any]]:
    """The rows of population.csv."""
    if len(fits) < LEAST:
        return [{"parameter": name, "lenses": len(fits)} for name in POPULATION]
    rows, samples = [], [tables.read_parquet(Path(path).with_suffix(".parquet"), *POPULATION) for path, _ in fits]
    for name in POPULATION:
        priors = [Prior(**found["priors"][name]) for _, found in fits]
        values = [one[name].to_numpy(dtype=float) for one in samples]
        found = population(values, [log_density(prior, one) for prior, one in zip(priors, values, strict=True)])
        first = priors[0]
        rows.append(
            {
                "parameter": name, "lenses": len(fits), "certified": certified, **found._asdict(),
                "resolved": found.is_resolved, "prior_mean": first.mean, "prior_sd": first.sd,
            }
        )  # fmt: skip
    return rows


def log_density(prior: Prior, values: np.ndarray) -> np.ndarray:
    """Logarithm of a prior's density at values (n,)."""
    if prior.kind == "uniform":
        assert prior.low is not None and prior.high is not None
        return uniform.logpdf(values, prior.low, prior.high - prior.low)
    assert prior.mean is not None and prior.sd is not None
    return norm.logpdf(values, prior.mean, prior.sd)
