"""Settings of small networks that several packages' tests share."""

from lensvit.learning.settings import Architecture

TINY_VIT = {
    "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
}  # fmt: skip
TINY_RESNET = {"block": "BasicBlock", "layers": [1, 1, 1, 1]}


def network(architecture, library="torchvision", dropout=0.2, image_size=64, **changes):
    """Settings of a network of random weights."""
    fields = {"weights": "scratch", "dropout": dropout, "image_size": image_size, **changes}
    return Architecture(library=library, architecture=architecture, **fields)


def vit(architecture="vit", **changes):
    """Settings of a network of transformers: of the tiny ViT, where nothing else is asked for."""
    own = {"options": TINY_VIT} if architecture == "vit" else {}
    return network(architecture, "transformers", **{"image_size": 32, **own, **changes})


def resnet(architecture="ResNet", **changes):
    """Settings of a network of torchvision: of the tiny ResNet, where nothing else is asked for."""
    own = {"options": TINY_RESNET} if architecture == "ResNet" else {}
    return network(architecture, **{"image_size": 32, **own, **changes})
