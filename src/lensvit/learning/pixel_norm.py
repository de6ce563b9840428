"""A layer that normalises each input pixel by its statistics over training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lensvit.errors import LensvitError
from lensvit.learning.settings import Normalise

ALL = "all"  # name of the group of all images


def group_names(normalise: Normalise, cameras: Mapping[str, str]) -> list[str]:
    """The groups of images that have statistics of their own.

    Parameters
    ----------
    normalise
        The recipe's: "pixel" has one group, "camera" one for each camera, "psf" one for each PSF and one for each
        camera, which serves PSFs of that camera that the training lacked; "none" has none.
    cameras
        PSF of the training to the name of its camera.
    """
    if normalise == "none":
        return []
    if normalise == "pixel":
        return [ALL]
    of_cameras = sorted(set(cameras.values()))
    return of_cameras if normalise == "camera" else [*sorted(cameras), *of_cameras]


def members(name: str, psfs: Sequence[str], cameras: Mapping[str, str]) -> Tensor:
    """Places (m,) of the images that belong to a group.

    Parameters
    ----------
    name
        Name of the group.
    psfs
        PSF of each image, (n,).
    cameras
        PSF to the name of its camera.
    """
    return torch.tensor([place for place, psf in enumerate(psfs) if name in (ALL, psf, cameras[psf])])


class PixelNorm(nn.Module):
    """Standardises each input pixel by its mean and its standard deviation over training images.

    Lenses lie in the middle of the image, so that a pixel has a typical brightness; what tells
    systems apart may be a few per cent of it. Images of one camera, or of one PSF, may have statistics of
    their own: then the network need not learn what they have in common. Values beyond ``LIMIT``
    standard deviations are set to it.

    Parameters
    ----------
    size
        Side S of the input [pixel].
    names
        Names of the G groups of images with statistics of their own, see :func:`group_names`.
    """

    LIMIT = 6.0
    FLOOR = 1e-3  # smallest standard deviation

    mean: Tensor  # (G, 3, S, S)
    sd: Tensor  # (G, 3, S, S)

    def __init__(self, size: int, names: Sequence[str] = (ALL,)) -> None:
        super().__init__()
        self.names = list(names)
        self.register_buffer("mean", torch.zeros(len(self.names), 3, size, size))
        self.register_buffer("sd", torch.ones(len(self.names), 3, size, size))

    @torch.no_grad()
    def fit(self, name: str, images: Tensor) -> None:
        """Take mean and standard deviation of the group ``name`` from inputs (n, 3, S, S), two or more."""
        number = self.names.index(name)
        self.mean[number] = images.mean(0)
        self.sd[number] = images.std(0).clamp_min(self.FLOOR)

    def groups(self, psfs: Iterable[str], cameras: Mapping[str, str]) -> Tensor:
        """The number (n,) of the group by which each image is normalised: its PSF's, else its camera's, else all's.

        Parameters
        ----------
        psfs
            PSF of each image, (n,).
        cameras
            PSF to the name of its camera. One group of all images needs none.

        Raises
        ------
        LensvitError
            If the training had neither the PSF nor its camera.
        """
        psfs = list(psfs)
        numbers = {psf: self._number(psf, cameras.get(psf, "of no known camera")) for psf in dict.fromkeys(psfs)}
        return torch.tensor([numbers[psf] for psf in psfs], dtype=torch.long)

    def _number(self, psf: str, camera: str) -> int:
        """The number of the group of one PSF."""
        for name in (psf, camera, ALL):
            if name in self.names:
                return self.names.index(name)
        raise LensvitError(
            f"the network was trained with images of {', '.join(self.names)} and is asked for those of {psf} "
            f"({camera}), whose pixels it cannot normalise: train it with normalise: pixel"
        )

    def forward(self, images: Tensor, groups: Tensor) -> Tensor:
        """Inputs (B, 3, S, S) with each pixel standardised, by the statistics of the group (B,) of each."""
        # one group serves the whole batch without a copy for each image
        mean, sd = (self.mean, self.sd) if len(self.names) == 1 else (self.mean[groups], self.sd[groups])
        return ((images - mean) / sd).clamp(-self.LIMIT, self.LIMIT)


def joined_state(network: nn.Module, norm: PixelNorm) -> dict[str, Tensor]:
    """The weights of a network and the statistics before it, by names of a file for both."""
    return {
        **{f"norm.{key}": value for key, value in norm.state_dict().items()},
        **{f"network.{key}": value for key, value in network.state_dict().items()},
    }


def divided_state(state: Mapping[str, Tensor], norm: PixelNorm) -> dict[str, Tensor]:
    """The network's weights in a file that :func:`joined_state` names; its statistics go to ``norm``.

    Parameters
    ----------
    state
        Names to arrays. Statistics of one group may lack their first axis, as in files of version 0.1.
    norm
        Takes up the statistics.

    Raises
    ------
    RuntimeError
        If the statistics are of other groups or of another size.
    """
    statistics = {key.removeprefix("norm."): value for key, value in state.items() if key.startswith("norm.")}
    norm.load_state_dict({key: value[None] if value.ndim == 3 else value for key, value in statistics.items()})
    return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
