"""Errors, honesty and scores of one network out of distribution: tables/shift.csv and the ROC curves.

Each row of the table holds shifted systems against ordinary ones, both predicted by the same network. The systems of
a case have counterparts among the ordinary ones, which differ in the shift alone, so that both are resampled together.
The systems of the PSF that was left out are held against those of the other PSFs, by the network that has not seen it
and by the one that has seen all PSFs. This control shows what the PSF itself does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import write_text
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics import roc
from lensvit.statistics.metrics import bootstrap_weights, overall

ORDINARY, LEFT_OUT, CONTROL = "ordinary", "left_out", "control"
SCORES = ("epistemic", "predicted", "residual")
SCORED = ("psf", *SCORES, *tables.PREDICTED)  # columns of scores.parquet
# With fewer systems an error that is larger by half is not told from an equal one: the logarithm of a ratio of root
# mean squares of n systems each has a standard error of 1/sqrt(n), and log(1.5) is to be three of them.
FEWEST = 55


@dataclass(frozen=True)
class Contrast:
    """Shifted systems against ordinary ones.

    Parameters
    ----------
    name
        Name of the contrast.
    ordinary
        The ordinary systems as scored, one row each.
    shifted
        The shifted systems as scored, one row each.
    counterparts
        Whether each shifted system has its counterpart in the same row of the ordinary ones.
    """

    name: str
    ordinary: pd.DataFrame
    shifted: pd.DataFrame
    counterparts: bool

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Bootstrap weights of the ordinary (B, n) and the shifted systems (B, m), each row summing to 1."""
        rng = np.random.default_rng(derive("bootstrap", "shift", self.name))
        first = bootstrap_weights(len(self.ordinary), rng)
        return first, first if self.counterparts else bootstrap_weights(len(self.shifted), rng)


def shift_table(scores: list[Path], output: Path, curves: Path, left_out: str | None = None) -> None:
    """Write how errors, coverage and scores change out of distribution.

    Parameters
    ----------
    scores
        shift/{sample}/scores.parquet: ``ordinary`` first, then ``left_out`` if there is one, and the cases.
    output
        CSV, one row a contrast (``left_out``, ``control``, the cases) and target ("overall" first): systems,
        ordinary_systems; rmse, ordinary_rmse, ratio and ratio_error; coverage (of one sigma), ordinary_coverage,
        coverage_change and coverage_error (of the change); z (root mean square of error / sigma), ordinary_z,
        z_ratio and z_error; for "overall" the area under the ROC curve of each score, ``auc_{score}``, and
        ``auc_{score}_error``. Coverage and z of "overall" are means over the targets.
    curves
        CSV, one row a point of a ROC curve: case, score, and ordinary and shifted, the shares above a threshold.
    left_out
        The PSF that the network of ``left_out`` has not seen.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or the systems of a case have no counterparts.
    """
    samples = {Path(path).parent.name: tables.by_id(path, tables.read_parquet(path, *SCORED)) for path in scores}
    rows, points = [], []
    for contrast in contrasts(samples, left_out):
        rows += [{"case": contrast.name, **row} for row in compared(contrast)]
        for score in SCORES:
            first, second = roc.curve(contrast.ordinary[score].to_numpy(), contrast.shifted[score].to_numpy())
            points.append(pd.DataFrame({"case": contrast.name, "score": score, "ordinary": first, "shifted": second}))
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    write_text(curves, pd.concat(points).to_csv(index=False, float_format="%.6g"))


def contrasts(samples: dict[str, pd.DataFrame], left_out: str | None) -> Iterator[Contrast]:
    """What the table compares.

    Parameters
    ----------
    samples
        Name of a sample to its systems as scored, with the index ``id``.
    left_out
        The PSF that was left out of the training of the sample ``left_out``.

    Raises
    ------
    LensvitError
        If a system of a case is not among the ordinary ones.
    """
    ordinary = samples[ORDINARY]
    if left_out is not None:
        for name, table in ((LEFT_OUT, samples[LEFT_OUT]), (CONTROL, ordinary)):
            without = table["psf"] == left_out
            yield Contrast(name, table[~without], table[without], counterparts=False)
    for name, table in samples.items():
        if name in (ORDINARY, LEFT_OUT):
            continue
        if not table.index.isin(ordinary.index).all():
            raise LensvitError(f"the case {name} has systems that the ordinary ones lack: delete both and run again")
        yield Contrast(name, ordinary.loc[table.index], table, counterparts=True)


def compared(contrast: Contrast) -> list[dict[str, Any]]:
    """The rows of one contrast, "overall" first."""
    weights = contrast.weights()
    samples = (contrast.ordinary, contrast.shifted)
    whole = [measures(sample, np.full((1, len(sample)), 1 / len(sample))) for sample in samples]
    resampled = [measures(sample, weight) for sample, weight in zip(samples, weights, strict=True)]
    rows = []
    for number, target in enumerate(("overall", *TARGET_NAMES)):
        before, after = ({name: float(found[0, number]) for name, found in part.items()} for part in whole)
        first, second = ({name: found[:, number] for name, found in part.items()} for part in resampled)
        sizes = {"systems": len(contrast.shifted), "ordinary_systems": len(contrast.ordinary)}
        rows.append({"target": target, **sizes, **_changes(before, after, first, second)})
    for score in SCORES:
        ordinary, shifted = (sample[score].to_numpy() for sample in samples)
        rows[0][f"auc_{score}"] = roc.area(ordinary, shifted)
        rows[0][f"auc_{score}_error"] = roc.area_error(ordinary, shifted, weights)
    return rows


def _changes(
    before: Mapping[str, float],
    after: Mapping[str, float],
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """The measures of one target before and after the shift, with the bootstrap standard errors of their changes.

    Parameters
    ----------
    before
        :func:`measures` of the ordinary systems.
    after
        :func:`measures` of the shifted systems.
    first
        (B,) those of resampled ordinary systems.
    second
        (B,) those of resampled shifted systems.
    """
    return {
        "rmse": after["rmse"],
        "ordinary_rmse": before["rmse"],
        "ratio": after["rmse"] / before["rmse"],
        "ratio_error": np.std(second["rmse"] / first["rmse"], ddof=1),
        "coverage": after["coverage"],
        "ordinary_coverage": before["coverage"],
        "coverage_change": after["coverage"] - before["coverage"],
        "coverage_error": np.std(second["coverage"] - first["coverage"], ddof=1),
        "z": after["z"],
        "ordinary_z": before["z"],
        "z_ratio": after["z"] / before["z"],
        "z_error": np.std(second["z"] / first["z"], ddof=1),
    }


def measures(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The measures ``rmse``, ``coverage`` and ``z``, (B, 1 + K) each, overall first.

    Parameters
    ----------
    table
        Predictions of n systems.
    weights
        (B, n) weights of the systems, each row summing to 1.
    """
    error, sigma = tables.prediction_errors(table), tables.target_values(table, "sigma")
    per_target = np.sqrt(weights @ np.square(error))
    coverage, square = weights @ (np.abs(error) < sigma), weights @ np.square(error / sigma)
    return {
        "rmse": np.column_stack([overall(per_target), per_target]),
        "coverage": np.column_stack([coverage.mean(1), coverage]),
        "z": np.sqrt(np.column_stack([square.mean(1), square])),
    }
