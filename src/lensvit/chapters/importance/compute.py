"""Exact posteriors of refined test systems by importance sampling, each with a certificate.

The maxima that the refinements of a system have found, from whatever start, are where the proposals stand. The stage
never looks at the truth, which it only passes on. A posterior is certified by the rules of
:mod:`lensvit.inference.importance` if its most probable image explains the data, too. One that is not says why, and
nothing stands in for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensvit.chapters.grouping import by_chunk
from lensvit.chapters.importance.free import FreeSampler, read_scenes
from lensvit.chapters.importance.settings import ImportanceStage
from lensvit.chapters.sharing import Share
from lensvit.errors import LensvitError
from lensvit.inference.chart import Chart
from lensvit.inference.importance import APART, ImportanceSample, sample
from lensvit.inference.selection import select_systems
from lensvit.inference.target import SampledLens, observed_posterior
from lensvit.io import tables
from lensvit.io.products import read_laplace
from lensvit.io.settings import read_settings
from lensvit.jobs import seeds
from lensvit.jobs.processes import share_work
from lensvit.lensing import cameras
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES
from lensvit.psf import kernel

BATCH = 4  # systems of one piece of work


def importance(
    settings: Path,
    catalog: Path,
    images: Path,
    psfs: list[Path],
    refined: list[Path],
    output: Path,
    chunks: list[str] | None = None,
    threads: int = 1,
) -> None:
    """Sample the exact posteriors of some test systems.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.importance.settings.ImportanceStage`.
    catalog
        catalog.parquet.
    images
        The run's folder of images.
    psfs
        psf/{name}.fits of every PSF of the systems.
    refined
        refined/{start}.parquet of every start, each with its arrays (.h5) beside it. A system of which no fit has
        converged is not sampled.
    output
        Parquet, one row a system: id, psf, instrument, n_images, sigma_bkg; for each target its truth, mean and sigma
        (of the posterior); certified; reason (why it is not, one of :data:`lensvit.io.tables.REASONS`; otherwise
        empty); k (Pareto's), ess (effective size), draws (of the last proposal),
        calls (of the likelihood), rounds, maxima; log_evidence and log_evidence_error, of the prior without its
        constant; chi_square (a pixel, at the most probable draw), explained; seconds. NaN where there is no sample.
        Beside it (.h5) lie in the same order ``id``, ``certified`` and ``samples`` (n, S, 14), float64, of equal
        weight, of all parameters in the order of the attribute ``names``; of free scenes also ``scene`` (n, S, P), all
        coordinates of the same samples, sizes and indices by their logarithms.
    chunks
        Image files, as {psf}/{chunk}, of whose systems the output is a shard, see :mod:`lensvit.io.shards`; without
        them it has the systems of all files.
    threads
        Threads of the CPU, each in a process of its own.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or a fit is of another run.
    """
    choice = read_settings(settings, ImportanceStage)
    share = Share.of(
        catalog, psfs, chunks, lambda every: select_systems(every, choice.systems, choice.seed, choice.cameras)
    )
    rows = share.rows
    if rows.empty:
        share.write(output, NAMES)
        return
    maxima: Mapping[str, Any] = (read_scenes if choice.scene.is_free else read_maxima)(refined, rows)
    work = [
        (choice, psf, share.kernels[psf], part, Path(images), {name: maxima[name] for name in part["id"]})
        for psf, some in by_chunk(rows)
        for part in (some.iloc[start : start + BATCH] for start in range(0, len(some), BATCH))
    ]
    sampled = _free_sampled if choice.scene.is_free else _sampled
    parts = share_work(sampled, work, threads, size=lambda _, psf, *__: choice.cameras[psf].pixels)
    found = {result.row["id"]: result for part in parts for result in part}
    results = [found[name] for name in rows["id"]]
    table = pd.DataFrame([result.row for result in results])
    samples = np.stack([result.samples for result in results])
    scenes = [result.scene for result in results if result.scene is not None]
    arrays = {"scene": np.stack(scenes)} if scenes else {}
    share.write(output, NAMES, table, certified=table["certified"].to_numpy(), samples=samples, **arrays)
    print(f"{table['certified'].sum()} of {len(table)} certified, {table['seconds'].mean():.2f} s a system", flush=True)


class Maximum(NamedTuple):
    """A maximum of a posterior with Laplace's covariance, by the coordinates.

    Parameters
    ----------
    mean
        (14,).
    spread
        (14, 14).
    """

    mean: np.ndarray
    spread: np.ndarray


def read_maxima(refined: Sequence[Path], rows: pd.DataFrame) -> dict[str, list[Maximum]]:
    """The maxima of each system to which a refinement has converged, by id; there may be none.

    Parameters
    ----------
    refined
        refined/{start}.parquet of every start, of which each may lack systems.
    rows
        Rows of the catalogue.

    Raises
    ------
    LensvitError
        If a file is absent or broken or of another run, or if all lack a system.
    """
    found: dict[str, list[Maximum]] = {}
    for path in map(Path, refined):
        table = tables.read_refined(path)
        here = rows[rows["id"].isin(table.index)]
        tables.check_truths(path, table, here)
        found |= {name: found.get(name, []) for name in here["id"]}
        good = here["id"][table.loc[here["id"], "converged"].to_numpy()]
        for name, *maximum in zip(good, *read_laplace(path, good), strict=True):
            found[name].append(Maximum(*maximum))
    for name in rows["id"]:
        if name not in found:
            raise LensvitError(f"{', '.join(map(str, refined))}: no fit of {name}: delete them and run snakemake again")
    return found


class SampledPosterior(NamedTuple):
    """What is written of a system.

    Parameters
    ----------
    row
        Its row of the table.
    samples
        (S, 14) of the parameters, NaN where there are none.
    scene
        (S, P) all coordinates of a free scene; None for the paper's.
    """

    row: dict[str, object]
    samples: np.ndarray
    scene: np.ndarray | None = None


def _sampled(
    settings: ImportanceStage,
    psf: str,
    known: kernel.Kernel,
    rows: pd.DataFrame,
    images: Path,
    maxima: Mapping[str, list[Maximum]],
) -> list[SampledPosterior]:
    """Sample systems of one image file, and print how it went."""
    renderer = cameras.camera_renderer(settings, psf, known)
    results = []
    for number in range(len(rows)):
        one = rows.iloc[number : number + 1]
        started, row = time.perf_counter(), one.iloc[0]
        result = _nothing(row, settings)
        if maxima[row["id"]]:
            posterior = observed_posterior(settings, one, images, renderer)
            lens = SampledLens(posterior, torch.as_tensor(maxima[row["id"]][0].mean[None]))
            charts = distinct(lens, maxima[row["id"]])
            drawn = sample(lens, charts, settings, seeds.derive(settings.seed, row["id"], "importance"))
            result.row.update(reason=tables.NO_DENSITY, calls=lens.calls, maxima=len(charts))
            if drawn is not None:
                result = _result(result, lens, drawn, settings)
        result.row["seconds"] = time.perf_counter() - started
        print(
            f"{row['id']}: {result.row['reason'] or 'certified'}, {result.row['seconds']:.2f} s, {result.row['calls']} "
            f"calls, effective size {result.row['ess']:.0f}, k {result.row['k']:.2f}", flush=True,
        )  # fmt: skip
        results.append(result)
    return results


def _free_sampled(
    settings: ImportanceStage,
    psf: str,
    known: kernel.Kernel,
    rows: pd.DataFrame,
    images: Path,
    maxima: Mapping[str, Tensor | None],
) -> list[SampledPosterior]:
    """The same for systems of free scenes."""
    sampler, results = FreeSampler(settings, psf, known), list[SampledPosterior]()
    for number in range(len(rows)):
        one = rows.iloc[number : number + 1]
        scene = maxima[one.iloc[0]["id"]]
        nowhere = np.full((settings.samples, len(sampler.system.structure.names)), np.nan)
        result = _nothing(one.iloc[0], settings)._replace(scene=nowhere)
        result.row["seconds"] = 0.0
        if scene is not None:
            found = sampler.sampled(one, images, scene)
            if found is None:
                result.row["reason"] = tables.NO_DENSITY
            else:
                result = SampledPosterior(result.row | found[0], *found[1:])
        print(f"{result.row['id']}: {result.row['reason'] or 'certified'}, {result.row['seconds']:.2f} s", flush=True)
        results.append(result)
    return results


def distinct(lens: SampledLens, maxima: Sequence[Maximum]) -> list[Chart]:
    """Charts around the maxima that lie apart, of several near ones the first."""
    free, charts = lens.free.numpy(), list[Chart]()
    for maximum in maxima:
        place = maximum.mean[free]
        if all(np.abs(chart.standard(place[None])).max() > APART for chart in charts):
            charts.append(lens.chart(place, maximum.spread[np.ix_(free, free)]))
    return charts


def _nothing(row: pd.Series, settings: ImportanceStage) -> SampledPosterior:
    """What is written of a system, a row of the catalogue, that has no sample."""
    result = {name: row[name] for name in ("id", "psf", "n_images", "sigma_bkg")}
    result["instrument"] = settings.cameras[row["psf"]].name
    for name in TARGET_NAMES:
        result |= {f"{name}_truth": row[name], f"{name}_mean": np.nan, f"{name}_sigma": np.nan}
    result |= {
        "certified": False,
        "reason": tables.NO_FIT,
        "k": np.nan,
        "ess": 0.0,
        "draws": 0,
        "calls": 0,
        "rounds": 0,
    }
    result |= {"maxima": 0, "log_evidence": np.nan, "log_evidence_error": np.nan, "chi_square": np.nan}
    return SampledPosterior(result | {"explained": False}, np.full((settings.samples, len(NAMES)), np.nan))


def _result(
    nothing: SampledPosterior, lens: SampledLens, drawn: ImportanceSample, settings: ImportanceStage
) -> SampledPosterior:
    """What is written of a system with a sample."""
    chi_square, explained = lens.explained(drawn.places[drawn.most_probable])
    reason = drawn.reason if explained else tables.UNEXPLAINED
    parameters = lens.parameters(drawn.places)[:, TARGET_COLUMNS]
    mean = drawn.weights @ parameters
    sigma = np.sqrt(drawn.weights @ np.square(parameters - mean))
    row = dict(nothing.row)
    for name, value, width in zip(TARGET_NAMES, mean, sigma, strict=True):
        row |= {f"{name}_mean": value, f"{name}_sigma": width}
    row |= {"certified": not reason, "reason": reason, "k": drawn.k, "ess": drawn.effective}
    row |= {"draws": len(drawn.places), "rounds": drawn.rounds}
    row |= {"log_evidence": drawn.log_evidence, "log_evidence_error": drawn.error}
    row |= {"chi_square": chi_square, "explained": explained}
    random = np.random.default_rng(seeds.derive(settings.seed, str(row["id"]), "importance", "samples"))
    return SampledPosterior(row, lens.parameters(drawn.resampled(settings.samples, random)))
