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


def test_it_shows_the_predictions_against_the_truth(predictions):
    models = {name: table.iloc[:50] for name, table in tables.read_predictions(predictions).items()}
    figure = scatter_figure.draw(models, LABELS)
    assert figure.get_size_inches()[0] == 6.5 and len(figure.axes) == 8
    for axes, parameter in zip(figure.axes, TARGETS, strict=True):
        bars = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
        assert [bar.get_label() for bar in bars] == ["vit", "resnet"]
        for bar, table in zip(bars, models.values(), strict=True):
            x, y = bar.lines[0].get_data()
            assert len(x) == 50
            assert np.array_equal(x, table[f"{parameter.name}_truth"])
            assert np.array_equal(y, table[f"{parameter.name}_mean"])
            low, high = np.array(bar.lines[2][0].get_segments())[:, :, 1].T
            assert high - low == pytest.approx(2 * table[f"{parameter.name}_sigma"].to_numpy())
        (identity,) = (line for line in axes.lines if line.get_label() == "identity")
        assert np.array_equal(*identity.get_data()) and tuple(identity.get_xdata()) == axes.get_xlim()
        assert axes.get_xlim() == axes.get_ylim()
        for label, word in ((axes.get_xlabel(), "True"), (axes.get_ylabel(), "Predicted")):
            assert label.startswith(word) and ("[arcsec]" in label) == (parameter.unit == "arcsec")


def test_it_has_one_legend_with_the_labels(predictions):
    figure = scatter_figure.draw(tables.read_predictions(predictions), LABELS)
    (legend,) = figure.legends
    assert not any(axes.get_legend() for axes in figure.axes)
    text = " ".join(entry.get_text() for entry in legend.get_texts())
    assert all(word in text for word in ("ViT", "ResNet152", r"1\sigma", "prediction = truth"))


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
    colours = {to_rgba(bar.lines[0].get_color()) for bar in scatter_figure.draw(models, {}).axes[0].containers}
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
