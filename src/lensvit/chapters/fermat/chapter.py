"""What others need to know of the chapter on time delays."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=70,
    stages={"fermat": "compute:fermat", "fermat_table": "table:fermat_table", "figure6": "figure:figure6"},
    keys=("fermat",),
    keys_order=110,
    tables=("fermat.csv",),
    figures=("figure6",),
    released=("fermat.parquet",),
)
