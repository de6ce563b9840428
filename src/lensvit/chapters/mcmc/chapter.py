"""What others need to know of the chapter on Markov chains."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=60,
    stages={"mcmc": "compute:mcmc", "mcmc_table": "table:mcmc_table", "figure5": "figure:figure5"},
    keys=("mcmc",),
    keys_order=100,
    tables=("mcmc.csv", "chains.csv"),
    figures=("figure5",),
    released=("mcmc.parquet",),
)
