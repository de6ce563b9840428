"""The quasar images of many systems: found, or followed from those of systems nearby."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.followed_images import KnownImages
from lensvit.lensing.quasar_images import QuasarImages
from lensvit.parameters import NAMES

QuasarSolver = Callable[[Tensor, int], tuple[Tensor, Tensor, Tensor]]


def solve_quasar_images(parameters: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The brightest quasar images of systems.

    Parameters
    ----------
    parameters
        Parameters (B, 14).
    most
        Largest number of images of a system.

    Returns
    -------
    positions : Tensor
        Positions (B, most, 2) [arcsec].
    magnification : Tensor
        Magnifications (B, most); 0 where a system has fewer images.
    solved : Tensor
        Whether a system's images were found, (B,).
    """
    positions = parameters.new_zeros(len(parameters), most, 2)
    magnification = parameters.new_zeros(len(parameters), most)
    solved = torch.ones(len(parameters), dtype=torch.bool)
    systems = [dict(zip(NAMES, values, strict=True)) for values in parameters.tolist()]
    for row, images in enumerate(solve(systems)):
        if not isinstance(images, QuasarImages):
            solved[row] = False
            continue
        images = images.brightest(most)
        positions[row, : len(images), 0] = torch.as_tensor(images.x)
        positions[row, : len(images), 1] = torch.as_tensor(images.y)
        magnification[row, : len(images)] = torch.as_tensor(images.magnification)
    return positions, magnification, solved


class Follower:
    """A :data:`QuasarSolver` for systems near some others, such as draws around the maxima of a posterior.

    Images are followed where their number surely is that of a reference, and found anew where it may have changed.
    The result is that of :func:`solve_quasar_images`, but for rounding.

    Parameters
    ----------
    reference
        Parameters (m, 14) of the other systems.
    """

    def __init__(self, reference: Tensor) -> None:
        self.known = KnownImages(reference)

    def __call__(self, parameters: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
        """What :func:`solve_quasar_images` returns."""
        followed = self.known.follow(parameters)
        width = min(most, followed.magnification.shape[1])
        positions = parameters.new_zeros(len(parameters), most, 2)
        magnification = parameters.new_zeros(len(parameters), most)
        positions[:, :width], magnification[:, :width] = (
            followed.positions[:, :width],
            followed.magnification[:, :width],
        )
        solved = followed.sure.clone()
        if not solved.all():
            anew = ~followed.sure
            positions[anew], magnification[anew], solved[anew] = solve_quasar_images(parameters[anew], most)
        return positions, magnification, solved
