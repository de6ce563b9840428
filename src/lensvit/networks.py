"""Networks of transformers and torchvision for regression, with dropout where the paper has it.

Any image classifier of either library serves: its last layer is replaced by one whose outputs
describe a Gaussian of the standardised targets (:mod:`lensvit.posterior`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import dropout, dropout2d
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from lensvit import posterior
from lensvit.errors import LensvitError

# Hub ids whose geometry is the library's default for a model type: no hub needed from scratch.
KNOWN_TYPES = {"google/vit-base-patch16-224": "vit", "google/vit-base-patch16-224-in21k": "vit"}
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.LeakyReLU, nn.ELU)


def build(network: SimpleNamespace, outputs: int, normalise: str = "none") -> nn.Module:
    """A network that maps images (B, 3, S, S) to (B, ``outputs``).

    Parameters
    ----------
    network : the settings ``library``, ``architecture``, ``weights`` (pretrained, scratch,
        or a path), ``options``, ``dropout``, ``attention_dropout``, ``pool_grid``,
        ``image_size``.
    outputs : see :func:`lensvit.posterior.outputs`.
    normalise : "pixel" puts a :class:`PixelNorm` before it, "none" nothing.

    Raises
    ------
    LensvitError
        For an unknown name, options that the model does not have, weights that cannot be
        had or do not fit.
    """
    make = _transformers if network.library == "transformers" else _torchvision
    built = make(network, outputs)
    return Normalised(built, network.image_size) if normalise == "pixel" else built


def trainable_parameters(network: nn.Module) -> int:
    """How many numbers the optimiser changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def family(network: nn.Module) -> str:
    """"transformer" for a network with attention in it, "convolutional" for all others."""
    attends = any("Attention" in type(module).__name__ for module in network.modules())
    return "transformer" if attends else "convolutional"


def monte_carlo(network: nn.Module, batch_norm: str = "frozen") -> nn.Module:
    """Switch dropout on for prediction (Gal & Ghahramani 2016), and return the network.

    Everything goes to train mode, since some dropout is functional and one module may serve
    two places; then, unless ``batch_norm`` is "batch" (the original code, whose statistics
    are those of the test batch), every batch norm goes back to its running statistics.
    """
    network.train()
    if batch_norm == "frozen":
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    return network


class PixelNorm(nn.Module):
    """Standardises each input pixel by its mean and its standard deviation over training images.

    Lenses lie in the middle of the image, so that a pixel has a typical brightness; what tells
    systems apart may be a few per cent of it. Values beyond ``LIMIT`` standard deviations are
    set to it.
    """

    LIMIT = 6.0
    FLOOR = 1e-3  # least standard deviation

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, size, size))
        self.register_buffer("sd", torch.ones(3, size, size))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take mean and standard deviation from images (n, 3, S, S), n of 2 or more."""
        self.mean.copy_(images.mean(0))
        self.sd.copy_(images.std(0).clamp_min(self.FLOOR))

    def forward(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.sd).clamp(-self.LIMIT, self.LIMIT)


class Normalised(nn.Module):
    """A network behind a :class:`PixelNorm`."""

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.norm = PixelNorm(size)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.norm(images))


class _UntilRandom(TorchDispatchMode):
    """Notices the first operation that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.random = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204 - torch's signature
        self.random = self.random or torch.Tag.nondeterministic_seeded in function.tags
        return function(*args, **(kwargs or {}))


def before_dropout(network: nn.Module, images: Tensor) -> tuple[Tensor, dict[nn.Module, Tensor]]:
    """The network's output, and what its parts computed before anything random happened.

    The latter of each module without children that is used once and is done before the first
    random operation: its output, a tensor.
    """
    outputs: dict[nn.Module, Tensor] = {}
    used: set[nn.Module] = set()
    mode = _UntilRandom()

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if module in used or mode.random or not isinstance(output, Tensor):
            outputs.pop(module, None)
        else:
            outputs[module] = output
        used.add(module)

    leaves = [module for module in network.modules() if not any(module.children())]
    handles = [module.register_forward_hook(keep) for module in leaves]
    try:
        with mode:
            return network(images), outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def remembering(outputs: dict[nn.Module, Tensor]) -> Iterator[None]:
    """Within, modules give these outputs without computing them, whatever their input."""
    own = {module: vars(module).get("forward") for module in outputs}
    for module, output in outputs.items():
        module.forward = partial(_recall, output)
    try:
        yield
    finally:
        for module, forward in own.items():
            del module.forward
            if forward is not None:
                module.forward = forward


def _recall(output: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return output


# ---------------------------------------------------------------- transformers


class Logits(nn.Module):
    """A classifier of transformers, images in and logits out."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(pixel_values=images).logits


def _transformers(network: SimpleNamespace, outputs: int) -> nn.Module:
    with _missing_weights(network):
        if network.weights == "scratch":
            from transformers import AutoModelForImageClassification

            config = _transformers_config(network, outputs)
            return Logits(_fitting(network, AutoModelForImageClassification.from_config, config))
        return Logits(_from_pretrained(network, outputs))


def _fields(network: SimpleNamespace, outputs: int) -> dict[str, Any]:
    return {
        "num_labels": outputs,
        "hidden_dropout_prob": network.dropout,
        "attention_probs_dropout_prob": network.attention_dropout,
        **network.options,
    }


def _transformers_config(network: SimpleNamespace, outputs: int) -> Any:
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


def _check_fields(network: SimpleNamespace, config: Any, fields: dict[str, Any]) -> None:
    unknown = [key for key in network.options if not hasattr(config, key)]
    if unknown:
        raise LensvitError(f"{network.architecture} has no options {', '.join(unknown)}: see {type(config).__name__}")
    if network.dropout > 0 and not hasattr(config, "hidden_dropout_prob"):
        raise LensvitError(
            f"{network.architecture} has no hidden dropout: set its dropout to 0, or name its own under options"
        )


def _from_pretrained(network: SimpleNamespace, outputs: int) -> nn.Module:
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


def _check_loaded(network: SimpleNamespace, report: dict[str, Any]) -> None:
    """All weights but the head's must come from the file."""
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
    images : (B, 3, S, S)

    Returns
    -------
    (layers, B, heads, tokens, tokens), rows summing to 1; token 0 is the class token, the
    others are the patches in row-major order.

    Raises
    ------
    LensvitError
        If the network has none.
    """
    if isinstance(network, Normalised):
        return attentions(network.network, network.norm(images))
    classifier = getattr(network, "classifier", None)
    if not isinstance(network, Logits) or not hasattr(classifier, "set_attn_implementation"):
        raise LensvitError("this network has no attention maps: choose a transformer for figures.attention_model")
    classifier.set_attn_implementation("eager")
    with torch.inference_mode():
        maps = classifier(pixel_values=images, output_attentions=True).attentions
    if not maps or maps[0].ndim != 4 or len({layer.shape for layer in maps}) != 1:
        raise LensvitError("this network's attention is not over the whole image: choose a plain ViT")
    return torch.stack(maps)


# ---------------------------------------------------------------- torchvision


class ActivationDropout(nn.Module):
    """An activation followed by dropout: of whole channels for (B, C, H, W), of elements otherwise.

    torchvision reuses one activation module in several places of a block; each use drops
    anew.
    """

    def __init__(self, activation: nn.Module, probability: float) -> None:
        super().__init__()
        self.activation = activation
        self.probability = probability

    def forward(self, features: Tensor) -> Tensor:
        drop = dropout2d if features.ndim == 4 else dropout
        return drop(self.activation(features), self.probability, self.training)


def _torchvision(network: SimpleNamespace, outputs: int) -> nn.Module:
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
    with _missing_weights(network):
        if network.weights == "scratch":
            model = _fitting(network, make, weights=None, num_classes=outputs, **network.options)
        else:
            model = _torchvision_pretrained(network, make)
            _replace_head(model, outputs)
    if network.pool_grid > 1:
        _keep_positions(network, model, outputs)
    _add_dropout(model, network.dropout)
    return model


def _resnet_of_any_depth(weights: None, block: str, layers: list[int], **options: Any) -> nn.Module:
    """torchvision's ResNet by its block (BasicBlock, Bottleneck) and the number of them in each stage."""
    from torchvision.models import resnet

    if weights is not None:
        raise LensvitError("a ResNet by its layers has no pretrained weights: set weights: scratch")
    if block not in ("BasicBlock", "Bottleneck"):
        raise ValueError(f"block is {block!r}: BasicBlock or Bottleneck")
    return resnet.ResNet(getattr(resnet, block), layers, **options)


def _torchvision_pretrained(network: SimpleNamespace, make: Callable[..., nn.Module]) -> nn.Module:
    from torchvision import models

    if network.weights == "pretrained":
        return make(weights=next(iter(models.get_model_weights(network.architecture))), **network.options)
    model = make(weights=None, **network.options)
    state = _read_state(Path(network.weights))
    head = _head_name(model)
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
        raise LensvitError(f"{files[0]} is broken or no weights file ({error}): copy or download it again") from error


def _head_name(model: nn.Module) -> str:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]


def _replace_head(model: nn.Module, outputs: int, inputs: int | None = None) -> None:
    name = _head_name(model)
    old = model.get_submodule(name)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Linear(inputs or old.in_features, outputs))


def _keep_positions(network: SimpleNamespace, model: nn.Module, outputs: int) -> None:
    """Let the last pooling leave a grid, so that the head sees where in the image a feature lies."""
    if not isinstance(getattr(model, "avgpool", None), nn.AdaptiveAvgPool2d):
        raise LensvitError(f"{network.architecture} has no last pooling to widen: set pool_grid: 1")
    model.avgpool = nn.AdaptiveAvgPool2d(network.pool_grid)
    features = model.get_submodule(_head_name(model)).in_features
    _replace_head(model, outputs, features * network.pool_grid**2)


def _add_dropout(model: nn.Module, probability: float) -> None:
    if probability == 0:
        return
    for parent in list(model.modules()):
        if isinstance(parent, ActivationDropout):
            continue
        for name, child in list(parent.named_children()):
            if isinstance(child, ACTIVATIONS):
                setattr(parent, name, ActivationDropout(child, probability))


# ---------------------------------------------------------------- errors and files


def _fitting(network: SimpleNamespace, make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    try:
        return make(*args, **kwargs)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise LensvitError(f"{network.library} cannot build {network.architecture} with these options: {error}") from error


@contextmanager
def _missing_weights(network: SimpleNamespace) -> Iterator[None]:
    """Turn the many ways in which a download or a file fails into one message."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (OSError, HfHubHTTPError) as error:  # URLError and all of the hub's file errors are OSErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LensvitError(
            f"no weights for {network.architecture} (weights: {network.weights}): {reason}\n"
            "Three ways on: weights: pretrained with a network connection or a filled cache (HF_HOME, TORCH_HOME); "
            "the path of a local folder; or weights: scratch"
        ) from error


def load(folder: Path) -> tuple[nn.Module, SimpleNamespace]:
    """A trained network in eval mode, and what its config.json says.

    Raises
    ------
    LensvitError
        If the weights are absent, truncated, or do not fit the config.
    """
    from lensvit.settings import namespace

    folder = Path(folder)
    config = namespace(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    scratch = SimpleNamespace(**{**vars(config.network), "weights": "scratch"})
    outputs = posterior.outputs(config.network.posterior, len(config.targets))
    network = build(scratch, outputs, config.recipe.normalise)
    path = folder / "weights.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise LensvitError(f"no weights {path}: run snakemake again, which trains the model") from error
    except Exception as error:  # safetensors and torch report broken files with classes of their own
        raise LensvitError(f"{path} is truncated or of another network: delete it and run snakemake again") from error
    return network.eval(), config
