import urllib.error
import urllib.request

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.file_download import try_to_load_from_cache

from lensvit.doctor import weights as looks

pytestmark = pytest.mark.usefixtures("login_node")


@pytest.fixture(autouse=True)
def nothing_near(monkeypatch, tmp_path):
    """Empty caches, and nobody who answers."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse(ConnectionError("no route")))
    monkeypatch.setattr(urllib.request, "urlopen", refuse(urllib.error.URLError("no route")))
    for name in looks.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def refuse(error):
    def ask(*_, **__):
        raise error

    return ask


def vit(case, **changes):
    return next(iter(looks.weights(case(models={"vit": changes}))))


def resnet(case):
    return list(looks.weights(case()))[1]


def test_weights_that_need_no_hub(case, tmp_path):
    assert vit(case, weights="scratch").verdict == "right"
    assert vit(case, weights=str(tmp_path)).verdict == "right"
    answer = vit(case, weights=str(tmp_path / "absent"))
    assert answer.stops and "there is no file or folder" in answer.said


def test_weights_in_the_hubs_cache(case, monkeypatch):
    monkeypatch.setenv("HF_HOME", "/shared/hf")
    there = {"config.json", "model.safetensors"}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda source, name: f"/x/{name}" if name in there else None
    )
    answer = vit(case)
    assert answer.verdict == "right" and "is in the cache" in answer.said and "HF_HOME=/shared/hf" in answer.said
    there.remove("model.safetensors")  # as after a run that looked at its configuration alone
    assert vit(case).stops


def test_weights_that_the_hub_has(case, monkeypatch):
    asked = []

    def metadata(url, timeout):
        asked.append(url.rpartition("/")[2])
        if len(asked) == 1:
            raise error(EntryNotFoundError)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    answer = vit(case)
    assert answer.verdict == "right" and "the hub has it" in answer.said
    assert asked == ["model.safetensors", "pytorch_model.bin"]


def error(kind):
    """An error of the hub without its answer."""
    made = kind.__new__(kind)
    Exception.__init__(made, "404")
    return made


@pytest.mark.parametrize(
    ("offline", "raised", "said"),
    [
        (True, None, "is not to be asked: fill the cache"),
        (False, ConnectionError("no route"), "does not answer (no route): fill the cache"),
        (False, RepositoryNotFoundError, "the hub does not give it"),
        (False, EntryNotFoundError, "has no weights of it"),
    ],
)
def test_weights_that_cannot_be_had(case, monkeypatch, offline, raised, said):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    if raised is not None:
        raised = error(raised) if isinstance(raised, type) else raised
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse(raised))
    answer = vit(case)
    assert answer.stops and said in answer.said, answer.said


def test_weights_of_torchvision(case, monkeypatch, tmp_path):
    answer = resnet(case)
    assert answer.stops and "does not give it (<urlopen error no route>): fill the cache" in answer.said
    asked = []

    class Response:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def urlopen(request, timeout):
        asked.append(request.get_method())
        return Response()

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    answer = resnet(case)
    assert answer.verdict == "right" and "has it, and a training fetches it" in answer.said and asked == ["HEAD"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet152-394f9c45.pth").write_text("")
    answer = resnet(case)
    assert answer.verdict == "right" and "is there" in answer.said and len(asked) == 1


def test_a_model_without_weights_keeps_the_lines_of_the_others(case, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", try_to_load_from_cache)
    stages = {"architecture": "ResNet", "options": {"block": "BasicBlock", "layers": [1]}, "image_size": 64}
    first, second = looks.weights(case(models={"vit": {"architecture": "./models/my/vit"}, "resnet": stages}))
    assert first.stops and "Repo id must be in the form" in first.said and "'./models/my/vit'" in first.said
    assert second.stops and "torchvision has no pretrained weights of ResNet" in second.said
    bad, good = {"architecture": "./models/my/vit"}, {"weights": "scratch"}
    first, second = looks.weights(case(models={"vit": bad, "resnet": good}))
    assert (first.verdict, second.verdict) == ("wrong", "right")


def test_on_a_login_node_weights_that_are_fetched_are_unknown(case, monkeypatch, login_node):
    login_node(True)
    for answer in looks.weights(case()):  # the hub and the server do not answer
        assert answer.verdict == "unknown" and "no route" in answer.said and "srun --gpus=1" in answer.said
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: None)
    answer = vit(case)
    assert answer.verdict == "unknown" and "the hub has it" in answer.said
    assert vit(case, weights="scratch").verdict == "right"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert vit(case).stops
