"""What each stage of a run costs, how that grows with the images, and what a run of another size would cost.

The seconds of a stage are those of all its jobs together. They follow ``per_job * jobs + per_image * images``, where
a job costs something by itself (it starts, imports, builds networks) and each image costs something. Both numbers are
fitted to runs of different sizes, and neither is below 0. CPU seconds hardly depend on what else the machine does;
wall-clock seconds do.

Wall-clock seconds are those of Snakemake's benchmarks. Snakemake samples CPU time and memory each half minute, and
only of jobs that run for so long. The last line of a job's log counts all of both; where it is there, it is taken.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text

MEASURES = {"s": "seconds", "cpu_time": "cpu_seconds", "max_rss": "memory_mb"}  # Snakemake's names -> ours
USED = re.compile(r"used: ([\d.]+) s of CPU time, (\d+) MB")  # lensvit's last line in a log


def cost(runs: list[Path], output: Path, images: int = 1_000_000) -> None:
    """Print and write what the stages of some runs took, the fit to them, and what follows for another size.

    The splits of the runs and of the run that is foretold are taken to be in proportion, and all else in the config
    to be the same. A stage that has one job for each chunk, or more jobs in a larger run, gets more jobs; the memory of
    its jobs stays what it was.

    Parameters
    ----------
    runs
        Folders of finished runs of two or more sizes, such as results/cost_1000.
    output
        CSV with a row for each stage and size. Columns: stage, images, jobs, seconds and cpu_seconds (both of all
        jobs together), memory_mb (of the largest job), and measured, which is false in the rows of ``images``.
    images
        Images of the run that is foretold, in all splits together.

    Raises
    ------
    LensvitError
        If a run has no catalogue or no benchmarks, or if all runs have the same number of images.
    """
    sizes = {Path(run): _images(run) for run in runs}
    if len({count for count, _ in sizes.values()}) < 2:
        raise LensvitError("--runs of two or more sizes are needed: a cost that grows shows in no fewer")
    table = pd.concat([_stages(run, count) for run, (count, _) in sizes.items()], ignore_index=True)
    count, chunks = max(sizes.values())
    chunked = set(table["stage"][(table["images"] == count) & (table["jobs"] == chunks)]) if chunks > 1 else set()
    for stage, part in table.groupby("stage"):
        if part["jobs"].nunique() > 1:  # shards, each of many chunks
            chunked.add(stage)
    stages = [_fitted(str(stage), part, images, stage in chunked) for stage, part in table.groupby("stage", sort=False)]
    fits, foretold = (pd.DataFrame(rows) for rows in zip(*stages, strict=True))
    everything = pd.concat([table.assign(measured=True), foretold.assign(measured=False)], ignore_index=True)
    write_text(output, everything.to_csv(index=False, float_format="%.4g"))
    for measure in ("cpu_seconds", "seconds", "memory_mb"):
        print(f"\n{measure}\n{_wide(everything, fits, measure)}")


def _images(run: Path) -> tuple[int, int]:
    """The numbers of images and of image files of a run."""
    path = Path(run) / "catalog.parquet"
    if not path.is_file():
        raise LensvitError(f"no {path}: --runs are folders of finished runs, such as results/cost_1000")
    rows = tables.read_parquet(path, "psf", "chunk")
    return len(rows), rows.groupby(["psf", "chunk"], observed=True).ngroups


def _stages(run: Path, images: int) -> pd.DataFrame:
    """A row for each stage, from benchmarks/{stage}.tsv or benchmarks/{stage}/**.tsv and the logs of the same names."""
    folder = Path(run) / "benchmarks"
    jobs = [_job(path, path.relative_to(folder).with_suffix(""), Path(run) / "logs") for path in folder.rglob("*.tsv")]
    if not jobs:
        raise LensvitError(f"no benchmarks in {folder}: Snakemake writes them as it runs; an adopted release has none")
    each = pd.DataFrame(jobs).fillna(0.0).groupby("stage")
    total = each[["seconds", "cpu_seconds"]].sum().assign(memory_mb=each["memory_mb"].max(), jobs=each.size())
    total = total.reset_index().assign(images=images).sort_values("cpu_seconds", ascending=False)
    return total[["stage", "images", "jobs", "seconds", "cpu_seconds", "memory_mb"]]


def _job(benchmark: Path, name: Path, logs: Path) -> dict[str, object]:
    """One job: its stage, and what it took."""
    last = tables.read_benchmark(benchmark, *MEASURES)
    job: dict[str, object] = {"stage": name.parts[0]} | {ours: last[theirs] for theirs, ours in MEASURES.items()}
    log = logs / f"{name}.log"
    used = USED.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
    if used:
        job["cpu_seconds"], job["memory_mb"] = map(float, used[-1])
    return job


def _fitted(stage: str, part: pd.DataFrame, images: int, chunked: bool) -> tuple[dict, dict]:
    """A stage's fit, and its row at ``images``."""
    largest = part.iloc[int(part["images"].argmax())]
    jobs = math.ceil(largest["jobs"] * images / largest["images"]) if chunked else int(largest["jobs"])
    fit: dict[str, object] = {"stage": stage}
    row: dict[str, object] = {"stage": stage, "images": images, "jobs": jobs}
    for measure in ("seconds", "cpu_seconds"):
        per_job, per_image = _line(part["jobs"], part["images"], part[measure])
        fit |= {f"{measure}_per_job": per_job, f"{measure}_per_image": per_image}
        row[measure] = per_job * jobs + per_image * images
    # a job of a chunked stage never sees more than a chunk
    fixed, growth = (part["memory_mb"].max(), 0.0) if chunked else _line(1.0, part["images"], part["memory_mb"])
    fit |= {"memory_mb_per_job": fixed, "memory_mb_per_image": growth}
    return fit, row | {"memory_mb": fixed + growth * images}


def _line(first: pd.Series | float, second: pd.Series, value: pd.Series) -> tuple[float, float]:
    """The numbers a and b, not below 0, of ``value = a first + b second``, by least squares of relative deviations."""
    weight = 1 / value.clip(lower=1e-3).to_numpy()
    columns = np.stack([np.broadcast_to(first, len(value)), second], 1) * weight[:, None]
    scale = columns.max(0)
    (a, b), _ = nnls(columns / scale, value.to_numpy() * weight)
    return a / scale[0], b / scale[1]


def _wide(rows: pd.DataFrame, fits: pd.DataFrame, measure: str) -> str:
    """The printed table of one measure: a row for each stage, a column for each size, and the fit."""
    table = rows.pivot_table(index="stage", columns="images", values=measure, sort=False)
    table.columns = [f"{size:,}" for size in table.columns]
    if measure != "memory_mb":
        table.loc["all"] = table.sum()
    for part in ("per_job", "per_image"):
        table[part] = fits.set_index("stage")[f"{measure}_{part}"]
    return table.to_string(na_rep="", float_format=lambda value: f"{value:.4g}")
