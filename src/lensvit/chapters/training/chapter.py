"""What others need to know of the chapter on the trainings."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=200,
    in_appendix=True,
    stages={"figure10": "figure:figure10"},
    figures=("figure10",),
)
