"""Figure 10 on histories that are known."""

import pandas as pd
import pytest
import yaml

from lensvit.chapters.training import figure as stage
from lensvit.errors import LensvitError
from lensvit.io import tables

LABELS = {"vit": "ViT", "resnet": "ResNet $5"}


def history(epochs=5, start=1.4):
    rows = [{"epoch": 1 + number, "train_loss": start - 0.2 * number} for number in range(epochs)]
    return pd.DataFrame(rows).assign(
        validation_loss=lambda table: table["train_loss"] + 0.1 * (table["epoch"] - 1) ** 2 - 0.3,
        seconds=1.0, images_per_second=1.0,
    )  # fmt: skip


@pytest.fixture
def figure():
    return stage.draw({"vit": history(), "resnet": history(3, 2.0)}, {"vit": 2, "resnet": 3}, LABELS)


def test_a_panel_for_each_model_with_both_losses_and_the_epoch_that_is_kept(figure):
    assert figure.get_size_inches()[0] == 6.5
    assert [axes.get_title() for axes in figure.axes] == ["ViT", r"ResNet \$5"]
    for axes, table, kept in zip(figure.axes, (history(), history(3, 2.0)), (2, 3), strict=True):
        drawn = {line.get_label(): line.get_data() for line in axes.lines}
        for name in ("training", "validation"):
            loss = table["train_loss" if name == "training" else "validation_loss"]
            assert drawn[name][0].tolist() == table["epoch"].tolist()
            assert drawn[name][1].tolist() == loss.tolist()
        assert drawn["kept"][0].tolist() == [kept]
        assert min(tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick) >= 1
        assert drawn["kept"][1].tolist() == [table["validation_loss"].iloc[kept - 1]]


def test_all_losses_lie_inside_panels_of_one_scale(figure):
    low, high = figure.axes[0].get_ylim()
    assert figure.axes[1].get_ylim() == (low, high)
    values = [value for axes in figure.axes for line in axes.lines for value in line.get_ydata()]
    assert low < min(values) and max(values) < high


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (3, (1, 3)), (5, (2, 3))])
def test_any_number_of_models_and_a_single_epoch(count, shape):
    names = [f"model{number}" for number in range(count)]
    drawn = stage.draw({name: history(1) for name in names}, dict.fromkeys(names, 1), {})
    assert len(drawn.axes) == shape[0] * shape[1] and [axes.get_title() for axes in drawn.axes[:count]] == names


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "read_model", lambda path, kind: type("Model", (), {"best_epoch": 2}))
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"options": LABELS}))
    models = [tmp_path / name / "config.json" for name in LABELS]
    for path in models:
        path.parent.mkdir()
        history().to_csv(path.with_name("history.csv"), index=False)
    for name in "ab":
        output = [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"]
        stage.figure10(tmp_path / "settings.yaml", models, output)
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("column", tables.HISTORY)
def test_a_history_that_lacks_a_column_is_one_line(tmp_path, column):
    history().drop(columns=column).to_csv(tmp_path / "history.csv", index=False)
    with pytest.raises(LensvitError, match=rf"history\.csv .*it lacks the column {column}\b"):
        tables.read_history(tmp_path / "history.csv", 2)


@pytest.mark.parametrize("column", tables.HISTORY)
@pytest.mark.parametrize(
    ("value", "message"), [("nan", "no finite number"), ("inf", "no finite number"), ("high", "holds no numbers")]
)
def test_a_history_of_what_is_no_number_is_one_line(tmp_path, column, value, message):
    table = history().astype(object)
    table.loc[1, column] = value
    table.to_csv(tmp_path / "history.csv", index=False)
    with pytest.raises(LensvitError, match=rf"history\.csv .*its column {column} holds .*{message.split()[-1]}"):
        tables.read_history(tmp_path / "history.csv", 2)


def test_a_history_without_the_epoch_that_is_kept_is_one_line(tmp_path):
    history().to_csv(tmp_path / "history.csv", index=False)
    assert len(tables.read_history(tmp_path / "history.csv", 5)) == 5
    with pytest.raises(LensvitError, match=r"epoch 6, whose weights are kept, does not stand there once"):
        tables.read_history(tmp_path / "history.csv", 6)
