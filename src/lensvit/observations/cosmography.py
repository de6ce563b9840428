r"""Time-delay distance and Hubble constant of an observed lens.

With :math:`\Delta\phi_{ij}` the Fermat potential differences of a model, measured delays :math:`t_{ij}` give the
time-delay distance,

.. math:: t_{ij} = \frac{D_{\Delta t}}{c} \Delta\phi_{ij}, \qquad
    D_{\Delta t} = (1 + z_l) \frac{D_l D_s}{D_{ls}} \propto \frac{1}{H_0}

(Refsdal 1964, MNRAS 128, 307; Suyu et al. 2010, ApJ 711, 201). Each draw of the lens is weighted by how well its delays
agree with those measured, for a Hubble constant that is anywhere between 0 and 150 km/s/Mpc with equal probability.

A sheet of mass in front of the lens, or a mass that is no power law within it, changes :math:`H_0` by
:math:`1 - \kappa_\mathrm{ext}` and leaves the images as they are (Falco et al. 1985, ApJ 289, L1). No image
tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from scipy.stats import chi2

from lensvit.errors import LensvitError
from lensvit.inference.delays import fermat_potentials
from lensvit.io import files
from lensvit.parameters import NAMES

ARCSEC = np.pi / 180 / 3600
LIGHT = 299_792.458  # speed of light [km/s]
MPC, DAY = 3.0856775814913673e19, 86_400.0  # [km], [s]
REFERENCE = 70.0  # H0 of the distances that are scaled [km/s/Mpc]
LARGEST = 150.0  # H0 that the prior ends at [km/s/Mpc]
CREDIBLE = 20.0, 145.0  # H0 outside of which delays are not in days, or their signs or images are mixed up
UNLIKELY = 1e-5  # probability of a chi^2 of the delays from which on the lens does not explain them
CAVEAT = (
    "H0 holds for a power law with shear and no mass along the line of sight; an external convergence kappa multiplies "
    "it by 1 - kappa, and a profile that is no power law acts likewise (mass-sheet degeneracy)."
)


class Delays(NamedTuple):
    """Measured time delays and what is known of the distances.

    Parameters
    ----------
    images
        Positions (M, 2) of the images that were monitored [arcsec].
    days
        Delays (M - 1,) of the others behind the first one [day].
    errors
        Their standard deviations (M - 1,) [day].
    lens_redshift
        Redshift of the lens.
    source_redshift
        Redshift of the quasar.
    omega_m
        Matter density of a flat LambdaCDM cosmology.
    """

    images: np.ndarray
    days: np.ndarray
    errors: np.ndarray
    lens_redshift: float
    source_redshift: float
    omega_m: float = 0.3

    def checked(self) -> Delays:
        """The same, if they are possible.

        Raises
        ------
        LensvitError
            If numbers do not belong together or are not possible.
        """
        Redshifts(self.lens_redshift, self.source_redshift, self.omega_m).checked()
        images, days, errors = (np.asarray(value, dtype=float) for value in self[:3])
        if images.ndim != 2 or images.shape[1] != 2 or len(images) < 2 or not np.isfinite(images).all():
            raise LensvitError("images with delays have x and y each [arcsec], and are two at least")
        if not (days.ndim == errors.ndim == 1 and len(images) == len(days) + 1 == len(errors) + 1):
            raise LensvitError(
                f"{len(images)} images, {days.size} delays and {errors.size} errors: give a delay and an error for "
                "each image but the first"
            )
        if not (np.isfinite(days).all() and np.isfinite(errors).all() and (errors > 0).all()):
            raise LensvitError("delays are finite and their errors above 0 [day]")
        return self._replace(images=images, days=days, errors=errors)


def expected_delays(
    parameters: np.ndarray, images: np.ndarray, h0: float, lens_redshift: float, source_redshift: float,
    omega_m: float = 0.3,
) -> np.ndarray:  # fmt: skip
    """Delays (M - 1,) of the images of a known lens behind the first one [day].

    Parameters
    ----------
    parameters
        Parameters (14,) of the lens, in the order of :data:`lensvit.parameters.NAMES`.
    images
        Positions (M, 2) of the images [arcsec].
    h0
        Hubble constant [km/s/Mpc].
    lens_redshift, source_redshift
        Redshifts of lens and quasar.
    omega_m
        Matter density of a flat LambdaCDM cosmology.

    Raises
    ------
    LensvitError
        If the redshifts are not possible.
    """
    Redshifts(lens_redshift, source_redshift, omega_m).checked()
    source = parameters[None, [NAMES.index("source_x"), NAMES.index("source_y")]]
    [potentials] = fermat_potentials(parameters[None], images, source)
    distance = time_delay_distance(h0, lens_redshift, source_redshift, omega_m)
    return (potentials[1:] - potentials[0]) * ARCSEC**2 * MPC / LIGHT / DAY * distance


def read_delays(path: Path) -> Delays:
    """Measured delays in a JSON file with the keys of :class:`Delays`.

    Raises
    ------
    LensvitError
        If the file is absent or broken, or lacks a key.
    """
    keys = ("images", "days", "errors", "lens_redshift", "source_redshift")
    content = files.read_json(path, *keys, kind="file of delays", remedy="give another one")
    with files.reading(path, "file of delays", "give another one"):
        images, days, errors = (np.array(content[key], dtype=float) for key in keys[:3])
        lens, source, density = (float(content.get(key, 0.3)) for key in (*keys[3:], "omega_m"))
        if images.ndim != 2 or images.shape[1] != 2:
            raise ValueError("its images are no pairs of x and y")
        delays = Delays(images, days, errors, lens, source, density)
    try:
        return delays.checked()
    except LensvitError as error:
        raise LensvitError(f"{path}: {error}") from error


class Redshifts(NamedTuple):
    """Redshifts of a lens, and the cosmology that goes with them.

    Parameters
    ----------
    lens
        Redshift of the lens; None if it is not known.
    source
        Redshift of the quasar; None if it is not known.
    omega_m
        Matter density of a flat LambdaCDM cosmology.
    """

    lens: float | None = None
    source: float | None = None
    omega_m: float = 0.3

    def checked(self) -> Redshifts:
        """The same, if they are possible.

        Raises
        ------
        LensvitError
            If a redshift or the matter density is not possible, or the quasar does not lie behind the lens.
        """
        for name, value in (("lens", self.lens), ("quasar", self.source)):
            if value is not None and not (isinstance(value, Real) and np.isfinite(value) and value > 0):
                said = f"{value:g}" if isinstance(value, Real) else repr(value)
                raise LensvitError(f"a redshift of {said} for the {name}: give a number above 0")
        if self.lens is not None and self.source is not None and self.lens >= self.source:
            raise LensvitError(
                f"redshifts of {self.lens:g} for the lens and {self.source:g} for the quasar: the quasar lies behind "
                "the lens"
            )
        if not 0 < self.omega_m <= 1:
            raise LensvitError(f"a matter density of {self.omega_m:g} is not between 0 and 1")
        return self


class Hubble(NamedTuple):
    """What delays say.

    Parameters
    ----------
    h0, h0_sigma
        Mean and standard deviation of the Hubble constant [km/s/Mpc].
    h0_low, h0_high
        16% and 84% quantiles.
    distance, distance_sigma
        Mean and standard deviation of the time-delay distance [Mpc].
    chi_square
        Least chi^2 of the delays over all draws.
    """

    h0: float
    h0_sigma: float
    h0_low: float
    h0_high: float
    distance: float
    distance_sigma: float
    chi_square: float


def time_delay_distance(h0: float, lens_redshift: float, source_redshift: float, omega_m: float) -> float:
    """Time-delay distance of a flat LambdaCDM cosmology [Mpc].

    Raises
    ------
    LensvitError
        If the source does not lie behind the lens, or a number is not possible.
    """
    Redshifts(lens_redshift, source_redshift, omega_m).checked()
    cosmology = FlatLambdaCDM(H0=h0, Om0=omega_m)
    lens, source = (float(cosmology.angular_diameter_distance(z).value) for z in (lens_redshift, source_redshift))
    between = float(cosmology.angular_diameter_distance(lens_redshift, source_redshift).value)
    return (1 + lens_redshift) * lens * source / between


def hubble(parameters: np.ndarray, delays: Delays) -> Hubble:
    """The Hubble constant from draws of a lens and measured delays.

    Parameters
    ----------
    parameters
        Parameters (S, 14) of draws of the posterior of the lens, in the order of :data:`lensvit.parameters.NAMES`.
    delays
        The measured delays.

    Raises
    ------
    LensvitError
        If delays and images do not belong together, or redshifts are not possible.
    """
    delays = delays.checked()
    reference = time_delay_distance(REFERENCE, delays.lens_redshift, delays.source_redshift, delays.omega_m)
    potentials = fermat_potentials(parameters, delays.images)
    per_mpc = (potentials[:, 1:] - potentials[:, :1]) * ARCSEC**2 * MPC / LIGHT / DAY  # days for each Mpc, (S, M - 1)
    expected = per_mpc * reference * REFERENCE  # days times H0
    # the delays are linear in x = 1 / H0, and normal; the prior of H0 is flat
    precision = delays.errors**-2.0
    information = (expected**2 * precision).sum(1)
    best = (expected * precision * delays.days).sum(1) / information
    chi_square = (precision * (delays.days - expected * best[:, None]) ** 2).sum(1)
    grid = np.linspace(LARGEST / 3000, LARGEST, 3000)
    logs = -(chi_square[:, None] + information[:, None] * (1 / grid - best[:, None]) ** 2) / 2  # (S, G)
    logs = np.where(np.isfinite(logs), logs, -np.inf)
    weights = np.exp(logs - logs.max()).sum(0)
    weights /= weights.sum()
    mean = float(weights @ grid)
    levels = np.interp([0.16, 0.84], np.cumsum(weights), grid)
    distances = reference * REFERENCE / grid
    distance = float(weights @ distances)
    return Hubble(
        mean,
        float(np.sqrt(weights @ (grid - mean) ** 2)),
        float(levels[0]),
        float(levels[1]),
        distance,
        float(np.sqrt(weights @ (distances - distance) ** 2)),
        float(np.nanmin(chi_square)),
    )


def doubts(value: Hubble, count: int) -> list[str]:
    """What speaks against a Hubble constant from so many delays, in sentences.

    Parameters
    ----------
    value
        The Hubble constant.
    count
        Number of the delays.
    """
    result, (low, high) = list[str](), CREDIBLE
    if not low < value.h0 < high:
        result.append(
            f"H0 lies at {value.h0:.0f} km/s/Mpc, where no measurement has it (the prior ends at {LARGEST:.0f}): are "
            "the delays in days, with the sign of each image behind the first one, and in the order of the images?"
        )
    if chi2.sf(value.chi_square, count) < UNLIKELY:
        result.append(
            f"No draw of the posterior explains the delays (chi^2 {value.chi_square:.3g} for {count}): do they belong "
            "to these images in this order, and are their errors right?"
        )
    return result


def as_dict(value: Hubble, delays: Delays) -> Mapping[str, object]:
    """The result as it is written, with the cosmology and the caveat."""
    return {
        **value._asdict(),
        "unit": "km/s/Mpc",
        "cosmology": f"flat LambdaCDM, Omega_m = {delays.omega_m:g}",
        "lens_redshift": delays.lens_redshift,
        "source_redshift": delays.source_redshift,
        "caveat": CAVEAT,
    }
