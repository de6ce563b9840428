"""The coordinates in which equations are solved: the parameters, with the shear by its two components.

External shear has an angle, which has no derivative where the shear is 0. In ``COORDINATES`` the two components
of the shear stand in place of its size and angle.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lensvit.parameters import NAMES

SIZE, ANGLE = NAMES.index("gamma_ext"), NAMES.index("psi_ext")
COORDINATES = tuple({"gamma_ext": "gamma1", "psi_ext": "gamma2"}.get(name, name) for name in NAMES)
LEAST_SHEAR = 1e-8  # keeps the direction of a shear of 0; no image tells it from 0


# ---------------------------------------------------------------- coordinates


def to_coordinates(parameters: Tensor) -> Tensor:
    """Parameters (B, P) to coordinates (B, P)."""
    result = parameters.clone()
    size, twice = parameters[:, SIZE], 2 * parameters[:, ANGLE]
    result[:, SIZE], result[:, ANGLE] = size * torch.cos(twice), size * torch.sin(twice)
    return result


def to_parameters(coordinates: Tensor) -> Tensor:
    """Coordinates (B, P) to parameters (B, P), with the shear's angle between 0 and pi and no shear below 1e-8."""
    result = coordinates.clone()
    first, second = coordinates[:, SIZE], coordinates[:, ANGLE]
    result[:, SIZE] = torch.hypot(first, second).clamp_min(LEAST_SHEAR)
    result[:, ANGLE] = torch.remainder(torch.atan2(second, first) / 2, torch.pi)
    return result


def sheared(parameters: Tensor) -> Tensor:
    """Parameters (B, P) with a shear of 1e-8 at least: where derivatives by the coordinates can be had."""
    result = parameters.clone()
    result[:, SIZE].clamp_(min=LEAST_SHEAR)
    return result


def coordinate_jacobian(parameters: Tensor) -> Tensor:
    """Derivatives (B, P, P) of the parameters (rows) by the coordinates, at ``regular`` parameters (B, P)."""
    count, size = parameters.shape
    result = torch.eye(size, dtype=torch.float64, device=parameters.device).repeat(count, 1, 1)
    cos, sin = torch.cos(2 * parameters[:, ANGLE]), torch.sin(2 * parameters[:, ANGLE])
    result[:, SIZE, [SIZE, ANGLE]] = torch.stack([cos, sin], 1)
    result[:, ANGLE, [SIZE, ANGLE]] = torch.stack([-sin, cos], 1) / (2 * parameters[:, SIZE, None])
    return result


def start_from(parameters: Tensor) -> Tensor:
    """Coordinates (B, 14) of parameters (B, 14)."""
    return to_coordinates(sheared(parameters.double()))
