"""Figure 4 on tables whose numbers are known."""

import itertools

import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.calibration import figure as stage
from lensvit.errors import LensvitError
from lensvit.parameters import TARGET_NAMES

LABELS = {"vit": "ViT", "resnet": "ResNet $5"}
STATES = ("predicted", "recalibrated")
LEVELS = np.arange(1, 20) / 20
EXCESS = {("vit", "predicted"): -0.08, ("vit", "recalibrated"): 0.01, ("resnet", "predicted"): 0.05,
          ("resnet", "recalibrated"): -0.02}  # fmt: skip


def tables(models=("vit", "resnet")):
    """Coverage off by a constant, PIT histograms with a slope; all targets alike."""
    coverage, pit = [], []
    for model, state, target in itertools.product(models, STATES, (*TARGET_NAMES, "joint")):
        labels, half = {"model": model, "state": state, "target": target}, 0.05 if state == "predicted" else 0.07
        excess = EXCESS.get((model, state), 0.03)
        for level in LEVELS:
            row = {"level": level, "coverage": level + excess, "low": level - half, "high": level + half}
            coverage.append(labels | row)
        for number in range(10):
            share = 0.1 + (number - 4.5) * excess / 10
            edges = {"from": number / 10, "to": (number + 1) / 10}
            pit.append(labels | edges | {"share": share, "low": 0.1 - half / 2, "high": 0.1 + half / 2})
    return pd.DataFrame(coverage), pd.DataFrame(pit)


@pytest.fixture
def figure():
    return stage.draw(*tables(), LABELS)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_nine_panels_and_a_map_of_each_kind_at_the_papers_width(figure):
    assert figure.get_size_inches()[0] == 6.5 and len(figure.axes) == 9 + 4 + 1  # with the colour bar
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[8] == "all targets (TARP)" and r"\theta_\mathrm{E}" in titles[0]
    assert titles[9:13] == [
        "ViT, as predicted", r"ResNet \$5, as predicted", "ViT, recalibrated", r"ResNet \$5, recalibrated",
    ]  # fmt: skip
    assert [label.get_text() for label in figure.axes[9].get_yticklabels()] == titles[:9]


def test_coverage_is_drawn_minus_its_level_before_and_after(figure):
    for axes in figure.axes[:9]:
        for (model, state), excess in EXCESS.items():
            x, y = lines(axes)[f"{model} {state}"].get_data()
            assert x == pytest.approx(LEVELS) and y == pytest.approx(np.full(19, excess))


def test_states_differ_by_more_than_colour(figure):
    drawn = lines(figure.axes[0])
    for model in LABELS:
        before, after = (drawn[f"{model} {state}"] for state in STATES)
        assert before.get_linestyle() != "None" and before.get_marker() == "None"
        assert after.get_linestyle() == "None" and after.get_marker() != "None"
    assert drawn["vit predicted"].get_linestyle() != drawn["resnet predicted"].get_linestyle()


def maps(figure):
    """Model and state to the map of PIT values and the places of the dots."""
    found = {}
    for axes in figure.axes[9:13]:
        (mesh,) = axes.collections
        found[mesh.get_label()] = mesh, np.vstack([np.transpose(dots.get_data()) for dots in axes.lines])
    return found


def test_maps_are_densities_of_each_target(figure):
    found = maps(figure)
    assert set(found) == {f"{model} {state}" for model, state in EXCESS}
    for (model, state), excess in EXCESS.items():
        mesh, _ = found[f"{model} {state}"]
        values = np.asarray(mesh.get_array())
        assert values.shape == (9, 10) and values.mean(axis=1) == pytest.approx(np.ones(9))
        assert values[:, 0] == pytest.approx(np.full(9, 1 - 4.5 * excess))
        assert mesh.get_clim() == (0, 2)


def test_a_row_is_a_target_from_the_top_and_dots_are_outside_the_band():
    coverage, pit = tables()
    here = (pit["model"] == "vit") & (pit["state"] == "predicted") & (pit["target"] == "gamma") & (pit["from"] == 0.3)
    pit["share"] = pit["share"].mask(here, 0.2)
    mesh, dots = maps(stage.draw(coverage, pit, LABELS))["vit predicted"]
    row = TARGET_NAMES.index("gamma")
    assert mesh.get_array()[row, 3] == pytest.approx(2) and mesh.axes.get_ylim() == (9, 0)
    assert dots[:, 1].astype(int).tolist().count(row) > dots[:, 1].astype(int).tolist().count(row + 1)
    assert [0.35, row + 0.5] in np.round(dots, 6).tolist()


def test_a_dot_for_each_bin_outside(figure):
    _, pit = tables()
    for name, (_, dots) in maps(figure).items():
        model, state = name.split()
        rows = pit[(pit["model"] == model) & (pit["state"] == state)]
        assert len(dots) == ((rows["share"] < rows["low"]) | (rows["share"] > rows["high"])).sum()


def test_the_wider_band_lies_behind_the_narrower(figure):
    wide, narrow = (area.get_paths()[0].get_extents().height for area in figure.axes[0].collections)
    assert wide > narrow


def test_everything_lies_inside_the_panels(figure):
    coverage, pit = tables()
    low, high = figure.axes[0].get_ylim()
    excess = coverage["coverage"] - coverage["level"]
    assert low < excess.min() and excess.max() < high and low == -high
    wild = coverage.assign(coverage=coverage["coverage"].where(coverage["target"] != "joint", 0))
    assert stage.draw(wild, pit, LABELS).axes[0].get_ylim()[0] < -0.95


def test_the_legend_names_models_states_and_bands(figure):
    (legend,) = figure.legends
    text = " ".join(entry.get_text() for entry in legend.get_texts())
    assert all(word in text for word in ("ViT", r"ResNet \$5", "as predicted", "recalibrated", "if calibrated"))


@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_models(count):
    models = [f"model{number}" for number in range(count)]
    axes = stage.draw(*tables(models), {}).axes[0]
    assert sum(label.endswith("recalibrated") for label in lines(axes)) == count


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(tmp_path):
    settings, paths = tmp_path / "settings.yaml", [tmp_path / "coverage.csv", tmp_path / "pit.csv"]
    settings.write_text(yaml.safe_dump({"options": LABELS}))
    for table, path in zip(tables(), paths, strict=True):
        table.to_csv(path, index=False)
    for name in "ab":
        stage.figure4(settings, *paths, [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"])
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("broken", ["coverage", "pit"])
def test_a_table_without_rows_is_one_line(tmp_path, broken):
    (tmp_path / "figure4.yaml").write_text(yaml.safe_dump({"options": LABELS}))
    for name, table in zip(("coverage", "pit"), tables(), strict=True):
        (table.iloc[:0] if name == broken else table).to_csv(tmp_path / f"{name}.csv", index=False)
    files = [tmp_path / name for name in ("figure4.yaml", "coverage.csv", "pit.csv")]
    with pytest.raises(LensvitError, match=f"{broken}.csv is truncated or broken: .*it has no rows"):
        stage.figure4(*files, [tmp_path / "figure4.png"])
