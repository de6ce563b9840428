"""What can be said of priors before any image is computed: whether targets vary, and whether systems can be imaged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lensvit.lensing.structure import FLATTEST, LENS_SHAPE, SOURCE_SHAPE
from lensvit.parameters import TABLE, TARGET_NAMES, Prior

DRAWS = 400  # draws by which a prior is judged
CONSTANT = 1e-6  # a target is a constant if its draws have this standard deviation or less, in the target's unit


def check_targets_vary(priors: Mapping[str, Prior]) -> None:
    """Check that no target is a constant: a network has nothing to learn there, and its errors have no scale.

    Parameters
    ----------
    priors
        Name to prior of all parameters.

    Raises
    ------
    ValueError
        If the draws of a target are all the same.
    """
    for name in TARGET_NAMES:
        values = priors[name].draws(np.random.default_rng(0), DRAWS)
        with np.errstate(all="ignore"):
            constant = np.std(values) <= CONSTANT
        if constant:
            raise ValueError(
                f"priors.{name}: is {values[0]:.4g} in all systems, but a target must vary, as networks are trained "
                "and scored by its scatter: widen its prior"
            )


def outside_bounds(parameters: Mapping[str, float]) -> str | None:
    """Why the parameters of a system lie beyond what can be imaged, or None; see the table of parameters.

    Parameters
    ----------
    parameters
        The parameters by name: the 14, and those that a free scene has beside them.
    """
    reasons = (TABLE[name].outside(value) for name, value in parameters.items())
    for first, second in (LENS_SHAPE[2:], SOURCE_SHAPE):
        size = np.hypot(parameters.get(first, 0.0), parameters.get(second, 0.0))
        if size >= FLATTEST:
            return f"{first} and {second} make an ellipticity of {size:.4g}, which is not below {FLATTEST:g}"
    return next((reason for reason in reasons if reason is not None), None)


def share_imaged(priors: Mapping[str, Prior], side: float) -> tuple[float, str]:
    """The share of systems that can be imaged, and why one cannot, from draws of the parameters alone.

    A system cannot be imaged if a parameter is beyond its bounds, or if all quasar images are outside of the image.
    These are taken to be no farther from the Einstein ring than the source is from the lens, as in an isothermal
    sphere. Ellipticity and shear stretch the ring.

    Parameters
    ----------
    priors
        Name to prior of all parameters.
    side
        Side of the image [arcsec].

    Returns
    -------
    tuple[float, str]
        The share, and the reason of the last draw that fails ("" if none does).
    """
    rng = np.random.default_rng(0)
    columns = {name: prior.draws(rng, DRAWS) for name, prior in priors.items()}
    failed, reason = 0, ""
    for row in range(DRAWS):
        system = {name: float(values[row]) for name, values in columns.items()}
        why = outside_bounds(system) or _not_in_view(system, side)
        failed, reason = failed + (why is not None), why or reason
    return 1 - failed / DRAWS, reason


def _not_in_view(system: Mapping[str, float], side: float) -> str | None:
    """Why no quasar image of a system can fall into an image around the origin, or None."""
    flat = float(np.hypot(system["e1"], system["e2"]))
    if flat >= 1:
        return f"|e| = {flat:.4g} is not below 1"
    x, y = abs(system["center_x"]), abs(system["center_y"])
    offset = np.hypot(system["source_x"] - system["center_x"], system["source_y"] - system["center_y"])
    stretch = np.sqrt((1 + flat) / (1 - flat)) / (1 - system["gamma_ext"])  # of the ring into an ellipse, at most
    corner = np.hypot(x + side / 2, y + side / 2)  # distances from the centre of mass
    edge = np.hypot(max(x - side / 2, 0), max(y - side / 2, 0))
    if abs(system["theta_E"] - offset) / stretch > corner or (system["theta_E"] + offset) * stretch < edge:
        return (
            f"with theta_E of {system['theta_E']:.4g} arcsec and a quasar {offset:.4g} arcsec off the lens no quasar "
            f"image lies within {side:g} arcsec"
        )
    return None


def in_view(x: np.ndarray, y: np.ndarray, side: float) -> np.ndarray:
    """Which positions (n,) [arcsec] lie in an image around the origin, of this side [arcsec]."""
    return np.maximum(np.abs(x), np.abs(y)) <= side / 2
