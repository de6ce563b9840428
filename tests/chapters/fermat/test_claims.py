"""What the paper says of time delays."""

import numpy as np
import pytest

from lensvit.chapters.fermat import claims
from tests.chapters.fermat.makers import population, table
from tests.chapters.quoted import quoted


def test_the_numbers_of_the_paper(tmp_path):
    limit = population(400, method="limit", treatment="pixels").assign(error=np.nan, z=np.nan, sigma=0.002)
    prior = population(400, bias=-0.04, method="prior").assign(sigma=0.2)
    table(tmp_path, population(400, treatment="prediction"), population(400, bias=0.05, factor=3), prior, limit)
    settings = {"goal": 0.01, "astrometry": 1e-3, "draws": 100, "enabled": True}
    found = quoted(claims, tmp_path / "fermat.csv", labels={"net": "Net"}, fermat=settings)["fermat"]
    (network,) = found["networks"]
    assert found["systems"] == 400 and network["label"] == "Net"
    assert network["over_prior"] == pytest.approx(4) and network["over_pixels"] == pytest.approx(25)
    assert network["alone"]["honest"] and not network["alone"]["biased"] and network["alone"]["sigma_gamma"] == 0.03
    images = network["images"]
    assert images["biased"] and images["out_of_reach"] and images["honest"] is False and images["sigma_gamma"] is None
    assert found["prior"]["key"] == "prior" and [entry["label"] for entry in found["pixels"]] == ["Limit"]
    assert found["pixels"][0]["combined"] is None and found["pixels"][0]["honest"] is None
    assert found["pixels"][0]["lenses"] == 1
    assert found["sharpest"] == "Limit" and found["draw_error"] == pytest.approx(198**-0.5)


@pytest.mark.parametrize(
    "count, factor, honest", [(400, 1.0, True), (400, 1.6, False), (400, 0.5, False), (5, 1.6, None)]
)
def test_uncertainties_are_called_wrong_only_where_they_are_clearly_so(tmp_path, count, factor, honest):
    table(tmp_path, *(population(count, factor=factor, treatment=kind) for kind in ("prediction", "images")))
    settings = {"goal": 0.01, "astrometry": 1e-3, "draws": 100, "enabled": True}
    found = quoted(claims, tmp_path / "fermat.csv", labels={"net": "Net"}, fermat=settings)["fermat"]
    images = found["networks"][0]["images"]
    assert images["honest"] is honest and (0.8 < images["z"] < 1.25) == (honest is True)
    assert found["sharpest"] is None
