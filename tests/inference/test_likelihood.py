"""The likelihood is that of the noise, its gradient and information are right, and so are the coordinates."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.inference import coordinates as lens_coordinates
from lensvit.inference import likelihood
from lensvit.inference.coordinates import ANGLE, COORDINATES, SIZE
from lensvit.inference.likelihood import Equations, Likelihood
from lensvit.inference.prior import LogPrior
from lensvit.lensing import observed
from lensvit.lensing.noise import noise
from lensvit.parameters import NAMES, priors

EXPOSURE = 50.0
SIDE = 140  # more pixels than are summed at once
SIGMA = torch.tensor([0.3, 1.0])


def linear(count=5):
    """An image (2, ny, nx) that is linear in (2, P) parameters: its value at given ones, and the derivatives."""
    rng = np.random.default_rng(1)
    jacobian = torch.as_tensor(rng.uniform(0.1, 1, (2, count, SIDE, SIDE)))

    def model(parameters):
        return (parameters[:, :, None, None] * jacobian).sum(1)

    return model, jacobian


def noisy(model, seeds):
    images = [
        noise(image.numpy(), float(sigma), EXPOSURE, seed)
        for image, sigma, seed in zip(model, SIGMA, seeds, strict=True)
    ]
    return torch.as_tensor(np.stack(images)).double()


@pytest.mark.parametrize("model_error", [0.0, 0.2])
def test_the_gradient_is_that_of_the_log_likelihood(model_error):
    model, jacobian = linear()
    truth = torch.tensor([[1.0, 2.0, 0.5, 1.5, 1.0], [0.2, 0.1, 2.0, 1.0, 0.3]], dtype=torch.float64)
    system = Likelihood(noisy(model(truth), (1, 2)), SIGMA, EXPOSURE, model_error)
    there = truth + 0.02
    gradient, _ = system.equations(model(there), jacobian)
    for index in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[index] = 1e-5
        both = [system.log_density(model(there + sign * step)) for sign in (1, -1)]
        torch.testing.assert_close(gradient[:, index], (both[0] - both[1]) / 2e-5, rtol=1e-6, atol=1e-4)


def test_the_information_is_the_variance_of_the_gradient():
    model, jacobian = linear(2)
    truth = torch.tensor([[1.0, 0.5], [0.3, 0.1]], dtype=torch.float64)
    images, scores = model(truth)[..., :20, :20], []
    for seed in range(2000):
        system = Likelihood(noisy(images, (2 * seed, 2 * seed + 1)), SIGMA, EXPOSURE)
        gradient, information = system.equations(images, jacobian[..., :20, :20])
        scores.append(gradient)
    scores = torch.stack(scores)
    assert (scores.mean(0).abs() < 4 * scores.std(0) / len(scores) ** 0.5).all()
    found = torch.einsum("ski,skj->kij", scores, scores) / len(scores)
    torch.testing.assert_close(found, information, rtol=0.12, atol=0)


def test_residuals_are_standard_normal_at_the_truth():
    model, _ = linear()
    image = model(torch.ones(2, 5, dtype=torch.float64))
    residuals = Likelihood(noisy(image, (3, 4)), SIGMA, EXPOSURE).residuals(image)
    assert residuals.mean((1, 2)).abs().max() < 0.03
    assert (residuals.std((1, 2)) - 1).abs().max() < 0.03


def test_single_precision_images_are_summed_in_double():
    model, jacobian = linear()
    image = model(torch.ones(2, 5, dtype=torch.float64))
    data = noisy(image, (5, 6))
    exact = Likelihood(data, SIGMA, EXPOSURE).equations(image, jacobian)
    single = Likelihood(data.float(), SIGMA, EXPOSURE).equations(image.float(), jacobian.float())
    assert single.information.dtype == torch.float64
    torch.testing.assert_close(single.information, exact.information, rtol=1e-6, atol=0)


def drawn(count=4, **changes):
    rng = np.random.default_rng(7)
    table = priors(changes)
    return torch.tensor([[table[name].draw(rng) for name in NAMES] for _ in range(count)], dtype=torch.float64)


def test_coordinates_are_the_parameters_with_the_shear_in_components():
    parameters = drawn()
    coordinates = lens_coordinates.to_coordinates(parameters)
    assert COORDINATES[SIZE : ANGLE + 1] == ("gamma1", "gamma2")
    same = [index for index, name in enumerate(NAMES) if name == COORDINATES[index]]
    torch.testing.assert_close(coordinates[:, same], parameters[:, same])
    back = lens_coordinates.to_parameters(coordinates)
    torch.testing.assert_close(back[:, SIZE], parameters[:, SIZE])
    torch.testing.assert_close(back[:, ANGLE], torch.remainder(parameters[:, ANGLE], torch.pi))
    torch.testing.assert_close(lens_coordinates.to_coordinates(back), coordinates)


@pytest.mark.parametrize("amplitudes", [False, True])
def test_equations_by_the_coordinates(amplitudes):
    """The gradient of the prior by finite differences of the coordinates."""
    prior = LogPrior(priors({}), amplitudes=amplitudes)
    parameters = torch.cat([drawn(), torch.ones(4, 3 * amplitudes, dtype=torch.float64)], 1)
    gradient, precision = likelihood.by_coordinates(prior.equations(parameters), parameters)
    coordinates = lens_coordinates.to_coordinates(parameters)
    for index in range(parameters.shape[1]):
        step = torch.zeros(parameters.shape[1], dtype=torch.float64)
        step[index] = 1e-7
        both = [prior.log_density(lens_coordinates.to_parameters(coordinates + sign * step)) for sign in (1, -1)]
        torch.testing.assert_close(gradient[:, index], (both[0] - both[1]) / 2e-7, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(precision, precision.mT)
    assert precision[:, 0, 0].tolist() == pytest.approx([0.3**-2] * 4)
    shear = precision[:, SIZE : ANGLE + 1, SIZE : ANGLE + 1]  # 1 / sd^2 along the shear, nothing across it
    assert torch.linalg.eigvalsh(shear)[:, 1].tolist() == pytest.approx([0.005**-2] * 4)
    assert torch.linalg.eigvalsh(shear)[:, 0].abs().max() < 1e-8


def test_a_system_without_shear_has_derivatives_by_its_components():
    """Information on size and angle that stems from the components is theirs again."""
    parameters = drawn(2)
    parameters[0, SIZE] = 0.0
    parameters = lens_coordinates.sheared(parameters)
    assert parameters[0, SIZE] == lens_coordinates.LEAST_SHEAR
    by_components = torch.tensor([[5.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    information = torch.eye(14, dtype=torch.float64).repeat(2, 1, 1)
    for row in range(2):
        size, twice = parameters[row, SIZE], 2 * parameters[row, ANGLE]
        turn = torch.tensor([[twice.cos(), -2 * size * twice.sin()], [twice.sin(), 2 * size * twice.cos()]])
        information[row, SIZE : ANGLE + 1, SIZE : ANGLE + 1] = turn.double().T @ by_components @ turn.double()
    result = likelihood.by_coordinates(Equations(torch.zeros(2, 14).double(), information), parameters).information
    for row in range(2):
        torch.testing.assert_close(result[row, SIZE : ANGLE + 1, SIZE : ANGLE + 1], by_components, rtol=1e-5, atol=1e-5)


def test_the_prior_of_a_system():
    changes = {"theta_E": {"kind": "uniform", "low": 0.5, "high": 1.5}, "gamma": {"sd": 0.0, "mean": 2.0}}
    prior = LogPrior(priors(changes))
    parameters = drawn(3, **changes)
    parameters[:, 0] = torch.tensor([0.51, 1.49, 1.6])
    assert torch.isinf(prior.log_density(parameters)).tolist() == [False, False, True]
    gradient, precision = prior.equations(parameters)
    assert (gradient[:, 0] == 0).all() and (precision[:, 0, 0] == 0).all()
    assert (precision[:, 1, 1] > 1e16).all()  # gamma is known
    assert precision[0, 2, 2] == pytest.approx(0.02**-2)


def test_the_angle_of_the_shear_has_no_seam():
    prior = LogPrior(priors({"psi_ext": {"kind": "normal", "mean": 0.1, "sd": 0.2, "low": None, "high": None}}))
    parameters = drawn(1).repeat(2, 1)
    parameters[:, ANGLE] = torch.tensor([0.05, 0.05 + torch.pi])
    assert prior.log_density(parameters)[0] == pytest.approx(float(prior.log_density(parameters)[1]))


def test_no_shear_at_all_is_known():
    prior = LogPrior(priors({}), external_shear=False)
    parameters = drawn(1)
    parameters[:, SIZE] = 0.0
    parameters = lens_coordinates.sheared(parameters)
    spread, _ = likelihood.covariance(likelihood.by_coordinates(prior.equations(parameters), parameters).information)
    assert (torch.diagonal(spread[0])[[SIZE, ANGLE]].sqrt() < 2e-9).all()
    assert spread[0, 0, 0].sqrt() == pytest.approx(0.3)


def test_the_covariance_is_the_inverse_whatever_the_units():
    rng = np.random.default_rng(2)
    root = torch.as_tensor(rng.normal(size=(3, 6, 6)))
    units = torch.tensor([1e-6, 1.0, 1e3, 1e8, 1.0, 1e-3], dtype=torch.float64)
    plain = root @ root.mT + torch.eye(6)
    found, condition = likelihood.covariance(units[:, None] * plain * units)
    torch.testing.assert_close(found * units[:, None] * units, torch.linalg.inv(plain), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(condition, likelihood.covariance(plain)[1])


def test_observed_images_are_those_with_the_noise_of_the_catalogue(tmp_path):
    clean = np.random.default_rng(0).uniform(0, 5, (4, 6, 6)).astype(np.float32)
    with h5py.File(tmp_path / "test-0000.h5", "w") as file:
        file["image"] = clean
        file.attrs["exposure"] = EXPOSURE
    rows = pd.DataFrame({"row": [3, 0], "sigma_bkg": [0.1, 2.0], "seed": [11, 12]})
    found, exposure = observed.noisy_images(tmp_path / "test-0000.h5", rows)
    assert exposure.tolist() == [EXPOSURE] * 2
    np.testing.assert_array_equal(found[0], noise(clean[3], 0.1, EXPOSURE, 11))
    np.testing.assert_array_equal(found[1], noise(clean[0], 2.0, EXPOSURE, 12))
    own, exposure = observed.noisy_images(tmp_path / "test-0000.h5", rows.assign(exposure=[EXPOSURE / 2, EXPOSURE]))
    assert exposure.tolist() == [EXPOSURE / 2, EXPOSURE]
    np.testing.assert_array_equal(own[0], noise(clean[3], 0.1, EXPOSURE / 2, 11))
    np.testing.assert_array_equal(own[1], found[1])


def test_image_files_that_are_absent_or_broken(tmp_path):
    rows = pd.DataFrame({"row": [0], "sigma_bkg": [0.1], "seed": [1]})
    with pytest.raises(LensvitError, match="no image file"):
        observed.noisy_images(tmp_path / "none.h5", rows)
    (tmp_path / "broken.h5").write_bytes(b"\0" * 99)
    with pytest.raises(LensvitError, match="broken"):
        observed.noisy_images(tmp_path / "broken.h5", rows)


def test_an_exposure_map_is_less_exposure_where_it_is_low_and_nothing_where_it_is_zero():
    model, jacobian = linear()
    truth = torch.tensor([[1.0, 2.0, 0.5, 1.5, 1.0], [0.2, 0.1, 2.0, 1.0, 0.3]], dtype=torch.float64)
    data, image = noisy(model(truth), (1, 2)), model(truth + 0.02)
    exposure_map = np.full((SIDE, SIDE), 0.5)
    exposure_map[:, :40] = 0
    mapped = Likelihood(data, SIGMA, EXPOSURE, exposure_map=exposure_map)
    short = Likelihood(data[..., 40:], SIGMA * 2**0.5, EXPOSURE / 2)
    torch.testing.assert_close(mapped.log_density(image), short.log_density(image[..., 40:]), rtol=1e-6, atol=1e-3)
    theirs = short.equations(image[..., 40:], jacobian[..., 40:])
    for one, other in zip(mapped.equations(image, jacobian), theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    residuals = mapped.residuals(image)
    assert (residuals[..., :40] == 0).all()
    torch.testing.assert_close(residuals[..., 40:], short.residuals(image[..., 40:]), rtol=1e-6, atol=1e-6)
