"""Networks by their settings: built from one of the two libraries, or loaded from a trained model's folder.

Any image classifier of transformers (:mod:`lensvit.learning.from_transformers`) or torchvision
(:mod:`lensvit.learning.from_torchvision`) serves: its last layer is replaced by one whose outputs
describe a Gaussian of the standardised targets (:mod:`lensvit.learning.gaussian`).
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from lensvit.errors import LensvitError
from lensvit.io.files import read_model, trouble
from lensvit.learning import gaussian
from lensvit.learning.from_torchvision import torchvision_network
from lensvit.learning.from_transformers import transformers_network
from lensvit.learning.libraries import load_weights
from lensvit.learning.pixel_norm import Normalised
from lensvit.learning.settings import Architecture, TrainedModel


def build_network(network: Architecture, outputs: int, normalise: str = "none", *, fetch: bool = True) -> nn.Module:
    """A network that maps images (B, 3, S, S) to (B, ``outputs``).

    Parameters
    ----------
    network
        Settings of the network.
    outputs
        Number of outputs, see :func:`lensvit.learning.gaussian.output_count`.
    normalise
        The recipe's ``normalise``: "pixel" puts a :class:`lensvit.learning.pixel_norm.PixelNorm` before the network,
        "none" puts nothing there.
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
    built = make(network, outputs, fetch)
    return Normalised(built, network.image_size) if normalise == "pixel" else built


def trainable_parameters(network: nn.Module) -> int:
    """The number of weights that the optimiser changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def family(network: nn.Module) -> str:
    """The family of a network: "transformer" if there is attention in it, otherwise "convolutional"."""
    attends = any("Attention" in type(module).__name__ for module in network.modules())
    return "transformer" if attends else "convolutional"


def load_network(folder: Path) -> tuple[nn.Module, TrainedModel]:
    """A trained network in eval mode, and what its config.json says.

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
    network = build_network(scratch, outputs, config.recipe.normalise)
    path = folder / "weights.safetensors"
    try:
        load_weights(network, load_file(path))
    except FileNotFoundError as error:
        raise LensvitError(f"no weights {path}: run snakemake again, which trains the model") from error
    except Exception as error:  # safetensors and torch report broken files with classes of their own
        reason = trouble(error)
        if reason is not None:
            raise LensvitError(f"{path}: {reason}") from error
        raise LensvitError(f"{path} is truncated or of another network: delete it and run snakemake again") from error
    return network.eval(), config
