"""Dropout where it really is: whole channels in any layout, at the rate asked for, and nothing else random."""

import pytest
import torch
from torch import nn

from lensvit.errors import LensvitError
from lensvit.learning.architectures import build_network
from lensvit.learning.dropout import ActivationDropout, MapDropout, places
from lensvit.learning.evaluate import varying
from lensvit.learning.mc_dropout import monte_carlo
from lensvit.learning.settings import Architecture, DropoutPlaces
from tests.networks import network

SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
CVT = {"embed_dim": [8, 8, 8], "num_heads": [1, 1, 1], "depth": [1, 2, 3]}


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_lose_whole_channels_and_no_rows(channels):
    torch.manual_seed(0)
    module = MapDropout(0.5, channels).train()
    shape = [8, 6, 6, 6]
    shape[channels] = 64
    dropped = module(torch.ones(shape)).movedim(channels, 1).flatten(2)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped.amin(-1) == dropped.amax(-1)).all()
    assert 0.4 < (dropped[..., 0] == 0).float().mean() < 0.6


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (network("resnet18"), [("channels", 17)]),
        (network("swin_t"), [("channels", 12)]),
        (network("swin_v2_t"), [("channels", 12)]),  # not the table of positions
        (network("convnext_tiny"), [("channels", 18)]),
        (network("squeezenet1_1"), [("channels", 25)]),
        (network("mobilenet_v3_small"), [("channels", 32), ("features", 1)]),
        (network("swin", "transformers", image_size=32, options=SWIN), [("features", 5)]),
        (network("cvt", "transformers", image_size=32, options=CVT), [("channels", 3), ("features", 12)]),
        (network("swin", "transformers", 0.0, 32, options=SWIN, attention_dropout=0.2), [("attention", 2)]),
    ],
    ids=lambda value: value.architecture if isinstance(value, Architecture) else "",
)
def test_dropout_is_of_the_rate_asked_for_and_nowhere_else(choice, expected):
    with torch.device("meta"):
        model = build_network(choice, 4)
    found = places(choice, model)
    assert [(place.kind, place.places) for place in found] == expected
    assert {place.rate for place in found} == {0.2}
    if choice.architecture in ("swin_t", "convnext_tiny", "mobilenet_v3_small"):
        assert_channels_do_not_grow_with_the_image(model)


def assert_channels_do_not_grow_with_the_image(model):
    """The dimension that a map has in common for images of two sizes is the one that whole channels are taken of."""
    shapes = {module: [] for module in model.modules() if isinstance(module, ActivationDropout)}
    for module, seen in shapes.items():
        module.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output.shape))
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, 64, 96, device="meta"))
        model(torch.zeros(1, 3, 128, 192, device="meta"))
    for module, seen in shapes.items():
        if len(seen[0]) == 4 and max(seen[0][1:]) > 1 and seen[0] != seen[1]:
            same = [axis for axis in (1, 2, 3) if seen[0][axis] == seen[1][axis]]
            assert same == [module.channels]
    assert any(seen[0] != seen[1] for seen in shapes.values())


@pytest.mark.parametrize(
    "choice",
    [
        network("efficientnet_b0", dropout=0.0),
        network("googlenet", dropout=0.0, options={"init_weights": False}),
        network("swin", "transformers", 0.0, 32, options=SWIN),
    ],
    ids=lambda choice: f"{choice.library}-{choice.architecture}",
)
def test_at_rate_zero_nothing_is_random(choice):
    model = monte_carlo(build_network(choice, 4))
    images = torch.randn(2, 3, choice.image_size, choice.image_size)
    with torch.inference_mode():
        assert torch.equal(model(images), model(images))
    assert places(choice, model) == []


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (network("googlenet", options={"aux_logits": False, "init_weights": False}), "no place for dropout"),
        (network("regnet", "transformers", image_size=32, options={"depths": [1, 1, 1, 1]}), "no place for dropout"),
        (network("vgg11", options={"dropout": 0.5}), "has dropout under options"),
        (network("swin_t", options={"stochastic_depth_prob": 0.1}), "stochastic_depth_prob under options"),
        (network("swin", "transformers", options={"drop_path_rate": 0.1}), "drop_path_rate under options"),
        (network("resnet18", attention_dropout=0.1), "no dropout of attention weights"),
        (network("swin", "transformers", image_size=64), "cannot be run on images of 64 pixels"),
    ],
    ids=lambda value: value.architecture if isinstance(value, Architecture) else "",
)
def test_what_would_not_drop_is_refused(choice, words):
    with torch.device("meta"), pytest.raises(LensvitError, match=words) as caught:
        build_network(choice, 4)
    assert "\n" not in str(caught.value)


def test_looking_for_dropout_changes_nothing():
    choice = network("resnet18", image_size=32)
    model = build_network(choice, 4).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert places(choice, model) == [DropoutPlaces(kind="channels", rate=0.2, places=17)]
    assert torch.equal(torch.rand(1), expected)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_passes_that_are_all_the_same_are_refused():
    rows, output = torch.arange(2), torch.randn(1, 2, 4).expand(3, 2, 4)
    with pytest.raises(LensvitError, match=r"all 3 passes .* are the same"):
        next(varying(iter([(rows, output)]), network("resnet18")))
    next(varying(iter([(rows, output)]), network("resnet18", dropout=0.0)))
    next(varying(iter([(rows, torch.randn(3, 2, 4))]), network("resnet18")))


# ---------------------------------------------------------------- weights


def test_a_squeezenet_predicts_below_the_mean():
    torch.manual_seed(0)
    with torch.inference_mode():
        assert build_network(network("squeezenet1_1"), 8).eval()(torch.randn(4, 3, 64, 64)).min() < 0


@pytest.mark.parametrize("name", ["mnasnet0_5", "squeezenet1_1"])
def test_weights_of_a_file_of_any_age_are_taken(name, tmp_path):
    from torchvision import models

    source: nn.Module = models.get_model(name, weights=None)
    state = {key: value for key, value in source.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    choice = network(name).model_copy(update={"weights": str(tmp_path / "old.pth")})
    loaded = build_network(choice, 4).state_dict()
    first = next(iter(state))
    assert torch.equal(next(iter(loaded.values())), state[first])
