"""What others need to know of the chapter on systems out of distribution."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=90,
    stages={"shift_scores": "compute:shift_scores", "shift_table": "table:shift_table", "figure7": "figure:figure7"},
    keys=("shift",),
    tables=("shift.csv",),
    figures=("figure7",),
    released=("shift/**/*.json", "shift/**/history.csv", "shift/*/scores.parquet", "shift/*/predictions/*.parquet"),
    released_if_small=("shift/*/catalog.parquet",),
)
