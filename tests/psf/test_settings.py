"""Each kind of PSF in the config has the settings of its kernel."""

from typing import get_args

from lensvit.psf.settings import KernelSettings, Psf


def kinds(union):
    return {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(union)[0])}


def test_every_kind_of_psf_has_its_kernel():
    psfs, kernels = kinds(Psf), kinds(KernelSettings)
    assert list(psfs) == list(kernels)
    assert all(issubclass(kernels[kind], psf) for kind, psf in psfs.items())
