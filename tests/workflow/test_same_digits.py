"""Two runs of the same commit on one machine give the same digits, also where other jobs run beside them.

That the PDF follows from these files byte for byte is tested in tests/paper.
"""

import hashlib
import json

import h5py
import numpy as np
import pandas as pd
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

RESULTS = (
    "tables/table1.csv",
    "tables/calibration.csv",
    "figures/figure1.pdf",
    "figures/figure2.pdf",
    "figures/figure3.png",
    "refined/resnet.h5",
)
SAID_BY_THE_CLOCK = ("logs/", "benchmarks/", "state/")  # what a job says, takes and is resumed from
TIMES = {"date", "seconds", "images_per_second"}  # the columns and keys that are dates, durations and speeds


def files_of(run):
    """What a run leaves, without what is said by the clock."""
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith(SAID_BY_THE_CLOCK)}


def without_times(content):
    """Plain data without dates, durations and speeds."""
    if isinstance(content, dict):
        return {key: without_times(value) for key, value in content.items() if key not in TIMES}
    return [without_times(entry) for entry in content] if isinstance(content, list) else content


def table_of(path):
    """A table without its durations and speeds."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    return table[[name for name in table.columns if name not in TIMES]]


def arrays_of(path):
    """All arrays of an HDF5 file by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def same(name, one, other):
    """Whether two files hold the same digits."""
    if hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest():
        return True
    if name.endswith((".parquet", ".csv")):
        return table_of(one).equals(table_of(other))
    if name.endswith(".json"):
        return without_times(json.loads(one.read_text())) == without_times(json.loads(other.read_text()))
    if name.endswith(".h5"):
        left, right = arrays_of(one), arrays_of(other)
        return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)
    return False


def test_two_runs_have_the_same_digits(smoke, fresh):
    fresh.run(*(f"results/smoke/{name}" for name in RESULTS), timeout=1500)
    one, other = (clone.path / "results" / "smoke" for clone in (smoke, fresh))
    names = {name for name in files_of(other) if not name.endswith(".sha256")}  # of files that are compared here
    assert set(RESULTS) <= names and {"limit.h5", "models/vit/weights.safetensors"} <= names
    assert sum(name.startswith("images/") for name in names) == 6
    assert [name for name in sorted(names) if not same(name, one / name, other / name)] == []


@pytest.mark.parametrize("name", ["theta_E", "candidate", "seconds_of_arc", "cpu"])
def test_a_digit_that_differs_is_found(name, tmp_path):
    """Each kind of file, once with another number and once with another time."""
    for file, seconds, number in (("a", 1.0, 2.0), ("b", 9.0, 2.0), ("c", 1.0, 2.5)):
        table = pd.DataFrame({name: [number], "seconds": [seconds], "images_per_second": [1 / seconds]})
        (tmp_path / f"{file}.json").write_text(json.dumps({"seconds": seconds, "of": [{name: number}]}))
        table.to_csv(tmp_path / f"{file}.csv")
        table.to_parquet(tmp_path / f"{file}.parquet")
        with h5py.File(tmp_path / f"{file}.h5", "w") as arrays:
            arrays[f"x/{name}"] = np.full(3, number)
    for suffix in ("json", "csv", "parquet", "h5"):
        one, other, wrong = (tmp_path / f"{file}.{suffix}" for file in "abc")
        assert same(one.name, one, other) and not same(one.name, one, wrong)
