"""A small member of every family of classifiers of both libraries, tried to the end; what is refused, in one line."""

import importlib
import inspect

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as TYPES

from lensvit.errors import LensvitError
from lensvit.learning.architectures import build_network
from tests.learning.trial import trial
from tests.networks import network

# Name in torchvision: its settings, and what is smaller than the library has it, of the function that makes the family
REGNET = {"depth": 2, "w_0": 8, "w_a": 8.0, "w_m": 2.0, "group_width": 8}
CONVNEXT = [CNBlockConfig(8, 8, 1), CNBlockConfig(8, None, 1)]
MBCONV = [MBConvConfig(1, 3, 1, 8, 8, 1), MBConvConfig(6, 3, 2, 8, 8, 1)]
RESNET = "resnet._resnet", {"layers": [1, 1, 1, 1]}
SWIN = "swin_transformer._swin_transformer", {
    "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": [2, 2],
}  # fmt: skip
TORCHVISION = {
    "alexnet": ({"image_size": 64}, None),
    "convnext_tiny": ({}, ("convnext._convnext", {"block_setting": CONVNEXT})),
    "densenet121": ({}, ("densenet._densenet", {"block_config": (1, 1, 1, 1), "growth_rate": 8})),
    "efficientnet_b0": (
        {}, ("efficientnet._efficientnet", {"inverted_residual_setting": MBCONV, "last_channel": 16}),
    ),
    "efficientnet_v2_s": (
        {},
        (
            "efficientnet._efficientnet",
            {"inverted_residual_setting": [FusedMBConvConfig(1, 3, 1, 8, 8, 1), *MBCONV], "last_channel": 16},
        ),
    ),
    "googlenet": ({"dropout": 0.0, "options": {"init_weights": False}}, None),
    "inception_v3": ({"dropout": 0.0, "image_size": 80, "options": {"init_weights": False}}, None),
    "maxvit_t": (
        {"options": {"input_size": [32, 32]}},
        (
            "maxvit._maxvit",
            {"stem_channels": 8, "block_channels": [8, 8], "block_layers": [1, 1], "head_dim": 8, "partition_size": 2},
        ),
    ),
    "mnasnet0_5": ({}, None),
    "mobilenet_v2": ({"options": {"inverted_residual_setting": [[1, 8, 1, 1], [6, 16, 1, 2]]}}, None),
    "mobilenet_v3_small": (
        {},
        (
            "mobilenetv3._mobilenet_v3",
            {"inverted_residual_setting": [InvertedResidualConfig(16, 3, 16, 16, True, "HS", 2, 1, 1)]},
        ),
    ),
    "regnet_x_400mf": ({}, ("regnet._regnet", {"block_params": BlockParams.from_init_params(**REGNET)})),
    "regnet_y_400mf": ({}, ("regnet._regnet", {"block_params": BlockParams.from_init_params(**REGNET, se_ratio=0.2)})),
    "resnet18": ({}, RESNET),
    "resnext50_32x4d": ({}, RESNET),
    "shufflenet_v2_x0_5": ({}, ("shufflenetv2._shufflenetv2", {"args": ([1, 1, 1], [8, 16, 16, 16, 16])})),
    "squeezenet1_1": ({}, None),
    "swin_t": ({}, SWIN),
    "swin_v2_t": ({}, SWIN),
    "vgg11_bn": ({}, None),
    "vit_b_32": (
        {"options": {"image_size": 32}},
        ("vision_transformer._vision_transformer", {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}),
    ),
    "wide_resnet50_2": ({}, RESNET),
}  # fmt: skip

# Type of transformers: its settings
VIT = {"options": {"patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}}
PLAIN_VIT = {"options": {**VIT["options"], "intermediate_size": 16}}
ATTENTION_ALONE = {"dropout": 0.0, "attention_dropout": 0.2}
PART = {**ATTENTION_ALONE, "options": {"vision_config": PLAIN_VIT["options"]}}
ONES, EIGHTS = [1, 1, 1, 1], [8, 8, 8, 8]
STAGES = {"hidden_sizes": EIGHTS, "depths": ONES}
CNN = {"dropout": 0.0, "options": STAGES}
RESNETS = {"dropout": 0.0, "options": {**STAGES, "embedding_size": 8}}
PYRAMID = {"options": {**STAGES, "num_attention_heads": ONES}}
WINDOWS = {"options": {"patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}}
TRANSFORMERS = {
    "beit": PLAIN_VIT,
    "bit": {"dropout": 0.0, "options": {**RESNETS["options"], "num_groups": 2}},
    "clip": PART,
    "convnext": CNN,
    "convnextv2": CNN,
    "cvt": {"options": {"embed_dim": [8, 8, 8], "num_heads": [1, 1, 1], "depth": [1, 2, 3]}},
    "data2vec-vision": PLAIN_VIT,
    "deit": PLAIN_VIT,
    "dinov2": VIT,
    "dinov2_with_registers": VIT,
    "donut-swin": WINDOWS,
    "efficientnet": {"options": {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320}},
    "focalnet": {"options": {**STAGES, "embed_dim": 8}},
    "hgnet_v2": {
        "dropout": 0.0,
        "options": {
            "stem_channels": [3, 8, 8], "stage_in_channels": EIGHTS, "stage_mid_channels": EIGHTS,
            "stage_out_channels": EIGHTS, "stage_num_blocks": ONES, "stage_numb_of_layers": ONES,
            "hidden_sizes": EIGHTS,
        },
    },
    "hiera": {"dropout": 0.0, "image_size": 64, "options": {"embed_dim": 8, "depths": ONES, "num_heads": ONES}},
    "ijepa": PLAIN_VIT,
    "levit": {
        "dropout": 0.0,
        "image_size": 64,
        "options": {"hidden_sizes": [16, 16, 16], "num_attention_heads": [1, 1, 1], "depths": [1, 1, 1]},
    },
    "metaclip_2": PART,
    "mobilenet_v1": {"options": {"depth_multiplier": 0.25}},
    "mobilenet_v2": {"options": {"depth_multiplier": 0.25}},
    "mobilevit": {"options": {"hidden_sizes": [8, 8, 8], "neck_hidden_sizes": [8] * 7, "num_attention_heads": 2}},
    "mobilevitv2": {
        "image_size": 64,
        "options": {"width_multiplier": 0.25, "n_attn_blocks": [1, 1, 1], "base_attn_unit_dims": [8, 8, 8]},
    },
    "perceiver": {
        **ATTENTION_ALONE,
        "options": {
            "num_latents": 4, "d_latents": 16, "d_model": 16, "num_self_attends_per_block": 1,
            "num_self_attention_heads": 2, "num_cross_attention_heads": 1,
        },
    },
    "poolformer": CNN,
    "pvt": PYRAMID,
    "pvt_v2": PYRAMID,
    "regnet": {"dropout": 0.0, "options": {**RESNETS["options"], "groups_width": 4}},
    "resnet": RESNETS,
    "segformer": PYRAMID,
    "siglip": PART,
    "swiftformer": {"options": {"embed_dims": EIGHTS, "depths": ONES}},
    "swin": WINDOWS,
    "swinv2": WINDOWS,
    "textnet": {
        "dropout": 0.0,
        "options": {
            "conv_layer_kernel_sizes": [[[3, 3]], [[3, 1]], [[1, 3]], [[3, 3]]],
            "conv_layer_strides": [[2], [2], [2], [2]], "hidden_sizes": [8] * 5, "stem_out_channels": 8,
        },
    },
    "vit": PLAIN_VIT,
    "vit_msn": PLAIN_VIT,
}  # fmt: skip
REFUSED = {
    "dinat": r"cannot build dinat .* requires the natten library",
    "imagegpt": "imagegpt takes words",
    "pp_lcnet": "pp_lcnet cannot be run on images of 32 pixels .it gives no logits",
    "shieldgemma2": "shieldgemma2 takes words",
    "siglip2": "siglip2 cannot be run on images of 32 pixels",
    "timm_wrapper": r"cannot build timm_wrapper .* requires the timm library",
}


def make_smaller(monkeypatch, name, changes):
    """Give a function that makes a family of torchvision some arguments of its own."""
    module, _, function = name.partition(".")
    module = importlib.import_module(f"torchvision.models.{module}")
    make = getattr(module, function)

    def smaller(*args, **kwargs):
        given = inspect.signature(make).bind(*args, **kwargs)
        given.arguments.update(changes)
        return make(*given.args, **given.kwargs)

    monkeypatch.setattr(module, function, smaller)


def make_narrower(monkeypatch):
    """Let the hidden layers of AlexNet and VGG, of 4096 units, have 16."""
    make = nn.Linear.__init__

    def narrower(self, *sizes, **options):
        make(self, *(16 if size == 4096 else size for size in sizes), **options)

    monkeypatch.setattr(nn.Linear, "__init__", narrower)


def test_every_family_is_here():
    def family(name):
        return models.get_model_builder(name).__module__, name.split("_")[0].rstrip("0123456789")

    assert {family(name) for name in models.list_models(models)} <= {family(name) for name in TORCHVISION}
    assert set(TYPES) == set(TRANSFORMERS) | set(REFUSED)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_small_member_of_each_family_of_torchvision(name, tmp_path, monkeypatch):
    settings, smaller = TORCHVISION[name]
    make_narrower(monkeypatch)
    if smaller is not None:
        make_smaller(monkeypatch, *smaller)
    choice = network(name, **{"image_size": 32, **settings})
    made = trial(choice, tmp_path)
    assert {place.kind for place in made.dropout_places} <= {"channels", "features"}
    assert bool(made.dropout_places) == (choice.dropout > 0)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_small_member_of_each_type_of_transformers(name, tmp_path):
    trial(network(name, "transformers", **{"image_size": 32, **TRANSFORMERS[name]}), tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_line(name):
    with torch.device("meta"), pytest.raises(LensvitError, match=REFUSED[name]) as caught:
        build_network(network(name, "transformers", image_size=32), 16)
    assert "\n" not in str(caught.value)
