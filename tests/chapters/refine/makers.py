"""The stage on a run's files."""

import pandas as pd

from lensvit.chapters.refine.compute import refine
from lensvit.chapters.refine.table import refined_table

SIGMA = 1.0


def start(folder, name, catalog="catalog.parquet", images="images", settings="refine.yaml", **options):
    output = folder / "refined" / f"{name}.parquet"
    refine(folder / settings, folder / catalog, folder / images, [folder / "hst.fits"], output, **options)
    return pd.read_parquet(output)


def made(run):
    """refined.csv: the fits of ``run``, and the same as if from the priors, of two cameras, and one of them failed."""
    one = pd.read_parquet(run / "refined" / "vit.parquet")
    one.loc[one.index[-1], "converged"] = False
    one.assign(instrument=["hst", "keck"] * 3).to_parquet(run / "refined" / "prior.parquet")
    refined_table(
        [run / "refined" / "vit.parquet", run / "refined" / "prior.parquet"],
        [run / "predictions" / "vit.parquet"],
        run / "refined.csv",
    )
    return run / "refined.csv"
