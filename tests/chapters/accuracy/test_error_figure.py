"""Figure 3 on predictions whose errors are known."""

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

from lensvit.chapters.accuracy import error_figure
from lensvit.figures import style
from lensvit.io import tables
from lensvit.parameters import TARGET_NAMES

LABELS = {"vit": "ViT", "resnet": "ResNet152"}


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(predictions, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"options": LABELS}))
    for name in "ab":
        error_figure.figure3(settings, predictions, [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"])
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_it_has_both_errors_of_every_target(predictions):
    models = tables.read_predictions(predictions)
    figure = error_figure.draw(models, LABELS)
    assert figure.get_size_inches()[0] == 6.5 and len(figure.axes) == 16
    units = [axes.get_xlabel().split()[-1] for axes in figure.axes]
    assert units == 8 * ["[%]"] + 8 * [r"[$\sigma$]"]
    lines = [[line.get_label() for line in axes.lines] for axes in figure.axes]
    assert ["unit normal" in labels for labels in lines] == 8 * [False] + 8 * [True]
    assert figure.axes[0].get_ylabel() == "Systems per bin" and r"1/$\sigma$" in figure.axes[8].get_ylabel()


def test_it_counts_every_system_once(predictions):
    models = tables.read_predictions(predictions)
    axes = error_figure.draw(models, LABELS).axes
    outlines = [patch for patch in axes[0].patches if patch.get_label() in models]
    legend = axes[0].get_legend()
    shares = [text.get_text() for text in legend.get_texts()] if legend else ["0.0%"] * len(models)
    for patch, share, table in zip(outlines, shares, models.values(), strict=True):
        half = axes[0].get_xlim()[1]
        beyond = np.abs(error_figure.percentages(table, "theta_E")) > half
        assert patch.get_data().values.sum() + beyond.sum() == 120
        assert share == f"{100 * beyond.mean():.1f}%"


def test_the_limits_band_holds_its_share_of_the_errors(predictions):
    """The limit differs from system to system; errors drawn from it."""
    models = tables.read_predictions(predictions)
    truth = models["vit"]
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.01, 0.2, len(truth))
    bounds = pd.DataFrame(dict.fromkeys(TARGET_NAMES, sigma), index=truth.index)
    width = error_figure.limit_width(truth, bounds, "theta_E")
    errors = 100 * rng.normal(size=(2000, len(truth))) * sigma / truth["theta_E_truth"].to_numpy()
    assert np.mean(np.abs(errors) < width) == pytest.approx(error_figure.CENTRAL, abs=0.005)
    axes = error_figure.draw(models, LABELS, bounds).axes
    bands = [[patch for patch in part.patches if patch.get_label() == "limit"] for part in axes]
    assert [len(patches) for patches in bands] == 8 * [1] + 8 * [0]
    assert bands[0][0].get_x() == pytest.approx(-width) and bands[0][0].get_width() == pytest.approx(2 * width)
    assert not any(
        patch.get_label() == "limit" for part in error_figure.draw(models, LABELS).axes for patch in part.patches
    )


def test_the_histogram_over_sigma_is_a_density_of_all_systems(predictions):
    models = tables.read_predictions(predictions)
    axes = error_figure.draw(models, LABELS).axes[8]
    values, edges, _ = next(patch for patch in axes.patches if patch.get_label() == "vit").get_data()
    inside = 1 - error_figure.outside(error_figure.pulls(models["vit"], "theta_E"), error_figure.SIGMAS)
    assert (values * np.diff(edges)).sum() == pytest.approx(inside)


def test_errors_of_known_size():
    table = pd.DataFrame({"e1_truth": [0.1, -0.2], "e1_mean": [0.15, -0.1], "e1_sigma": [0.1, 0.05]})
    assert error_figure.percentages(table, "e1") == pytest.approx([50, -50])
    assert error_figure.pulls(table, "e1") == pytest.approx([0.5, 2.0])


def test_the_range_follows_the_widest_model_and_not_its_tails():
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(0, 1, 1000), rng.normal(0, 3, 1000)
    assert error_figure.span([narrow]) == 3 and error_figure.span([narrow, wide]) == 10
    wild = narrow.copy()
    wild[:20] = 1e9
    assert error_figure.span([wild]) == 3 and error_figure.outside(wild, 3) >= 0.02


def test_a_truth_of_zero_is_counted_as_outside(predictions, tmp_path):
    table = pd.read_parquet(predictions[0])
    table.loc[0, "e1_truth"] = 0.0
    table.to_parquet(tmp_path / "zero.parquet")
    figure = error_figure.draw(tables.read_predictions([tmp_path / "zero.parquet"]), {"zero": "Zero"})
    axes = figure.axes[TARGET_NAMES.index("e1")]
    outline = next(patch for patch in axes.patches if patch.get_label() == "zero")
    assert outline.get_data().values.sum() <= 119 and np.isfinite(axes.get_xlim()).all()


@pytest.mark.parametrize("count", [1, 6])
def test_any_number_of_models(predictions, count):
    table = tables.read_predictions(predictions[:1])["vit"]
    models = {f"model{number}": table.iloc[:20] for number in range(count)}
    assert len(error_figure.draw(models, {}).axes[0].get_legend().get_texts()) == count


def test_shares_outside_are_named_where_there_are_any():
    looks = {"vit": style.LOOKS[0]}
    for values, said in ((np.linspace(-0.9, 0.9, 50), False), (np.append(np.linspace(-0.9, 0.9, 50), 2.0), True)):
        axes = Figure().subplots()
        error_figure._histograms(axes, {"vit": values}, 1.0, looks)
        assert (axes.get_legend() is not None) == said
