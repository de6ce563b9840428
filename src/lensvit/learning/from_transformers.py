"""Classifiers of transformers as regression networks, and their attention maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensvit.errors import LensvitError
from lensvit.learning.libraries import call_library, missing_weights
from lensvit.learning.pixel_norm import Normalised
from lensvit.learning.settings import Architecture

# Hub ids whose geometry is the library's default for a model type: no hub needed from scratch.
KNOWN_TYPES = {"google/vit-base-patch16-224": "vit", "google/vit-base-patch16-224-in21k": "vit"}


class Logits(nn.Module):
    """A classifier of transformers as a module from images to logits.

    Parameters
    ----------
    classifier
        An image classifier of the library.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """The logits (B, outputs) for images (B, 3, S, S)."""
        return self.classifier(pixel_values=images).logits


def transformers_network(network: Architecture, outputs: int) -> nn.Module:
    """A classifier of transformers that maps images (B, 3, S, S) to (B, ``outputs``).

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
    with missing_weights(network):
        if network.weights == "scratch":
            from transformers import AutoModelForImageClassification

            config = _transformers_config(network, outputs)
            return Logits(call_library(network, AutoModelForImageClassification.from_config, config))
        return Logits(_from_pretrained(network, outputs))


def _fields(network: Architecture, outputs: int) -> dict[str, Any]:
    """The fields of the library's configuration that the settings determine."""
    return {
        "num_labels": outputs,
        "hidden_dropout_prob": network.dropout,
        "attention_probs_dropout_prob": network.attention_dropout,
        **network.options,
    }


def _transformers_config(network: Architecture, outputs: int) -> Any:
    """The library's configuration of a network without weights."""
    from transformers import CONFIG_MAPPING, AutoConfig

    model_type = KNOWN_TYPES.get(network.architecture, network.architecture)
    if model_type in CONFIG_MAPPING:
        config = AutoConfig.for_model(model_type)
    elif "/" in model_type or Path(model_type).exists():
        config = AutoConfig.from_pretrained(model_type)
    else:
        raise LensvitError(
            f"transformers has no model type {network.architecture!r} (nor is it a hub id such as "
            "google/vit-base-patch16-224): see the model types in transformers' documentation"
        )
    fields = {"image_size": network.image_size, **_fields(network, outputs)}
    _check_fields(network, config, fields)
    config.update(fields)
    return config


def _check_fields(network: Architecture, config: Any, fields: dict[str, Any]) -> None:
    """Raise an error where the library's configuration has no such field."""
    unknown = [key for key in network.options if not hasattr(config, key)]
    if unknown:
        raise LensvitError(f"{network.architecture} has no options {', '.join(unknown)}: see {type(config).__name__}")
    if network.dropout > 0 and not hasattr(config, "hidden_dropout_prob"):
        raise LensvitError(
            f"{network.architecture} has no hidden dropout: set its dropout to 0, or name its own under options"
        )


def _from_pretrained(network: Architecture, outputs: int) -> nn.Module:
    """A classifier with weights of the hub or of a folder, and with a new last layer."""
    from transformers import AutoConfig, AutoModelForImageClassification

    source = network.architecture if network.weights == "pretrained" else network.weights
    config = AutoConfig.from_pretrained(source)
    _check_fields(network, config, _fields(network, outputs))
    config.update(_fields(network, outputs))
    size = getattr(config, "image_size", network.image_size)
    if size != network.image_size:
        raise LensvitError(f"the weights of {source} take images of {size} pixels: set image_size: {size}")
    classifier, report = AutoModelForImageClassification.from_pretrained(
        source, config=config, ignore_mismatched_sizes=True, output_loading_info=True
    )
    _check_loaded(network, report)
    return classifier


def _check_loaded(network: Architecture, report: dict[str, Any]) -> None:
    """Raise an error unless all weights but the head's have come from the file."""
    mismatched = {entry[0] if isinstance(entry, tuple | list) else entry for entry in report["mismatched_keys"]}
    absent = set(report["missing_keys"]) | mismatched
    body = sorted(key for key in absent if not key.startswith(("classifier", "head")))
    if body:
        raise LensvitError(
            f"the weights {network.weights!r} do not fit {network.architecture}: {len(body)} arrays are "
            f"absent or of another shape, the first is {body[0]}"
        )


def attentions(network: nn.Module, images: Tensor) -> Tensor:
    """The attention maps of a transformer.

    Parameters
    ----------
    network
        A network of this package.
    images
        Inputs (B, 3, S, S).

    Returns
    -------
    Tensor
        Weights (layers, B, heads, tokens, tokens) whose rows sum to 1; token 0 is the class token, the
        others are the patches in row-major order.

    Raises
    ------
    LensvitError
        If the network has no attention over the whole image.
    """
    if isinstance(network, Normalised):
        return attentions(network.network, network.norm(images))
    if not isinstance(network, Logits) or not hasattr(network.classifier, "set_attn_implementation"):
        raise LensvitError("this network has no attention maps: choose a transformer for figures.attention_model")
    classifier: Any = network.classifier  # one of the library's
    classifier.set_attn_implementation("eager")
    with torch.inference_mode():
        maps = classifier(pixel_values=images, output_attentions=True).attentions
    if not maps or maps[0].ndim != 4 or len({layer.shape for layer in maps}) != 1:
        raise LensvitError("this network's attention is not over the whole image: choose a plain ViT")
    return torch.stack(maps)
