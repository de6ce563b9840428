"""The stage ``numbers``: which tables it takes, and what it says of wrong ones."""

import json
from pathlib import Path

import pandas as pd
import pytest

from lensvit.chapters.quoting import Context
from lensvit.chapters.registry import CHAPTERS
from lensvit.cli import main
from lensvit.errors import LensvitError
from lensvit.io.tables import LIGHTS
from lensvit.paper.numbers import ORIGIN, _curve, _network, chapter_parts, chapter_tables

ALWAYS = ["calibration=a/calibration.csv", "calibration=joint.csv"]


def test_the_tables_of_a_chapter_in_order():
    found = chapter_tables(["limit=limit.csv", *ALWAYS])
    assert found == {"limit": [Path("limit.csv")], "calibration": [Path("a/calibration.csv"), Path("joint.csv")]}


def test_a_path_may_have_an_equals_sign():
    assert chapter_tables([*ALWAYS, "limit=a=b/limit.csv"])["limit"] == [Path("a=b/limit.csv")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [*ALWAYS, "nonsense=a.csv"],
            "--chapter nonsense=a.csv: give NAME=PATH, where NAME is one of calibration, limit",
        ),
        ([*ALWAYS, "limit.csv"], "--chapter limit.csv: give NAME=PATH"),
        ([*ALWAYS, "data=a.json"], "--chapter data=a.json"),
        ([*ALWAYS, "mcmc=mcmc.csv"], "mcmc=PATH was given 1 times, the chapter takes 2: mcmc.csv, chains.csv"),
        ([*ALWAYS, "limit=a.csv", "limit=b.csv"], "limit=PATH was given 2 times, the chapter takes 1: limit.csv"),
        (["limit=a.csv"], "calibration=PATH was given 0 times"),
    ],
)
def test_wrong_chapters_are_one_line(given, message):
    with pytest.raises(LensvitError) as error:
        chapter_tables(given)
    assert message in str(error.value) and "\n" not in str(error.value)


def limit_table(path, value):
    rows = [{"model": "a", "instrument": "all", "target": target} for target in ("overall", "gamma")]
    numbers = {"systems": 5, "limit_known": value, "limit_marginalised": 0.2, "ratio": 2.0}
    numbers |= dict.fromkeys(
        (f"{name}_error" for name in ("limit_known", "limit_marginalised", "ratio", "lost", "gap")), 0.01
    )
    numbers |= {
        "lost": 1.25,
        "gap": 1.6,
        "pooled": 0.05,
        "coarse": 0.09,
        "coarse_classes": 2,
        "fine": 0.09,
        "fine_classes": 6,
        **{f"signal_{light}": 100.0 for light in LIGHTS},
    }
    pd.DataFrame(rows).assign(**numbers).to_csv(path, index=False)
    return path


def context():
    config = {"models": {"a": {"label": "A"}}, "instruments": {}, "limit": {"amplitudes": "known"}}
    return Context(config, pd.DataFrame(), [], {})


def test_a_column_that_a_table_of_a_chapter_lacks_is_named(tmp_path):
    path = limit_table(tmp_path / "limit.csv", 0.1)
    whole = pd.read_csv(path)
    for name in whole.columns:
        whole.drop(columns=name).to_csv(path, index=False)
        with pytest.raises(LensvitError, match=rf"limit\.csv.*\b{name}\b") as error:
            chapter_parts({"limit": [path]}, context())
        assert len(str(error.value).splitlines()) == 1


def test_a_chapter_without_tables_is_null(tmp_path):
    parts = chapter_parts({"limit": [limit_table(tmp_path / "limit.csv", 0.1)]}, context())
    assert parts["limit"].overall == 0.1 and parts["limit"].widened.value == 2
    keys = {key for chapter in CHAPTERS.values() if chapter.tables for key in chapter.keys}
    assert set(parts) == keys and all(parts[key] is None for key in keys - {"limit"})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("0.1", "", r"Extreme\.value: Input should be a finite number \(got nan\)"),
        ("2.0", "much", r"LimitRow\.ratios\.a: Input should be a valid number.* \(got 'much'\)"),
        ("overall", "all", "KeyError: overall"),
    ],
)
def test_a_number_that_is_none_is_named(tmp_path, before, after, message):
    table = limit_table(tmp_path / "limit.csv", 0.1)
    table.write_text(table.read_text().replace(before, after))
    line = rf"^numbers\.json: the part limit cannot be made from \S+/limit\.csv: {message}: delete it and run snakemake"
    with pytest.raises(LensvitError, match=f"{line} again$"):
        chapter_parts({"limit": [table]}, context())


def test_a_part_of_several_files_names_them_all(tmp_path):
    files = [tmp_path / "calibration.csv", tmp_path / "joint.csv"]
    for path in files:
        path.write_text("model,state,target\nvit,raw,gamma\n")  # whole, but without its numbers
    with pytest.raises(
        LensvitError, match=r"from \S+calibration\.csv, \S+joint\.csv: .*: delete the one that is wrong"
    ):
        chapter_parts({"calibration": files}, context())


@pytest.mark.parametrize("recorded", [[{"kind": "channels", "rate": 0.1, "places": 17}], [], None, "absent"])
def test_a_network_whose_release_did_not_record_its_dropout_has_null(tmp_path, recorded):
    example = json.loads((Path(__file__).parents[1] / "data/numbers.json").read_text(encoding="utf-8"))["models"][0]
    keys = ("library", "architecture", "weights", "image_size", "dropout", "posterior")
    content = {
        "network": {key: example[key] for key in keys},
        "recipe": {key: value for key, value in example["recipe"].items() if key != "name"},
        "targets": ["gamma"], "scaler": {"mean": {"gamma": 2.0}, "sd": {"gamma": 0.2}}, "family": "transformer",
        "parameters": 5, "systems_seen": 60, "best_epoch": 1, "best_validation_mse": 0.9, "dropout_places": recorded,
    }  # fmt: skip
    if recorded == "absent":
        del content["dropout_places"]
    path = tmp_path / "a/config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    (tmp_path / "a/history.csv").write_text(
        "epoch,train_loss,validation_loss,images_per_second,seconds\n1,0.5,0.4,10,3\n"
    )
    (tmp_path / "a/provenance.json").write_text(json.dumps(dict.fromkeys(ORIGIN, "x")))
    config = {"models": {"a": {"label": "A", "recipe": "paper"}}}
    places = _network(path, Context(config, pd.DataFrame(), [path], {})).model_dump()["dropout_places"]
    assert places == (None if recorded == "absent" else recorded)


def test_the_command_line_takes_a_chapter_several_times(tmp_path, capsys):
    options = (
        "settings",
        "table",
        "errors",
        "differences",
        "models",
        "predictions",
        "catalog",
        "psfs",
        "benchmarks",
        "output",
    )
    given = [word for option in options for word in (f"--{option}", str(tmp_path / option))]
    (tmp_path / "settings").write_text("config: {}\nscale: paper\n")
    assert main(["numbers", *given, "--chapter", *ALWAYS, "limit=a.csv", "limit=b.csv"]) == 1
    assert "lensvit numbers: --chapter limit=PATH was given 2 times" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


def test_the_learning_curve_says_what_was_kept_and_what_was_least():
    history = pd.DataFrame(
        {"epoch": [1, 2, 3, 4], "train_loss": [1, 0.5, 0.2, 0.1], "validation_loss": [0.9, 0.4, 0.6, 0.7]}
    )
    found = _curve(history, 3).model_dump()
    assert found == {
        "train_loss": 0.2, "validation_loss": 0.6, "least_loss": 0.4, "least_epoch": 2, "last_loss": 0.7,
    }  # fmt: skip
