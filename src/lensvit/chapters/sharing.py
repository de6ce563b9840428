"""How the stages begin and end that several jobs share: which systems one job has, and where its part is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lensvit.io import shards, tables
from lensvit.lensing import cameras
from lensvit.psf import kernel


class Share(NamedTuple):
    """What one job computes.

    Parameters
    ----------
    rows
        Rows of the catalogue; there may be none.
    kernels
        PSF of these systems to its kernel.
    whole
        Ids of the systems of all jobs, in order; None if there is only this job.
    """

    rows: pd.DataFrame
    kernels: Mapping[str, kernel.Kernel]
    whole: pd.Series | None

    @classmethod
    def of(
        cls,
        catalog: Path,
        psfs: list[Path],
        chunks: Sequence[str] | None,
        select: Callable[[pd.DataFrame], pd.DataFrame],
    ) -> Share:
        """The share of a job.

        Parameters
        ----------
        catalog
            catalog.parquet.
        psfs
            psf/{name}.fits of every PSF of the systems.
        chunks
            Image files, as {psf}/{chunk}, of whose systems the output is a shard; None if there is only this job.
        select
            Which rows of the catalogue all jobs together have.

        Raises
        ------
        LensvitError
            If a file is absent or broken, or no test system lies in an image file.
        """
        every = tables.read_catalog(catalog)
        shards.check_chunks(every[every["split"] == "test"], chunks)
        selected = select(every)
        rows = shards.of_chunks(selected, chunks)
        kernels = cameras.read_kernels(psfs, rows["psf"])
        return cls(rows, kernels, None if chunks is None else selected["id"])

    def write(self, output: Path, names: Sequence[str], table: pd.DataFrame | None = None, **arrays: object) -> None:
        """Write the table of the systems, with arrays beside it, or the shard of it.

        Parameters
        ----------
        output
            The Parquet file; the HDF5 file has the same name with the suffix .h5.
        names
            Names of the parameters along the arrays' last axis.
        table
            One row a system, in the order of the rows; None where there are no rows.
        arrays
            Name of a dataset to its values, whose first axis is that of the rows; ``id`` comes with the table.
        """
        ids = {} if table is None else {"id": table["id"].to_list()}
        shards.write_part(output, self.rows[["id"]] if table is None else table, ids | arrays, names, self.whole)
