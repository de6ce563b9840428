"""A network is tried on the meta device as it would be trained, and on the CPU where that device cannot say."""

import contextlib
import socket
import urllib.request

import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.learning import rehearsal
from lensvit.learning.libraries import NotHereError
from lensvit.learning.rehearsal import attention_shape, rehearse
from lensvit.workflow import checks
from tests.networks import TINY_VIT, resnet, vit
from tests.offline import offline


@pytest.fixture
def devices(monkeypatch):
    """Where networks have been tried."""
    found, tried = [], rehearsal._rehearsed
    monkeypatch.setattr(rehearsal, "_rehearsed", lambda *args: found.append(args[-1]) or tried(*args))
    return found


@pytest.mark.parametrize("choice", [resnet(), vit(posterior="full")])
def test_a_network_is_tried_without_numbers(choice, devices):
    model = rehearse(choice)
    assert devices == ["meta"]
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert all(parameter.grad is not None for parameter in model.parameters())  # the backward pass


def test_a_network_that_looks_at_numbers_is_tried_on_the_cpu(devices):
    model = rehearse(resnet("regnet_y_400mf"))
    assert devices == ["meta", "cpu"]
    assert next(model.parameters()).device.type == "cpu"


def test_an_operation_that_the_meta_device_lacks_refuses_nothing(devices, monkeypatch):
    def build(*args, **kwargs):
        if torch.empty(0).is_meta:
            raise NotImplementedError("no meta kernel")
        return built(*args, **kwargs)

    built = rehearsal.build_network
    monkeypatch.setattr(rehearsal, "build_network", build)
    rehearse(resnet())
    assert devices == ["meta", "cpu"]


def test_what_fails_in_the_backward_pass_is_said(monkeypatch):
    class Closed(torch.autograd.Function):
        @staticmethod
        def forward(context, value):
            return value.clone()

        @staticmethod
        def backward(context, gradient):
            raise RuntimeError("no way back")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3 * 32 * 32, 16)

        def forward(self, images):
            return Closed.apply(self.layer(images.flatten(1)))

    monkeypatch.setattr(rehearsal, "build_network", lambda *args, **kwargs: Network())
    with pytest.raises(LensvitError, match="cannot be trained on images of 32 pixels: no way back"):
        rehearse(resnet())


def test_one_image_alone_is_tried_where_it_occurs():
    rehearse(resnet(), alone=None)
    rehearse(resnet(image_size=64), alone="here")
    rehearse(vit(), alone="here")
    with pytest.raises(LensvitError, match=r"one image alone \(Expected more than 1 value per channel.*\), but here"):
        rehearse(resnet(), alone="here")


def test_the_attention_has_the_shape_that_figure_1_will_see(devices):
    model = rehearse(vit())
    assert attention_shape(vit(), model) == (2, 1, 4, 17, 17) and devices == ["meta"]


@pytest.mark.parametrize("choice", [resnet(), vit("resnet", dropout=0.0, options={"depths": [1, 1, 1, 1]})])
def test_a_convolutional_network_has_no_attention(choice):
    with pytest.raises(LensvitError, match="no attention maps"):
        attention_shape(choice, rehearse(choice))


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize(
    "choice",
    [
        resnet("resnet50", weights="pretrained", options={"width_per_group": 128}),
        vit("google/vit-base-patch16-224", weights="pretrained", image_size=224, options={"hidden_size": 96}),
    ],
)  # fmt: skip
def test_options_that_pretrained_weights_do_not_fit_are_said(choice):
    with pytest.raises(LensvitError, match=r"'pretrained' do not fit .* of another shape"):
        rehearse(choice)


def test_nothing_is_downloaded(monkeypatch):
    # as in the process that tries networks; the hub's library asks the hub of its own clients otherwise
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", checks.ENVIRONMENT["HF_HUB_OFFLINE"] == "1")
    with offline():
        rehearse(resnet("alexnet", weights="pretrained", image_size=64))
        rehearse(vit("google/vit-base-patch16-224", weights="pretrained", image_size=224))
        for weights in ("pretrained", "scratch"):
            with pytest.raises(NotHereError, match="not in the hub's cache"):
                rehearse(vit("nobody/has-this", weights=weights))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: urllib.request.urlopen("http://example.org"),
        lambda: socket.socket().connect(("127.0.0.1", 9)),
        lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
    ],
    ids=["getaddrinfo", "connect", "connect_ex"],
)
def test_a_download_that_a_library_keeps_to_itself_would_be_noticed(ask):
    with pytest.raises(AssertionError, match="connections were tried"), offline(), contextlib.suppress(OSError):
        ask()


def test_weights_of_a_file_are_read_and_must_fit(tmp_path):
    from torchvision import models

    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "w.pth")
    rehearse(resnet("squeezenet1_1", weights=str(tmp_path / "w.pth")))
    with pytest.raises(LensvitError, match="do not fit squeezenet1_0"):
        rehearse(resnet("squeezenet1_0", weights=str(tmp_path / "w.pth")))


def test_weights_of_a_folder_of_transformers_are_read_and_must_fit(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    ViTForImageClassification(ViTConfig(image_size=32, **TINY_VIT)).save_pretrained(tmp_path)
    rehearse(vit(weights=str(tmp_path), options={}))
    with pytest.raises(LensvitError, match="set image_size: 32"):
        rehearse(vit(weights=str(tmp_path), options={}, image_size=64))
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(LensvitError, match="are broken or none"):
        rehearse(vit(weights=str(tmp_path), options={}))
