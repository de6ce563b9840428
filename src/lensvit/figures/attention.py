"""Where a vision transformer looks: the class token's attention as maps over the image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lensvit import networks
from lensvit.errors import LensvitError
from lensvit.pipeline import Inputs


class NoAttention(LensvitError):
    """The network has no attention over a square of patches."""


def maps(rows: pd.DataFrame, images: Path, weights: Path, layer: int) -> np.ndarray:
    """The attention of a trained network for some systems.

    Parameters
    ----------
    rows : rows of the catalogue, n of them.
    images : the run's folder of images.
    weights : models/{model}/.
    layer : index of the layer; -1 is the last.

    Returns
    -------
    (n, heads, side, side), see :func:`on_patches`.

    Raises
    ------
    NoAttention
        If the network has no attention over a square of patches.
    LensvitError
        If it has no such layer, or its weights are absent or broken.
    """
    network, config = networks.load(weights)
    inputs = Inputs(rows, images, config.recipe, config.network.image_size)
    batch = inputs.batch(torch.arange(len(rows)))
    try:
        attention = networks.attentions(network, batch)
    except LensvitError as error:
        raise NoAttention(str(error)) from error
    return on_patches(attention.numpy(), layer)


def on_patches(attention: np.ndarray, layer: int) -> np.ndarray:
    """The class token's attention to the patches, in units of an even spread over all patches.

    Parameters
    ----------
    attention : (layers, n, heads, tokens, tokens); token 0 is the class token, the others
        are the patches in row-major order.
    layer : index of the layer; -1 is the last.

    Returns
    -------
    (n, heads, side, side), row 0 at the lowest y as in the images; each map has mean 1.

    Raises
    ------
    LensvitError
        If there is no such layer.
    NoAttention
        If the patches fill no square.
    """
    layers, patches = len(attention), attention.shape[-1] - 1
    if not -layers <= layer < layers:
        raise LensvitError(
            f"the network has {layers} layers: figures.attention_layer {layer} is none of them"
        )
    side = math.isqrt(patches)
    if side == 0 or side**2 != patches:
        raise NoAttention(f"the network's {patches} patches fill no square: choose a plain ViT for figure 1")
    received = attention[layer][:, :, 0, 1:]  # (n, heads, patches)
    received = received / received.mean(axis=-1, keepdims=True)
    return received.reshape(*received.shape[:2], side, side)
