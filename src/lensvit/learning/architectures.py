"""Networks by their settings: built from one of the two libraries, or loaded from a trained model's folder.

Any image classifier of transformers (:mod:`lensvit.learning.from_transformers`) or torchvision
(:mod:`lensvit.learning.from_torchvision`) serves: its last layer is replaced by one whose outputs
describe a Gaussian of the standardised targets (:mod:`lensvit.learning.gaussian`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from lensvit.io.files import read_model, reading
from lensvit.learning import gaussian
from lensvit.learning.from_torchvision import torchvision_network
from lensvit.learning.from_transformers import transformers_network
from lensvit.learning.libraries import load_weights
from lensvit.learning.pixel_norm import ALL, PixelNorm, divided_state
from lensvit.learning.settings import Architecture, TrainedModel


def build_network(network: Architecture, outputs: int, *, fetch: bool = True) -> nn.Module:
    """A network that maps images (B, 3, S, S) to (B, ``outputs``).

    Parameters
    ----------
    network
        Settings of the network.
    outputs
        Number of outputs, see :func:`lensvit.learning.gaussian.output_count`.
    fetch
        Whether pretrained weights are fetched; otherwise a network that would have them has random ones, and nothing
        is downloaded.

    Raises
    ------
    LensvitError
        If there is no network of this name, it does not have these options, its weights cannot be had or do not
        fit, or its dropout cannot be what is asked for.
    NotHereError
        If nothing is to be downloaded, and its size would have to be.
    """
    make = transformers_network if network.library == "transformers" else torchvision_network
    return make(network, outputs, fetch)


def trainable_parameters(network: nn.Module) -> int:
    """The number of weights that the optimiser changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def family(network: nn.Module) -> str:
    """The family of a network: "transformer" if there is attention in it, otherwise "convolutional"."""
    attends = any("Attention" in type(module).__name__ for module in network.modules())
    return "transformer" if attends else "convolutional"


def memory_format(network: nn.Module) -> torch.memory_format:
    """The order of images in memory that a network computes fastest with: channels last for convolutions."""
    return torch.channels_last if family(network) == "convolutional" else torch.contiguous_format


class Trained(NamedTuple):
    """A trained network.

    Parameters
    ----------
    network
        From normalised inputs (B, 3, S, S) to outputs (B, O).
    norm
        Normalises the inputs; None where they are taken as they are.
    config
        What config.json says.
    """

    network: nn.Module
    norm: PixelNorm | None
    config: TrainedModel


def load_network(folder: Path) -> Trained:
    """A trained network in eval mode, with its normalisation and its config.

    Parameters
    ----------
    folder
        models/{model}/.

    Raises
    ------
    LensvitError
        If the weights are absent, truncated, or do not fit the config.
    """
    folder = Path(folder)
    config = read_model(folder / "config.json", TrainedModel)
    scratch = config.network.model_copy(update={"weights": "scratch"})
    outputs = gaussian.output_count(config.network.posterior, len(config.targets))
    network = build_network(scratch, outputs)
    norm = None
    path = folder / "weights.safetensors"
    with reading(path, "weights file"):
        state = load_file(path)
        if config.recipe.normalise != "none":
            norm = PixelNorm(config.network.image_size, config.normalised_by or [ALL])
            state = divided_state(state, norm)
        load_weights(network, state)
    return Trained(network.eval(), norm, config)
