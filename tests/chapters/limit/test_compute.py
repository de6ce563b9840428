"""The limit: derivatives against lenstronomy's, the bound against the scatter of fits, and where it ends."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.chapters.limit.compute import caustic_distance, image_information, limit, of_camera, posterior_covariance
from lensvit.chapters.limit.settings import LimitStage
from lensvit.errors import LensvitError
from lensvit.inference import coordinates as lens_coordinates
from lensvit.inference import likelihood
from lensvit.inference.coordinates import COORDINATES
from lensvit.inference.likelihood import Likelihood
from lensvit.inference.prior import LogPrior
from lensvit.io.products import NEAREST_CAUSTIC
from lensvit.io.shards import merge_shards
from lensvit.io.tables import CATALOG
from lensvit.lensing.batched_lens_equation import solve
from lensvit.lensing.lens_equation import solve as solve_exactly
from lensvit.lensing.lenstronomy_renderer import LenstronomyRenderer
from lensvit.lensing.noise import noise
from lensvit.lensing.renderer import BatchedRenderer, system_tensors
from lensvit.lensing.system import System
from lensvit.parameters import NAMES, TARGET_NAMES, priors
from lensvit.psf import kernel
from tests.builders import SCENE, draw_parameters, filled, light, lopsided_psf, same_arrays

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = 60, 0.1
PSF = lopsided_psf(21, 0.1)
SETTINGS = {"priors": {}, "external_shear": True, "scene": SCENE, "supersampling": 1, "cameras": {}, "inputs": []}


def renderer(dtype=torch.float64, fine=None, scene=SCENE):
    return BatchedRenderer(*CAMERA, PSF.native, scene, fine, dtype=dtype)


def systems(count, first=0):
    drawn = [draw_parameters(first + seed) for seed in range(count)]
    return [System(parameters, images.brightest(4)) for parameters, images in zip(drawn, solve(drawn), strict=True)]


def sigmas(spread):
    return torch.diagonal(spread, dim1=1, dim2=2).sqrt()


# ---------------------------------------------------------------- derivatives


def lenstronomys_information(system, sigma, fine=None, step=1e-5):
    """Fisher information (14, 14) by the coordinates, from central differences of lenstronomy's images."""
    engine = LenstronomyRenderer(*CAMERA, PSF.native, SCENE, fine)
    center = lens_coordinates.to_coordinates(torch.tensor([[system.parameters[name] for name in NAMES]]).double())

    def image(coordinates):
        parameters = dict(zip(NAMES, lens_coordinates.to_parameters(coordinates)[0].tolist(), strict=True))
        return engine.render([System(parameters, solve_exactly(parameters).brightest(4))])[0]

    unit = step * torch.eye(len(NAMES)).double()
    slopes = np.stack([image(center + change) - image(center - change) for change in unit]) / (2 * step)
    variance = sigma**2 + image(center) / SCENE.exposure
    weight = 1 / variance + 1 / (2 * variance**2 * SCENE.exposure**2)
    return torch.as_tensor(np.einsum("iyx,jyx,yx->ij", slopes, slopes, weight))[None]


@pytest.mark.parametrize("fine", [None, PSF.supersampled], ids=["native", "fine"])
def test_the_bound_is_that_of_lenstronomys_derivatives(fine):
    """By coordinates, with another step, another lens-equation solver and no torch."""
    for system in systems(3, first=20):
        (information,), _, (parameters, *_) = image_information(renderer(fine=fine), [system], torch.tensor([0.5]))
        parameters = parameters[:, :14]
        ours = posterior_covariance(information[:, :14, :14], parameters, priors({}))
        prior = likelihood.by_coordinates(LogPrior(priors({})).equations(parameters), parameters).information
        theirs, _ = likelihood.covariance(lenstronomys_information(system, 0.5, fine) + prior)
        torch.testing.assert_close(sigmas(ours), sigmas(theirs), rtol=1e-4, atol=0)


def test_single_precision_is_enough():
    drawn, sigma = systems(12), torch.full((12,), 0.04)
    found = []
    for dtype in (torch.float32, torch.float64):
        (information,), _, (parameters, *_) = image_information(renderer(dtype), drawn, sigma)
        found.append(sigmas(posterior_covariance(information, parameters, priors({}))))
    torch.testing.assert_close(*found, rtol=2e-3, atol=0)


def test_what_the_variance_tells_is_negligible():
    """Even with the paper's least background the term of the variance's slope is below 3.2e-4 of the information."""
    drawn = systems(6)
    camera = renderer()
    given = torch.cat([system_tensors(drawn)[0], torch.tensor([[5000.2, 1000.0, 1500.0]]).double().expand(6, -1)], 1)
    image, jacobian = camera.jacobian(given, *system_tensors(drawn)[1:])
    sigma = torch.full((6,), 0.04).double()
    whole = Likelihood(image, sigma, SCENE.exposure).equations(image, jacobian).information
    spread = sigma[:, None, None] ** 2 + image / SCENE.exposure
    mean = torch.einsum("biyx,bjyx,byx->bij", jacobian, jacobian, 1 / spread)
    gain = torch.diagonal(whole - mean, dim1=1, dim2=2) / torch.diagonal(mean, dim1=1, dim2=2)
    assert (gain > 0).all() and gain.max() < 3.2e-4


# ---------------------------------------------------------------- fits


def fitted(camera, system, sigma, seed, prior, steps=8):
    """Coordinates of the most probable parameters, by Fisher scoring from the true ones, over their bound."""
    image = camera.render([system])[0]
    data = torch.as_tensor(noise(image, sigma, SCENE.exposure, seed)).double()[None]
    observed = Likelihood(data, torch.tensor([sigma]), SCENE.exposure)
    truth = lens_coordinates.to_coordinates(torch.tensor([[system.parameters[name] for name in NAMES]]).double())
    there, spread = truth, None
    for _ in range(steps):
        parameters = lens_coordinates.to_parameters(there)
        images = solve([dict(zip(NAMES, parameters[0].tolist(), strict=True))])[0].brightest(4)
        _, positions, magnification = system_tensors([System(system.parameters, images)])
        equations = observed.equations(*camera.jacobian(parameters, positions, magnification))
        equations = likelihood.by_coordinates(equations + prior.equations(parameters), parameters)
        covariance, _ = likelihood.covariance(equations.information)
        spread = covariance if spread is None else spread
        there = there + (covariance @ equations.gradient[..., None])[..., 0]
    return ((there - truth) / sigmas(spread))[0]


def test_fits_scatter_as_the_bound_says():
    """Forty systems, one noise each: mean squares of 14 coordinates, of standard error 0.22, and of all."""
    camera, prior = renderer(), LogPrior(priors({}))
    z = torch.stack([fitted(camera, system, 0.3, row, prior) for row, system in enumerate(systems(40, first=100))])
    squares = z.square().mean(0)
    assert (squares[: len(TARGET_NAMES)] - 1).abs().max() < 4 * (2 / 40) ** 0.5
    assert squares.mean() == pytest.approx(1, abs=0.25)
    assert z.mean(0).abs().max() < 4 / 40**0.5


# ---------------------------------------------------------------- what is known


def table(drawn, sigma, scene=SCENE, **changes):
    """Limits of systems with one noise level."""
    rows = pd.DataFrame([system.parameters for system in drawn], columns=list(NAMES), index=range(5, 5 + len(drawn)))
    rows = rows.assign(n_images=[len(system.quasar_images) for system in drawn], sigma_bkg=sigma)
    return of_camera(rows, renderer(torch.float32, scene=scene), LimitStage(**{**SETTINGS, **changes}))[0]


def test_more_noise_and_unknown_amplitudes_widen_the_limit():
    drawn = systems(10)
    quiet, loud = table(drawn, 0.1), table(drawn, 2.0)
    assert list(quiet.index) == list(range(5, 15)) and quiet["valid_known"].all()
    for name in TARGET_NAMES:
        for treatment in ("known", "marginalised"):
            assert (loud[f"{name}_{treatment}"] > quiet[f"{name}_{treatment}"]).all()
        assert (loud[f"{name}_marginalised"] >= loud[f"{name}_known"]).all()


def test_nothing_but_noise_leaves_the_prior():
    found = table(systems(3), 1e7)
    for name in TARGET_NAMES:
        assert found[f"{name}_known"].to_numpy() == pytest.approx(priors({})[name].sd, rel=1e-4)


def test_a_shear_known_to_be_absent_helps():
    drawn = systems(6)
    for system in drawn:
        system.parameters["gamma_ext"] = 0.0
    drawn = [System(system.parameters, solve([system.parameters])[0].brightest(4)) for system in drawn]
    free, absent = table(drawn, 1.0), table(drawn, 1.0, external_shear=False)
    assert (absent["e1_known"] < 0.9 * free["e1_known"]).any()
    for name in TARGET_NAMES:
        assert (absent[f"{name}_known"] <= free[f"{name}_known"] * 1.0001).all()


def test_the_signal_to_noise_of_each_light():
    """A light alone in its scene, and the image of all of them."""
    drawn, sigma = systems(4), 0.5
    found = table(drawn, sigma)
    amplitudes = {"host": "source_amp", "lens": "lens_amp", "quasar": "quasar_amp"}
    whole = renderer(torch.float64).render(drawn)
    variance = sigma**2 + np.abs(whole) / SCENE.exposure
    assert found["signal_image"].to_numpy() == pytest.approx((whole**2 / variance).sum((1, 2)) ** 0.5, rel=1e-5)
    for part, own in amplitudes.items():
        dark = {name: 1e-12 * getattr(SCENE, name) for name in amplitudes.values() if name != own}
        alone = renderer(torch.float64, scene=SCENE.model_copy(update=dark)).render(drawn)
        expected = (alone**2 / variance).sum((1, 2)) ** 0.5
        assert found[f"signal_{part}"].to_numpy() == pytest.approx(expected, rel=1e-4)


def test_a_known_parameter_has_no_error():
    found = table(systems(3), 1.0, priors={"gamma": {"sd": 0.0}})
    assert (found["gamma_known"] < 2e-9).all() and (found["theta_E_known"] > 1e-6).all()


# ---------------------------------------------------------------- where it ends


def test_the_distance_from_a_caustic():
    """A source that moves across a fold: where images vanish is known by bisection."""
    parameters = draw_parameters(3) | {"e1": 0.2, "source_x": 0.02, "source_y": 0.01}
    direction = np.array([0.8, 0.6])

    def at(distance):
        return parameters | {"source_x": 0.02 + 0.8 * distance, "source_y": 0.01 + 0.6 * distance}

    inner, outer = 0.0, 0.5
    assert [len(images) for images in solve([at(inner), at(outer)])] == [4, 2]
    while outer - inner > 1e-9:
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if len(solve([at(middle)])[0]) == 4 else (inner, middle)
    gap, scatter = 1e-5, 2e-6
    near = at(inner - gap)
    tensors = system_tensors([System(near, solve([near])[0])])
    spread = torch.zeros(1, 14, 14).double()
    x, y = COORDINATES.index("source_x"), COORDINATES.index("source_y")
    spread[0, [[x], [y]], [x, y]] = torch.as_tensor(scatter**2 * np.outer(direction, direction))
    assert float(caustic_distance(spread, *tensors)) == pytest.approx(gap / scatter, rel=0.02)


def test_systems_without_a_limit():
    drawn = systems(4)
    drawn[1].parameters["e1"], drawn[1].parameters["e2"] = 0.998, 0.0  # too flat for the renderer
    drawn[2] = System(drawn[2].parameters, drawn[2].quasar_images.brightest(1))  # not the images of the catalogue
    found = table(drawn, 1.0)
    assert found["valid_known"].tolist() == found["valid_marginalised"].tolist() == [True, False, False, True]
    assert found["theta_E_known"].isna().tolist() == [False, True, True, False]
    none = table([drawn[1]], 1.0)
    assert none["valid_known"].tolist() == [False] and list(none) == list(found)


def test_a_posterior_that_reaches_a_caustic_has_no_limit():
    parameters = draw_parameters(3) | {"e1": 0.2, "source_x": 0.02, "source_y": 0.01}
    drawn = [System(parameters, solve([parameters])[0])]
    dark = SCENE.model_copy(update={"quasar_amp": 0.01})
    assert table(drawn, 0.01, dark)["valid_known"].tolist() == [True]
    lost = table(drawn, 100.0, dark)
    assert lost["caustic_known"].iloc[0] < NEAREST_CAUSTIC and not lost["valid_known"].iloc[0]


# ---------------------------------------------------------------- the stage


@pytest.fixture
def run(tmp_path):
    """Settings, catalogue and kernels of two cameras with three test systems each."""
    camera = {"pixels": 60, "pixel_scale": 0.1}
    options = {"a": {"name": "hst", **camera}, "b": {"name": "keck", **camera}}
    content = {"external_shear": True, "supersampling": 1, "priors": {}, "scene": light(SCENE), "options": options}
    content["inputs"] = [{"image_size": 20, "resize": "graded"}, {"image_size": 80, "resize": "bilinear"}]
    (tmp_path / "limit.yaml").write_text(yaml.safe_dump(content))
    rows = []
    for row, system in enumerate(systems(8)):
        rows.append({**system.parameters, "id": f"s{row}", "psf": "ab"[row % 2], "n_images": len(system.quasar_images)})
    catalog = pd.DataFrame(rows).assign(sigma_bkg=0.5, split=["train", "test", "test", "test"] * 2)
    filled(catalog, CATALOG).to_parquet(tmp_path / "catalog.parquet")
    for name in "ab":
        kernel.write_kernel(tmp_path / f"{name}.fits", PSF, {})
    return tmp_path


def test_the_stage(run):
    limit(run / "limit.yaml", run / "catalog.parquet", [run / "a.fits", run / "b.fits"], run / "limit.parquet")
    found = pd.read_parquet(run / "limit.parquet")
    assert found["id"].tolist() == ["s1", "s2", "s3", "s5", "s6", "s7"]
    assert found["instrument"].tolist() == ["keck", "hst", "keck"] * 2
    assert found["valid_known"].dtype == bool and found["valid_known"].all()
    expected = table([systems(8)[2]], 0.5)
    assert found["gamma_known"].iloc[1] == pytest.approx(expected["gamma_known"].iloc[0], rel=1e-6)
    with h5py.File(run / "limit.h5") as file:
        assert list(file["id"].asstr()) == found["id"].tolist() and tuple(file.attrs["names"]) == COORDINATES
        for treatment in ("known", "marginalised"):
            assert file[treatment].shape == (6, 14, 14)
            sigma = np.sqrt(file[treatment][:, 1, 1])
            assert sigma == pytest.approx(found[f"gamma_{treatment}"].to_numpy(), rel=1e-12)
    for name in TARGET_NAMES:  # the first input has lost something, the second one has the whole image in it
        for treatment in ("known", "marginalised"):
            assert (found[f"{name}_{treatment}_graded20"] > found[f"{name}_{treatment}"]).all()
            np.testing.assert_array_equal(found[f"{name}_{treatment}_bilinear80"], found[f"{name}_{treatment}"])
    assert all((run / f"limit.{suffix}.sha256").exists() for suffix in ("parquet", "h5"))


def test_shards_are_what_one_job_makes(run):
    """Each of one camera, whose systems do not stand together in the catalogue."""
    limit(run / "limit.yaml", run / "catalog.parquet", [run / "a.fits", run / "b.fits"], run / "one.parquet")
    parts = [run / "limit" / f"{psf}.parquet" for psf in "ba"]
    for psf, part in zip("ba", parts, strict=True):
        limit(run / "limit.yaml", run / "catalog.parquet", [run / f"{psf}.fits"], part, chunks=[f"{psf}/x"])
    merge_shards(parts, run / "limit.parquet")
    tables = [pd.read_parquet(run / f"{name}.parquet") for name in ("one", "limit")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert same_arrays(run / "one", run / "limit")


def test_a_kernel_that_is_missing(run):
    with pytest.raises(LensvitError, match="no kernel of the PSF b"):
        limit(run / "limit.yaml", run / "catalog.parquet", [run / "a.fits"], run / "limit.parquet")
