import hashlib
import os
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from lensvit.jobs.sources import code
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


SHELL = 'rule train:\n    shell:\n        "train {input}"  # why\n        " > {log}"\n'


@pytest.fixture
def clone(tmp_path):
    """One module, one rule, and the records of a result and of the paper's LaTeX made with them."""
    module, rule = tmp_path / "src/lensvit/train.py", tmp_path / "rules/train.smk"
    for path, text in [(module, "x = 1\n"), (rule, SHELL)]:
        path.parent.mkdir(parents=True)
        path.write_text(text)
    params = [repr("test"), repr(code("lensvit.train", source=module.parent)), "3"]
    inputs = {"input": ["results/r/scaler.json"], "input_checksums": {"results/r/scaler.json": "sha256:0"}}
    record = {"rule": "train", "code": "train {input} > {log}", "params": params, **inputs}
    return tmp_path, {"results/r/weights": record, "results/r/paper/paper.tex": {**record}}


@pytest.mark.parametrize("text", ["x = 1\n", "# why\nx = 1\n", '"""What it is."""\n\nx = (\n    1\n)\n'])
def test_records_of_unchanged_code_are_kept(clone, text):
    root, known = clone
    (root / "src/lensvit/train.py").write_text(text)
    assert records.still_valid(known, "results/r/paper/", root) == (known, [])


@pytest.mark.parametrize(
    "file, text, named",
    [
        ("src/lensvit/train.py", "x = 2\n", "lensvit.train"),
        ("src/lensvit/train.py", None, "lensvit.train"),
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


def test_code_of_several_modules_is_named_by_the_first(clone):
    root, known = clone
    (root / "src/lensvit/more.py").write_text("y = 1\n")
    for record in known.values():
        record["params"] = [repr(code("lensvit.more", "lensvit.train", source=root / "src/lensvit"))]
    assert records.still_valid(known, "-", root) == (known, [])
    (root / "src/lensvit/train.py").write_text("x = 2\n")
    assert records.still_valid(known, "-", root) == ({}, ["lensvit.more"])


def test_records_of_workflows_with_source_files_as_inputs_are_dropped(clone):
    root, known = clone
    module = root / "src/lensvit/train.py"
    checksum = "sha256:" + hashlib.sha256(module.read_bytes()).hexdigest()
    old = {"params": [], "input": ["src/lensvit/train.py"], "input_checksums": {"src/lensvit/train.py": checksum}}
    for record in known.values():
        record |= old
    assert records.still_valid(known, "results/r/paper/", root) == ({}, ["src/lensvit"])


def test_the_rules_of_this_project_are_recognised():
    """The text of a shell command, as Snakemake records it, is found in rules/*.smk."""
    shell = (
        "python -m lensvit catalog --images {input.images} --output {output.catalog}"
        " --scaler {output.scaler} > {log} 2>&1"
    )
    made_by = code("lensvit.simulation.catalog")
    known = {"results/r/catalog.parquet": {"rule": "catalog", "code": shell, "params": [repr(made_by)]}}
    root = Path(__file__).parents[2]
    assert records.still_valid(known, "-", root) == (known, [])
    part = {"results/r/catalog.parquet": {"rule": "catalog", "code": shell.partition(" --scaler")[0], "params": []}}
    assert records.still_valid(part, "-", root) == ({}, ["rule catalog"])
