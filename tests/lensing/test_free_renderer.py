"""Images of free scenes: against lenstronomy, and against the parts that fits and limits are made of."""

import numpy as np
import pytest
import torch

from lensvit.chapters.limit.free import FreeLimit
from lensvit.chapters.limit.settings import LimitStage
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.cameras import renderer_of
from lensvit.lensing.free_renderer import FreeRenderer
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.renderer import BatchedRenderer
from lensvit.lensing.settings import Scene
from lensvit.simulation.sampler import Sampler
from lensvit.simulation.settings import SystemSettings
from tests.builders import SCENE, lopsided_psf

pytestmark = pytest.mark.usefixtures("one_thread")

PSF = lopsided_psf(21, 0.1)
MAGNITUDES = {"zero_point": 25.0, "lens": (18, 21), "source": (22, 24), "quasar": (20, 23), "microlensing": 0.3}
PRIORS = {
    "gamma_ext": {"kind": "rayleigh", "sd": 0.07},
    "n_sersic": {"kind": "lognormal", "mean": 3.0, "sd": 0.4},
    "R_sersic": {"kind": "lognormal", "mean": 0.8, "sd": 0.5},
}
SCENES = {
    "light": {"lens_light": "free"},
    "source": {"source_shape": "free"},
    "brightness": {"magnitudes": MAGNITUDES},
    "bulge": {"bulge": True, "magnitudes": MAGNITUDES},
    "all": {"lens_light": "free", "source_shape": "free", "bulge": True, "magnitudes": MAGNITUDES},
}


def scene_of(name):
    return Scene(**{**vars(SCENE), "sigma_bkg_low": 0.003, "sigma_bkg_high": 0.012, **SCENES[name]})


def systems_of(scene, count=12, external_shear=True):
    settings = SystemSettings(
        seed=3, name="hst", priors=PRIORS, external_shear=external_shear, scene=scene,
        instrument={"pixels": 60, "pixel_scale": 0.1}, supersampling=1,
    )  # fmt: skip
    return Sampler(settings, "test", solve).draws(range(count))


@pytest.mark.parametrize(("samples", "fine"), [(1, None), (3, PSF.supersampled)], ids=["coarse", "fine"])
@pytest.mark.parametrize("name", SCENES)
def test_images_are_lenstronomys(name, samples, fine):
    scene = scene_of(name)
    systems, args = systems_of(scene), (60, 0.1, PSF.native, scene, fine, samples)
    assert isinstance(renderer_of(*args), FreeRenderer)
    exact = LenstronomyRenderer(*args).render(systems)
    peak = exact.max((1, 2), keepdims=True)
    double = FreeRenderer(*args, dtype=torch.float64)
    assert np.abs((double.render(systems) - exact) / peak).max() < 1e-11
    for single in (FreeRenderer(*args), FreeRenderer(*args).compiled()):
        assert np.abs((single.render(systems) - exact) / peak).max() < 1e-6


@pytest.mark.parametrize("samples", [3, 5])
def test_samples_of_the_papers_scene(samples):
    whole = Scene(**{**vars(SCENE), "sigma_bkg_low": 0.1, "sigma_bkg_high": 1.0})
    systems, args = systems_of(whole), (60, 0.1, PSF.native, SCENE, None)
    exact = LenstronomyRenderer(*args, samples).render(systems)
    ours = renderer_of(*args, samples)
    assert type(ours) is BatchedRenderer
    peak = exact.max((1, 2), keepdims=True)
    assert np.abs((ours.render(systems) - exact) / peak).max() < 1e-6
    assert np.abs((LenstronomyRenderer(*args).render(systems) - exact) / peak).max() > 1e-3


@pytest.mark.parametrize(("samples", "fine"), [(1, None), (3, PSF.supersampled)], ids=["coarse", "fine"])
@pytest.mark.parametrize("name", SCENES)
def test_images_are_the_sums_of_their_parts(name, samples, fine):
    """The parts that fits and limits use, with the amplitudes of the system."""
    scene = scene_of(name)
    renderer = FreeRenderer(60, 0.1, PSF.native, scene, fine, samples, dtype=torch.float64)
    model = LimitStage(
        priors=PRIORS, external_shear=True, scene=scene, supersampling=1, light_samples=samples, options={}, inputs=[]
    )
    limit = FreeLimit(renderer, model)
    for system in systems_of(scene, 4):
        quasars = system.quasar_images
        positions, magnification = torch.zeros(1, 4, 2).double(), torch.zeros(1, 4).double()
        positions[0, : len(quasars)] = torch.as_tensor(np.stack([quasars.x, quasars.y], 1))
        magnification[0, : len(quasars)] = torch.as_tensor(quasars.magnification)
        [parts] = limit.parts.images(torch.tensor([limit.values(system)]), positions, magnification)
        image = np.array(limit.amplitudes(system)) @ parts.numpy()
        [ours] = renderer.render([system])
        assert np.abs(image.reshape(ours.shape) - ours).max() < 2e-7 * ours.max()
