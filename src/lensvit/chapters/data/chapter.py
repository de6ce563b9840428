"""What others need to know of the chapter on the data set."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=10,
    before_models=True,
    stages={"figure1": "figure:figure1", "preview": "preview:preview"},
    keys=("dataset", "priors", "instruments", "psf_radii", "psfs"),
    figures=("figure1",),
)
