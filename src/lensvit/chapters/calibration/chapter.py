"""What others need to know of the chapter on calibration."""

from lensvit.chapters.registry import Chapter

CHAPTER = Chapter(
    order=30,
    stages={"calibrate": "table:calibrate", "figure4": "figure:figure4"},
    keys=("calibration", "posteriors"),
    tables=("calibration.csv", "joint.csv"),
    figures=("figure4",),
)
