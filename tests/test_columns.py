"""A table that lacks a column is one line that names it, for every column and every stage that reads a table."""

import inspect
import itertools
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit import cli
from lensvit.config.run import load
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.io.tables import CATALOG, FLAGS, read_catalog, read_csv, read_parquet
from lensvit.learning.train import read_splits
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.statistics.calibration import BINS, LEVELS

ROOT = Path(__file__).parents[1]
ROWS = ("overall", *TARGET_NAMES)
COUNT = 6
OTHERS = [f"v{row}" for row in range(COUNT)]  # ids of another split
SYSTEMS = pd.DataFrame(
    {
        "id": [f"s{row}" for row in range(COUNT)], "psf": ["hst_a", "keck_b"] * 3, "instrument": ["hst", "keck"] * 3,
        "split": ["test", "test", "test", "test", "test", "train"], "n_images": 4, "start": "network", "reason": "",
        "method": "vit", "treatment": "images", **dict.fromkeys(("converged", "used"), True),
        **dict.fromkeys(("valid_known", "valid_marginalised"), True), "draws": 100, "unphysical": 0,
    }
)  # fmt: skip


def grid(**keys):
    """A row for each combination of the values of some columns."""
    return pd.DataFrame(itertools.product(*keys.values()), columns=list(keys))


STATES = {"model": ["vit"], "state": ["predicted", "recalibrated"], "target": [*TARGET_NAMES, "joint"]}
EDGES = np.linspace(0, 1, BINS + 1)
KEYS = {  # file to its rows, where they are no systems
    "coverage.csv": grid(**STATES, level=LEVELS),
    "pit.csv": grid(**STATES, **{"from": EDGES[:-1]}).assign(to=lambda table: table["from"] + 1 / BINS),
    "shift.csv": grid(case=["dim"], target=ROWS),
    "curves.csv": grid(case=["dim"], score=["epistemic", "predicted", "residual"], ordinary=[0.0, 0.5, 1.0]),
    "history.csv": pd.DataFrame({"seconds": [1.0, 2.0], "epoch": [1.0, 2.0]}),
}


def write(path, columns):
    """A table with these columns, and one that nobody asks for."""
    keys = KEYS.get(path.name, SYSTEMS)
    if path.parent.name == "validation":
        keys = keys.assign(id=OTHERS)
    table = pd.DataFrame({"x": np.ones(len(keys))})
    for name in columns:
        made = np.linspace(0.1, 0.9, len(keys)) + 0.05 * name.endswith("_mean")  # no mean is the truth
        table[name] = keys.get(name, made > 0 if name in FLAGS else made)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)


def grown(run):
    """What a stage asks of its tables, which at first have no column, and then those that errors have named.

    A column that is used and not asked for ends in another error. Beside it stands what the stage says where it fails.
    """
    asked = {}
    while True:
        try:
            run()
        except LensvitError as error:
            said = str(error)
            absent = re.fullmatch(r"there is no file (\S+\.(?:csv|parquet)): run snakemake again, which makes it", said)
            lacks = re.fullmatch(
                r"(\S+) is truncated or broken: .* \(it lacks the columns? (\w.*?)(,? \w* \.\.\.)?\)", said
            )
            if absent:
                asked[absent[1]] = []
            elif lacks and not set(lacks[2].split(", ")) & set(asked[lacks[1]]):
                asked[lacks[1]] += lacks[2].split(", ")
            else:
                return asked, said
            path = (absent or lacks)[1]
            write(Path(path), asked[path])
        else:
            return asked, None


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The smoke run's settings of a stage, with some of them changed."""
    folder = tmp_path_factory.mktemp("settings")
    run = load(ROOT / "config.yaml", ROOT / "runs/smoke.yaml")

    def find(part, **changes):
        path = folder / f"{part.replace('/', '-')}.yaml"
        content = json.loads(json.dumps(stage_settings(run, part))) | changes
        path.write_text(yaml.safe_dump(content))
        return path

    return find


PREDICTIONS = {"predictions": ["vit.parquet"]}
LIMIT = {"limit": "limit.parquet"}
REFINED = {"refined": "refined/vit.parquet"}
CHAINS = {"mcmc": "mcmc.parquet"}
EXACT = {"importance": "importance.parquet"}
INPUTS = {  # of the stages that make tables and figures
    "table": {"predictions": ["vit.parquet", "resnet.parquet"], "catalog": "catalog.parquet", "scaler": "scaler.json"}
    | {"validation": ["validation/vit.parquet", "validation/resnet.parquet"]}
    | (LIMIT | REFINED | EXACT),
    "figure2": PREDICTIONS,
    "figure3": PREDICTIONS | LIMIT,
    "figure4": {"coverage": "coverage.csv", "pit": "pit.csv"},
    "calibrate": {"predictions": ["vit.h5"], "validation": ["validation/vit.h5"]},
    "limit_table": PREDICTIONS | LIMIT,
    "mcmc_table": PREDICTIONS | LIMIT | REFINED | EXACT | CHAINS,
    "figure5": {"draws": ["vit.h5"]} | REFINED | EXACT | CHAINS,
    "refined_table": PREDICTIONS | {"refined": ["refined/vit.parquet"]},
    "importance_table": LIMIT | REFINED | EXACT,
    "figure8": {"draws": ["vit.h5"]} | REFINED | EXACT,
    "figure9": {"draws": ["vit.h5"]} | REFINED | EXACT,
    "fermat_table": {"fermat": "fermat.parquet"},
    "figure6": {"fermat": "fermat.parquet"},
    "shift_table": {"scores": [f"{sample}/scores.parquet" for sample in ("ordinary", "left_out", "dim")]},
    "figure7": {"table": "shift.csv", "curves": "curves.csv"},
    "ablation_table": {"models": "models", "predictions": "."},
}
OPTIONS = {"amplitudes": "known", "goal": 0.01, "left_out": "keck_b", "inputs": "graded60"}
GROUP = {"model": "vit", "model_label": "ViT", "variant": None, "label": None, "recipe": None, "networks": ["vit"]}
CHANGES = {"figure7": {"options": {"dim": "Dim"}}, "ablation_table": {"options": [GROUP]}}


@pytest.fixture
def files(tmp_path):
    """A folder with all that the stages read beside tables."""
    rng, targets, size = np.random.default_rng(0), len(TARGET_NAMES), len(NAMES)
    for name in ("validation", "refined", "ordinary", "left_out", "dim", "models/vit"):
        (tmp_path / name).mkdir(parents=True)
    spread = np.tile(np.eye(size), (COUNT, 1, 1))
    for path, content in {
        "vit.h5": {"id": list(SYSTEMS["id"]), "draws": rng.uniform(0.1, 0.9, (64, COUNT, targets))},
        "validation/vit.h5": {"id": OTHERS, "draws": rng.uniform(0.1, 0.9, (64, COUNT, targets))},
        "refined/vit.h5": {"id": list(SYSTEMS["id"]), "coordinates": spread[:, 0], "covariance": spread},
        "importance.h5": {"id": list(SYSTEMS["id"]), "samples": rng.uniform(0.1, 0.9, (COUNT, 20, size))},
        "limit.h5": {"id": list(SYSTEMS["id"]), "known": spread},
        "mcmc.h5": {"id": list(SYSTEMS["id"]), "samples": rng.uniform(0.1, 0.9, (COUNT, 20, size))},
    }.items():
        with h5py.File(tmp_path / path, "w") as file:
            for name, values in content.items():
                file[name] = values
    scaler = {"mean": dict.fromkeys(TARGET_NAMES, 0.5), "sd": dict.fromkeys(TARGET_NAMES, 1.0)}
    (tmp_path / "scaler.json").write_text(json.dumps(scaler))
    origin = dict.fromkeys(("date", "commit", "cores", "hardware", "platform", "python", "versions"), "a")
    (tmp_path / "models/vit/provenance.json").write_text(json.dumps(origin))
    return tmp_path


@pytest.mark.parametrize("stage", INPUTS)
def test_a_stage_asks_for_all_columns_that_it_uses(files, monkeypatch, settings, stage):
    monkeypatch.setattr(style, "save", lambda figure, output: None)
    function = cli._function(cli.STAGES[stage])
    given = {}
    for name, parameter in inspect.signature(function).parameters.items():
        value = INPUTS[stage].get(name, OPTIONS.get(name, f"made-{name}"))
        if name == "settings":
            given[name] = settings(stage, **CHANGES.get(stage, {}))
        elif "list[str]" in str(parameter.annotation):
            given[name] = [value] if name in OPTIONS else []
        elif "list" in str(parameter.annotation):
            given[name] = [files / one for one in ([value] if isinstance(value, str) else value)]
        elif "Path" in str(parameter.annotation):
            given[name] = files / value
        elif name in OPTIONS:
            given[name] = value
    asked, failed = grown(lambda: function(**given))
    assert failed is None and asked and all(asked.values())


@pytest.mark.parametrize(
    ("stage", "part"),
    [("evaluate", ""), ("figure1", ""), ("limit", ""), ("refine", "/vit"), ("mcmc", ""), ("importance", ""),
     ("shift_scores", "/ordinary")],
)  # fmt: skip
def test_a_stage_that_computes_asks_for_the_whole_catalogue(tmp_path, settings, stage, part):
    """It fails at last, as there is no other file."""
    function = cli._function(cli.STAGES[stage])
    given = {"settings": settings(stage + part), "catalog": tmp_path / "catalog.parquet"}
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in given and parameter.default is parameter.empty:
            many = "list" in str(parameter.annotation)
            given[name] = [tmp_path / "absent"] if many else tmp_path / "absent"
    asked, failed = grown(lambda: function(**given))
    assert sorted(asked.pop(str(tmp_path / "catalog.parquet"))) == sorted(CATALOG)
    assert failed is not None and not asked and len(failed.splitlines()) == 1


def test_the_training_asks_for_the_whole_catalogue(tmp_path):
    asked, failed = grown(lambda: read_splits(tmp_path / "catalog.parquet"))
    assert sorted(*asked.values()) == sorted(CATALOG) and failed is None


def test_each_column_that_is_asked_for_and_lacks_is_named(tmp_path):
    for name in CATALOG:
        write(tmp_path / "catalog.parquet", [other for other in CATALOG if other != name])
        with pytest.raises(LensvitError, match=rf"catalog\.parquet is .* \(it lacks the column {name}\)$"):
            read_catalog(tmp_path / "catalog.parquet")


def test_only_what_is_asked_for_is_read(tmp_path):
    for path in (tmp_path / "table.parquet", tmp_path / "shift.csv"):
        write(path, ("case", "target", "z", "sigma_bkg"))
    assert list(read_parquet(tmp_path / "table.parquet", "z", "case")) == ["case", "z"]
    assert list(read_csv(tmp_path / "shift.csv", "case", columns=["z"])) == ["case", "z"]
    assert list(read_csv(tmp_path / "shift.csv", "case")) == ["x", "case", "target", "z", "sigma_bkg"]


def test_all_tables_are_read_by_the_functions_of_io():
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "tables.py" or path.parent.name != "io":
            assert not re.search(r"\bpd\.read_|pandas\.read_", path.read_text(encoding="utf-8")), path
