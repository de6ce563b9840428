import pytest

from tests.chapters.calibration.makers import WIDTHS, both, run


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """Two models: one whose first sigma is too small, one whose sigmas are too large and whose errors correlate."""
    folder = tmp_path_factory.mktemp("predictions")
    both(folder, "vit", width=WIDTHS["vit"], fitted=400)
    both(folder, "resnet", width=WIDTHS["resnet"], fitted=400, error=0.6, seed=1)
    return folder, *run(folder)
