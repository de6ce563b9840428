"""What others need to know of the chapter on exact posteriors."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=95,
    stages={
        "importance": "compute:importance",
        "importance_table": "table:importance_table",
        "figure8": "figure:figure8",
        "figure9": "coverage_figure:figure9",
    },
    keys=("importance",),
    keys_order=55,
    tables=("importance.csv",),
    figures=("figure8", "figure9"),
    released=("importance.parquet",),
)
