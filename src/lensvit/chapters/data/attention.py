"""Where a vision transformer looks: the class token's attention, as maps over the image and in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lensvit.errors import LensvitError
from lensvit.learning import architectures, from_transformers
from lensvit.learning.graded_resize import graded
from lensvit.learning.inputs import Inputs

FINER = 8  # cells of a regular grid for each patch along an axis
AT_ONCE = 8  # systems whose attention over all tokens is in the memory together
COLUMNS = ("layer", "map", "systems", "patches", "strongest", "entropy", "effective", "same", "itself")
NOTHING = pd.DataFrame([{**dict.fromkeys(COLUMNS, 0), "map": "none"}])  # the table of a network without attention


class NoAttentionError(LensvitError):
    """The network has no attention over a square of patches."""


@dataclass(frozen=True)
class Attention:
    """Where the class token of a network looks, for n systems.

    Parameters
    ----------
    heads
        (layers, n, heads, tokens): its weights in each layer; they sum to 1, and token 0 is the class token itself.
    rollout
        (n, tokens): its attention rollout through all layers, likewise.
    """

    heads: np.ndarray
    rollout: np.ndarray

    def split(self, count: int) -> tuple[Attention, Attention]:
        """The first ``count`` systems, and the others."""
        first = Attention(self.heads[:, :count], self.rollout[:count])
        return first, Attention(self.heads[:, count:], self.rollout[count:])


@dataclass(frozen=True)
class Maps:
    """The attention that figure 1 shows, for n systems.

    Parameters
    ----------
    heads
        (n, heads, m, m): share of the weight of all patches that falls on the patch at a place.
    mean
        (n, m, m): likewise, of the mean over the heads.
    rollout
        (n, m, m): likewise, of the attention rollout.
    """

    heads: np.ndarray
    mean: np.ndarray
    rollout: np.ndarray


def look(rows: pd.DataFrame, images: Path, weights: Path) -> tuple[Attention, bool]:
    """The attention of a trained network for some systems, and whether its input is graded.

    Parameters
    ----------
    rows
        n rows of the catalogue.
    images
        The run's folder of images.
    weights
        models/{model}/.

    Raises
    ------
    NoAttentionError
        If the network has no attention over a whole image.
    LensvitError
        If its weights, or images, are absent or broken.
    """
    network, norm, config = architectures.load_network(weights)
    inputs = Inputs(rows, images, config.recipe, config.network.image_size).normalised(norm)
    parts = []
    for batch in torch.arange(len(rows)).split(AT_ONCE):
        try:
            weight = from_transformers.attentions(network, inputs.batch(batch)).numpy()
        except LensvitError as error:
            raise NoAttentionError(str(error)) from error
        parts.append((weight[:, :, :, 0, :], rollout(weight)))
    heads, rolled = zip(*parts, strict=True)
    return Attention(np.concatenate(heads, 1), np.concatenate(rolled)), config.recipe.resize == "graded"


def rollout(weight: np.ndarray) -> np.ndarray:
    """Attention rollout of the class token (Abnar & Zuidema 2020, ACL).

    In each layer a token is half itself, by the residual connection, and half what the mean of the heads gives it; the
    matrices of all layers are multiplied.

    Parameters
    ----------
    weight
        (layers, n, heads, tokens, tokens) whose rows sum to 1.

    Returns
    -------
    (n, tokens), whose rows sum to 1.
    """
    mixed = (weight.mean(2) + np.eye(weight.shape[-1])) / 2  # (layers, n, tokens, tokens)
    reached = mixed[-1][:, :1]  # (n, 1, tokens): from the class token backwards through the layers
    for layer in mixed[-2::-1]:
        reached = reached @ layer
    return reached[:, 0]


def maps_of(attention: Attention, layer: int, is_graded: bool) -> Maps:
    """What figure 1 shows of the attention.

    Parameters
    ----------
    attention
        See :class:`Attention`.
    layer
        Index of the layer whose heads are shown; -1 is the last.
    is_graded
        Whether the patches are those of a graded input, whose maps are on a finer grid: see :func:`on_sky`.

    Raises
    ------
    LensvitError
        If there is no such layer.
    NoAttentionError
        If the patches fill no square.
    """
    side = patches_aside(attention.heads.shape, layer)
    maps = [
        part.reshape(*part.shape[:-1], side, side)
        for part in map(of_patches, (attention.heads[layer], attention.heads[layer].mean(1), attention.rollout))
    ]
    return Maps(*map(on_sky, maps)) if is_graded else Maps(*maps)


def of_patches(weight: np.ndarray) -> np.ndarray:
    """The shares (..., patches) of the patches in their common weight, from weights (..., tokens)."""
    return weight[..., 1:] / weight[..., 1:].sum(-1, keepdims=True)


def table(attention: Attention) -> pd.DataFrame:
    """What the attention does, in numbers: a row for each head of each layer, for their mean, and for the rollout.

    ``layer`` counts from 1 and is the last one for the rollout, which goes through all; ``map`` is the number of the
    head, "mean" or "rollout". Of the weight that falls on the ``patches``, ``strongest`` is the share of the patch
    with most of it, ``entropy`` the entropy in units of that of an even spread, and ``effective`` the exponential of
    the entropy, a number of patches: all three are means over ``systems``. ``same`` is the share of the systems whose
    strongest patch is the one that is strongest most often, and ``itself`` the weight on the class token.

    Parameters
    ----------
    attention
        See :class:`Attention`.
    """
    rows = []
    for layer, heads in enumerate(attention.heads, 1):
        for head in range(heads.shape[1]):
            rows.append({"layer": layer, "map": str(head + 1), **_measures(heads[:, head])})
        rows.append({"layer": layer, "map": "mean", **_measures(heads.mean(1))})
    rows.append({"layer": len(attention.heads), "map": "rollout", **_measures(attention.rollout)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measures(weight: np.ndarray) -> dict[str, float]:
    """The numbers of one map from its weights (n, tokens)."""
    share = of_patches(weight.astype(np.float64))
    systems, patches = share.shape
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(-1)
    return {
        "systems": systems,
        "patches": patches,
        "strongest": share.max(-1).mean(),
        "entropy": entropy.mean() / math.log(patches) if patches > 1 else 1.0,
        "effective": np.exp(entropy).mean(),
        "same": np.bincount(share.argmax(-1)).max() / systems,
        "itself": weight[:, 0].mean(),
    }


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


def patches_aside(shape: Sequence[int], layer: int) -> int:
    """Check by its shape alone that attention can be shown as maps, and count the patches along a side of a map.

    Parameters
    ----------
    shape
        Shape of the attention, layers first and tokens last.
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
