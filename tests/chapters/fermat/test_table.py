"""What a population of lenses says."""

import numpy as np
import pytest

from lensvit.chapters.fermat.table import combine, observed_error
from tests.chapters.fermat.makers import population, table


def test_equal_systems_combine_as_the_root_of_their_number():
    for count in (1, 25, 400):
        value, error = combine(np.full(count, 0.02), np.full(count, 0.05))
        assert value == pytest.approx(0.02) and error == pytest.approx(0.05 / np.sqrt(count))
    errors = 0.05 * np.random.default_rng(0).standard_normal(900)
    assert observed_error(errors, np.full(900, 0.05), 1) == pytest.approx(0.05 / 30, rel=0.1)


def test_sharper_systems_count_more():
    assert combine(np.array([0.0, 1.0]), np.array([0.1, 0.2]))[0] == pytest.approx(0.2)


def test_a_bias_and_wrong_sigmas_show(tmp_path):
    honest, biased, bold = (population(400, *values) for values in ((0, 1), (0.03, 1), (0, 3)))
    found = table(tmp_path, honest, biased.assign(method="biased"), bold.assign(method="bold"))
    found = found.xs(("images", "all"), level=("treatment", "images"))
    assert found.loc["net", "predicted"] == pytest.approx(0.0025) and found.loc["net", "lenses"] == pytest.approx(25)
    assert found.loc["net", "lenses_observed"] == pytest.approx(25, rel=0.2) and abs(found.loc["net", "tension"]) < 3
    assert found.loc["biased", "tension"] > 8
    assert found.loc["bold", "observed"] == pytest.approx(3 * 0.0025, rel=0.15)
    assert found.loc["bold", "predicted"] == pytest.approx(0.0025) and found.loc["bold", "z"] == pytest.approx(
        3, rel=0.1
    )
    assert (found["unphysical"] == 0.01).all()
    # of Gaussian errors: 1.25 / (2 * density at the median) / sqrt(n), and 1 / sqrt(2 n)
    assert found.loc["bold", "z_spread"] == pytest.approx(3 / np.sqrt(800), rel=0.2)
    assert found.loc["net", "error_spread"] == pytest.approx(0.05 * 0.787 / np.sqrt(400), rel=0.3)


def test_rows_by_number_of_images_and_systems_left_out(tmp_path):
    part = population(40)
    part.loc[:9, ["used", "error", "sigma", "z"]] = [False, np.nan, np.nan, np.nan]
    found = table(tmp_path, part).loc[("net", "images")]
    assert found["systems"].to_dict() == {"all": 40, "2": 10, "4": 30}
    assert found.loc["all", "used"] == 30 and np.isfinite(found.loc["all", "combined"])
    part = part.assign(used=False)
    assert np.isnan(table(tmp_path, part).loc[("net", "images", "all"), "sigma"])
