"""What others need to know of the chapter on the errors of the predictions."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=20,
    stages={"table": "table:table", "figure2": "scatter_figure:figure2", "figure3": "error_figure:figure3"},
    keys=("columns", "table", "uncertainty"),
    figures=("figure2", "figure3"),
    released=("tables/table1.csv", "tables/table1_errors.csv", "tables/table1_differences.csv"),
)
