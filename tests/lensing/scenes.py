"""Scenes with free amplitudes, for tests: parameters, parts and what lenstronomy makes of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lensvit.inference.following import solve_quasar_images
from lensvit.lensing.exposure import Exposure
from lensvit.lensing.parts import Parts
from lensvit.lensing.structure import BULGE_INDEX, LOGARITHMS, Structure
from lensvit.parameters import NAMES

VALUES = {
    "theta_E": 1.1, "gamma": 2.1, "center_x": 0.02, "center_y": -0.01, "e1": 0.1, "e2": -0.05, "R_sersic": 0.8,
    "n_sersic": 3.0, "gamma_ext": 0.05, "psi_ext": 0.7, "source_x": 0.05, "source_y": -0.08, "source_R_sersic": 0.3,
    "source_n_sersic": 1.5, "light_x": 0.01, "light_y": 0.0, "light_e1": 0.1, "light_e2": 0.05, "source_e1": 0.2,
    "source_e2": -0.1, "host_x": 0.03, "host_y": -0.02, "bulge_R_sersic": 0.06,
}  # fmt: skip


def gaussian(side: int, sigma: float) -> np.ndarray:
    """A round PSF (side, side) with a standard deviation in pixels, 0 at its border."""
    offset = np.arange(side) - side // 2
    kernel = np.exp(-(offset**2 + offset[:, None] ** 2) / (2 * sigma**2))
    kernel[[0, -1]] = kernel[:, [0, -1]] = 0
    return kernel / kernel.sum()


def drawn(random: np.random.Generator) -> dict[str, float]:
    """Values like those of :data:`VALUES`, of another lens."""
    values = dict(VALUES)
    values |= {
        "theta_E": random.uniform(0.7, 1.5), "gamma": random.uniform(1.8, 2.3), "n_sersic": random.uniform(1, 4),
        "gamma_ext": random.uniform(0, 0.1), "psi_ext": random.uniform(0, np.pi),
        "source_n_sersic": random.uniform(0.6, 3),
        "R_sersic": random.uniform(0.5, 1.5), "source_R_sersic": random.uniform(0.1, 0.5),
    }  # fmt: skip
    for name in ("e1", "e2", "light_e1", "light_e2", "source_e1", "source_e2"):
        values[name] = random.uniform(-0.3, 0.3)
    for name in ("center_x", "center_y", "light_x", "light_y", "source_x", "source_y", "host_x", "host_y"):
        values[name] = random.uniform(-0.08, 0.08)
    return values


def parameters(values: dict[str, float], structure: Structure) -> Tensor:
    """Parameters (1, P) as a structure has them."""
    row = [np.log(values[name]) if name in LOGARITHMS else values[name] for name in structure.names]
    return torch.tensor([row], dtype=torch.float64)


def images(parts: Parts, of: Tensor) -> Tensor:
    """Images (1, K, N) of the parts with the quasar images of the lens equation."""
    position, magnification, solved = solve_quasar_images(of[:, : len(NAMES)], parts.structure.most_images)
    assert solved.all()
    return parts.images(of, position, magnification)


class Lenstronomy:
    """The same scene by lenstronomy, with all amplitudes linear.

    Parameters
    ----------
    values
        Parameters by name, of all that a structure can have.
    exposure
        Pixels and PSF, at the PSF's own sampling.
    structure
        What the scene is made of.
    data
        Noisy image (n, n).
    sigma
        Standard deviation of the noise (n, n).
    """

    def __init__(
        self, values: dict[str, float], exposure: Exposure, structure: Structure, data: np.ndarray, sigma: np.ndarray
    ) -> None:
        from lenstronomy.Data.imaging_data import ImageData
        from lenstronomy.Data.psf import PSF
        from lenstronomy.ImSim.image_linear_solve import ImageLinearFit
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel
        from lenstronomy.PointSource.point_source import PointSource

        start = -(exposure.pixels - 1) / 2 * exposure.pixel_scale
        pixels = ImageData(
            image_data=data, noise_map=sigma, background_rms=None, exposure_time=None, ra_at_xy_0=start,
            dec_at_xy_0=start,
            transform_pix2angle=np.eye(2) * exposure.pixel_scale,
        )  # fmt: skip
        sources = ["SERSIC_ELLIPSE"] * (1 + structure.bulge)
        self.model = ImageLinearFit(
            pixels,
            PSF(psf_type="PIXEL", kernel_point_source=exposure.kernel, kernel_point_source_normalisation=False),
            LensModel(["EPL", "SHEAR_GAMMA_PSI"]),
            LightModel(sources),
            LightModel(["SERSIC_ELLIPSE"]),
            PointSource(["LENSED_POSITION"], fixed_magnification_list=[not structure.quasar_fluxes]),
            kwargs_numerics={"supersampling_factor": exposure.supersampling, "compute_mode": "regular"},
        )
        mass = {name: values[name] for name in ("theta_E", "gamma", "e1", "e2", "center_x", "center_y")}
        shear = {"gamma_ext": values["gamma_ext"], "psi_ext": values["psi_ext"]}
        host = {
            "R_sersic": values["source_R_sersic"], "n_sersic": values["source_n_sersic"], "e1": values["source_e1"],
            "e2": values["source_e2"], "center_x": values["source_x"] + values["host_x"],
            "center_y": values["source_y"] + values["host_y"], "amp": 1.0,
        }  # fmt: skip
        bulge = {
            "R_sersic": values["bulge_R_sersic"], "n_sersic": BULGE_INDEX, "e1": 0.0, "e2": 0.0,
            "center_x": values["source_x"], "center_y": values["source_y"], "amp": 1.0,
        }  # fmt: skip
        light = {
            "R_sersic": values["R_sersic"], "n_sersic": values["n_sersic"], "e1": values["light_e1"],
            "e2": values["light_e2"], "center_x": values["light_x"], "center_y": values["light_y"], "amp": 1.0,
        }  # fmt: skip
        row = parameters(values, Structure())[:, : len(NAMES)]
        position, magnification, _ = solve_quasar_images(row, structure.most_images)
        present = magnification[0] != 0
        x, y = position[0, present].numpy().T
        self.present = present
        self.kwargs = {
            "kwargs_lens": [mass, shear],
            "kwargs_source": [host] + [bulge] * structure.bulge,
            "kwargs_lens_light": [light],
            "kwargs_ps": [{"ra_image": x, "dec_image": y, "point_amp": np.ones(len(x))}],
        }
