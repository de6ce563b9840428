"""What others need to know of the chapter on real lenses."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=92,
    stages={"real_table": "table:real_table", "figure11": "figure:figure11", "figure12": "figure:figure12"},
    keys=("real",),
    keys_order=120,
    tables=("real.csv", "population.csv"),
    figures=("figure11", "figure12"),
    released=("observations/*.json", "observations/*.csv", "observations/networks/*.csv"),
)
