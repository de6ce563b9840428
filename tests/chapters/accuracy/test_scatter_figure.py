"""Figure 2 on predictions whose errors are known."""

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer

from lensvit.chapters.accuracy import scatter_figure
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.parameters import TARGETS

LABELS = {"vit": "ViT", "resnet": "ResNet152"}


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(predictions, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"seed": 1, "systems": 50, "options": LABELS}))
    for name in "ab":
        scatter_figure.figure2(settings, predictions, [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"])
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def bars_of(axes):
    return [container for container in axes.containers if isinstance(container, ErrorbarContainer)]


def test_it_shows_predictions_against_truth_and_their_errors_below(predictions):
    models = {name: table.iloc[:50] for name, table in tables.read_predictions(predictions).items()}
    figure = scatter_figure.draw(models, LABELS)
    assert figure.get_size_inches()[0] == 6.5 and len(figure.axes) == 16
    for panel, strip, parameter in zip(figure.axes[::2], figure.axes[1::2], TARGETS, strict=True):
        drawn = {line.get_label(): line for line in panel.lines}
        bars = {bar.get_label(): bar for bar in bars_of(strip)}
        assert list(drawn) == ["identity", "vit", "resnet"] and list(bars) == ["vit", "resnet"]
        low, high = panel.get_xlim()
        assert np.array_equal(*drawn["identity"].get_data()) and tuple(drawn["identity"].get_xdata()) == (low, high)
        for name, table in models.items():
            truth, mean, sigma = (table[f"{parameter.name}_{kind}"].to_numpy() for kind in ("truth", "mean", "sigma"))
            assert np.array_equal(drawn[name].get_data(), [truth, mean])
            x, y = bars[name].lines[0].get_data()
            assert np.array_equal(y, mean - truth) and np.abs(x - truth).max() < 0.01 * (high - low)
            below, above = np.array(bars[name].lines[2][0].get_segments())[:, :, 1].T
            assert above - below == pytest.approx(2 * sigma)
            assert strip.get_ylim()[0] < below.min() and above.max() < strip.get_ylim()[1]
        assert strip.get_xlabel().startswith("True") and ("[arcsec]" in strip.get_xlabel()) == (
            parameter.unit == "arcsec"
        )


def test_ticks_and_limits_are_equal(predictions):
    figure = scatter_figure.draw(tables.read_predictions(predictions), LABELS)
    for panel, strip in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert panel.get_xlim() == panel.get_ylim() == strip.get_xlim()
        assert len(panel.get_xticks()) >= 2
        assert np.array_equal(panel.get_xticks(), panel.get_yticks())
        assert np.array_equal(panel.get_xticks(), strip.get_xticks())
        assert strip.get_ylim()[0] == -strip.get_ylim()[1]
        boxes = panel.get_window_extent(), strip.get_window_extent()
        assert boxes[0].width == pytest.approx(boxes[0].height) and boxes[0].x0 == boxes[1].x0


def test_no_marker_hides_another(predictions):
    """Open markers have no ground, and filled ones fit into the open ones."""
    drawn = scatter_figure.draw(tables.read_predictions(predictions), LABELS).axes[0].lines[1:]
    filled, opened = drawn
    assert opened.get_markerfacecolor() == "none" and filled.get_markerfacecolor() != "none"
    assert filled.get_markersize() < 0.7 * opened.get_markersize()


def test_it_has_one_legend_with_the_labels(predictions):
    figure = scatter_figure.draw(tables.read_predictions(predictions), LABELS)
    (legend,) = figure.legends
    assert not any(axes.get_legend() for axes in figure.axes)
    assert [entry.get_text() for entry in legend.get_texts()] == ["ViT", "ResNet152", "prediction = truth"]


def test_the_sample_is_seeded_without_repetition():
    rows = scatter_figure.random_rows(1200, 50, 1)
    assert len(set(rows)) == 50 and rows.max() > 600
    assert np.array_equal(rows, scatter_figure.random_rows(1200, 50, 1))
    assert not np.array_equal(rows, scatter_figure.random_rows(1200, 50, 2))
    assert scatter_figure.random_rows(8, 50, 1).tolist() == list(range(8))


@pytest.mark.parametrize("count", [1, 6])
def test_any_number_of_models(predictions, count):
    table = tables.read_predictions(predictions[:1])["vit"]
    models = {f"model{number}": table.iloc[:20] for number in range(count)}
    colours = {to_rgba(bar.lines[0].get_color()) for bar in bars_of(scatter_figure.draw(models, {}).axes[1])}
    assert len(colours) == count


def test_models_are_aligned_by_system(predictions):
    shuffled = pd.read_parquet(predictions[1]).sample(frac=1, random_state=0)
    shuffled.to_parquet(predictions[1])
    models = tables.read_predictions(predictions)
    assert np.array_equal(models["vit"]["gamma_truth"], models["resnet"]["gamma_truth"])


def test_models_of_different_systems_are_refused(predictions):
    pd.read_parquet(predictions[1]).iloc[1:].to_parquet(predictions[1])
    with pytest.raises(LensvitError, match="vit and resnet"):
        tables.read_predictions(predictions)


def test_absent_and_broken_files_are_named(predictions, tmp_path):
    with pytest.raises(LensvitError, match=r"none\.parquet"):
        tables.read_predictions([tmp_path / "none.parquet"])
    predictions[0].write_bytes(b"PAR1")
    with pytest.raises(LensvitError, match=r"vit\.parquet is truncated or broken"):
        tables.read_predictions(predictions)
