"""The jobs behind Table 1, from records like Snakemake's."""

import pytest

from lensvit.page import trace
from lensvit.release.records import read_record, write_records


@pytest.fixture
def runs(tmp_path):
    """A chain of four jobs, of which one makes two files, and a manifest."""
    start = dict(zip(("table", "evaluate", "train", "simulate"), (40.0, 30.0, 20.0, 10.0), strict=True))

    def record(rule, inputs, command):
        code = [f"'lensvit.{rule} 0123456789abcdef'", "'other'"]
        times = {"starttime": start[rule], "endtime": start[rule] + 4.25}
        return {"rule": rule, "input": inputs, "shellcmd": command, "params": code, **times}

    table = record(
        "table",
        ["results/r/predictions/a.parquet", "results/r/predictions/b.parquet", "results/r/limit.parquet"],
        "lensvit table --trainings a=results/r/predictions/a-seed-2.parquet b=x.parquet --output t",
    )
    known = {
        "results/r/tables/table1.csv": table,
        "results/r/tables/table1_errors.csv": table,
        "results/r/predictions/a.parquet": record(
            "evaluate", ["results/r/weights", "results/r/weights.sha256", "src/file"], "evaluate a"
        ),
        "results/r/weights": record("train", ["results/r/images"], "train"),
        "results/r/weights.sha256": record("train", ["results/r/images"], "train"),
        "results/r/images": record("simulate", [], "simulate"),
        "results/other/images": record("simulate", [], "elsewhere"),
    }
    results = tmp_path / "results"
    write_records(results, "r", {path: entry for path, entry in known.items() if "other" not in path})
    (results / "r").mkdir()
    (results / "r/weights.sha256").write_text("0123456789abcdef0123 weights\n")
    return results


TABLES = ["results/r/tables/table1.csv", "results/r/tables/table1_errors.csv"]


def test_a_record_is_found_by_the_path_of_its_file(runs):
    assert read_record(runs, "results/r/weights")["rule"] == "train"
    assert read_record(runs, "results/r/nothing") is None


def test_the_jobs_are_those_that_the_table_was_made_from_the_last_first(runs):
    jobs = trace.trace(runs, TABLES)
    assert [job.rule for job in jobs] == ["table", "evaluate", "train", "simulate"]
    table, evaluate, train, _ = jobs
    assert table.outputs == TABLES  # one job, though there are two records
    assert evaluate.inputs == ["results/r/weights", "src/file"]  # without manifests
    assert train.hashes == {"results/r/weights": "0123456789abcdef"} and not table.hashes
    assert (train.code, train.seconds, train.began) == (
        "lensvit.train 0123456789abcdef",
        4.2,
        "1970-01-01T00:00:20+00:00",
    )


def test_files_without_records_have_no_jobs(runs, tmp_path):
    assert trace.trace(tmp_path / "elsewhere", TABLES) == []


def test_a_column_is_made_of_its_own_files(runs):
    table = trace.trace(runs, TABLES)[0]
    of_a = trace.sources({"key": "a", "kind": "model"}, table)
    assert of_a == ["results/r/predictions/a.parquet", "results/r/predictions/a-seed-2.parquet"]
    assert trace.sources({"key": "limit", "kind": "limit"}, table) == ["results/r/limit.parquet"]
    assert trace.sources({"key": "ensemble", "kind": "ensemble"}, table) == [
        "results/r/predictions/a.parquet", "results/r/predictions/b.parquet"
    ]  # fmt: skip
    assert trace.sources({"key": "published_vit", "kind": "published"}, table) == []


def test_a_key_is_no_pattern(runs):
    assert trace.sources({"key": ".", "kind": "model"}, trace.trace(runs, TABLES)[0]) == []


def test_behind_a_file_are_its_job_and_all_before_it(runs):
    jobs = trace.trace(runs, TABLES)
    assert trace.behind(["results/r/predictions/a.parquet"], jobs) == [1, 2, 3]
    assert trace.behind(["results/r/limit.parquet"], jobs) == []
