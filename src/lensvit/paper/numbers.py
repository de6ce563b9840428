"""numbers.json: every number that the paper prints, raw; the templates format them.

The structure is that of ``tests/data/numbers.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lensvit.chapters.ablation.claims import ablation_numbers
from lensvit.chapters.accuracy.published import ORIGINAL, PUBLISHED_COLUMNS, REFERENCES
from lensvit.chapters.calibration.claims import calibration_numbers
from lensvit.chapters.calibration.covariance_claims import posterior_numbers
from lensvit.chapters.data.examples import choose_examples
from lensvit.chapters.fermat.claims import fermat_numbers
from lensvit.chapters.limit.claims import limit_numbers
from lensvit.chapters.mcmc.claims import mcmc_numbers
from lensvit.chapters.quoting import OVERALL, heading
from lensvit.chapters.refine.claims import refine_numbers
from lensvit.chapters.shift.claims import shift_numbers
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.jobs.provenance import packages
from lensvit.parameters import PARAMETERS, TARGETS, priors

RARE = 0.005  # a share of systems that is not worth a word
PSF_SETTINGS = {
    "hst_acs": ("spectral_index", "despace_um"),
    "keck_ao": ("r0", "residual_nm", "jitter_mas"),
    "fits": (),
}
STAGES = {"simulate": "simulation of the images", "train": "training of {}", "evaluate": "prediction with {}"}


def numbers(
    settings: Path,
    table: Path,
    errors: Path,
    calibration: Path,
    joint: Path,
    models: list[Path],
    predictions: list[Path],
    catalog: Path,
    psfs: list[Path],
    benchmarks: Path,
    output: Path,
    limit: Path | None = None,
    refined: Path | None = None,
    ablation: Path | None = None,
    shift: Path | None = None,
    mcmc: Path | None = None,
    chains: Path | None = None,
    fermat: Path | None = None,
) -> None:
    """Collect the numbers of a run.

    Parameters
    ----------
    settings : the whole config and the scale that it has.
    table, errors : Table 1 and the standard errors of its entries.
    calibration, joint : calibration.csv and joint.csv.
    models : models/{model}/config.json, with history.csv and provenance.json beside.
    predictions : predictions/{model}.parquet.
    catalog : catalog.parquet.
    psfs : psf/{name}.json, of one kernel each.
    benchmarks : snakemake's folder of benchmarks; stages without one have no duration.
    output : numbers.json.
    ablation : ablation.csv, with ablation.json beside it, if there is one.
    limit, refined, shift, fermat : limit.csv, refined.csv, shift.csv and fermat.csv, if there are any.
    mcmc, chains : mcmc.csv and chains.csv, if there are any.
    """
    content = yaml.safe_load(Path(settings).read_text(encoding="utf-8"))
    config = content["config"]
    systems = tables.read_parquet(catalog)
    rmse = pd.read_csv(table, index_col="target")
    durations = _durations(Path(benchmarks), config["models"])
    kernels = [_psf(path, config, systems) for path in psfs]
    labels = {name: entry["label"] for name, entry in config["models"].items()}
    cameras = {name: entry["label"] for name, entry in config["instruments"].items()}
    trained = {path.parent.name: _model(path, config, durations) for path in models}
    result = {
        "run": {"name": config["run"], "scale": content["scale"], "seed": config["seed"]},
        "dataset": _dataset(config, systems),
        "priors": _priors(config, systems),
        "instruments": [{"name": name, **entry} for name, entry in config["instruments"].items()],
        "psf_radii": kernels[0]["radii"],
        "psfs": kernels,
        "models": list(trained.values()),
        "evaluation": {key: config["evaluation"][key] for key in ("passes", "batch_norm")},
        "columns": _columns(config, trained, rmse.columns),
        "table": _table(rmse, pd.read_csv(errors, index_col="target")),
        "uncertainty": _uncertainty(tables.read_predictions(predictions)),
        "calibration": calibration_numbers(calibration, labels),
        "posteriors": posterior_numbers(joint, models, labels),
        "limit": None if limit is None else limit_numbers(limit, config["limit"]["amplitudes"], labels, cameras),
        "refine": None if refined is None else refine_numbers(refined, labels, cameras),
        "ablation": None if ablation is None else ablation_numbers(ablation, ablation.with_suffix(".json")),
        "shift": None if shift is None else shift_numbers(shift, config),
        "mcmc": None if mcmc is None else mcmc_numbers(mcmc, chains, config, durations),
        "fermat": None if fermat is None else fermat_numbers(fermat, config["fermat"], labels),
        "figures": _figures(config, systems, trained),
        "original": ORIGINAL,
        "provenance": _provenance(models, durations, config["models"]),
    }
    write_text(output, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


# ---------------------------------------------------------------- data


def _dataset(config: Mapping[str, Any], systems: pd.DataFrame) -> dict[str, Any]:
    scene = config["scene"]
    shares = systems["n_images"].value_counts(normalize=True).sort_index()
    return {
        "total": len(systems),
        **{split: int((systems["split"] == split).sum()) for split in ("train", "validation", "test")},
        "redraws": int(systems["redraws"].sum()),
        "external_shear": config["simulation"]["external_shear"],
        "streamed": config["training"]["stream"],
        "supersampling": config["simulation"]["supersampling"],
        "multiplicity": [
            {"images": int(images), "fraction": float(share)} for images, share in shares.items() if share >= RARE
        ],
        **scene,
    }


def _priors(config: Mapping[str, Any], systems: pd.DataFrame) -> list[dict[str, Any]]:
    changes = {
        name: {key: value for key, value in change.items() if value is not None}
        for name, change in config["priors"].items()
    }
    full = priors(changes)
    return [
        {
            **{key: getattr(parameter, key) for key in ("name", "label", "unit", "description", "target")},
            **vars(full[parameter.name]),
            "sample_mean": float(systems[parameter.name].mean()),
            "sample_sd": float(systems[parameter.name].std(ddof=0)),
        }
        for parameter in PARAMETERS
    ]


def _psf(path: Path, config: Mapping[str, Any], systems: pd.DataFrame) -> dict[str, Any]:
    name = path.stem
    entry = config["psfs"][name]
    counts = systems.loc[systems["psf"] == name, "split"].value_counts()
    return {
        "name": name,
        "instrument": entry["instrument"],
        "kind": entry["kind"],
        "settings": {key: entry[key] for key in PSF_SETTINGS[entry["kind"]]},
        **json.loads(path.read_text(encoding="utf-8")),
        **{split: int(counts.get(split, 0)) for split in ("train", "validation", "test")},
    }


# ---------------------------------------------------------------- models


def _model(path: Path, config: Mapping[str, Any], durations: Mapping[str, float]) -> dict[str, Any]:
    """One network: what the config asked for, what its folder says, what it cost."""
    name = path.parent.name
    made = json.loads(path.read_text(encoding="utf-8"))
    origin = json.loads((path.parent / "provenance.json").read_text(encoding="utf-8"))
    history = pd.read_csv(path.parent / "history.csv")
    network, entry = made["network"], config["models"][name]
    return {
        "name": name,
        "label": entry["label"],
        **{key: network[key] for key in ("library", "architecture", "weights", "image_size", "dropout", "posterior")},
        "attention_dropout": network["attention_dropout"] if network["library"] == "transformers" else None,
        "family": made["family"],
        "parameters": made["parameters"],
        "recipe": {"name": entry["recipe"], **made["recipe"]},
        "epochs_run": len(history),
        "systems_seen": made["systems_seen"],
        "best_epoch": made["best_epoch"],
        "best_mse": made["best_validation_mse"],
        "seconds": float(history["seconds"].sum()),
        "images_per_second": float(history["images_per_second"].median()),
        "evaluation_seconds": durations.get(f"evaluate/{name}"),
        "device": origin["device"],
        "hardware": origin["hardware"],
    }


def _durations(benchmarks: Path, models: Iterable[str]) -> dict[str, float]:
    """Seconds of the long stages, from snakemake's benchmarks; jobs of one stage are added up."""
    files = {"simulate": sorted(benchmarks.glob("simulate/*/*.tsv"))}
    for stage in ("train", "evaluate"):
        files |= {f"{stage}/{model}": sorted(benchmarks.glob(f"{stage}/{model}.tsv")) for model in models}
    return {
        stage: float(sum(pd.read_csv(path, sep="\t")["s"].iloc[-1] for path in paths))
        for stage, paths in files.items()
        if paths
    }


def _provenance(models: list[Path], durations: Mapping[str, float], entries: Mapping[str, Any]) -> dict[str, Any]:
    origins = [json.loads((path.parent / "provenance.json").read_text(encoding="utf-8")) for path in models]
    latest = max(origins, key=lambda origin: origin["date"])
    named = []
    for stage, seconds in durations.items():
        kind, _, model = stage.partition("/")
        named.append({"stage": STAGES[kind].format(entries[model]["label"] if model else ""), "seconds": seconds})
    return {
        "date": latest["date"][:10],
        "commit": latest["commit"],
        **{key: latest[key] for key in ("python", "platform", "cores")},
        "versions": {**latest["versions"], **packages(("snakemake", "lenstronomy"))},
        "durations": named,
    }


# ---------------------------------------------------------------- results


def _columns(config: Mapping[str, Any], models: Mapping[str, Any], names: Iterable[str]) -> list[dict[str, Any]]:
    """What each column of Table 1 is; a model's ``reference`` is the published model of its family."""
    columns = []
    for name in names:
        if name in models:
            entry = {
                "label": config["models"][name]["label"],
                "kind": "model",
                "reference": REFERENCES[models[name]["family"]],
            }
        elif name in PUBLISHED_COLUMNS:
            entry = {"label": PUBLISHED_COLUMNS[name], "kind": "published", "reference": None}
        elif name == "prior":
            entry = {"label": "Prior mean", "kind": "baseline", "reference": None}
        elif name == "limit":
            entry = {"label": "Limit", "kind": "limit", "reference": None}
        elif name == "refined":
            entry = {"label": "Refined", "kind": "refined", "reference": None}
        else:
            raise LensvitError(f"Table 1 has a column {name} that the paper does not know: is it of another config?")
        columns.append({"key": name, **entry})
    return columns


def _table(rmse: pd.DataFrame, errors: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for target in rmse.index:
        rows.append(
            {
                **heading(target),
                "values": {name: float(value) for name, value in rmse.loc[target].items()},
                "errors": {name: float(value) for name, value in errors.loc[target].items()},
            }
        )
    return rows


def _uncertainty(predictions: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """For each target and model: coverage of 1 sigma, epistemic share of the variance, median |percentage error|."""
    rows = []
    for parameter in TARGETS:
        row = {**heading(parameter.name), "coverage": {}, "epistemic_share": {}, "percent_error": {}}
        for model, table in predictions.items():
            truth, mean, sigma, epistemic = (
                table[f"{parameter.name}_{kind}"].to_numpy() for kind in ("truth", "mean", "sigma", "epistemic")
            )
            row["coverage"][model] = float(np.mean(np.abs(mean - truth) < sigma))
            row["epistemic_share"][model] = float(np.mean(epistemic**2) / np.mean(sigma**2))
            row["percent_error"][model] = float(np.median(np.abs((mean - truth) / truth)))
        rows.append(row)
    overall = {**heading(OVERALL), "percent_error": None}
    for key in ("coverage", "epistemic_share"):
        overall[key] = {model: float(np.mean([row[key][model] for row in rows])) for model in predictions}
    return [overall, *rows]


def _figures(config: Mapping[str, Any], systems: pd.DataFrame, models: Mapping[str, Any]) -> dict[str, Any]:
    figures = config["figures"]
    labels = {psf: config["instruments"][entry["instrument"]]["label"] for psf, entry in config["psfs"].items()}
    examples = choose_examples(systems, figures["examples"], labels, config["seed"])
    test = systems[systems["split"] == "test"]
    model = figures["attention_model"]
    attends = model is not None and models[model]["family"] == "transformer"
    heads = min(4, config["models"][model]["options"].get("num_attention_heads", 4)) if attends else 0
    return {
        "figure1": {
            "examples": [
                {"id": row["id"], "psf": row["psf"], "instrument": labels[row["psf"]]} for _, row in examples.iterrows()
            ],
            "model": models[model]["label"] if attends else None,
            "layer": figures["attention_layer"],
            "heads": list(range(1, heads + 1)),
        },
        "figure2": {"systems": min(figures["systems"], len(test))},
        "figure3": {"systems": len(test)},
    }
