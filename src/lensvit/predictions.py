"""Reading predictions/{model}.parquet of several models, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES


def read(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """The predictions of each model, its key being the file's stem, in the order of ``paths``.

    Raises
    ------
    LensvitError
        If a file is absent or broken, holds a value that is not finite, or if the models
        were not evaluated on the same systems.
    """
    models = {Path(path).stem: _read(Path(path)) for path in paths}
    first, *others = models
    for key in others:
        if not models[key]["id"].equals(models[first]["id"]):
            raise LensvitError(
                f"the predictions of {first} and {key} are of different systems: "
                "delete both and run snakemake again"
            )
    return models


def columns(predictions: pd.DataFrame, kind: str) -> np.ndarray:
    """(n, 8) of one kind (truth, mean, sigma, aleatoric, epistemic), in physical units."""
    return predictions[[f"{name}_{kind}" for name in TARGET_NAMES]].to_numpy(float)


def _read(path: Path) -> pd.DataFrame:
    try:
        predictions = pd.read_parquet(path)
        finite = all(np.isfinite(columns(predictions, kind)).all() for kind in ("truth", "mean", "sigma"))
    except FileNotFoundError as error:
        raise LensvitError(f"no predictions {path}: run snakemake again, which evaluates the model") from error
    except (OSError, KeyError, ValueError) as error:
        raise LensvitError(f"{path} is broken or no file of predictions: delete it and run snakemake again") from error
    if not finite:
        raise LensvitError(f"{path} holds predictions that are not finite: train the model again, at a lower rate")
    return predictions
