r"""The prior of the share of a host galaxy's light that its bulge has.

All magnitudes of a host are equally probable (:mod:`lensvit.inference.linear`). Were those of its bulge so too, most of
its prior would be bulges too faint to be seen. Instead the bulge has any share of the host's flux, each as probable as
another. With the amplitudes a at the half-light radii of both, and the fluxes S of their profiles of amplitude 1, the
share is :math:`a_b S_b / (a_h S_h)`, so that the prior of :math:`a_b` is :math:`S_b / (a_h S_h)`. The amplitudes count
in the likelihood (:attr:`lensvit.lensing.parts.Parts.powers`). What is left is :math:`\ln S_b - \ln S_h`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lensvit.lensing.galaxies import log_sersic_flux
from lensvit.lensing.structure import BULGE, BULGE_INDEX

SIZES = (*BULGE, "source_R_sersic", "source_n_sersic")


class BulgeShare:
    """The part of this prior that depends on sizes and the host's index, by the parameters of scenes.

    Parameters
    ----------
    names
        Names of the P parameters; sizes and indices are known by their logarithms.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.columns = [names.index(name) for name in SIZES]

    def log_density(self, parameters: Tensor) -> Tensor:
        """Log density (b,) at parameters (b, P), without a constant."""
        bulge, host, index = parameters[:, self.columns].unbind(1)
        return log_sersic_flux(bulge, torch.full_like(bulge, BULGE_INDEX)) - log_sersic_flux(host, index.exp())

    def gradient(self, parameters: Tensor) -> Tensor:
        """Its derivatives (b, P) by the parameters."""
        with torch.enable_grad():
            leaf = parameters.detach().clone().requires_grad_(True)
            return torch.autograd.grad(self.log_density(leaf).sum(), leaf)[0]
