"""What a release says of itself is an RO-Crate that others read, and the same for the same results."""

import json
import shutil
import subprocess

import pytest

from lensvit.release import crate

RUN = "tiny"
FILES = {
    name: {"sha256": f"{number:064x}", "size": number}
    for number, name in enumerate(
        ["settings/numbers.yaml", "settings/table.yaml", "tables/table1.csv", "tables/table1_errors.csv",
         "numbers.json", "paper/paper.pdf", "predictions/vit.parquet", "catalog.parquet.sha256",
         "benchmarks/table.tsv", "workflow/Snakefile", "workflow/rules/table.smk"]
    )
}  # fmt: skip
TABLE = {
    "rule": "table",
    "shellcmd": "python -m lensvit table  --output results/tiny/tables/table1.csv",
    "input": [f"results/{RUN}/predictions/vit.parquet", f"results/{RUN}/catalog.parquet.sha256",
              f"results/{RUN}/settings/table.yaml", "paper/elsewhere.txt"],
}  # fmt: skip
RECORDS = {
    f"results/{RUN}/numbers.json": {"rule": "numbers", "starttime": 1795803960.2, "endtime": 1795803961.9},
    f"results/{RUN}/tables/table1.csv": TABLE | {"starttime": 1795803951.25, "endtime": 1795803955.5},
    f"results/{RUN}/tables/table1_errors.csv": TABLE | {"starttime": 1795803951.75, "endtime": 1795803955.25},
    f"results/{RUN}/predictions/vit.parquet": {
        "rule": "evaluate", "shellcmd": "python -m lensvit evaluate", "input": [f"results/{RUN}/images/a.h5"],
        "starttime": 1795803900.0, "endtime": 1795803901.0,
    },
}  # fmt: skip
VERSIONS = [{"lensvit": "0.1.0", "torch": "2.15.0+cu130"}, {"lensvit": "0.1.0", "torch": "2.15.0+cu130"}]


def described(known=RECORDS, files=FILES, versions=VERSIONS):
    return crate.describe(RUN, "reduced", files, known, {"images/a.h5": "ab" * 32}, versions)


@pytest.fixture(scope="module")
def entities():
    graph = json.loads(described())["@graph"]
    found = {entry["@id"]: entry for entry in graph}
    assert len(found) == len(graph)  # no name twice
    return found


def references(value):
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        else:
            for part in value.values():
                yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def ids(value):
    return list(references(value))


def test_the_root_says_what_it_is_and_has_every_file(entities):
    root = entities["./"]
    assert entities[crate.NAME]["about"] == {"@id": "./"}
    assert set(ids(root["hasPart"])) == FILES.keys()
    assert root["datePublished"] == "2026-11-27" and root["mainEntity"] == {"@id": "workflow/Snakefile"}
    assert len(root["conformsTo"]) == 3
    assert entities["tables/table1.csv"]["sha256"] == FILES["tables/table1.csv"]["sha256"]
    assert entities["paper/paper.pdf"]["encodingFormat"] == "application/pdf"


def test_every_reference_is_to_an_entry_or_to_a_page(entities):
    for entry in entities.values():
        for name in references(list(entry.values())):
            assert name in entities or name.startswith("https://"), name


def test_the_workflow_has_its_language_version_inputs_and_outputs(entities):
    workflow = entities["workflow/Snakefile"]
    assert workflow["@type"] == ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    assert entities[ids(workflow["programmingLanguage"])[0]]["name"] == "Snakemake"
    assert workflow["version"] == "0.1.0" == entities["#lensvit"]["softwareVersion"]
    assert workflow["input"] == {"@id": "#input-config"} and len(workflow["output"]) == 3
    assert entities["#input-config"]["workExample"] == {"@id": "settings/numbers.yaml"}
    assert entities["settings/numbers.yaml"]["exampleOfWork"] == {"@id": "#input-config"}


def test_the_run_is_an_action_from_settings_to_results(entities):
    run = entities["#run"]
    assert run["instrument"] == {"@id": "workflow/Snakefile"}
    assert ids(run["object"]) == ["settings/numbers.yaml", "settings/table.yaml"]
    assert set(ids(run["result"])) == {
        "tables/table1.csv", "tables/table1_errors.csv", "numbers.json", "paper/paper.pdf", "predictions/vit.parquet",
    }  # fmt: skip
    assert (run["startTime"], run["endTime"]) == ("2026-11-27T18:25:00+00:00", "2026-11-27T18:26:01+00:00")


def test_a_job_is_one_action_with_all_its_outputs(entities):
    jobs = [entry for name, entry in entities.items() if name.startswith("#job-")]
    assert [job["@id"] for job in jobs] == ["#job-0001-evaluate", "#job-0002-table", "#job-0003-numbers"]
    table = jobs[1]
    assert ids(table["result"]) == ["tables/table1.csv", "tables/table1_errors.csv"]
    assert ids(table["object"]) == ["predictions/vit.parquet", "settings/table.yaml"]
    assert table["description"] == "python -m lensvit table --output results/tiny/tables/table1.csv"
    assert set(ids(entities["./"]["mentions"])) == {"#run", *(job["@id"] for job in jobs)}


def test_a_file_that_a_release_leaves_out_is_named_with_its_hash(entities):
    assert entities["#job-0001-evaluate"]["object"] == {"@id": "#left-out/images/a.h5"}
    assert entities["#left-out/images/a.h5"]["sha256"] == "ab" * 32


def test_packages_have_their_versions(entities):
    assert entities["pkg:pypi/torch@2.15.0%2Bcu130"]["softwareVersion"] == "2.15.0+cu130"


def test_nothing_depends_on_the_time_or_on_an_order():
    backwards = dict(reversed(RECORDS.items()))
    assert described(backwards, dict(reversed(FILES.items())), VERSIONS[::-1]) == described()


def test_a_run_without_records_is_described_too():
    graph = {entry["@id"]: entry for entry in json.loads(described({}, versions=[]))["@graph"]}
    assert graph["./"]["datePublished"] == "2022-10-09" and "startTime" not in graph["#run"]
    assert "version" not in graph["workflow/Snakefile"]


@pytest.fixture
def folder(tmp_path):
    """A folder with the files that the crate names."""
    for name in FILES:
        path = tmp_path / "crate" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    (tmp_path / "crate" / crate.NAME).write_bytes(described())
    return tmp_path / "crate"


def test_the_library_of_ro_crates_reads_it(folder):
    library = pytest.importorskip("rocrate.rocrate")
    read = library.ROCrate(folder)
    assert read.mainEntity.id == "workflow/Snakefile" and len(read.data_entities) == len(FILES)
    assert read.get("#job-0002-table")["result"][0].id == "tables/table1.csv"


@pytest.mark.skipif(shutil.which("rocrate-validator") is None, reason="no rocrate-validator (docs/releases.md)")
def test_the_validator_of_ro_crates_takes_it(folder):
    command = ["rocrate-validator", "--no-interactive", "--disable-color", "validate", "--profile-identifier"]
    command += ["workflow-run-crate-0.5", "--requirement-severity", "required", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    if "URLError" in said or "Unable to retrieve" in " ".join(said.split()):
        pytest.skip("no network, which the validator needs for the contexts")
    assert done.returncode == 0, said
