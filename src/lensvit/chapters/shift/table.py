"""Errors, honesty and scores of one network out of distribution: tables/shift.csv and the ROC curves.

Each row of the table holds shifted systems against ordinary ones, both predicted by the same network. Those of a
case have their counterparts, which differ in the shift alone, so that both are resampled together. Those of the
PSF that was left out are held against the other PSFs, and so are they for the network that has seen all PSFs: what
this control shows is the PSF's own doing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.io import tables as run_tables
from lensvit.io.files import write_text
from lensvit.jobs.seeds import derive
from lensvit.parameters import TARGET_NAMES
from lensvit.statistics import roc
from lensvit.statistics.metrics import BOOTSTRAPS, overall

ORDINARY, LEFT_OUT, CONTROL = "ordinary", "left_out", "control"
SCORES = ("epistemic", "predicted", "residual")
FEWEST = 30  # systems: with fewer an error that is larger by half is not told from an equal one (two standard errors)


@dataclass(frozen=True)
class Contrast:
    """Shifted against ordinary systems, as scored, one row each; in the same order where they are counterparts."""

    name: str
    ordinary: pd.DataFrame
    shifted: pd.DataFrame
    counterparts: bool

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Of a bootstrap over systems: (B, n) of the ordinary and (B, m) of the shifted ones, rows summing to 1."""
        rng = np.random.default_rng(derive("bootstrap", "shift", self.name))
        first = _resampled(rng, len(self.ordinary))
        return first, first if self.counterparts else _resampled(rng, len(self.shifted))


def _resampled(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAPS) / count


def shift_table(scores: list[Path], output: Path, curves: Path, left_out: str | None = None) -> None:
    """Write how errors, coverage and scores change.

    Parameters
    ----------
    scores : shift/{sample}/scores.parquet: ``ordinary`` first, then ``left_out`` if there is one, and the cases.
    left_out : the PSF that the network of ``left_out`` has not seen.
    output : CSV, one row a contrast (``left_out``, ``control``, the cases) and target ("overall" first): systems,
        ordinary_systems; rmse, ordinary_rmse, ratio and ratio_error; coverage (of one sigma), ordinary_coverage,
        coverage_change and coverage_error (of the change); z (root mean square of error / sigma), ordinary_z,
        z_ratio and z_error; for "overall" the area under the ROC curve of each score, ``auc_{score}`` and
        ``auc_{score}_error``. Coverage and z of "overall" are means over the targets.
    curves : CSV, one row a point of a ROC curve: contrast, score, ordinary and shifted (shares above a threshold).

    Raises
    ------
    LensvitError
        If a file is absent or broken, or the systems of a case have no counterparts.
    """
    samples = {Path(path).parent.name: run_tables.read_parquet(path).set_index("id") for path in scores}
    rows, points = [], []
    for contrast in contrasts(samples, left_out):
        rows += [{"case": contrast.name, **row} for row in compared(contrast)]
        for score in SCORES:
            first, second = roc.curve(*(table[score].to_numpy() for table in (contrast.ordinary, contrast.shifted)))
            points.append(pd.DataFrame({"case": contrast.name, "score": score, "ordinary": first, "shifted": second}))
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    write_text(curves, pd.concat(points).to_csv(index=False, float_format="%.6g"))


def contrasts(samples: dict[str, pd.DataFrame], left_out: str | None) -> Iterator[Contrast]:
    """What the table compares; ``samples`` by name, with the index ``id``."""
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
    tables = (contrast.ordinary, contrast.shifted)
    whole = [measures(table, np.full((1, len(table)), 1 / len(table))) for table in tables]
    drawn = [measures(table, weight) for table, weight in zip(tables, weights, strict=True)]
    rows = []
    for number, target in enumerate(("overall", *TARGET_NAMES)):
        before, after = ({name: float(values[0, number]) for name, values in part.items()} for part in whole)
        first, second = ({name: values[:, number] for name, values in part.items()} for part in drawn)
        rows.append(
            {
                "target": target,
                "systems": len(contrast.shifted),
                "ordinary_systems": len(contrast.ordinary),
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
        )
    for score in SCORES:
        values = [table[score].to_numpy() for table in tables]
        rows[0] |= {f"auc_{score}": roc.area(*values), f"auc_{score}_error": roc.area_error(*values, weights)}
    return rows


def measures(table: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """``rmse``, ``coverage`` and ``z``, each (B, 1 + K), overall first, of B weightings (B, n) of predictions."""
    error, sigma = run_tables.prediction_errors(table), run_tables.target_values(table, "sigma")
    per_target = np.sqrt(weights @ np.square(error))
    coverage, square = weights @ (np.abs(error) < sigma), weights @ np.square(error / sigma)
    return {
        "rmse": np.column_stack([overall(per_target), per_target]),
        "coverage": np.column_stack([coverage.mean(1), coverage]),
        "z": np.sqrt(np.column_stack([square.mean(1), square])),
    }
