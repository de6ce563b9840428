"""The stage ``page``: index.html of a run, with all that a reader may want to look at, in one file."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.quoting import METHOD_LABELS
from lensvit.errors import LensvitError
from lensvit.inference.selection import select_systems
from lensvit.io import tables
from lensvit.io.files import read_json, read_model, write_manifest, write_text
from lensvit.io.products import read_laplace
from lensvit.io.settings import read_settings
from lensvit.learning.settings import TrainedModel
from lensvit.lensing import cameras
from lensvit.page import document, posteriors, trace
from lensvit.page.pictures import Geometry, geometry, sheets
from lensvit.page.settings import PageSettings
from lensvit.page.symbols import symbol
from lensvit.page.systems import State, content, state
from lensvit.parameters import TARGETS, Parameter

MOST_SYSTEMS = 1200  # that the page shows
MOST_PIXELS = 45_000_000  # of all pictures; with both the page stays below 25 MB
KEYS = ("run", "columns", "table", "models", "instruments", "psfs", "provenance", "dataset")  # of numbers.json
COVERAGE = ("level", "coverage", "low", "high")
PIT = ("from", "to", "share", "low", "high")
SUMMARY = ("z_mean", "z_sd", "coverage_68", "coverage_95", "p_value")  # of calibration.csv
TABLE1 = ("table1", "table1_errors", "table1_differences", "table1_weights")
# what tells methods apart without colour: colour of lines, of a contrast of 3 and more on white; dashes
NETWORK_LOOKS = (("#0072b2", ""), ("#c04a00", "6 2"), ("#5b3fa0", "2 2"), ("#8a6d00", "8 2 2 2"), ("#4d4d4d", "10 3"))
LOOKS = {
    "refined": ("#a6317f", "5 2"),
    "importance": ("#00775a", ""),
    "mcmc": ("#7a4b00", "1 2"),
    "limit": ("#666666", "3 3"),
}


def page(
    settings: Path,
    numbers: Path,
    catalog: Path,
    images: Path,
    psfs: list[Path],
    predictions: list[Path],
    draws: list[Path],
    models: list[Path],
    table: Path,
    coverage: Path,
    pit: Path,
    figures: list[Path],
    captions: Path,
    benchmarks: Path,
    runs: Path,
    output: Path,
    refined: Path | None = None,
    importance: Path | None = None,
    mcmc: Path | None = None,
    limit: Path | None = None,
    amplitudes: str = "known",
) -> None:
    """Write the page of a run's results, which a browser opens from the disk.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.page.settings.PageSettings`.
    numbers
        numbers.json.
    catalog
        catalog.parquet.
    images
        The run's folder of images.
    psfs
        psf/{name}.fits of every PSF of the test systems.
    predictions
        predictions/{model}.parquet of every model.
    draws
        predictions/{model}.h5 of the same models, in this order.
    models
        models/{network}/config.json of every network that the run trains, with history.csv beside.
    table
        calibration.csv.
    coverage
        coverage.csv.
    pit
        pit.csv.
    figures
        figures/{name}.png, in the order of the paper.
    captions
        The folder with {name}.rst of each figure and table1.rst.
    benchmarks
        Snakemake's folder of benchmarks, as far as they are there.
    runs
        The folder of all runs, with Snakemake's records; numbers without a record say so.
    output
        index.html, with a manifest: one file that needs no other, of at most 25 MB. It shows the first 1,200 test
        systems of the lot by which systems are refined; pictures of all of them; models and residuals where a fit has
        converged.
    refined
        refined/{model}.parquet, with the arrays (.h5) beside it, if there is one.
    importance
        importance.parquet, with the samples (.h5) beside it, if there is one.
    mcmc
        mcmc.parquet, with the samples (.h5) beside it, if there is one.
    limit
        limit.parquet, with the covariances (.h5) beside it, if there is one.
    amplitudes
        Which limit is meant: that with the amplitudes "known" or "marginalised".

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has nothing of a system.
    """
    choice = read_settings(settings, PageSettings)
    said = read_json(numbers, *KEYS)
    systems = tables.read_catalog(catalog)
    rows = select_systems(systems, MOST_SYSTEMS, choice.seed, choice.cameras)
    kernels = cameras.read_kernels(psfs, rows["psf"])
    calibration = _calibration(table, coverage, pit)
    names = ["table1", *(path.stem for path in figures)]
    words = {name: document.read_caption(Path(captions) / f"{name}.rst") for name in names}
    shown = [document.read_figure(path, words[path.stem]) for path in figures]
    read = tables.read_predictions(predictions)
    networks = [
        posteriors.of_network(name, entry, path, list(rows["id"]))
        for (name, entry), path in zip(read.items(), draws, strict=True)
    ]
    pixels, states = _from_pixels(rows, refined, importance, mcmc, limit, amplitudes)
    # the model of a free scene has amplitudes that only a fit knows
    fits = (
        {}
        if refined is None or choice.scene.is_free
        else _fits(refined, pixels[0].ids, modelled(rows, systems, choice))
    )
    pictures = list(sheets(rows, images, kernels, fits, choice))
    frames = {name: geometry(camera.pixels, camera.pixel_scale) for name, camera in choice.cameras.items()}
    labels = {entry["key"]: entry["label"] for entry in said["columns"]} | METHOD_LABELS
    data: dict[str, Any] = {
        "targets": [_target(parameter) for parameter in TARGETS],
        "psfs": _psfs(said, frames),
        "methods": _methods([*networks, *pixels], list(read), labels),
        "systems": content(rows, [*networks, *pixels], states, pictures, frames),
        "trainings": _trainings(models, {entry["name"]: entry["label"] for entry in said["models"]}),
        "calibration": calibration | {"labels": {name: labels.get(name, name) for name in read}},
        "origins": _origins(said, Path(runs)),
    }
    with_model = sum(sum(sheet.modelled) for sheet in pictures)
    values = {
        **{key: said[key] for key in ("run", "provenance", "dataset", "columns")},
        "rows": said["table"],
        "hardware": sorted({entry["hardware"] for entry in said["models"]}),
        "table_caption": words["table1"],
        "figures": shown,
        "durations": durations(Path(benchmarks)),
        "systems_shown": len(rows),
        "systems_tested": int((systems["split"] == "test").sum()),
        "systems_modelled": with_model,
        "free": choice.scene.is_free,
        "models_left_out": len(pixels[0].ids) - len(fits) if fits else 0,
        "has": {key: key in states for key in ("refined", "importance")} | {"records": bool(data["origins"]["jobs"])},
        "binned": [name for name, frame in frames.items() if frame.binned > 1],
        "frames": frames,
    }
    text = document.render(values, data, [sheet.png for sheet in pictures])
    write_text(output, text)
    write_manifest(output)
    size = len(text.encode()) / 1e6
    print(f"{len(rows)} systems, {with_model} of them with a model: {size:.1f} MB", flush=True)


def _from_pixels(
    rows: pd.DataFrame,
    refined: Path | None,
    importance: Path | None,
    mcmc: Path | None,
    limit: Path | None,
    amplitudes: str,
) -> tuple[list[posteriors.Method], dict[str, State]]:
    """What the methods that see all pixels say, the fits first, and what became of the systems that they tried."""
    ids, found, states = list(rows["id"]), [], {}
    if refined is not None:
        found.append(posteriors.of_fits(refined, ids))
        states["refined"] = state(tables.read_refined(refined), "converged")
    if importance is not None:
        found.append(posteriors.of_exact(importance, ids))
        states["importance"] = state(tables.read_importance(importance), "certified")
    if mcmc is not None:
        found.append(posteriors.of_chains(mcmc, ids))
    if limit is not None:
        found.append(posteriors.of_limit(limit, amplitudes, rows))
    return found, states


def _fits(refined: Path, converged: Sequence[str], allowed: Container[str]) -> dict[str, np.ndarray]:
    """Id to the coordinates (14,) of the converged fits of which models are shown."""
    named = [name for name in converged if name in allowed]
    return dict(zip(named, read_laplace(refined, named).mean, strict=True))


def modelled(rows: pd.DataFrame, systems: pd.DataFrame, settings: PageSettings) -> set[str]:
    """Ids of the systems that may have a model and a residual beside their noisy image: the first ones of the lot.

    Parameters
    ----------
    rows
        Rows of the catalogue that are shown.
    systems
        The catalogue.
    settings
        The stage's settings.
    """
    sides = {name: geometry(camera.pixels, camera.pixel_scale).side for name, camera in settings.cameras.items()}
    pixels = rows["psf"].map(sides).astype(int) ** 2
    most = int((MOST_PIXELS - pixels.sum()) / (2 * pixels.mean()))
    return set(select_systems(systems, min(most, len(rows)), settings.seed, settings.cameras)["id"])


def _target(parameter: Parameter) -> dict[str, Any]:
    """A target as the script shows it."""
    base, below = symbol(parameter.label)
    return {"name": parameter.name, "base": base, "below": below, "unit": parameter.unit, "what": parameter.description}


def _psfs(said: Mapping[str, Any], frames: Mapping[str, Geometry]) -> list[dict[str, Any]]:
    """Each PSF with its camera's label and what its pictures show."""
    labels = {entry["name"]: entry["label"] for entry in said["instruments"]}
    of_psf = {entry["name"]: labels[entry["instrument"]] for entry in said["psfs"]}
    return [{"name": name, "camera": of_psf.get(name, name), **frame._asdict()} for name, frame in frames.items()]


def _methods(
    methods: Sequence[posteriors.Method], networks: Sequence[str], labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    """How each method is shown."""
    looks = {name: NETWORK_LOOKS[place % len(NETWORK_LOOKS)] for place, name in enumerate(networks)} | LOOKS
    return [
        {
            "key": method.key,
            "label": labels.get(method.key, method.key),
            "color": looks[method.key][0],
            "dashes": looks[method.key][1],
            "network": method.key in networks,
            "errors": method.key != "limit",  # which lies around the truth
        }
        for method in methods
    ]


def _trainings(models: Sequence[Path], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The history of each training, and the epoch whose weights are kept."""
    found = []
    for path in map(Path, models):
        name, kept = path.parent.name, read_model(path, TrainedModel).best_epoch
        history = tables.read_history(path.with_name("history.csv"), kept)
        entry: dict[str, Any] = {"name": name, "label": labels.get(name, name), "kept": kept}
        entry["seconds"] = round(float(history["seconds"].sum()), 1)
        entry |= {"epoch": [int(epoch) for epoch in history["epoch"]]}
        found.append(entry | {key: _rounded(history[f"{key}_loss"]) for key in ("train", "validation")})
    return found


def _calibration(table: Path, coverage: Path, pit: Path) -> dict[str, Any]:
    """Coverage and histograms by model, state and target, and the measures of each."""
    columns = ("model", "state", "target")
    parts = {
        "coverage": (tables.read_csv(coverage, *columns, columns=COVERAGE), COVERAGE),
        "pit": (tables.read_csv(pit, *columns, columns=PIT), PIT),
    }
    found: dict[str, Any] = {}
    for name, (rows, kept) in parts.items():
        found[name] = [
            dict(zip(columns, key, strict=True)) | {column: _rounded(part[column]) for column in kept}
            for key, part in rows.groupby(list(columns), sort=False)
        ]
    summary = tables.read_csv(table, *columns, "verdict", columns=SUMMARY)
    found["summary"] = [
        {column: row[column] if isinstance(row[column], str) else _number(row[column]) for column in row}
        for row in summary.to_dict("records")
    ]
    return found


def _rounded(values: pd.Series) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    """The number with five digits; null where there is none."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


def durations(benchmarks: Path) -> list[dict[str, Any]]:
    """What the jobs of each stage took, the longest first.

    Parameters
    ----------
    benchmarks
        Snakemake's folder. A benchmark that another job is writing is left out.
    """
    jobs = []
    for path in sorted(benchmarks.rglob("*.tsv")):
        try:
            found = tables.read_benchmark(path, "s", "max_rss")
        except LensvitError:
            continue
        stage = path.relative_to(benchmarks).with_suffix("").parts[0]
        jobs.append({"stage": stage, "seconds": found["s"], "memory": found["max_rss"]})
    if not jobs:
        return []
    each = pd.DataFrame(jobs).groupby("stage")
    total = each["seconds"].sum().to_frame().assign(jobs=each.size(), memory=each["memory"].max())
    total = total[np.isfinite(total["seconds"])].sort_values("seconds", ascending=False)
    return [
        {"stage": stage, "jobs": int(row["jobs"]), "seconds": float(row["seconds"]), "memory": _number(row["memory"])}
        for stage, row in total.iterrows()
    ]


def _origins(said: Mapping[str, Any], runs: Path) -> dict[str, Any]:
    """The jobs behind Table 1, and for each of its columns the files that it is made of and the jobs behind these."""
    run = f"{runs.name}/{said['run']['name']}"
    made = [f"{run}/tables/{name}.csv" for name in TABLE1]
    jobs = trace.trace(runs, made)
    table = next((job for job in jobs if made[0] in job.outputs), None)
    if table is None:
        return {"jobs": [], "columns": {}}
    columns = {}
    for column in said["columns"]:
        files = trace.sources(column, table)
        columns[column["key"]] = {"files": files, "jobs": trace.behind(files, jobs)}
    return {"jobs": [asdict(job) for job in jobs], "columns": columns}
