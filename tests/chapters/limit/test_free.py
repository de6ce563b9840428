"""The limit of free scenes: where they are the paper's it is the paper's, and what is unknown widens it."""

import numpy as np
import pytest
import torch

from lensvit.chapters.limit.compute import image_information, posterior_covariance
from lensvit.chapters.limit.free import FreeLimit
from lensvit.chapters.limit.settings import LimitStage
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import Scene
from lensvit.lensing.system import System
from lensvit.parameters import TARGET_COLUMNS, priors
from tests.builders import SCENE, lopsided_psf
from tests.chapters.limit.test_compute import systems
from tests.lensing.test_free_renderer import MAGNITUDES, PRIORS, scene_of, systems_of

pytestmark = pytest.mark.usefixtures("one_thread")

PSF = lopsided_psf(21, 0.1)
SIGMA = torch.full((3,), 0.5).double()
TIMES = np.full(3, SCENE.exposure)
GRIDS = [{"image_size": 30, "resize": "area"}]


def limit_of(scene, changes=(), external_shear=True, samples=1):
    settings = LimitStage(
        priors=dict(changes), external_shear=external_shear, scene=scene, supersampling=1, light_samples=samples,
        options={}, inputs=GRIDS,
    )  # fmt: skip
    renderer = BatchedRenderer(60, 0.1, PSF.native, scene, None, samples, dtype=torch.float64)
    return FreeLimit(renderer, settings)


def theirs(some, external_shear=True):
    renderer = BatchedRenderer(60, 0.1, PSF.native, SCENE, dtype=torch.float64)
    grids = LimitStage(priors={}, external_shear=True, scene=SCENE, supersampling=1, options={}, inputs=GRIDS).inputs
    information, signal, (parameters, *_) = image_information(renderer, some, SIGMA, grids)
    spreads = {
        treatment: [
            posterior_covariance(one[:, :count, :count], parameters[:, :count], priors({}), external_shear)[:, :14, :14]
            for one in information
        ]
        for treatment, count in (("known", 14), ("marginalised", 17))
    }
    return spreads, signal


@pytest.mark.parametrize("external_shear", [True, False])
def test_the_papers_scene_has_the_papers_limit(external_shear):
    some = systems(3, first=20)
    ours, signal, _ = limit_of(SCENE, external_shear=external_shear).of(some, SIGMA, TIMES)
    expected, ratios = theirs(some, external_shear)
    for treatment in expected:
        for one, other in zip(ours[treatment], expected[treatment], strict=True):
            sigma = other.diagonal(dim1=1, dim2=2).sqrt()
            scale = sigma[:, :, None] * sigma[:, None]
            torch.testing.assert_close(one / scale, other / scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(signal, ratios, rtol=1e-4, atol=0)


def test_fluxes_that_follow_their_magnifications_tell_as_much_as_one_flux():
    """Without microlensing fluxes say of the lens what the paper's do."""
    some, scene = systems(3, first=20), Scene(**{**vars(SCENE), "sigma_bkg_low": 0.1, "sigma_bkg_high": 1.0})
    steady = Scene(**{**vars(scene), "magnitudes": {**MAGNITUDES, "microlensing": 0.0}})
    amplitudes = {"lens_amp": SCENE.lens_amp, "source_amp": SCENE.source_amp}
    same = [
        System(
            {**system.parameters, **amplitudes},
            system.quasar_images,
            fluxes=SCENE.quasar_amp * np.abs(system.quasar_images.magnification),
        )
        for system in some
    ]
    ours, _, _ = limit_of(steady).of(same, SIGMA, TIMES)
    expected, _ = theirs(some)
    for treatment in expected:
        found, wanted = (part[treatment][0].diagonal(dim1=1, dim2=2).sqrt() for part in (ours, expected))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)


def test_what_is_unknown_widens_the_limit():
    """The more of a system is unknown, the less is known of each target."""
    found = {}
    scene = scene_of("all")
    some = systems_of(scene, 3)
    for scatter in (1e-3, 0.3, 2.0):
        free = scene.model_copy(update={"magnitudes": scene.magnitudes.model_copy(update={"microlensing": scatter})})
        spreads, _, _ = limit_of(free, PRIORS, samples=3).of(some, torch.full((3,), 0.01).double(), TIMES)
        for treatment, (image, resized) in spreads.items():
            sigmas = [part.diagonal(dim1=1, dim2=2).sqrt()[:, TARGET_COLUMNS] for part in (image, resized)]
            assert (sigmas[0] <= sigmas[1] * (1 + 1e-9)).all()  # a resize tells nothing new
            found[treatment, scatter] = sigmas[0]
        assert (found["known", scatter] <= found["marginalised", scatter] * (1 + 1e-9)).all()
    tight, usual, loose = (found["marginalised", scatter] for scatter in (1e-3, 0.3, 2.0))
    assert (tight <= usual * (1 + 1e-9)).all() and (usual <= loose * (1 + 1e-9)).all()
    assert (loose / tight).max() > 1.05
