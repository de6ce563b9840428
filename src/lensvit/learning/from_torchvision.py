"""Classifiers of torchvision as regression networks, with dropout after their activations and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from lensvit.errors import LensvitError
from lensvit.io.files import reading
from lensvit.learning.dropout import ActivationDropout, checked, follow
from lensvit.learning.libraries import (
    call_library,
    load_weights,
    missing_weights,
    refuse_dropout_options,
    refuse_misfits,
)
from lensvit.learning.settings import Architecture

# Dropout follows these; it does not follow the gates of squeeze-and-excitation, which are sigmoids.
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.LeakyReLU, nn.ELU)

RESNET_STAGES = 4  # that torchvision's ResNets have


def torchvision_network(network: Architecture, outputs: int, fetch: bool = True) -> nn.Module:
    """A classifier of torchvision that maps images (B, 3, S, S) to (B, ``outputs``).

    Parameters
    ----------
    network
        Settings of the network.
    outputs
        Number of outputs.
    fetch
        Whether pretrained weights are fetched; otherwise a network that would have them has random ones.

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
    refuse_dropout_options(network, network.options)
    with missing_weights(network):
        if network.weights == "scratch":
            model = call_library(network, make, weights=None, num_classes=outputs, **network.options)
        else:
            model = _torchvision_pretrained(network, make, fetch)
            _replace_head(model, outputs)
    _leave_out_auxiliary(model)
    _open_end(model)
    if network.pool_grid > 1:
        _keep_positions(network, model, outputs)
    _switch_off_own(model)
    _add_dropout(network, model)
    return checked(network, model)


def _resnet_of_any_depth(block: str, layers: list[int], weights: None = None, **options: Any) -> nn.Module:
    """A ResNet by its block (BasicBlock or Bottleneck) and the number of blocks in each of its one to four stages."""
    from torchvision.models import resnet

    if block not in ("BasicBlock", "Bottleneck"):
        raise ValueError(f"block is {block!r}: BasicBlock or Bottleneck")
    numbers = isinstance(layers, list) and all(type(blocks) is int and blocks >= 1 for blocks in layers)
    if not numbers or not 1 <= len(layers) <= RESNET_STAGES:
        raise ValueError(f"layers is {layers}: one to four numbers of blocks, each at least 1")
    left_out = RESNET_STAGES - len(layers)
    model = resnet.ResNet(getattr(resnet, block), [*layers, *[1] * left_out], **options)
    for number in range(len(layers), RESNET_STAGES):
        setattr(model, f"layer{number + 1}", nn.Identity())
    if left_out:
        # each stage has twice the channels of the one before
        model.fc = nn.Linear(model.fc.in_features // 2**left_out, model.fc.out_features)
    return model


def _torchvision_pretrained(network: Architecture, make: Callable[..., nn.Module], fetch: bool) -> nn.Module:
    """A classifier with the library's own weights or those of a file, and with its own last layer."""
    if network.weights == "pretrained":
        best = best_weights(network)
        if fetch:
            return call_library(network, make, weights=best, **network.options)
        model = call_library(network, make, weights=None, **network.options)
        if network.options:
            whole = call_library(network, make, weights=None)  # of the shapes that the weights have
            refuse_misfits(network, model.state_dict(), whole.state_dict(), _head(model)[0])
        return model
    model = call_library(network, make, weights=None, **network.options)
    state = _read_state(Path(network.weights))
    head, _ = _head(model)
    own = model.state_dict()
    body = {key: value for key, value in state.items() if not key.startswith(head)}
    counts = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    body = counts | body  # which files from before 2018 lack
    refuse_misfits(network, own, body, head)
    load_weights(model, body, strict=False)
    return model


def best_weights(network: Architecture) -> Any:
    """The library's best weights of a classifier."""
    from torchvision import models

    try:
        return next(iter(models.get_model_weights(network.architecture)))
    except (ValueError, StopIteration) as error:  # ResNet by its layers; a classifier that nobody has trained
        raise LensvitError(
            f"torchvision has no pretrained weights of {network.architecture}: set weights: scratch, or the path of a "
            "local file"
        ) from error


def _read_state(path: Path) -> dict[str, Tensor]:
    """A state dictionary from a file, or from the only such file of a folder."""
    files = sorted(path.glob("*.safetensors")) + sorted(path.glob("*.pth")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].exists():
        raise OSError(f"{path} is no weights file, nor a folder with one .safetensors or .pth file")
    with reading(files[0], "weights file", "copy or download it again"):
        if files[0].suffix == ".safetensors":
            return load_file(files[0])
        return torch.load(files[0], map_location="cpu", weights_only=True)


def _head(model: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The last layer, linear or in SqueezeNet a convolution, and its name."""
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return layers[-1]


def _replace_head(model: nn.Module, outputs: int, inputs: int | None = None) -> None:
    """Put a layer with so many outputs in place of the last one."""
    name, old = _head(model)
    parent, _, child = name.rpartition(".")
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, outputs, old.kernel_size)  # type: ignore[arg-type]  # a pair
    else:
        new = nn.Linear(inputs or old.in_features, outputs)
    setattr(model.get_submodule(parent), child, new)


def _keep_positions(network: Architecture, model: nn.Module, outputs: int) -> None:
    """Let the last pooling leave a grid of means, so that the head sees where in the image a feature lies."""
    _, head = _head(model)
    if not isinstance(getattr(model, "avgpool", None), nn.AdaptiveAvgPool2d) or not isinstance(head, nn.Linear):
        raise LensvitError(f"{network.architecture} has no last pooling to widen: set pool_grid: 1")
    model.avgpool = nn.AdaptiveAvgPool2d(network.pool_grid)
    _replace_head(model, outputs, head.in_features * network.pool_grid**2)


def _leave_out_auxiliary(model: nn.Module) -> None:
    """Take away the classifiers half-way that GoogLeNet and Inception have for their training on ImageNet."""
    if getattr(model, "aux_logits", False):
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, name):
                setattr(model, name, None)
        model.aux_logits = False  # type: ignore[assignment]  # the library's own switch


def _open_end(model: nn.Module) -> None:
    """Take away an activation behind the last layer, such as SqueezeNet's: outputs have either sign."""
    name, _ = _head(model)
    parent, _, child = name.rpartition(".")
    siblings = model.get_submodule(parent)
    if isinstance(siblings, nn.Sequential):
        names = [name for name, _ in siblings.named_children()]
        for later in names[names.index(child) + 1 :]:
            if isinstance(siblings.get_submodule(later), ACTIVATIONS):
                setattr(siblings, later, nn.Identity())


def _switch_off_own(model: nn.Module) -> None:
    """Set the library's own dropout and stochastic depth to 0, which its classifiers have at rates of their own."""
    from torchvision.ops import StochasticDepth

    for module in model.modules():
        if isinstance(module, _DropoutNd | StochasticDepth):
            module.p = 0.0


def _add_dropout(network: Architecture, model: nn.Module) -> None:
    """Put dropout after each activation, of whole channels wherever the network holds them."""
    if network.dropout == 0:
        return
    trace = follow(network, model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ACTIVATIONS) and child in trace.inputs:
                channels = trace.channels(network, child)
                setattr(parent, name, ActivationDropout(child, network.dropout, channels))
