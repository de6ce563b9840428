"""A network tried before anything is made for it: built, and trained by one step on two images.

This is done on torch's meta device, where tensors have shapes and no numbers, so that it takes no memory and little
time. What fails there is tried again on the CPU as the training would do it, which alone decides: some networks look
at numbers, and some operations do not know the meta device.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from lensvit.errors import LensvitError
from lensvit.io.files import first_line
from lensvit.learning import gaussian
from lensvit.learning.architectures import build_network
from lensvit.learning.from_transformers import attentions
from lensvit.learning.libraries import NotHereError
from lensvit.learning.settings import Architecture
from lensvit.parameters import TARGET_NAMES


def rehearse(network: Architecture, alone: str | None = None) -> nn.Module:
    """Build a network without its pretrained weights, and do what a step of its training does.

    Parameters
    ----------
    network
        Settings of the network.
    alone
        Where a batch has one image alone and what to do about it, for the message; None where none has.

    Returns
    -------
    Module
        The network, on the meta device or on the CPU.

    Raises
    ------
    LensvitError
        If it cannot be built or trained.
    NotHereError
        If its size would have to be downloaded.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of weights that no numbers are kept of
            return _rehearsed(network, alone, "meta")
    except NotHereError:
        raise
    except Exception:  # whatever it is, the CPU decides
        return _rehearsed(network, alone, "cpu")


def _rehearsed(network: Architecture, alone: str | None, device: str) -> nn.Module:
    outputs = gaussian.output_count(network.posterior, len(TARGET_NAMES))
    with torch.device(device):
        model = build_network(network, outputs, fetch=False).train()
    images = _images(network, 2, device)
    try:
        gaussian.gaussian_nll(model(images).float(), images.new_zeros(2, len(TARGET_NAMES))).backward()
    except Exception as error:  # each network reports what it cannot take with a class of its own
        raise LensvitError(
            f"{network.architecture} cannot be trained on images of {network.image_size} pixels: {first_line(error)}"
        ) from error
    if alone is not None:
        try:
            model(images[:1])
        except Exception as error:  # torch's batch normalisation, or a network that drops dimensions of one
            raise LensvitError(
                f"{network.architecture} cannot take one image alone ({first_line(error)}), but {alone}"
            ) from error
    return model


def _images(network: Architecture, count: int, device: str) -> Tensor:
    return torch.zeros(count, 3, network.image_size, network.image_size, device=device)


def attention_shape(network: Architecture, model: nn.Module) -> tuple[int, ...]:
    """The shape (layers, 1, heads, tokens, tokens) of the attention maps of a network that was rehearsed.

    Parameters
    ----------
    network
        Settings of the network.
    model
        The network, which is changed.

    Raises
    ------
    LensvitError
        If it has no attention over the whole image.
    """
    device = str(next(model.parameters()).device)
    return tuple(attentions(model.eval(), _images(network, 1, device)).shape)
