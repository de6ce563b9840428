"""Classifiers of transformers as regression networks with dropout where the library has it, and attention maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensvit.errors import LensvitError
from lensvit.io.files import first_line
from lensvit.learning.dropout import MapDropout, checked, follow
from lensvit.learning.libraries import (
    NotHereError,
    call_library,
    missing_weights,
    refuse_dropout_options,
    refuse_misfits,
    say_misfits,
)
from lensvit.learning.settings import Architecture

# Hub ids whose geometry is the library's default for a model type: no hub needed from scratch.
KNOWN_TYPES = {"google/vit-base-patch16-224": "vit", "google/vit-base-patch16-224-in21k": "vit"}

NO_ATTENTION = "this network has no attention maps: choose a transformer for figures.attention_model, or null"
HEADS = ("classifier", "head")  # what the names of last layers begin with
STOCHASTIC_DEPTH = ("drop_path", "drop_connect", "layerdrop")  # in the names of fields that are rates of it


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
        output = self.classifier(pixel_values=images)
        if not hasattr(output, "logits"):
            raise TypeError("it gives no logits")
        return output.logits


def transformers_network(network: Architecture, outputs: int, fetch: bool = True) -> nn.Module:
    """A classifier of transformers that maps images (B, 3, S, S) to (B, ``outputs``).

    Parameters
    ----------
    network
        Settings of the network.
    outputs
        Number of outputs.
    fetch
        Whether pretrained weights are fetched; otherwise a network that would have them has random ones, and nothing
        is downloaded.

    Raises
    ------
    LensvitError
        If there is no classifier of this name, it does not have these options, or its weights cannot be
        had or do not fit.
    NotHereError
        If nothing is to be downloaded, and the library's configuration would have to be.
    """
    refuse_dropout_options(network, _names(network.options))
    if network.pool_grid > 1:
        raise LensvitError(f"{network.architecture} of transformers has no pooling to widen: set pool_grid: 1")
    with missing_weights(network):
        if network.weights == "scratch":
            model = Logits(_classifier(network, _transformers_config(network, outputs, fetch)))
        else:
            model = Logits(_from_pretrained(network, outputs, fetch))
    _drop_channels(network, model)
    return checked(network, model)


def _names(options: dict[str, Any]) -> list[str]:
    """Names of options, those of parts included."""
    return [
        name for key, value in options.items() for name in (key, *(_names(value) if isinstance(value, dict) else ()))
    ]


def _drop_channels(network: Architecture, model: nn.Module) -> None:
    """Let dropout of maps take whole channels, wherever the network holds them."""
    if network.dropout == 0:
        return
    trace = follow(network, model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            on_maps = any(ndim == 4 for ndim, _ in trace.inputs.get(child, ()))
            if isinstance(child, nn.Dropout) and child.p > 0 and on_maps and child not in trace.attention:
                setattr(parent, name, MapDropout(child.p, trace.channels(network, child)))


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Fields of two dictionaries, and of the parts in them; the second is the stronger."""
    merged = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            merged[key] = _merged(one[key], other[key])
    return merged


def _dropout_fields(network: Architecture, config: Any) -> dict[str, Any]:
    """The fields of a configuration, and of its parts, that are rates of dropout or of stochastic depth."""
    fields: dict[str, Any] = {}
    for name, value in vars(config).items():
        if hasattr(value, "model_type"):  # the configuration of a part
            fields[name] = _dropout_fields(network, value)
        elif "drop" in name and isinstance(value, int | float | list | tuple) and not isinstance(value, bool):
            rate = _rate(network, name) or 0  # some fields take integers only
            fields[name] = [float(rate)] * len(value) if isinstance(value, list | tuple) else rate
    return {name: value for name, value in fields.items() if value != {}}


def _rate(network: Architecture, field: str) -> float:
    """The rate for a field by its name; stochastic depth has none."""
    if any(word in field for word in STOCHASTIC_DEPTH):
        return 0.0
    return network.attention_dropout if field.startswith("att") else network.dropout


def _size_fields(network: Architecture, config: Any) -> dict[str, Any]:
    """The fields of a configuration that say how large its images are."""
    part = getattr(config, "vision_config", config)
    several = isinstance(getattr(part, "image_size", None), list | tuple)
    size = {"image_size": [network.image_size] * 2 if several else network.image_size}
    return size if part is config else {"vision_config": size}


def _transformers_config(network: Architecture, outputs: int, fetch: bool) -> Any:
    """The library's configuration of a network without weights."""
    from transformers import CONFIG_MAPPING, AutoConfig

    model_type = KNOWN_TYPES.get(network.architecture, network.architecture)
    known = model_type in CONFIG_MAPPING
    if known:
        config = call_library(network, AutoConfig.for_model, model_type)
    elif "/" in model_type or Path(model_type).exists():
        config = _described(model_type, fetch)
    else:
        raise LensvitError(
            f"transformers has no model type {network.architecture!r} (nor is it a hub id such as "
            "google/vit-base-patch16-224): see the model types in transformers' documentation"
        )
    _check_options(network, config, network.options)
    fields = _merged({**_size_fields(network, config), "num_labels": outputs}, _dropout_fields(network, config))
    fields = _merged(fields, network.options)
    if known:  # anew, as it derives fields from others
        return call_library(network, AutoConfig.for_model, model_type, **fields)
    _update(config, fields)
    return config


def _described(source: str, fetch: bool) -> Any:
    """The library's configuration of a model of the hub, or of a local folder."""
    from transformers import AutoConfig

    if fetch or Path(source).exists():
        return AutoConfig.from_pretrained(source)
    try:
        return AutoConfig.from_pretrained(source, local_files_only=True)
    except OSError as error:
        if source in KNOWN_TYPES:
            return AutoConfig.for_model(KNOWN_TYPES[source])
        raise NotHereError(f"{source} is not in the hub's cache on this machine") from error


def _update(config: Any, fields: dict[str, Any]) -> None:
    """Set fields of a configuration and of its parts."""
    for name, value in fields.items():
        part = getattr(config, name, None)
        if isinstance(value, dict) and hasattr(part, "model_type"):
            _update(part, value)
        else:
            config.update({name: value})


def _check_options(network: Architecture, config: Any, options: dict[str, Any]) -> None:
    """Raise an error where the library's configuration has no such field."""
    unknown = [key for key in options if not hasattr(config, key)]
    if unknown:
        raise LensvitError(f"{network.architecture} has no options {', '.join(unknown)}: see {type(config).__name__}")
    for key, value in options.items():
        if isinstance(value, dict) and hasattr(getattr(config, key), "model_type"):
            _check_options(network, getattr(config, key), value)


def _classifier(network: Architecture, config: Any) -> nn.Module:
    """A classifier of random weights; where the library has several of a type, the first."""
    import transformers
    from transformers import AutoModelForImageClassification
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as CLASSES

    classes = CLASSES.get(config.model_type)
    if classes is None:
        raise LensvitError(f"transformers has no image classifier of the type {config.model_type}: choose another")
    first = classes if isinstance(classes, str) else classes[0]
    if getattr(transformers, first).main_input_name == "input_ids":
        raise LensvitError(f"{network.architecture} takes words, or pixels as words: choose another network")
    if not isinstance(classes, str) and config.architectures is None:
        config.architectures = [first]
    return call_library(network, AutoModelForImageClassification.from_config, config)


def _from_pretrained(network: Architecture, outputs: int, fetch: bool) -> nn.Module:
    """A classifier with weights of the hub or of a folder, and with a new last layer."""
    from transformers import AutoModelForImageClassification

    source = network.architecture if network.weights == "pretrained" else network.weights
    if "/" not in source and not Path(source).exists():
        raise LensvitError(
            f"the hub has no pretrained weights called {source!r}: give an id with a slash, such as "
            "google/vit-base-patch16-224, or set weights: scratch"
        )
    config = _described(source, fetch)
    _check_options(network, config, network.options)
    _update(config, _merged({"num_labels": outputs, **_dropout_fields(network, config)}, network.options))
    size = getattr(getattr(config, "vision_config", config), "image_size", network.image_size)
    size = size[0] if isinstance(size, list | tuple) else size
    if size != network.image_size:
        raise LensvitError(f"the weights of {source} take images of {size} pixels: set image_size: {size}")
    if not fetch and not Path(source).exists():
        classifier = _classifier(network, config)
        if network.options:
            whole = _classifier(network, _described(source, fetch))  # of the shapes that the weights have
            refuse_misfits(network, classifier.state_dict(), whole.state_dict(), HEADS)
        return classifier
    try:
        classifier, report = AutoModelForImageClassification.from_pretrained(
            source, config=config, ignore_mismatched_sizes=True, output_loading_info=True, dtype=torch.float32
        )
    except OSError:
        raise
    except Exception as error:  # each format reports a broken file with a class of its own
        raise LensvitError(
            f"the weights of {source} are broken or none ({first_line(error)}): copy or download them again"
        ) from error
    _check_loaded(network, report)
    return classifier


def _check_loaded(network: Architecture, report: dict[str, Any]) -> None:
    """Raise an error unless all weights but the head's have come from the file."""
    mismatched = {entry[0] if isinstance(entry, tuple | list) else entry for entry in report["mismatched_keys"]}
    absent = set(report["missing_keys"]) | mismatched
    say_misfits(network, sorted(key for key in absent if not key.startswith(HEADS)))


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
    if not isinstance(network, Logits) or not hasattr(network.classifier, "set_attn_implementation"):
        raise LensvitError(NO_ATTENTION)
    classifier: Any = network.classifier  # one of the library's
    try:
        classifier.set_attn_implementation("eager")
        with torch.inference_mode():
            maps = classifier(pixel_values=images, output_attentions=True).attentions
    except (AttributeError, TypeError, ValueError) as error:  # of a convolutional one, which does not know of any
        raise LensvitError(NO_ATTENTION) from error
    if not maps or maps[0].ndim != 4 or len({layer.shape for layer in maps}) != 1:
        raise LensvitError("this network's attention is not over the whole image: choose a plain ViT")
    return torch.stack(maps)
