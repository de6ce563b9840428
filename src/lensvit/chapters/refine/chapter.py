"""What others need to know of the chapter on fits to all pixels."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=50,
    stages={"refine": "compute:refine", "refined_table": "table:refined_table"},
    keys=("refine",),
    tables=("refined.csv",),
    released=("refined/*.parquet",),
)
