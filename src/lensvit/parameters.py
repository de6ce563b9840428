"""The one table of parameters: names, LaTeX labels, units, bounds, priors, and which are targets.

Names are lenstronomy's. The priors are those of the authors' notebook (Huang et al. 2022,
https://github.com/kuanweih/strong_lensing_vit_resnet); a config changes them under
``priors``. The bounds are those of the numbers that both engines can image, and in which fits and chains move. They are
generous: a mass of slope 1 is a sheet and one of slope 3 a point, a shear of 1 images nothing, and a negative Einstein
radius, effective radius or Sérsic index is no galaxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prior:
    """A one-dimensional prior; values outside [low, high] are set to the bound, as the paper does.

    Parameters
    ----------
    kind
        "normal", "uniform", "lognormal", or for the size of a shear "rayleigh": its two components are normal about 0,
        with the standard deviation ``sd`` each.
    mean
        Mean of a normal prior before the bounds, or median of a lognormal one, in the parameter's unit.
    sd
        Standard deviation of a normal prior before the bounds, in the parameter's unit; of a lognormal one that of the
        natural logarithm.
    low
        Floor of a normal prior, None for none; lower limit of a uniform prior.
    high
        Ceiling of a normal prior, None for none; upper limit of a uniform prior.
    """

    kind: str
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None

    def draw(self, rng: np.random.Generator) -> float:
        """One value, in the parameter's unit."""
        return float(self.draws(rng, 1)[0])

    def draws(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Independent values, (count,)."""
        if self.kind == "uniform":
            assert self.low is not None and self.high is not None  # as the config's schema checks
            return rng.uniform(self.low, self.high, count)
        if self.kind == "rayleigh":
            assert self.sd is not None
            return rng.rayleigh(self.sd, count)
        assert self.mean is not None and self.sd is not None
        if self.kind == "lognormal":
            return self.mean * np.exp(rng.normal(0.0, self.sd, count))
        lower = -np.inf if self.low is None else self.low
        upper = np.inf if self.high is None else self.high
        return np.clip(rng.normal(self.mean, self.sd, count), lower, upper)


def normal(mean: float, sd: float, low: float | None = None, high: float | None = None) -> Prior:
    """A normal prior with an optional floor and ceiling."""
    return Prior("normal", mean, sd, low, high)


def uniform(low: float, high: float) -> Prior:
    """A uniform prior."""
    return Prior("uniform", low=low, high=high)


def lognormal(median: float, sd: float) -> Prior:
    """A prior that is normal in the natural logarithm, with a standard deviation there."""
    return Prior("lognormal", median, sd)


def rayleigh(sd: float) -> Prior:
    """The prior of the size of a vector whose two components are normal about 0 with a standard deviation each."""
    return Prior("rayleigh", sd=sd)


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Parameters
    ----------
    name
        lenstronomy's name, which is the column of the catalogue.
    label
        LaTeX, without dollar signs.
    unit
        The unit as printed, "" where there is none.
    description
        One line of prose.
    low
        Least value of which images can be computed, in the parameter's unit.
    high
        Largest value of which images can be computed.
    prior
        The paper's prior.
    target
        Whether the networks predict the parameter.
    """

    name: str
    label: str
    unit: str
    description: str
    low: float
    high: float
    prior: Prior
    target: bool = False

    def check(self, prior: Prior) -> None:
        """Check that a prior has the numbers that its kind needs, in their order, and within the parameter's bounds.

        The tail of a normal prior may reach beyond them: what is drawn there is drawn again.

        Parameters
        ----------
        prior
            A whole prior of this parameter.

        Raises
        ------
        ValueError
            With one line that says what is so.
        """
        if prior.low is not None and prior.high is not None and prior.low > prior.high:
            raise ValueError(f"low {prior.low} lies above high {prior.high}")
        if prior.kind == "uniform":
            numbers = {"low": prior.low, "high": prior.high}
            for name in ("mean", "sd"):
                if getattr(prior, name) is not None:
                    raise ValueError(f"a uniform prior has no {name}; give low and high, or kind: normal")
        else:
            numbers = {"mean": prior.mean, "sd": prior.sd}
        if prior.kind == "rayleigh":
            if self.name != "gamma_ext":
                raise ValueError("a rayleigh prior is one of gamma_ext alone, whose two components are normal")
            numbers = {"sd": prior.sd}
        if None in numbers.values():
            raise ValueError(f"a {prior.kind} prior needs {' and '.join(numbers)}")
        if prior.kind in ("lognormal", "rayleigh") and (prior.low, prior.high) != (None, None):
            raise ValueError(f"a {prior.kind} prior has neither low nor high")
        if prior.kind == "lognormal" and not (prior.mean is not None and prior.mean > 0):
            raise ValueError(f"mean {prior.mean:g}: the median of a lognormal prior lies above 0")
        for name, value in {**numbers, "low": prior.low, "high": prior.high}.items():
            if name != "sd" and value is not None and not self.low <= value <= self.high:
                raise ValueError(f"{name} {value:g}: {self.description} is possible from {self._range()} alone")

    def outside(self, value: float) -> str | None:
        """Why a value cannot be imaged, or None if it lies within the bounds.

        Parameters
        ----------
        value
            A value in the parameter's unit.
        """
        return None if self.low <= value <= self.high else f"{self.name} {value:.4g} is not in {self._range()}"

    def _range(self) -> str:
        """The bounds, as printed."""
        return f"{self.low:.4g} to {self.high:.4g} {self.unit}".rstrip()


def leading_targets(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The targets of a table, which must be its first rows: arrays by parameter begin with the columns of the targets.

    Parameters
    ----------
    parameters
        Rows of the table, in their order.

    Raises
    ------
    ValueError
        If another parameter stands before a target.
    """
    targets = tuple(parameter for parameter in parameters if parameter.target)
    if targets != tuple(parameters[: len(targets)]):
        raise ValueError("the targets must be the first parameters of the table")
    return targets


PARAMETERS = (
    Parameter("theta_E", r"\theta_\mathrm{E}", "arcsec", "Einstein radius", 0.02, 60.0, normal(1.25, 0.3, 0.1), True),
    Parameter("gamma", r"\gamma'", "", "radial power-law slope of the mass", 1.1, 2.9, normal(2.0, 0.2, 1.85), True),
    Parameter(
        "center_x", r"\theta_1", "arcsec", "centre of mass, first coordinate", -30.0, 30.0, normal(0.0, 0.02), True
    ),
    Parameter(
        "center_y", r"\theta_2", "arcsec", "centre of mass, second coordinate", -30.0, 30.0, normal(0.0, 0.02), True
    ),
    Parameter("e1", r"e_1", "", "ellipticity, first component", -1.0, 1.0, normal(0.0, 0.2, high=0.9), True),
    Parameter("e2", r"e_2", "", "ellipticity, second component", -1.0, 1.0, normal(0.0, 0.2, high=0.9), True),
    Parameter(
        "R_sersic",
        r"R_\mathrm{eff}",
        "arcsec",
        "effective radius of the lens light",
        0.02,
        30.0,
        normal(1.0, 0.05, 0.1),
        True,
    ),
    Parameter(
        "n_sersic",
        r"n_\mathrm{s\acute{e}rsic}",
        "",
        "Sérsic index of the lens light",
        0.3,
        12.0,
        normal(4.0, 0.1, 0.5),
        True,
    ),
    Parameter("gamma_ext", r"\gamma_\mathrm{ext}", "", "external shear", 0.0, 0.9, normal(0.015, 0.005, 0.0)),
    Parameter(
        "psi_ext",
        r"\psi_\mathrm{ext}",
        "rad",
        "angle of the external shear",
        -2 * np.pi,
        2 * np.pi,
        uniform(0.0, 2 * np.pi),
    ),
    Parameter("source_x", r"\beta_1", "arcsec", "source position, first coordinate", -30.0, 30.0, normal(0.0, 0.1)),
    Parameter("source_y", r"\beta_2", "arcsec", "source position, second coordinate", -30.0, 30.0, normal(0.0, 0.1)),
    Parameter(
        "source_R_sersic",
        r"R_\mathrm{src}",
        "arcsec",
        "effective radius of the source",
        0.005,
        30.0,
        normal(0.2, 0.01, 0.01),
    ),
    Parameter(
        "source_n_sersic", r"n_\mathrm{src}", "", "Sérsic index of the source", 0.17, 12.0, normal(0.5, 0.05, 0.2)
    ),
)

# of scenes in which the light is not tied to the mass, or the source's shape is not the same everywhere
FURTHER = (
    Parameter(
        "light_x", r"\theta_{1,\mathrm{light}}", "arcsec", "centre of the lens light, first coordinate",
        -30.0, 30.0, normal(0.0, 0.05),
    ),
    Parameter(
        "light_y", r"\theta_{2,\mathrm{light}}", "arcsec", "centre of the lens light, second coordinate",
        -30.0, 30.0, normal(0.0, 0.05),
    ),
    Parameter(
        "light_e1", r"e_{1,\mathrm{light}}", "", "ellipticity of the lens light, first component",
        -1.0, 1.0, normal(0.0, 0.2),
    ),
    Parameter(
        "light_e2", r"e_{2,\mathrm{light}}", "", "ellipticity of the lens light, second component",
        -1.0, 1.0, normal(0.0, 0.2),
    ),
    Parameter(
        "source_e1", r"e_{1,\mathrm{src}}", "", "ellipticity of the source, first component",
        -1.0, 1.0, normal(0.0, 0.2),
    ),
    Parameter(
        "source_e2", r"e_{2,\mathrm{src}}", "", "ellipticity of the source, second component",
        -1.0, 1.0, normal(0.0, 0.2),
    ),
    Parameter(
        "host_x", r"\Delta_{1,\mathrm{host}}", "arcsec",
        "distance of the source galaxy from the quasar, first coordinate",
        -5.0, 5.0, normal(0.0, 0.05),
    ),
    Parameter(
        "host_y", r"\Delta_{2,\mathrm{host}}", "arcsec",
        "distance of the source galaxy from the quasar, second coordinate",
        -5.0, 5.0, normal(0.0, 0.05),
    ),
    Parameter(
        "bulge_R_sersic", r"R_\mathrm{bulge}", "arcsec", "effective radius of the source galaxy's bulge",
        0.001, 5.0, lognormal(0.12, 0.3),
    ),
)  # fmt: skip

NAMES = tuple(parameter.name for parameter in PARAMETERS)
TARGETS = leading_targets(PARAMETERS)
TARGET_NAMES = tuple(parameter.name for parameter in TARGETS)
TABLE = {parameter.name: parameter for parameter in (*PARAMETERS, *FURTHER)}
TARGET_COLUMNS = [NAMES.index(name) for name in TARGET_NAMES]  # places of the targets among all parameters


def priors(changes: Mapping[str, Mapping[str, Any]], names: Sequence[str] = NAMES) -> dict[str, Prior]:
    """The priors of parameters, with a config's changes.

    Parameters
    ----------
    changes
        Name of a parameter to the fields of :class:`Prior` that stand instead of the table's; another ``kind``
        replaces the prior as a whole.
    names
        Names of the parameters, of the paper's scene or of any other; the result has their order.
    """
    result = {}
    for parameter in (TABLE[name] for name in names):
        change = dict(changes.get(parameter.name, {}))
        whole = change.get("kind", parameter.prior.kind) != parameter.prior.kind
        result[parameter.name] = Prior(**change) if whole else Prior(**{**vars(parameter.prior), **change})
    return result
