"""A network in an archive of its own: packed, adopted in one command, and used."""

import shutil
import tarfile

import pytest

import lensvit
from lensvit import cli
from lensvit.errors import LensvitError
from lensvit.release.network import SHARED, share
from lensvit.release.release import adopt
from tests.prediction.conftest import one_camera, served  # noqa: F401 (fixtures)


@pytest.fixture
def described(served, tmp_path):  # noqa: F811
    """Folder of a network with its model card."""
    folder = tmp_path / "results/tiny/models/resnet"
    shutil.copytree(served, folder)
    (folder / "README.md").write_text(f'lensvit.load("{folder}")\n')
    return folder


def test_a_network_is_packed_and_adopted(described, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["share", "--model", str(described), "--output", "releases"]) == 0
    [archive] = (tmp_path / "releases").iterdir()
    assert archive.name.startswith("tiny-resnet-") and archive.stat().st_size < 6e6
    with tarfile.open(archive) as tar:
        assert set(tar.getnames()) == {"MANIFEST.json", *(f"tiny-resnet/{name}" for name in SHARED)}
    assert cli.main(["adopt", "--file", str(archive)]) == 0
    assert "lensvit predict --model networks/tiny-resnet" in capsys.readouterr().out
    installed = tmp_path / "networks/tiny-resnet"
    assert (installed / "README.md").read_text() == 'lensvit.load("networks/tiny-resnet")\n'
    assert lensvit.load(installed).known.reference.run == "tiny"
    # the same network gives the same bytes, also from where it was adopted
    share(described, tmp_path / "again")
    assert (tmp_path / "again" / archive.name).read_bytes() == archive.read_bytes()
    with pytest.raises(LensvitError, match="is there already"):
        adopt(archive)
    cut = tmp_path / archive.name
    cut.write_bytes(archive.read_bytes()[:-100])
    shutil.rmtree(installed)
    with pytest.raises(LensvitError, match="truncated or damaged"):
        adopt(cut)
    assert not installed.exists()


def test_a_network_without_its_card_is_not_packed(described):
    (described / "README.md").unlink()
    with pytest.raises(LensvitError, match=r"lacks README.md: `snakemake networks`"):
        share(described)
