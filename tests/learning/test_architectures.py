"""Networks: sizes as published, dropout where the paper has it, weights from every source."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lensvit.errors import LensvitError
from lensvit.learning.architectures import build_network, family, trainable_parameters
from lensvit.learning.dropout import ActivationDropout
from lensvit.learning.from_transformers import attentions
from lensvit.learning.mc_dropout import before_dropout, monte_carlo, remembering
from tests.networks import TINY_VIT, resnet, vit


def test_vit_base_has_as_many_parameters_as_the_authors_run():
    model = build_network(vit("google/vit-base-patch16-224", image_size=224), 16)
    assert trainable_parameters(model) == 85_810_960


def test_resnet152_has_as_many_parameters_as_the_authors_run_and_151_dropouts():
    model = build_network(resnet("resnet152"), 16)
    assert trainable_parameters(model) == 58_176_592
    calls = []
    for module in model.modules():
        if isinstance(module, ActivationDropout):
            module.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, 32, 32))
    assert len(calls) == 151


@pytest.mark.parametrize(
    "choice",
    [
        vit(),
        vit("dinov2", options={"patch_size": 8, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}),
        resnet(),
        resnet(pool_grid=2),
        resnet("resnet18"),
        resnet("mobilenet_v3_small"),
        resnet("convnext_tiny"),
        resnet("vit_b_32", options={"image_size": 32}),
    ],
    ids=lambda choice: f"{choice.architecture}-{choice.pool_grid}",
)
def test_any_classifier_of_either_library(choice):
    model = build_network(choice, 6).eval()
    for parameter in model.parameters():  # torchvision starts the head of its ViT at zero
        nn.init.normal_(parameter, std=0.1)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 6)
    monte_carlo(model)
    images = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model(images), model(images))


def test_the_family_is_by_attention_and_not_by_library():
    torchvision_vit = resnet("vit_b_32", options={"image_size": 32})
    for choice in (vit(), torchvision_vit):
        assert family(build_network(choice, 6)) == "transformer"
    for choice in (resnet(), vit("resnet", dropout=0.0)):
        assert family(build_network(choice, 6)) == "convolutional"


def test_dropout_zero_predicts_the_same_each_time():
    for choice in (vit(dropout=0.0), resnet(dropout=0.0)):
        model = monte_carlo(build_network(choice, 6))
        images = torch.randn(2, 3, 32, 32)
        assert torch.equal(model(images), model(images))


def test_activation_dropout_drops_whole_channels_and_scales_the_rest():
    module = ActivationDropout(nn.ReLU(), 0.5).train()
    torch.manual_seed(0)
    features = module(torch.ones(8, 64, 4, 4))
    by_channel = features.flatten(2)
    assert set(by_channel.unique().tolist()) == {0.0, 2.0}
    assert (by_channel.amin(-1) == by_channel.amax(-1)).all()
    assert 0.4 < (by_channel[..., 0] == 0).float().mean() < 0.6
    flat = module(torch.ones(8, 5, 64))
    assert 0 < (flat[0, 0] == 0).sum() < 64


def test_mc_dropout_leaves_batch_norm_as_it_is():
    model = build_network(resnet(), 6)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    images = torch.randn(4, 3, 32, 32)
    monte_carlo(model)(images)
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    monte_carlo(model, "batch")(images)
    assert any(not torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_the_original_batch_norm_makes_a_prediction_depend_on_its_neighbours():
    torch.manual_seed(0)
    model = build_network(resnet(dropout=0.0), 6)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        frozen = monte_carlo(model, "frozen")
        assert torch.allclose(frozen(images)[:2], frozen(images[:2]), atol=1e-5)
        batch = monte_carlo(model, "batch")
        assert not torch.allclose(batch(images)[:2], batch(images[:2]), atol=1e-3)


@pytest.mark.parametrize(
    ("choice", "known"),
    [
        (vit(), {"classifier.vit.embeddings.patch_embeddings.projection"}),
        (resnet(), {"conv1", "bn1", "relu.activation"}),
        (resnet(dropout=0.0), None),
    ],
    ids=["vit", "resnet", "nothing random"],
)
def test_what_comes_before_dropout_is_computed_once(choice, known):
    model = monte_carlo(build_network(choice, 6))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.manual_seed(1)
        output, parts = before_dropout(model, images)
        names = {name for name, module in model.named_modules() if module in parts}
        assert known is None or names == known
        torch.manual_seed(1)
        with remembering(parts):
            assert torch.equal(model(torch.full_like(images, torch.nan)), output)
        torch.manual_seed(1)
        assert torch.equal(model(images), output)
        assert not torch.equal(model(images + 1), output)


def test_attention_dropout_is_separate():
    model = monte_carlo(build_network(vit(dropout=0.0, attention_dropout=0.3), 6))
    images = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model(images), model(images))


# ---------------------------------------------------------------- attention


def test_attention_maps_are_distributions_over_tokens():
    model = build_network(vit(), 6).eval()
    maps = attentions(model, torch.randn(3, 3, 32, 32))
    assert maps.shape == (2, 3, 4, 17, 17)
    assert torch.allclose(maps.sum(-1), torch.ones(2, 3, 4, 17), atol=1e-5)


def test_a_cnn_has_no_attention():
    with pytest.raises(LensvitError, match="no attention maps"):
        attentions(build_network(resnet(), 6), torch.zeros(1, 3, 32, 32))


# ---------------------------------------------------------------- weights


@pytest.fixture
def saved_vit(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(1)
    model = ViTForImageClassification(ViTConfig(image_size=32, num_labels=1000, **TINY_VIT))
    model.save_pretrained(tmp_path / "vit")
    return model, tmp_path / "vit"


def test_a_local_folder_of_transformers_gives_all_but_the_head(saved_vit):
    source, folder = saved_vit
    model = build_network(vit(weights=str(folder), options={}, dropout=0.3), 16)
    assert model.classifier.classifier.out_features == 16
    assert model.classifier.config.hidden_dropout_prob == 0.3
    loaded = model.classifier.vit.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in source.vit.state_dict().items())


def test_pretrained_goes_through_from_pretrained(saved_vit):
    _, folder = saved_vit
    model = build_network(vit(str(folder), weights="pretrained"), 16)
    assert trainable_parameters(model) > 0


def test_weights_of_another_image_size_are_refused(saved_vit):
    _, folder = saved_vit
    with pytest.raises(LensvitError, match="images of 32 pixels: set image_size: 32"):
        build_network(vit(weights=str(folder), options={}, image_size=64), 16)


def test_weights_of_another_network_are_refused(saved_vit):
    _, folder = saved_vit
    with pytest.raises(LensvitError, match="do not fit"):
        build_network(vit(weights=str(folder), options={"hidden_size": 48}), 16)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_of_torchvision_gives_all_but_the_head(tmp_path, suffix):
    from torchvision import models

    source = models.resnet18(num_classes=1000).state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(source, path) if suffix == ".safetensors" else torch.save(source, path)
    for place in (path, tmp_path):
        model = build_network(resnet("resnet18", weights=str(place)), 16)
        assert model.fc.out_features == 16
        assert torch.equal(model.conv1.weight, source["conv1.weight"])


def test_torchvision_weights_of_another_network_are_refused(tmp_path):
    from torchvision import models

    torch.save(models.resnet18().state_dict(), tmp_path / "w.pth")
    with pytest.raises(LensvitError, match="do not fit resnet34"):
        build_network(resnet("resnet34", weights=str(tmp_path / "w.pth")), 16)


def test_a_broken_weights_file_is_said(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(LensvitError, match="broken"):
        build_network(resnet("resnet18", weights=str(tmp_path / "w.safetensors")), 16)


@pytest.mark.parametrize("choice", [vit(weights="/nowhere/at/all"), resnet(weights="/nowhere/at/all")])
def test_absent_weights_name_the_three_ways_on(choice):
    with pytest.raises(LensvitError) as caught:
        build_network(choice, 16)
    assert all(way in str(caught.value) for way in ("pretrained", "scratch", "local folder", "/nowhere/at/all"))


def test_no_network_and_no_cache_name_the_three_ways_on(monkeypatch, tmp_path):
    """Offline, as the hub's own switch makes it; torchvision's download fails as without a network."""
    from urllib.error import URLError

    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))

    def no_network(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    for choice in (
        vit("google/vit-base-patch16-224", weights="pretrained", image_size=224),
        resnet("resnet152", weights="pretrained"),
    ):
        with pytest.raises(LensvitError) as caught:
            build_network(choice, 16)
        assert all(way in str(caught.value) for way in ("weights: pretrained", "weights: scratch", "local folder"))


# ---------------------------------------------------------------- wrong names and options


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (resnet("resnet17"), "no classifier 'resnet17'"),
        (vit("vitt"), "no model type 'vitt'"),
        (vit(options={"patchsize": 8}), "no options patchsize"),
        (vit(options={**TINY_VIT, "hidden_size": -8}), "cannot build vit"),
        (vit("convnext"), "no place for dropout"),
        (resnet(options={"wide": 3}), "cannot build ResNet"),
        (resnet("ResNet", options={"block": "Brick", "layers": [1]}), "block is 'Brick'"),
        (resnet(options={"block": "BasicBlock", "layers": 3}), "layers is 3: one to four"),
        (resnet(options={"block": "BasicBlock", "layers": [1, "a"]}), r"layers is \[1, 'a'\]"),
        (resnet(options={"block": "BasicBlock", "layers": [1, 0]}), r"layers is \[1, 0\]"),
        (resnet("ResNet", options={}), "cannot build ResNet"),
        (resnet("mobilenet_v2", pool_grid=2), "pool_grid: 1"),
    ],
)
def test_wrong_names_and_options_are_said(choice, words):
    with pytest.raises(LensvitError, match=words):
        build_network(choice, 16)
