r"""A fitted lens in the terms of COOLEST, for exchange with other codes that model lenses.

COOLEST is the COde-independent Organized LEns STandard (Galan et al. 2023, JOSS 8, 5567;
https://coolest.readthedocs.io). A lens is a JSON file with FITS files beside it. Nothing of the package ``coolest`` is
needed to write them; the tests read them by it, and by lenstronomy.

What differs from lenstronomy's conventions, which are those of the other files of a fit:

- Both have x along columns and y along rows. An angle :math:`\phi` is counted from the y axis towards the left, in
  degrees between -90 and 90, and lenstronomy's from the x axis upwards: :math:`\phi = \psi - 90^\circ`.
- In place of two components of an ellipticity :math:`e` there are the axis ratio :math:`q = (1 - e) / (1 + e)` and the
  angle of the major axis.
- Radii are those of the intermediate axis, :math:`\sqrt{ab}`. So are lenstronomy's, for the power law as for Sérsic
  profiles, with the same approximation of the factor :math:`b_n`.
- The quasar's place in the source plane, its magnifications, the sky, and priors of two components have no place in the
  standard; they stand under ``meta``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from lensvit import __version__
from lensvit.io import files
from lensvit.lensing.structure import BULGE_INDEX, Structure
from lensvit.observations.cosmography import REFERENCE
from lensvit.observations.observation import ObservedImage
from lensvit.parameters import Prior

if TYPE_CHECKING:
    from lensvit.observations.result import LensResult

STANDARD = "0.1.11"  # version of COOLEST that the files follow
FINER = 1 - 1e-12  # of the PSF's pixels, so that the ratio of both pixels is never rounded to below a whole number
PERIOD = 180.0  # of angles [deg]
ANGLES = ("phi", "phi_ext")
INDICES = 0.5, 10.0  # least and largest Sérsic index that the standard has
LEVELS = {"median": 0.5, "percentile_16th": 0.16, "percentile_84th": 0.84}
NO_STATISTICS = dict.fromkeys(("mean", *LEVELS))
FRAME = "x along columns and y along rows of the image [arcsec], 0 in its middle"
UNITS = "fluxes are counts/s of the image, and surface brightnesses counts/s/arcsec^2"
LOGNORMAL = "mean and width of a LogNormalPrior are those of the natural logarithm"

Profiles = dict[str, dict[str, np.ndarray]]


def angle(radians: np.ndarray) -> np.ndarray:
    """COOLEST's angles, from the y axis towards the left, above -90 and up to 90 [deg].

    Parameters
    ----------
    radians
        Angles from the x axis upwards [rad].
    """
    return PERIOD / 2 - (PERIOD - np.degrees(radians)) % PERIOD


def axis_ratio_and_angle(e1: np.ndarray, e2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axis ratios and COOLEST's angles of the major axis [deg], from lenstronomy's ellipticities.

    Parameters
    ----------
    e1, e2
        Components of the ellipticity.
    """
    size = np.hypot(e1, e2)
    return (1 - size) / (1 + size), angle(np.arctan2(e2, e1) / 2)


def profiles(values: Mapping[str, np.ndarray], images: np.ndarray, structure: Structure) -> Profiles:
    """COOLEST's parameters of each profile of a scene.

    Parameters
    ----------
    values
        Name of a parameter of the scene, or of an amplitude of a galaxy, to its values (...).
    images
        Places [arcsec] and fluxes [counts/s] of the quasar's images (..., M, 3).
    structure
        What the scene is made of.

    Returns
    -------
    dict
        Name of a profile to those of its parameters and their values (...), for the quasar's images (..., M).
    """
    mass = [values[name] for name in ("center_x", "center_y", "e1", "e2")]
    light = [values[f"light_{name}"] for name in ("x", "y", "e1", "e2")] if structure.lens_shape else mass
    quasar, zero = [values["source_x"], values["source_y"]], np.zeros_like(values["theta_E"])
    offset = [values["host_x"], values["host_y"]] if structure.host_offset else [zero, zero]
    shape = [values["source_e1"], values["source_e2"]] if structure.source_shape else [zero, zero]

    def placed(x: np.ndarray, y: np.ndarray, e1: np.ndarray, e2: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(("q", "phi", "center_x", "center_y"), (*axis_ratio_and_angle(e1, e2), x, y), strict=True))

    def sersic(part: str, size: str, index: np.ndarray, *place: np.ndarray) -> dict[str, np.ndarray]:
        return {"I_eff": values[part], "theta_eff": values[size], "n": index, **placed(*place)}

    host = [quasar[0] + offset[0], quasar[1] + offset[1], *shape]
    result = {
        "lens light": sersic("lens", "R_sersic", values["n_sersic"], *light),
        "lens mass": {"theta_E": values["theta_E"], "gamma": values["gamma"], **placed(*mass)},
        "host": sersic("source", "source_R_sersic", values["source_n_sersic"], *host),
        "quasar": dict(zip(("ra_list", "dec_list", "amps"), np.moveaxis(images, -1, 0), strict=True)),
        "shear": {"gamma_ext": values["gamma_ext"], "phi_ext": angle(values["psi_ext"])},
    }
    if structure.bulge:
        result["bulge"] = sersic("bulge", "bulge_R_sersic", zero + BULGE_INDEX, *quasar, zero, zero)
    return result


def fixed(structure: Structure) -> set[tuple[str, str]]:
    """Profiles and parameters of them that no fit moves."""
    round_ones = [*(["bulge"] * structure.bulge), *(["host"] * (not structure.source_shape))]
    return {(name, key) for name in round_ones for key in ("q", "phi")} | {("bulge", "n")}


def priors(known: Mapping[str, Prior], structure: Structure) -> dict[tuple[str, str], dict[str, object]]:
    """COOLEST's priors by profile and parameter, for those whose prior is one of the standard's kinds.

    Parameters
    ----------
    known
        Priors of the parameters of the scene.
    structure
        What the scene is made of.
    """
    light = "light" if structure.lens_shape else "center"
    same = {
        ("lens light", "theta_eff"): "R_sersic", ("lens light", "n"): "n_sersic",
        ("lens light", "center_x"): f"{light}_x", ("lens light", "center_y"): f"{light}_y",
        ("lens mass", "theta_E"): "theta_E", ("lens mass", "gamma"): "gamma",
        ("lens mass", "center_x"): "center_x", ("lens mass", "center_y"): "center_y",
        ("host", "theta_eff"): "source_R_sersic", ("host", "n"): "source_n_sersic",
        ("bulge", "theta_eff"): "bulge_R_sersic", ("bulge", "center_x"): "source_x",
        ("bulge", "center_y"): "source_y",
    }  # fmt: skip
    found = {place: _prior(known[name]) for place, name in same.items() if name in known}
    for axis in "xy":
        both = [known[f"source_{axis}"], *([known[f"host_{axis}"]] * structure.host_offset)]
        found["host", f"center_{axis}"] = _sum(both)
    shapes = {"lens mass": ("e1", "e2"), "lens light": ("light_e1", "light_e2"), "host": ("source_e1", "source_e2")}
    if not structure.lens_shape:
        shapes["lens light"] = shapes["lens mass"]
    turn: dict[str, object] = {"type": "UniformPrior", "min_value": -PERIOD / 2, "max_value": PERIOD / 2}
    for name, components in shapes.items():
        first, second = (known[component] for component in components)
        if first == second and first.kind == "normal" and first.mean == 0 and _unbounded(first):
            found[name, "phi"] = turn  # no direction is preferred
    direction = known["psi_ext"]
    if direction.kind == "uniform" and direction.low is not None and direction.high is not None:
        width = direction.high - direction.low
        found["shear", "phi_ext"] = turn if width >= np.pi else None
    held = fixed(structure)
    return {place: prior for place, prior in found.items() if prior is not None and place not in held}


def _unbounded(prior: Prior) -> bool:
    return prior.low is None and prior.high is None


def _prior(prior: Prior) -> dict[str, object] | None:
    """One prior; None for a kind that COOLEST lacks."""
    if prior.kind == "uniform":
        return {"type": "UniformPrior", "min_value": prior.low, "max_value": prior.high}
    if prior.mean is None or not _unbounded(prior):
        return None
    if prior.kind == "normal":
        return {"type": "GaussianPrior", "mean": prior.mean, "width": prior.sd}
    if prior.kind == "lognormal":
        return {"type": "LogNormalPrior", "mean": float(np.log(prior.mean)), "width": prior.sd}
    return None


def _sum(terms: list[Prior]) -> dict[str, object] | None:
    """The prior of a sum of independent parameters, where all are normal."""
    if not all(prior.kind == "normal" and _unbounded(prior) for prior in terms):
        return None
    mean = sum(prior.mean for prior in terms if prior.mean is not None)
    width = float(np.sqrt(sum(prior.sd**2 for prior in terms if prior.sd is not None)))
    return {"type": "GaussianPrior", "mean": mean, "width": width}


def template(result: LensResult) -> dict[str, Any]:
    """All that COOLEST says of a fitted lens, as its JSON file has it.

    Parameters
    ----------
    result
        A fitted lens; its first image is the observation.
    """
    fit, seen = result.fit, result.images
    image, structure = fit.observation.images[0], fit.posterior.parts.structure
    _, solution = fit.posterior.solution(fit.coordinates)
    amplitudes = dict(zip(fit.posterior.parts.names, solution.amplitudes.tolist(), strict=True))
    best = {name: np.array(value) for name, value in (fit.parameters | amplitudes).items()}
    point = profiles(best, seen[["x", "y", "flux"]].to_numpy(), structure)
    draws = None if result.sample is None else _draws(result)
    known, held = priors(fit.prior, structure), fixed(structure)

    def parameter(name: str, key: str) -> dict[str, object]:
        value, still = point[name][key], (name, key) in held
        return {
            "fixed": still,
            "point_estimate": {"value": value.tolist()},
            "posterior_stats": NO_STATISTICS if draws is None or still else statistics(key, draws[name][key], value),
            "prior": known.get((name, key), {"type": None}),
        }

    def model(kind: str, wanted: Mapping[str, str]) -> list[dict[str, object]]:
        found = list[dict[str, object]]()
        for place, (name, profile) in enumerate(wanted.items()):
            path = f"{kind}-{place}-{profile}"
            parameters = {key: {"id": f"{path}-{key}", **parameter(name, key)} for key in point[name]}
            found.append({"id": path, "parameters": parameters, "type": profile})
        return found

    source = {"host": "Sersic", **({"bulge": "Sersic"} if structure.bulge else {}), "quasar": "LensedPS"}
    redshifts = result.redshifts
    entities = [
        {
            "type": "Galaxy", "name": "lens galaxy", "redshift": redshifts.lens,
            "light_model": model("0-galaxy-light", {"lens light": "Sersic"}),
            "mass_model": model("0-galaxy-mass", {"lens mass": "PEMD"}),
        },
        {
            "type": "Galaxy", "name": "quasar and its host galaxy", "redshift": redshifts.source,
            "light_model": model("1-galaxy-light", source), "mass_model": [],
        },
        {
            "type": "MassField", "name": "external shear", "redshift": redshifts.lens,
            "mass_model": model("2-massfield-mass", {"shear": "ExternalShear"}),
        },
    ]  # fmt: skip
    name, side = fit.observation.name, len(image.data)
    fine = FINER * image.pixel_scale / image.oversampling
    place = SkyCoord(*((0.0, 0.0) if image.sky is None else image.sky[:2]), unit="deg").to_string("hmsdms")
    return {
        "standard": "COOLEST",
        "mode": "MAP",
        "coordinates_origin": dict(zip(("ra", "dec"), place.split(" "), strict=True)),
        "cosmology": {
            "astropy_name": "FlatLambdaCDM",
            "H0": REFERENCE if result.hubble is None else result.hubble.h0,
            "Om0": redshifts.omega_m,
        },
        "instrument": {
            "name": "", "band": "", "pixel_size": image.pixel_scale, "readout_noise": None,
            "psf": {
                "type": "PixelatedPSF", "description": "the PSF of the fit",
                "pixels": _grid(f"{name}_coolest_psf.fits", len(image.kernel), fine),
            },
        },
        "observation": {
            "pixels": _grid(f"{name}_model.fits", side, image.pixel_scale),
            "exposure_time": image.exposure_time, "mag_zero_point": None, "mag_sky_brightness": None,
            "noise": {
                "type": "NoiseMap",
                "noise_map": _grid(f"{name}_coolest_noise.fits", side, image.pixel_scale),
            },
        },
        "lensing_entities": entities,
        "likelihoods": None,
        "meta": _meta(result, amplitudes) | {"beyond": _beyond(point)},
    }  # fmt: skip


def _draws(result: LensResult) -> Profiles:
    """COOLEST's parameters of each profile in all draws of the posterior."""
    assert result.sample is not None
    parts, sample = result.fit.posterior.parts, result.sample
    columns = dict(zip(result.fit.names, sample.parameters.T, strict=True))
    amplitudes = dict(zip(parts.names[: sample.amplitudes.shape[1]], sample.amplitudes.T, strict=True))
    return profiles(columns | amplitudes, sample.images, parts.structure)


def statistics(key: str, draws: np.ndarray, best: np.ndarray) -> dict[str, object]:
    """Mean and quantiles of draws (S, ...) of a parameter; null where a draw is not finite, or has other images.

    Angles are those within 90 degrees of the most probable one, whether or not they are beyond 90 degrees.

    Parameters
    ----------
    key
        COOLEST's name of the parameter.
    draws
        Its draws (S, ...).
    best
        Its most probable value (...).
    """
    if draws.shape[1:] != best.shape or not np.isfinite(draws).all():
        return NO_STATISTICS
    if key in ANGLES:
        draws = (draws - best + PERIOD / 2) % PERIOD + best - PERIOD / 2
    quantiles = {name: np.quantile(draws, level, axis=0).tolist() for name, level in LEVELS.items()}
    return {"mean": draws.mean(0).tolist(), **quantiles}


def _grid(path: str, count: int, size: float) -> dict[str, object]:
    """A square of pixels of some size [arcsec] around the origin, in a FITS file."""
    field = [-count * size / 2, count * size / 2]
    return {
        "fits_file": {"path": path}, "field_of_view_x": field, "field_of_view_y": field, "num_pix_x": count,
        "num_pix_y": count,
    }  # fmt: skip


def _beyond(point: Profiles) -> list[str]:
    """What the standard does not allow, in sentences; the package ``coolest`` refuses a file with such a value."""
    return [
        f"the Sersic index of the {name} is {parameters['n']:.2f}, and COOLEST has those from {INDICES[0]:g} to "
        f"{INDICES[1]:g} alone"
        for name, parameters in point.items()
        if "n" in parameters and not INDICES[0] <= parameters["n"] <= INDICES[1]
    ]


def _meta(result: LensResult, amplitudes: Mapping[str, float]) -> dict[str, object]:
    """What the standard has no place for."""
    fit = result.fit
    image = fit.observation.images[0]
    cosmology = "H0 is a convention; nothing that was fitted depends on it"
    if result.hubble is not None:
        cosmology = f"H0 is the mean of its posterior by time delays, +- {result.hubble.h0_sigma:.2g}"
    return {
        "coolest.__version__": STANDARD,
        "lensvit": __version__,
        "name": fit.observation.name,
        "frame": FRAME,
        "flux": UNITS,
        "lognormal": LOGNORMAL,
        "cosmology": cosmology,
        "sky": None if image.sky is None else image.sky._asdict(),
        "exposures": len(fit.observation.images),
        "quasar": {
            "source_x": fit.parameters["source_x"],
            "source_y": fit.parameters["source_y"],
            "magnification": result.images["magnification"].tolist(),
        },
        "background": amplitudes.get("sky_1"),
        "priors": {
            name: {key: value for key, value in vars(fit.prior[name]).items() if value is not None}
            for name in fit.names
        },
        "verdict": result.verdict,
    }


def _finite(value: Any) -> Any:
    """The same with null in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_coolest(result: LensResult, folder: Path) -> list[Path]:
    """Write {name}_coolest.json, and the PSF and the noise that it names; the image is that of {name}_model.fits.

    Parameters
    ----------
    result
        A fitted lens.
    folder
        Where to; it is there.

    Returns
    -------
    list[Path]
        The files.
    """
    image: ObservedImage = result.fit.observation.images[0]
    stem = f"{result.fit.observation.name}_coolest"
    written = [Path(folder) / f"{stem}{end}" for end in (".json", "_psf.fits", "_noise.fits")]
    text = json.dumps(_finite(template(result)), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with files.atomic(written[0]) as temporary:
        temporary.write_text(text)
    scales = image.pixel_scale / image.oversampling, image.pixel_scale
    for path, plane, scale in zip(written[1:], (image.kernel, np.sqrt(image.variance)), scales, strict=True):
        unit = fits.PrimaryHDU(plane)
        unit.header["PIXSCALE"] = (scale, "side of a pixel [arcsec]")
        with files.atomic(path) as temporary:
            unit.writeto(temporary, overwrite=True)
    return written
