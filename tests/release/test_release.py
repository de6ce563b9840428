import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import yaml

from lensvit.errors import LensvitError
from lensvit.io.files import PUBLICATION_DATE, write_manifest
from lensvit.paper.render import tex
from lensvit.release import archive, crate, records, release

FILES = {
    "settings/numbers.yaml": yaml.safe_dump({"scale": "reduced", "config": {"seed": 42}}),
    "settings/train/vit.yaml": "seed: 42\n",
    "scaler.json": "{}",
    "models/vit/config.json": '{"family": "transformer"}',
    "models/vit/history.csv": "epoch\n1\n",
    "models/vit/provenance.json": '{"hardware": "a CPU", "versions": {"torch": "2"}}',
    "models/vit/weights.safetensors": "weights " * 100,
    "predictions/vit.parquet": "summary",
    "predictions/vit.h5": "draws",
    "tables/table1.csv": "target,vit\noverall,0.1\n",
    "tables/table1_errors.csv": "target,vit\noverall,0.01\n",
    "tables/table1_differences.csv": "first,second,target,ratio\nvit,prior,overall,0.3\n",
    "figures/figure1.pdf": "figure",
    "numbers.json": "{}",
    "catalog.parquet": "catalogue",
    "psf/hst_a.fits": "kernel",
    "images/hst_a/test-0000.h5": "images",
    "paper/paper.tex": "tex",
    "paper/paper.pdf": "pdf",
    "paper/paper-source.tar.gz": "source",
    "benchmarks/train/vit.tsv": "s\th:m:s\n12.5\t0:00:12\n",
    "logs/train/vit.log": "log",
    "state/vit/0/checkpoint.pt": "checkpoint",
}
LARGE = ("models/vit/weights.safetensors", "predictions/vit.h5", "predictions/vit.parquet", "catalog.parquet",
         "psf/hst_a.fits", "images/hst_a/test-0000.h5")  # fmt: skip
RECORDS = {
    "results/tiny/scaler.json": {"rule": "catalog"},
    "results/tiny/images/hst_a/test-0000.h5": {"rule": "simulate"},
}


def described():
    """What a release adds to a run's files: its metadata, and the workflow."""
    return {crate.NAME, *crate.workflow_files()}


@pytest.fixture
def results(tmp_path):
    """Folder with the finished run ``tiny``."""
    folder = tmp_path / "results"
    for name, text in FILES.items():
        path = folder / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in LARGE:
        write_manifest(folder / "tiny" / name)
    records.write_records(folder, "tiny", RECORDS)
    return folder


@pytest.fixture
def archives(results, tmp_path):
    """(small, weights) archives of the run."""
    release.release("tiny", results, tmp_path / "releases")
    weights = next((tmp_path / "releases").glob("*-weights.tar.gz"))
    return weights.with_name(weights.name.replace("-weights", "")), weights


def members(archive):
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def repack(archive, contents):
    """An archive of (name, bytes or TarInfo) pairs."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in contents:
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return archive


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- release


def test_the_small_archive_has_what_the_reader_sees_and_no_weights_or_images(archives):
    small, large = (members(archive) for archive in archives)
    left_out = {"models/vit/weights.safetensors", "images/hst_a/test-0000.h5", "logs/train/vit.log",
                "state/vit/0/checkpoint.pt"}  # fmt: skip
    expected = {f"tiny/{name}" for name in FILES.keys() - left_out}
    expected |= {f"tiny/{name}.sha256" for name in LARGE}
    assert set(small) == expected | {"MANIFEST.json", "records.json"} | {f"tiny/{name}" for name in described()}
    assert set(large) == {"MANIFEST.json", "tiny/models/vit/weights.safetensors"}
    assert json.loads(small["records.json"]) == RECORDS


def test_the_manifest_names_every_file_and_how_it_came_about(archives):
    small = members(archives[0])
    manifest = json.loads(small.pop("MANIFEST.json"))
    assert list(small) and set(manifest["files"]) == set(small)
    for name, data in small.items():
        assert manifest["files"][name] == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert manifest["seed"] == 42
    assert manifest["models"]["vit"]["hardware"] == "a CPU"
    assert manifest["seconds"] == {"train/vit": 12.5}
    left_out = {"images/hst_a/test-0000.h5", "models/vit/weights.safetensors"}
    assert set(manifest["sha256_of_files_left_out"]) == left_out


def test_the_same_results_give_the_same_bytes(results, archives, tmp_path):
    for path in (results / "tiny").rglob("*"):
        os.utime(path, (1, 1))
    release.release("tiny", results, tmp_path / "again")
    for packed in archives:
        assert (tmp_path / "again" / packed.name).read_bytes() == packed.read_bytes()


def test_an_adopted_run_is_packed_into_the_same_bytes(archives, tmp_path):
    for packed in archives:
        release.adopt(packed, tmp_path / "new")
    release.release("tiny", tmp_path / "new", tmp_path / "again")
    assert (tmp_path / "again" / archives[0].name).read_bytes() == archives[0].read_bytes()


def test_an_archive_of_before_there_were_descriptions_is_adopted(archives, tmp_path):
    old = [(name, data) for name, data in members(archives[0]).items() if name.removeprefix("tiny/") not in described()]
    manifest = json.loads(old[0][1])
    manifest["files"] = {name: said for name, said in manifest["files"].items() if name in dict(old)}
    old[0] = ("MANIFEST.json", json.dumps(manifest).encode())
    repack(tmp_path / "old.tar.gz", old)
    release.adopt(tmp_path / "old.tar.gz", tmp_path / "new")
    assert (tmp_path / "new/tiny/numbers.json").exists()
    assert not (tmp_path / "new/tiny" / crate.NAME).exists()


def test_a_run_is_packed_in_the_clone(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LensvitError, match="no Snakefile: start in the clone"):
        release.release("tiny", results, tmp_path / "releases")


def test_large_optional_files_go_with_the_weights(results, tmp_path, monkeypatch, capsys):
    draws = results / "tiny/predictions/vit.h5"
    draws.write_bytes(os.urandom(5000))
    write_manifest(draws)
    monkeypatch.setattr(release, "BUDGET", 1000)
    release.release("tiny", results, tmp_path)
    assert "because they are large: predictions/vit.h5\n" in capsys.readouterr().out
    weights = next(tmp_path.glob("*-weights.tar.gz"))
    assert "tiny/predictions/vit.h5" in members(weights)
    small = members(weights.with_name(weights.name.replace("-weights", "")))
    assert "tiny/predictions/vit.h5" not in small and "tiny/predictions/vit.h5.sha256" in small
    assert "tiny/catalog.parquet" in small


@pytest.mark.parametrize("name", ["paper/paper.pdf", "models/vit/weights.safetensors", "tables/table1.csv"])
def test_an_unfinished_run_is_refused(results, tmp_path, name):
    (results / "tiny" / name).unlink()
    with pytest.raises(LensvitError, match=r"not a finished run.*make paper RUN=tiny"):
        release.release("tiny", results, tmp_path / "releases")
    assert not (tmp_path / "releases").exists()


def test_a_file_that_its_manifest_does_not_describe_is_refused(results, tmp_path):
    (results / "tiny/models/vit/weights.safetensors").write_text("other")
    with pytest.raises(LensvitError, match=r"weights.safetensors is not the file"):
        release.release("tiny", results, tmp_path / "releases")


# ---------------------------------------------------------------- adopt


def test_adopting_gives_the_run_and_then_its_weights(results, archives, tmp_path):
    target = tmp_path / "clone/results"
    release.adopt(archives[0], target)
    assert records.read_records(target, "tiny") == RECORDS
    release.adopt(archives[1], target)
    expected = {name for name in tree(results / "tiny") if not name.startswith(("logs", "state"))}
    assert tree(target / "tiny") == (expected - {"images/hst_a/test-0000.h5"}) | described()
    for name in tree(target / "tiny") - described():
        assert (target / "tiny" / name).read_bytes() == (results / "tiny" / name).read_bytes()
    assert not list(target.glob(".adopt-*"))


def test_no_file_is_newer_than_another_but_for_the_latex_which_is_old(archives, tmp_path):
    release.adopt(archives[0], tmp_path / "new")
    release.adopt(archives[1], tmp_path / "new")
    run = tmp_path / "new/tiny"
    times = {name: (run / name).stat().st_mtime_ns for name in tree(run)}
    assert times.pop("paper/paper.tex") < 10**9 * PUBLICATION_DATE + 1
    assert len(set(times.values())) == 1


def test_a_release_of_when_rules_had_source_files_as_inputs_is_taken_as_it_is(results, tmp_path, capsys):
    latex = {"results/tiny/paper/paper.tex": {"rule": "tex", "input": ["src/lensvit/paper.py"]}}
    records.write_records(results, "tiny", RECORDS | latex)
    release.release("tiny", results, tmp_path / "releases")
    small = next(path for path in (tmp_path / "releases").iterdir() if "weights" not in path.name)
    release.adopt(small, tmp_path / "new")
    assert records.read_records(tmp_path / "new", "tiny") == RECORDS
    assert len({path.stat().st_mtime_ns for path in (tmp_path / "new/tiny").rglob("*") if path.is_file()}) == 1
    assert "made by other versions of src/lensvit: the results are taken as they are" in capsys.readouterr().out


def test_the_paper_of_a_release_of_version_0_1_is_rendered(results, tmp_path):
    """That version did not record where a network has dropout."""
    root = Path(__file__).parents[2]
    content = json.loads((root / "tests/data/numbers.json").read_text(encoding="utf-8"))
    for model in content["models"]:
        del model["dropout_places"]
    (results / "tiny/numbers.json").write_text(json.dumps(content))
    release.release("tiny", results, tmp_path / "releases")
    small = next(path for path in (tmp_path / "releases").iterdir() if "weights" not in path.name)
    release.adopt(small, tmp_path / "new")
    paper = tmp_path / "new/tiny/paper/paper.tex"
    tex(tmp_path / "new/tiny/numbers.json", root / "paper", paper)
    text = paper.read_text(encoding="utf-8")
    assert text.count("did not record where in the network that is") == len(content["models"])


def test_a_run_that_is_there_is_left_alone_or_moved_aside(results, archives, capsys):
    (results / "tiny/mine.txt").write_text("mine")
    with pytest.raises(LensvitError, match="is there already: move it away"):
        release.adopt(archives[0], results)
    assert (results / "tiny/mine.txt").exists()
    release.adopt(archives[0], results, replace=True)
    release.adopt(archives[0], results, replace=True)
    assert (results / "tiny.replaced-1/mine.txt").read_text() == "mine"
    assert (results / "tiny.replaced-2/numbers.json").exists()
    assert not (results / "tiny/mine.txt").exists()


def _without_manifest(contents):
    return [pair for pair in contents if pair[0] != "MANIFEST.json"]


def _changed_file(contents):
    return [(name, b"{ }" if name == "tiny/numbers.json" else data) for name, data in contents]


def _same_length(contents):
    return [(name, b"[]" if name == "tiny/numbers.json" else data) for name, data in contents]


def _missing_file(contents):
    return [pair for pair in contents if pair[0] != "tiny/numbers.json"]


def _extra_file(contents):
    return [*contents, ("tiny/extra", b"")]


def _twice(contents):
    return [*contents, contents[-1]]


def _outside(contents):
    return [*contents, ("../evil", b"")]


def _link(contents):
    entry = tarfile.TarInfo("tiny/numbers.json")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [(name, entry if name == "tiny/numbers.json" else data) for name, data in contents]


def _manifest(change):
    def apply(contents):
        manifest = json.loads(contents[0][1])
        change(manifest)
        return [("MANIFEST.json", json.dumps(manifest).encode()), *contents[1:]]

    return apply


def _named(name):
    def change(manifest):
        manifest["files"][name] = {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0}

    def apply(contents):
        return [*_manifest(change)(contents), (name, b"")]

    return apply


@pytest.mark.parametrize(
    "damage, message",
    [
        (_without_manifest, "is no release: MANIFEST.json is not its first file"),
        (_changed_file, "wrong hash: tiny/numbers.json"),
        (_same_length, "wrong hash: tiny/numbers.json"),
        (_missing_file, "tiny/numbers.json is not in it"),
        (_extra_file, "'tiny/extra' is not in its manifest"),
        (_twice, "holds tiny/tables/table1_errors.csv twice"),
        (_outside, "'../evil' is not in its manifest"),
        (_link, "'tiny/numbers.json' is not in its manifest, or is no plain file"),
        (_named("../evil"), "'../evil' would lie outside"),
        (_named("/tmp/evil"), "'/tmp/evil' would lie outside"),
        (_named("tiny/../../evil"), "would lie outside"),
        (_named("other/evil"), "would lie outside"),
        (_manifest(lambda manifest: manifest.update(run="..")), "is no name of a run"),
        (_manifest(lambda manifest: manifest.update(format=99)), "a format that this lensvit does not know"),
        (_manifest(lambda manifest: manifest.pop("files")), "MANIFEST.json is broken"),
        (_manifest(lambda manifest: manifest.update(files=[])), "MANIFEST.json is broken"),
    ],
)
def test_a_bad_archive_is_refused_and_nothing_installed(archives, tmp_path, damage, message):
    bad = repack(tmp_path / "bad.tar.gz", damage(list(members(archives[0]).items())))
    _refused(bad, tmp_path, message)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused_and_nothing_installed(archives, tmp_path, share):
    data = archives[0].read_bytes()
    bad = tmp_path / "bad.tar.gz"
    bad.write_bytes(data[: int(share * len(data))])
    _refused(bad, tmp_path, "is truncated or damaged.*: fetch it again")


@pytest.mark.parametrize("data", [b"", b"no archive at all", bytes(2000)])
def test_another_file_is_refused(tmp_path, data):
    (tmp_path / "bad.tar.gz").write_bytes(data)
    _refused(tmp_path / "bad.tar.gz", tmp_path, "truncated or damaged|is no release")


def test_a_flipped_byte_is_found_wherever_it_is(archives, tmp_path):
    data = bytearray(archives[0].read_bytes())
    for place in range(20, len(data) - 8, len(data) // 40):
        flipped = data.copy()
        flipped[place] ^= 0xFF
        (tmp_path / "bad.tar.gz").write_bytes(flipped)
        _refused(tmp_path / "bad.tar.gz", tmp_path, "bad.tar.gz")


def _refused(archive, tmp_path, message):
    with pytest.raises(LensvitError, match=message):
        release.adopt(archive, tmp_path / "target")
    assert tree(tmp_path / "target") == set()
    assert not list(tmp_path.glob("**/evil"))


def test_an_archive_that_is_not_there_is_said(tmp_path):
    with pytest.raises(LensvitError, match="no archive"):
        release.adopt(tmp_path / "absent.tar.gz", tmp_path / "target")


def test_the_name_of_an_archive_vouches_for_its_manifest(archives, tmp_path):
    contents = list(members(archives[0]).items())
    other = repack(tmp_path / archives[0].name, _manifest(lambda manifest: manifest.update(seed=1))(contents))
    _refused(other, tmp_path, "wrong hash: its manifest has")


def test_weights_need_their_own_run(results, archives, tmp_path):
    _refused(archives[1], tmp_path, "adopt tiny-.*.tar.gz first")
    weights = results / "tiny/models/vit/weights.safetensors"
    weights.write_text("other weights")
    write_manifest(weights)
    with pytest.raises(LensvitError, match="is not that of the run"):
        release.adopt(archives[1], results)
    assert weights.read_text() == "other weights"


def test_a_full_disk_is_said(archives, tmp_path, monkeypatch):
    def full(source, output):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_copy", full)
    _refused(archives[0], tmp_path, "the disk is full")
