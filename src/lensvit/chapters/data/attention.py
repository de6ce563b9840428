"""Where a vision transformer looks: the class token's attention as maps over the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lensvit.errors import LensvitError
from lensvit.learning import architectures, from_transformers
from lensvit.learning.graded_resize import graded
from lensvit.learning.inputs import Inputs

FINER = 8  # cells of a regular grid for each patch along an axis


class NoAttentionError(LensvitError):
    """The network has no attention over a square of patches."""


def attention_maps(rows: pd.DataFrame, images: Path, weights: Path, layer: int) -> np.ndarray:
    """The attention of a trained network for some systems.

    Parameters
    ----------
    rows
        n rows of the catalogue.
    images
        The run's folder of images.
    weights
        models/{model}/.
    layer
        Index of the layer; -1 is the last.

    Returns
    -------
    (n, heads, side, side), see :func:`on_patches`; for a graded input on a finer grid, see :func:`on_sky`.

    Raises
    ------
    NoAttentionError
        If the network has no attention over a square of patches.
    LensvitError
        If it has no such layer, or its weights are absent or broken.
    """
    network, norm, config = architectures.load_network(weights)
    inputs = Inputs(rows, images, config.recipe, config.network.image_size).normalised(norm)
    batch = inputs.batch(torch.arange(len(rows)))
    try:
        attention = from_transformers.attentions(network, batch)
    except LensvitError as error:
        raise NoAttentionError(str(error)) from error
    result = on_patches(attention.numpy(), layer)
    return on_sky(result) if config.recipe.resize == "graded" else result


def on_sky(maps: np.ndarray) -> np.ndarray:
    """Maps over the patches of a graded input, on a regular grid over the image.

    Parameters
    ----------
    maps
        (..., side, side)

    Returns
    -------
    (..., m, m) with m = ``FINER`` side; all cells of a patch are alike.
    """
    side = maps.shape[-1]
    edges = graded(np.linspace(-1, 1, side + 1))
    middles = (np.arange(FINER * side) + 0.5) / (FINER * side) * 2 - 1
    patch = np.searchsorted(edges, middles) - 1
    return maps[..., patch[:, None], patch]


def on_patches(attention: np.ndarray, layer: int) -> np.ndarray:
    """The class token's attention to the patches, in units of an even spread over all patches.

    Parameters
    ----------
    attention
        (layers, n, heads, tokens, tokens); token 0 is the class token, the others are the patches in row-major order.
    layer
        Index of the layer; -1 is the last.

    Returns
    -------
    (n, heads, side, side), row 0 at the lowest y as in the images; each map has mean 1.

    Raises
    ------
    LensvitError
        If there is no such layer.
    NoAttentionError
        If the patches fill no square.
    """
    side = patches_aside(attention.shape, layer)
    received = attention[layer][:, :, 0, 1:]  # (n, heads, patches)
    received = received / received.mean(axis=-1, keepdims=True)
    return received.reshape(*received.shape[:2], side, side)


def patches_aside(shape: Sequence[int], layer: int) -> int:
    """Check by its shape alone that attention can be shown as maps, and count the patches along a side of a map.

    Parameters
    ----------
    shape
        Shape of the attention, as of :func:`on_patches`.
    layer
        Index of the layer that is to be shown.

    Returns
    -------
    int
        The number of patches along a side.

    Raises
    ------
    LensvitError
        If there is no such layer.
    NoAttentionError
        If the patches fill no square.
    """
    layers, patches = shape[0], shape[-1] - 1
    if not -layers <= layer < layers:
        raise LensvitError(
            f"the network has {layers} layers: figures.attention_layer {layer} is none of them, "
            f"they are 0 to {layers - 1}, or -1 for the last"
        )
    side = math.isqrt(patches)
    if side == 0 or side**2 != patches:
        raise NoAttentionError(f"the network's {patches} patches fill no square: choose a plain ViT for figure 1")
    return side
