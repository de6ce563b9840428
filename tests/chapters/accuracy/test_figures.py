"""Figures 2 and 3 on predictions whose errors are known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer

from lensvit.chapters.accuracy import error_figure as third
from lensvit.chapters.accuracy import scatter_figure as second
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.parameters import TARGET_NAMES, TARGETS

LABELS = {"vit": "ViT", "resnet": "ResNet152"}


@pytest.fixture
def run(tmp_path):
    """Two models with Gaussian errors of the size that they predict; 120 systems."""
    rng = np.random.default_rng(0)
    truth = {name: rng.normal(parameter.prior.mean, parameter.prior.sd, 120) for name, parameter in
             ((parameter.name, parameter) for parameter in TARGETS)}  # fmt: skip
    for model, share in (("vit", 0.2), ("resnet", 0.5)):
        columns = {"id": [f"hst_a-test-{number:06d}" for number in range(120)]}
        for parameter in TARGETS:
            name, sigma = parameter.name, share * parameter.prior.sd
            columns |= {f"{name}_truth": truth[name], f"{name}_sigma": np.full(120, sigma)}
            columns[f"{name}_mean"] = truth[name] + rng.normal(0, sigma, 120)
        pd.DataFrame(columns).to_parquet(tmp_path / f"{model}.parquet")
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"seed": 1, "systems": 50, "options": LABELS}))
    paths = [tmp_path / "vit.parquet", tmp_path / "resnet.parquet"]
    return SimpleNamespace(folder=tmp_path, settings=settings, paths=paths)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [second.figure2, third.figure3])
def test_files_are_made_and_repeat_byte_for_byte(run, stage):
    for name in "ab":
        stage(run.settings, run.paths, [run.folder / f"{name}.pdf", run.folder / f"{name}.png"])
    assert (run.folder / "a.pdf").read_bytes().startswith(b"%PDF")
    for suffix in ("pdf", "png"):
        assert (run.folder / f"a.{suffix}").read_bytes() == (run.folder / f"b.{suffix}").read_bytes()


def test_figure2_shows_the_predictions_against_the_truth(run):
    models = {name: table.iloc[:50] for name, table in tables.read_predictions(run.paths).items()}
    figure = second.draw(models, LABELS)
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


def test_figure2_has_one_legend_with_the_labels(run):
    figure = second.draw(tables.read_predictions(run.paths), LABELS)
    (legend,) = figure.legends
    assert not any(axes.get_legend() for axes in figure.axes)
    text = " ".join(entry.get_text() for entry in legend.get_texts())
    assert all(word in text for word in ("ViT", "ResNet152", r"1\sigma", "prediction = truth"))


def test_the_sample_is_seeded_without_repetition():
    rows = second.sample(1200, 50, 1)
    assert len(set(rows)) == 50 and rows.max() > 600
    assert np.array_equal(rows, second.sample(1200, 50, 1))
    assert not np.array_equal(rows, second.sample(1200, 50, 2))
    assert second.sample(8, 50, 1).tolist() == list(range(8))


def test_figure3_has_both_errors_of_every_target(run):
    models = tables.read_predictions(run.paths)
    figure = third.draw(models, LABELS)
    assert figure.get_size_inches()[0] == 6.5 and len(figure.axes) == 16
    units = [axes.get_xlabel().split()[-1] for axes in figure.axes]
    assert units == 8 * ["[%]"] + 8 * [r"[$\sigma$]"]
    lines = [[line.get_label() for line in axes.lines] for axes in figure.axes]
    assert ["unit normal" in labels for labels in lines] == 8 * [False] + 8 * [True]
    assert figure.axes[0].get_ylabel() == "Systems per bin" and r"1/$\sigma$" in figure.axes[8].get_ylabel()


def test_figure3_counts_every_system_once(run):
    models = tables.read_predictions(run.paths)
    axes = third.draw(models, LABELS).axes
    outlines = [patch for patch in axes[0].patches if patch.get_label() in models]
    shares = [text.get_text() for text in axes[0].get_legend().get_texts()]
    for patch, share, table in zip(outlines, shares, models.values(), strict=True):
        half = axes[0].get_xlim()[1]
        beyond = np.abs(third.percentages(table, "theta_E")) > half
        assert patch.get_data().values.sum() + beyond.sum() == 120
        assert share == f"{100 * beyond.mean():.1f}%"


def test_the_limits_band_holds_its_share_of_the_errors(run):
    """The limit differs from system to system; errors drawn from it."""
    models = tables.read_predictions(run.paths)
    truth = models["vit"]
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.01, 0.2, len(truth))
    bounds = pd.DataFrame(dict.fromkeys(TARGET_NAMES, sigma), index=truth.index)
    width = third.limit_width(truth, bounds, "theta_E")
    errors = 100 * rng.normal(size=(2000, len(truth))) * sigma / truth["theta_E_truth"].to_numpy()
    assert np.mean(np.abs(errors) < width) == pytest.approx(third.CENTRAL, abs=0.005)
    axes = third.draw(models, LABELS, bounds).axes
    bands = [[patch for patch in part.patches if patch.get_label() == "limit"] for part in axes]
    assert [len(patches) for patches in bands] == 8 * [1] + 8 * [0]
    assert bands[0][0].get_x() == pytest.approx(-width) and bands[0][0].get_width() == pytest.approx(2 * width)
    assert not any(patch.get_label() == "limit" for part in third.draw(models, LABELS).axes for patch in part.patches)


def test_the_histogram_over_sigma_is_a_density_of_all_systems(run):
    models = tables.read_predictions(run.paths)
    axes = third.draw(models, LABELS).axes[8]
    values, edges, _ = next(patch for patch in axes.patches if patch.get_label() == "vit").get_data()
    inside = 1 - third.outside(third.pulls(models["vit"], "theta_E"), third.SIGMAS)
    assert (values * np.diff(edges)).sum() == pytest.approx(inside)


def test_errors_of_known_size():
    table = pd.DataFrame({"e1_truth": [0.1, -0.2], "e1_mean": [0.15, -0.1], "e1_sigma": [0.1, 0.05]})
    assert third.percentages(table, "e1") == pytest.approx([50, -50])
    assert third.pulls(table, "e1") == pytest.approx([0.5, 2.0])


def test_the_range_follows_the_widest_model_and_not_its_tails():
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(0, 1, 1000), rng.normal(0, 3, 1000)
    assert third.span([narrow]) == 3 and third.span([narrow, wide]) == 10
    wild = narrow.copy()
    wild[:20] = 1e9
    assert third.span([wild]) == 3 and third.outside(wild, 3) >= 0.02


def test_a_truth_of_zero_is_counted_as_outside(run):
    table = pd.read_parquet(run.paths[0])
    table.loc[0, "e1_truth"] = 0.0
    table.to_parquet(run.folder / "zero.parquet")
    figure = third.draw(tables.read_predictions([run.folder / "zero.parquet"]), {"zero": "Zero"})
    axes = figure.axes[TARGET_NAMES.index("e1")]
    outline = next(patch for patch in axes.patches if patch.get_label() == "zero")
    assert outline.get_data().values.sum() <= 119 and np.isfinite(axes.get_xlim()).all()


@pytest.mark.parametrize("count", [1, 6])
def test_any_number_of_models(run, count):
    table = tables.read_predictions(run.paths[:1])["vit"]
    models = {f"model{number}": table.iloc[:20] for number in range(count)}
    colours = {to_rgba(bar.lines[0].get_color()) for bar in second.draw(models, {}).axes[0].containers}
    assert len(colours) == count
    assert len(third.draw(models, {}).axes[0].get_legend().get_texts()) == count


def test_models_are_aligned_by_system(run):
    shuffled = pd.read_parquet(run.paths[1]).sample(frac=1, random_state=0)
    shuffled.to_parquet(run.paths[1])
    models = tables.read_predictions(run.paths)
    assert np.array_equal(models["vit"]["gamma_truth"], models["resnet"]["gamma_truth"])


def test_models_of_different_systems_are_refused(run):
    pd.read_parquet(run.paths[1]).iloc[1:].to_parquet(run.paths[1])
    with pytest.raises(LensvitError, match="vit and resnet"):
        tables.read_predictions(run.paths)


def test_absent_and_broken_files_are_named(run):
    with pytest.raises(LensvitError, match="none.parquet"):
        tables.read_predictions([run.folder / "none.parquet"])
    run.paths[0].write_bytes(b"PAR1")
    with pytest.raises(LensvitError, match="vit.parquet is truncated or broken"):
        tables.read_predictions(run.paths)
