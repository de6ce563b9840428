"""Exact symmetries of the scene: turns and reflections of the sky with the parameters transformed along.

A lens that is turned or reflected is a lens again, with other parameters. The source's
ellipticity is the same in all systems (e1 = 0, e2 = 0.5), which only four of the square's
eight symmetries leave as it is: the identity, the half turn, and the reflections at the two
diagonals. They are exact for a PSF that is transformed likewise; as augmentation, with the
PSF as it is, they hold as far as the PSF has them too. A network that sees them all alike
cannot know to which side the PSF's light leans, and is wrong by as much in the lens's centre.
So the last part of a training goes without them (``symmetries_until`` of the recipe).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensvit.jobs.devices import send

# name of an augmentation -> the symmetries that it draws from
GROUPS = {"none": (0,), "half_turn": (0, 1), "source": (0, 1, 2, 3)}
IDENTITY, HALF_TURN, DIAGONAL, ANTIDIAGONAL = range(4)


def turn_image(images: Tensor, symmetry: int) -> Tensor:
    """Square images (..., S, S) after one of the four symmetries; a view of them where that is possible."""
    if symmetry == HALF_TURN:
        return images.flip(-1, -2)
    if symmetry == DIAGONAL:
        return images.transpose(-1, -2)
    if symmetry == ANTIDIAGONAL:
        return images.transpose(-1, -2).flip(-1, -2)
    return images


def turn_parameters(parameters: Mapping[str, float], symmetry: int) -> dict[str, float]:
    """The parameters of the system that the turned image shows.

    Parameters
    ----------
    parameters
        Parameters by name, some or all of the 14.
    symmetry
        One of the four symmetries.
    """
    turned = dict(parameters)
    for x, y in (("center_x", "center_y"), ("source_x", "source_y")):
        if x in turned and y in turned:
            turned[x], turned[y] = _turn_point(turned[x], turned[y], symmetry)
    if symmetry in (DIAGONAL, ANTIDIAGONAL):
        if "e1" in turned:
            turned["e1"] = -turned["e1"]
        if "psi_ext" in turned:
            turned["psi_ext"] = (math.pi / 2 - turned["psi_ext"]) % (2 * math.pi)
    return turned


def _turn_point(x: float, y: float, symmetry: int) -> tuple[float, float]:
    if symmetry in (DIAGONAL, ANTIDIAGONAL):
        x, y = y, x
    return (-x, -y) if symmetry in (HALF_TURN, ANTIDIAGONAL) else (x, y)


def target_matrices(names: Sequence[str]) -> Tensor:
    """Matrices (4, K, K) that transform a vector of K targets, in their own units, by each symmetry.

    A symmetry only exchanges targets and changes signs, so that it is linear in them.

    Parameters
    ----------
    names
        The targets in their order.
    """
    columns = [
        [list(turn_parameters({name: float(name == one) for name in names}, symmetry).values()) for one in names]
        for symmetry in range(4)
    ]
    return torch.tensor(columns).transpose(1, 2)


def augment(images: Tensor, targets: Tensor, chosen: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """A batch after a symmetry for each of its images.

    Parameters
    ----------
    images
        Inputs (B, 3, S, S).
    targets
        Targets (B, K) in their own units.
    chosen
        The symmetry of each image (B,), on the CPU.
    matrices
        What :func:`target_matrices` gives, (4, K, K).

    Returns
    -------
    images, targets : Tensor
        New tensors of the same shapes.
    """
    images, targets = images.clone(), targets.clone()
    turns = (HALF_TURN, DIAGONAL, ANTIDIAGONAL)
    places = send(str(images.device), *(torch.nonzero(chosen == symmetry)[:, 0] for symmetry in turns))
    for symmetry, rows in zip(turns, places, strict=True):
        if len(rows):
            images[rows] = turn_image(images[rows], symmetry)
            targets[rows] = targets[rows] @ matrices[symmetry].T
    return images, targets
