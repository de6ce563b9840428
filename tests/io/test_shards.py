"""Shards are merged into what one job would have written, or it is said why not."""

import h5py
import numpy as np
import pandas as pd
import pytest

from lensvit.errors import LensvitError
from lensvit.io.files import sha256
from lensvit.io.shards import merge_shards, of_chunks, write_part
from tests.builders import same_arrays

IDS = [f"s{number}" for number in range(7)]
SHARDS = {"0000": [0, 1, 5], "0001": [], "0002": [2, 3, 4, 6]}


def part(folder, name, rows, whole=IDS, **columns):
    """Write rows of a table: a shard of the whole, or the whole itself."""
    ids = [IDS[row] for row in rows]
    path, numbers = folder / f"{name}.parquet", np.array(rows, dtype=float)
    if not rows:
        write_part(path, pd.DataFrame({"id": ids}), {}, ["x"], whole)
        return path
    values = {"psf": ["hst"] * len(rows), "converged": numbers > 2, "x": numbers} | columns
    arrays = {"id": ids, "used": numbers > 3, "cube": numbers[:, None, None] + np.arange(6).reshape(2, 3)}
    write_part(path, pd.DataFrame({"id": ids} | values), arrays, ["x"], whole)
    return path


@pytest.fixture
def shards(tmp_path):
    return [part(tmp_path / "t", name, rows) for name, rows in SHARDS.items()]


def test_the_merged_files_hold_what_those_of_one_job_do(tmp_path, shards):
    whole = part(tmp_path, "one", list(range(7)), whole=None)
    merged = tmp_path / "t.parquet"
    merge_shards(shards[::-1], merged)
    assert merged.read_bytes() == whole.read_bytes() and same_arrays(merged, whole)
    for suffix in (".parquet", ".h5"):
        path = merged.with_suffix(suffix)
        assert (tmp_path / f"t{suffix}.sha256").read_text().split() == [sha256(path), path.name]


def test_the_rows_of_some_image_files(tmp_path):
    rows = pd.DataFrame({"psf": pd.Categorical(["a", "a", "b", "b"]), "chunk": ["c0", "c1", "c0", "c1"]})
    assert list(of_chunks(rows, ["b/c1", "a/c0"]).index) == [0, 3]
    assert of_chunks(rows, []).empty and of_chunks(rows, None) is rows


def refused(shards, output):
    with pytest.raises(LensvitError) as caught:
        merge_shards(shards, output)
    assert not output.exists() and not output.with_suffix(".h5").exists() and "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_that_do_not_make_the_whole_are_refused(tmp_path, shards):
    merged = tmp_path / "t.parquet"
    assert "the 2 shards of t.parquet lack some of its systems" in refused(shards[:2], merged)
    assert "two shards of t.parquet have the system s0" in refused([*shards, shards[0]], merged)
    said = "no shard of t.parquet has a system: delete them and run snakemake again"
    assert said == refused(shards[1:2], merged)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"whole": IDS[:6]}, "they are of different systems"),
        ({"whole": IDS[::-1]}, "they are of different systems"),
        ({"y": 1.0}, "their columns or arrays differ"),
        ({"x": [1, 2, 3]}, "their columns or arrays differ"),
    ],
)
def test_a_shard_of_another_run_is_named(tmp_path, shards, change, why):
    part(tmp_path / "t", "0000", SHARDS["0000"], **change)
    said = refused(shards, tmp_path / "t.parquet")
    assert "0000.parquet and" in said and said.endswith(f"({why}): delete both and run snakemake again")


def test_an_empty_shard_is_of_the_same_systems_too(tmp_path, shards):
    part(tmp_path / "t", "0001", [], whole=IDS[1:])
    assert "0001.parquet are not shards of one table" in refused(shards, tmp_path / "t.parquet")


def put(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put("id", ["s0", "s1", "s4"]), "it has other systems than 0000.parquet"),
        (put("used", [True]), "it has not as many rows as 0000.parquet"),
        (put("place", [0, 1]), "it has not as many rows as 0000.parquet"),
        (lambda file: file.pop("place"), "place"),
        (lambda file: file.attrs.pop("whole"), "whole"),
    ],
)
def test_arrays_that_are_not_those_of_the_table_are_broken(tmp_path, shards, change, why):
    with h5py.File(shards[0].with_suffix(".h5"), "a") as file:
        change(file)
    said = refused(shards, tmp_path / "t.parquet")
    assert "0000.h5 is truncated or broken" in said and why in said


@pytest.mark.parametrize("way", ["absent", "empty", "truncated"])
@pytest.mark.parametrize("suffix", [".parquet", ".h5"])
def test_a_broken_shard_is_one_line(tmp_path, shards, suffix, way):
    path = shards[2].with_suffix(suffix)
    content = path.read_bytes()
    path.unlink()
    if way != "absent":
        path.write_bytes(b"" if way == "empty" else content[: len(content) // 2])
    assert str(path) in refused(shards, tmp_path / "t.parquet")


def test_merging_imports_no_library_that_takes_seconds(tmp_path, shards):
    """In a process of its own, as its job is."""
    import subprocess
    import sys

    code = (
        "import sys; from lensvit.cli import main; "
        f"assert main(['merge_shards', '--shards', *{[str(path) for path in shards]!r}, "
        f"'--output', {str(tmp_path / 't.parquet')!r}]) == 0; "
        "assert not {'torch', 'lenstronomy', 'scipy', 'astropy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
