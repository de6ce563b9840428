"""The observed lenses of a run in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lensvit.io import files

SHOWN = ("theta_E", "gamma", "e1", "e2", "gamma_ext", "psi_ext")


def observations_table(results: list[Path], output: Path) -> None:
    """Write one row a lens: parameters with their errors, quality of the fit, and H0 where delays were given.

    Parameters
    ----------
    results
        JSON files of fits.
    output
        The CSV file.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    rows = [_row(path) for path in results]
    with files.atomic(output) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.8g")


def _row(path: Path) -> dict[str, Any]:
    """The row of one lens."""
    text = files.read_text(path, "result of a fit")
    with files.reading(path):
        found = json.loads(text)
        row: dict[str, Any] = {"name": found["name"], "images": len(found["images"])}
        for name in SHOWN:
            entry = found["parameters"][name]
            row[name] = entry.get("mean", entry["most_probable"])
            row[f"{name}_sigma"] = entry.get("sigma")
        posterior, hubble = found["posterior"] or {}, found["hubble"] or {}
        row |= {"certified": bool(posterior.get("certified")), "effective_size": posterior.get("effective_size")}
        row |= {"psf_error": found["errors"]["psf"], "galaxies_error": found["errors"]["galaxies"]}
        row |= {"h0": hubble.get("h0"), "h0_sigma": hubble.get("h0_sigma"), "seconds": found["seconds"]}
        row["verdict"] = " ".join(found["verdict"])
    return row
