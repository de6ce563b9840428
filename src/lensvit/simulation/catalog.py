"""The catalogue stage: one table of all systems, and mean and standard deviation of the targets."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.io.hdf5 import open_hdf5, values
from lensvit.io.tables import CATALOG, FURTHER_COLUMNS
from lensvit.parameters import TARGET_NAMES


def catalog(images: list[Path], output: Path, scaler: Path) -> None:
    """Join the systems of all image files into one table, and measure the scatter of the targets.

    Parameters
    ----------
    images
        HDF5 files of ``lensvit simulate``, in any order.
    output
        Parquet file with one row a system, sorted by PSF, split and id; its manifest is written beside it.
    scaler
        JSON file with ``mean`` and ``sd`` (the standard deviation of the sample, ddof = 0) of every target,
        in the target's own unit, over the training split alone.

    Raises
    ------
    LensvitError
        If a file is absent or broken, an id occurs twice, or there is no training system.
    """
    table = pd.concat([_systems(path) for path in images], ignore_index=True)
    table = table.sort_values(["psf", "split", "id"], ignore_index=True)
    repeated = table["id"][table["id"].duplicated()]
    if len(repeated):
        raise LensvitError(
            f"the id {repeated.iloc[0]} occurs in two image files ({len(repeated)} ids do): delete the image "
            "files of this run that the current config does not name, and run again"
        )
    _write_scaler(scaler, table[table["split"] == "train"])
    with files.atomic(output) as temporary:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary)
    files.write_manifest(output)


def _systems(path: Path) -> pd.DataFrame:
    """The systems of one image file, if the file is whole."""
    with open_hdf5(path, "image file") as file:
        columns = {name: values(file["systems"][name]) for name in CATALOG}
        columns |= {name: values(file["systems"][name]) for name in FURTHER_COLUMNS if name in file["systems"]}
        image = file["image"]
        image[-1]  # a truncated file fails here
        count = len(image)
    if any(len(column) != count for column in columns.values()):
        raise LensvitError(f"{path} holds {count} images but not as many systems: delete it and run snakemake again")
    return pd.DataFrame(columns)


def _write_scaler(path: Path, training: pd.DataFrame) -> None:
    """Write mean and standard deviation of the targets of the training systems."""
    if training.empty:
        raise LensvitError("no system of the split `train` in the image files: raise `data.train`")
    targets = training[list(TARGET_NAMES)]
    scale = {"mean": targets.mean().to_dict(), "sd": targets.std(ddof=0).to_dict()}
    files.write_text(path, json.dumps(scale, indent=2) + "\n")
