"""What others need to know of the chapter on the limit of information."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=40,
    stages={"limit": "compute:limit", "limit_table": "table:limit_table"},
    keys=("limit",),
    tables=("limit.csv",),
    released=("limit.parquet",),
)
