r"""The coordinates in which equations are solved: the parameters, with the external shear by its two components.

The shear's angle :math:`\psi` has no derivative where its size :math:`\gamma` is 0. In ``COORDINATES`` the
components

.. math:: \gamma_1 = \gamma \cos 2\psi, \qquad \gamma_2 = \gamma \sin 2\psi

stand in place of size and angle; all other coordinates are the parameters themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lensvit.parameters import NAMES

SIZE, ANGLE = NAMES.index("gamma_ext"), NAMES.index("psi_ext")
COORDINATES = tuple({"gamma_ext": "gamma1", "psi_ext": "gamma2"}.get(name, name) for name in NAMES)
LEAST_SHEAR = 1e-8  # in place of a shear of 0, so that its angle is kept; no image tells them apart


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
    """Parameters (B, P) with a shear of 1e-8 at least, for which :func:`coordinate_jacobian` exists."""
    result = parameters.clone()
    result[:, SIZE].clamp_(min=LEAST_SHEAR)
    return result


def coordinate_jacobian(parameters: Tensor) -> Tensor:
    """Derivatives of the parameters by the coordinates.

    Parameters
    ----------
    parameters
        Parameters (B, P) that went through :func:`sheared`.

    Returns
    -------
    Tensor
        Derivatives (B, P, P), of the parameter of the row by the coordinate of the column.
    """
    count, size = parameters.shape
    result = torch.eye(size, dtype=torch.float64, device=parameters.device).repeat(count, 1, 1)
    cos, sin = torch.cos(2 * parameters[:, ANGLE]), torch.sin(2 * parameters[:, ANGLE])
    result[:, SIZE, [SIZE, ANGLE]] = torch.stack([cos, sin], 1)
    result[:, ANGLE, [SIZE, ANGLE]] = torch.stack([-sin, cos], 1) / (2 * parameters[:, SIZE, None])
    return result


def start_from(parameters: Tensor) -> Tensor:
    """Coordinates (B, 14) from which a search can start, of parameters (B, 14) of any shear and precision."""
    return to_coordinates(sheared(parameters.double()))
