import hashlib
import os
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from lensvit.release import records


@pytest.mark.parametrize("stem", ["table1", "x" * 200, "x" * 700])
def test_records_lie_where_snakemake_looks_for_them(tmp_path, monkeypatch, stem):
    output = f"results/demo/tables/{stem}.csv"
    records.write_records(tmp_path, "demo", {output: {"rule": "table"}})
    persistence = FilePersistence.__new__(FilePersistence)
    persistence._max_len = os.pathconf(tmp_path, "PC_NAME_MAX")
    assert persistence._io_read(str(tmp_path / records.FOLDER), output) == {"rule": "table"}
    assert records.read_records(tmp_path, "demo") == {output: {"rule": "table"}}


def test_records_of_other_runs_are_neither_read_nor_touched(tmp_path):
    records.write_records(tmp_path, "demo2", {"results/demo2/a": {"rule": "a"}})
    records.write_records(tmp_path, "demo", {"results/demo/a": {"rule": "a"}, "results/demo/b": {"rule": "b"}})
    records.write_records(tmp_path, "demo", {"results/demo/b": {"rule": "new"}})
    assert records.read_records(tmp_path, "demo") == {"results/demo/b": {"rule": "new"}}
    assert records.read_records(tmp_path, "demo2") == {"results/demo2/a": {"rule": "a"}}


@pytest.fixture
def clone(tmp_path):
    """One module, one rule, and the records of a result and of the paper's LaTeX made with them."""
    module, rule = tmp_path / "src/lensvit/train.py", tmp_path / "rules/train.smk"
    shell = 'rule train:\n    shell:\n        "train {input}"\n        " > {log}"\n'
    for path, text in [(module, "x = 1\n"), (rule, shell)]:
        path.parent.mkdir(parents=True)
        path.write_text(text)
    checksum = "sha256:" + hashlib.sha256(module.read_bytes()).hexdigest()
    record = {"rule": "train", "code": "train {input} > {log}", "input_checksums": {
        "src/lensvit/train.py": checksum, "results/r/scaler.json": "sha256:0"}}  # fmt: skip
    return tmp_path, {"results/r/weights": record, "results/r/paper/paper.tex": {**record}}


def test_records_of_unchanged_code_are_kept(clone):
    root, known = clone
    assert records.still_valid(known, "results/r/paper/", root) == (known, [])


@pytest.mark.parametrize(
    "file, text, named",
    [
        ("src/lensvit/train.py", "x = 2\n", "src/lensvit/train.py"),
        ("src/lensvit/train.py", None, "src/lensvit/train.py"),
        ("rules/train.smk", 'rule train:\n    shell:\n        "train --new {input}"\n', "rule train"),
    ],
)
def test_records_of_changed_code_are_dropped_but_for_the_paper(clone, file, text, named):
    root, known = clone
    if text is None:
        (root / file).unlink()
    else:
        (root / file).write_text(text)
    kept, changed = records.still_valid(known, "results/r/paper/", root)
    assert list(kept) == ["results/r/paper/paper.tex"]
    assert changed == [named]


def test_the_rules_of_this_project_are_recognised():
    """The text of a shell command, as Snakemake records it, is found in rules/*.smk."""
    code = (
        "python -m lensvit catalog --images {input.images} --output {output.catalog}"
        " --scaler {output.scaler} > {log} 2>&1"
    )
    known = {"results/r/catalog.parquet": {"rule": "catalog", "code": code}}
    root = Path(__file__).parents[2]
    assert records.still_valid(known, "-", root) == (known, [])
