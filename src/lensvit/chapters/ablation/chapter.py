"""What others need to know of the chapter on the parts of the recipe."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=80,
    stages={"ablation_table": "table:ablation_table"},
    keys=("ablation",),
    tables=("ablation.csv", "ablation.json"),
)
