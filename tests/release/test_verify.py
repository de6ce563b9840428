import json

import pandas as pd
import pytest
import yaml

from lensvit.chapters.accuracy.published import PUBLISHED
from lensvit.cli import main
from lensvit.errors import LensvitError
from lensvit.release import verify as module
from lensvit.release.verify import verify

TARGETS = list(PUBLISHED["published_vit"])


@pytest.fixture
def runs(tmp_path):
    """Write the table of a run whose models have ``factor`` times the published errors."""

    def write(run, factor=1.0, change=None, scale="paper", families=None, error=0.01):
        families = families or {"vit": "transformer", "resnet": "convolutional"}
        folder = tmp_path / run
        reference = {"transformer": "published_vit", "convolutional": "published_resnet"}
        values = pd.DataFrame(
            {model: PUBLISHED[reference.get(family, "published_vit")] for model, family in families.items()}
        ).loc[TARGETS]
        values = (values * factor).assign(refined=0.02, prior=0.3)
        for (target, column), value in (change or {}).items():
            values.at[target, column] *= value
        (folder / "tables").mkdir(parents=True)
        (folder / "settings").mkdir()
        values.to_csv(folder / "tables/table1.csv", index_label="target")
        (values * error).to_csv(folder / "tables/table1_errors.csv", index_label="target")
        (folder / "settings/numbers.yaml").write_text(yaml.safe_dump({"scale": scale}))
        for model, family in families.items():
            (folder / "models" / model).mkdir(parents=True)
            (folder / "models" / model / "config.json").write_text(json.dumps({"family": family}))
        return folder

    return write


def test_a_run_as_good_as_published_passes(runs, tmp_path, capsys):
    runs("a", factor=1.09)
    verify("a", results=tmp_path)
    out = capsys.readouterr().out
    assert "at most 1.1 times as published" in out
    assert "pass: all 18 cells of a" in out and "FAIL" not in out


def test_one_cell_worse_than_published_fails_and_is_named(runs, tmp_path, capsys):
    runs("a", change={("gamma", "vit"): 1.11})
    with pytest.raises(LensvitError, match="fail: 1 of 18 cells of a"):
        verify("a", results=tmp_path)
    failed = [line.split() for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert [line[:2] for line in failed] == [["vit", "gamma"]]


def test_better_than_published_passes(runs, tmp_path):
    runs("a", factor=0.1)
    verify("a", results=tmp_path)


def test_models_are_held_against_their_own_family(runs, tmp_path):
    runs("a", families={"swin": "transformer"}, factor=1.05)
    verify("a", results=tmp_path)
    runs("b", families={"resnet": "convolutional"}, factor=1.05)
    cells = module.against_published(module.read_folder(tmp_path / "b"), 0.1)
    assert list(cells["reference"]) == list(PUBLISHED["published_resnet"].values())


@pytest.mark.parametrize("ratio, passes", [(1.04, True), (0.96, True), (1.05, False), (0.95, False)])
def test_against_a_release_three_standard_errors_both_ways(runs, tmp_path, ratio, passes):
    """Standard errors of 1% each: 3 combined ones are 4.2%."""
    runs("a", change={("e1", "vit"): ratio})
    released = runs("b")
    if passes:
        verify("a", released, results=tmp_path)
    else:
        with pytest.raises(LensvitError, match="1 of 54 cells"):
            verify("a", released, results=tmp_path)


@pytest.mark.parametrize("ratio, passes", [(1.009, True), (1.011, False)])
def test_against_a_release_the_relative_tolerance_holds_for_small_errors(runs, tmp_path, ratio, passes):
    table = module.read_folder(runs("a", change={("e1", "prior"): ratio}, error=1e-5))
    cells = module.against_release(table, module.read_folder(runs("b", error=1e-5)), 0.01, 3)
    assert cells["passes"].all() == passes
    assert len(cells) == 36


def test_a_small_run_is_held_to_its_release_alone(runs, tmp_path, capsys):
    runs("a", factor=5, scale="reduced")
    released = runs("b", factor=5, scale="reduced")
    verify("a", released, results=tmp_path)
    assert "not counted" in capsys.readouterr().out
    with pytest.raises(LensvitError, match="18 of 18"):
        verify("a", results=tmp_path)


def test_a_table_that_holds_no_number_fails(runs, tmp_path):
    runs("a", change={("e1", "vit"): float("nan")})
    with pytest.raises(LensvitError, match="1 of 18"):
        verify("a", results=tmp_path)


def test_other_models_cannot_be_compared(runs, tmp_path):
    runs("a")
    with pytest.raises(LensvitError, match="compare runs of the same models"):
        verify("a", runs("b", families={"vit": "transformer"}), results=tmp_path)


def test_a_release_from_before_exact_posteriors_is_a_release_for_all_else(runs, tmp_path, capsys):
    old, new = runs("old"), runs("new")
    for name in ("table1.csv", "table1_errors.csv"):
        path = new / "tables" / name
        pd.read_csv(path).assign(importance=0.01, bayes=0.01).to_csv(path, index=False)
    with (new / "tables/table1_errors.csv").open("a") as file:
        file.write("systems,1200,1200,900,1200,700,700\n")
    verify("new", against=old, results=tmp_path)
    verify("old", against=new, results=tmp_path)
    assert "bayes" not in capsys.readouterr().out
    verify("new", against=new, results=tmp_path)
    assert "bayes" in capsys.readouterr().out


def test_a_release_from_before_standardised_errors_is_a_release_for_all_else(runs, tmp_path, capsys):
    old, new = runs("old"), runs("new")
    for name in ("table1.csv", "table1_errors.csv"):
        path = new / "tables" / name
        table = pd.read_csv(path).assign(limit=0.01)
        more = table.iloc[:1].assign(target="standardised")
        pd.concat([table, more, more.assign(target="mass")]).to_csv(path, index=False)
    with (new / "tables/table1_errors.csv").open("a") as file:
        file.write("systems,300,300,300,300,300\ntrainings,1,1,,,\nscatter,,,,,\n")
    for run, against, rows in (("new", old, False), ("old", new, False), ("new", new, True)):
        verify(run, against=against, results=tmp_path)
        out = capsys.readouterr().out
        assert ("standardised" in out) == (" limit " in out) == rows and "FAIL" not in out


def test_a_family_without_a_published_model_needs_a_release(runs, tmp_path):
    runs("a", families={"mixer": "mlp"})
    with pytest.raises(LensvitError, match="no model of a published family"):
        verify("a", results=tmp_path)


def test_a_run_without_a_table_is_said(tmp_path):
    with pytest.raises(LensvitError, match=r"table1.csv: make paper RUN=none"):
        verify("none", results=tmp_path)


@pytest.mark.parametrize("lacks", ["target", "vit", "prior"])
def test_a_table_that_lacks_a_column_is_said(runs, tmp_path, lacks):
    path = runs("a") / "tables/table1.csv"
    pd.read_csv(path).drop(columns=lacks).to_csv(path, index=False)
    with pytest.raises(LensvitError, match=rf"table1\.csv.*lacks the column {lacks}\b"):
        verify("a", results=tmp_path)


def test_errors_that_lack_a_model_are_said(runs, tmp_path):
    path = runs("a") / "tables/table1_errors.csv"
    pd.read_csv(path).drop(columns="vit").to_csv(path, index=False)
    with pytest.raises(LensvitError, match=r"table1_errors\.csv lacks the column vit\b"):
        verify("a", results=tmp_path)


def test_a_table_that_lacks_a_row_is_said(runs, tmp_path):
    path = runs("a") / "tables/table1_errors.csv"
    path.write_text("".join(line for line in path.open() if not line.startswith("gamma,")))
    with pytest.raises(LensvitError, match=r"table1_errors\.csv is truncated or broken: .*lacks the row gamma\)"):
        verify("a", results=tmp_path)


def test_the_exit_code_says_it(runs, tmp_path, capsys):
    runs("a")
    runs("b", factor=2)
    assert main(["verify", "--run", "a", "--results", str(tmp_path)]) == 0
    assert main(["verify", "--run", "b", "--results", str(tmp_path)]) == 1
    assert "fail: 18 of 18" in capsys.readouterr().err
