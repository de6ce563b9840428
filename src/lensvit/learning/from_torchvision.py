"""Classifiers of torchvision as regression networks, with dropout after their activations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import dropout, dropout2d

from lensvit.errors import LensvitError
from lensvit.io.files import trouble
from lensvit.learning.libraries import call_library, missing_weights
from lensvit.learning.settings import Architecture

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.LeakyReLU, nn.ELU)


class ActivationDropout(nn.Module):
    """An activation followed by dropout: of whole channels for features (B, C, H, W), of elements for others.

    torchvision reuses one activation module in several places of a block; each use draws its own dropout.

    Parameters
    ----------
    activation
        The activation.
    probability
        Probability of dropout.
    """

    def __init__(self, activation: nn.Module, probability: float) -> None:
        super().__init__()
        self.activation = activation
        self.probability = probability

    def forward(self, features: Tensor) -> Tensor:
        """Features after activation and dropout, of the same shape."""
        drop = dropout2d if features.ndim == 4 else dropout
        return drop(self.activation(features), self.probability, self.training)


def torchvision_network(network: Architecture, outputs: int) -> nn.Module:
    """A classifier of torchvision that maps images (B, 3, S, S) to (B, ``outputs``).

    Parameters
    ----------
    network
        Settings of the network.
    outputs
        Number of outputs.

    Raises
    ------
    LensvitError
        If there is no classifier of this name, it does not have these options, or its weights cannot be
        had or do not fit.
    """
    from torchvision import models

    if network.architecture == "ResNet":
        make = _resnet_of_any_depth
    elif network.architecture in models.list_models(models):
        make = models.get_model_builder(network.architecture)
    else:
        raise LensvitError(
            f"torchvision has no classifier {network.architecture!r} (nor is it ResNet, with its block and layers "
            "under options): python -c 'from torchvision import models; print(models.list_models(models))' lists them"
        )
    with missing_weights(network):
        if network.weights == "scratch":
            model = call_library(network, make, weights=None, num_classes=outputs, **network.options)
        else:
            model = _torchvision_pretrained(network, make)
            _replace_head(model, outputs)
    if network.pool_grid > 1:
        _keep_positions(network, model, outputs)
    _add_dropout(model, network.dropout)
    return model


def _resnet_of_any_depth(weights: None, block: str, layers: list[int], **options: Any) -> nn.Module:
    """A ResNet by its block (BasicBlock or Bottleneck) and the number of blocks in each of its four stages."""
    from torchvision.models import resnet

    if weights is not None:
        raise LensvitError("a ResNet by its layers has no pretrained weights: set weights: scratch")
    if block not in ("BasicBlock", "Bottleneck"):
        raise ValueError(f"block is {block!r}: BasicBlock or Bottleneck")
    return resnet.ResNet(getattr(resnet, block), layers, **options)


def _torchvision_pretrained(network: Architecture, make: Callable[..., nn.Module]) -> nn.Module:
    """A classifier with the library's own weights or those of a file, and with its own last layer."""
    from torchvision import models

    if network.weights == "pretrained":
        return make(weights=next(iter(models.get_model_weights(network.architecture))), **network.options)
    model = make(weights=None, **network.options)
    state = _read_state(Path(network.weights))
    head, _ = _head(model)
    own = model.state_dict()
    body = {key: value for key, value in state.items() if not key.startswith(head)}
    wrong = [key for key in own if not key.startswith(head) and (key not in body or body[key].shape != own[key].shape)]
    if wrong:
        raise LensvitError(
            f"the weights {network.weights!r} do not fit {network.architecture}: {len(wrong)} arrays are "
            f"absent or of another shape, the first is {wrong[0]}"
        )
    model.load_state_dict(body, strict=False)
    return model


def _read_state(path: Path) -> dict[str, Tensor]:
    """A state dictionary from a file, or from the only such file of a folder."""
    files = sorted(path.glob("*.safetensors")) + sorted(path.glob("*.pth")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].exists():
        raise OSError(f"{path} is no weights file, nor a folder with one .safetensors or .pth file")
    try:
        if files[0].suffix == ".safetensors":
            return load_file(files[0])
        return torch.load(files[0], map_location="cpu", weights_only=True)
    except Exception as error:  # each format reports a broken file with a class of its own
        reason = trouble(error)
        if reason is not None:
            raise LensvitError(f"{files[0]}: {reason}") from error
        raise LensvitError(f"{files[0]} is broken or no weights file ({error}): copy or download it again") from error


def _head(model: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer and its name."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]


def _replace_head(model: nn.Module, outputs: int, inputs: int | None = None) -> None:
    """Put a linear layer with so many outputs in place of the last one."""
    name, old = _head(model)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Linear(inputs or old.in_features, outputs))


def _keep_positions(network: Architecture, model: nn.Module, outputs: int) -> None:
    """Let the last pooling leave a grid of means, so that the head sees where in the image a feature lies."""
    if not isinstance(getattr(model, "avgpool", None), nn.AdaptiveAvgPool2d):
        raise LensvitError(f"{network.architecture} has no last pooling to widen: set pool_grid: 1")
    model.avgpool = nn.AdaptiveAvgPool2d(network.pool_grid)
    _replace_head(model, outputs, _head(model)[1].in_features * network.pool_grid**2)


def _add_dropout(model: nn.Module, probability: float) -> None:
    """Put dropout after each activation."""
    if probability == 0:
        return
    for parent in list(model.modules()):
        if isinstance(parent, ActivationDropout):
            continue
        for name, child in list(parent.named_children()):
            if isinstance(child, ACTIVATIONS):
                setattr(parent, name, ActivationDropout(child, probability))
