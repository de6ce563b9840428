"""What the fit of an observed lens ends with: a verdict, parameters with their posterior, and files of them."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits

from lensvit import __version__
from lensvit.io import files
from lensvit.observations.chi_square import ChiSquare, chi_square, chi_square_maps
from lensvit.observations.coolest import write_coolest
from lensvit.observations.cosmography import CAVEAT, Hubble, Redshifts, doubts
from lensvit.observations.fitting import EXPLAINED, PosteriorSample, SceneFit, seen_images
from lensvit.parameters import FURTHER, PARAMETERS

LEVELS = (0.16, 0.5, 0.84)  # quantiles that tables have
POOR_PSF = 0.15  # relative error of the PSF from which on it is worth a word
FAINT = 5.0  # least significance of the lens galaxy's light
ELSEWHERE = 0.2  # distance of the lens galaxy's light from its mass from which on it is worth a word [theta_E]
LONG_SHIFT = 3.0  # shift of a quasar image in units of its prior from which on the mass model lacks something
UNITS = {row.name: row.unit for row in (*PARAMETERS, *FURTHER)}


@dataclasses.dataclass(frozen=True)
class LensResult:
    """The fit of an observed lens.

    Parameters
    ----------
    fit
        The most probable scene.
    sample
        The exact posterior; None where it could not be drawn from.
    hubble
        The Hubble constant, where delays were given.
    seconds
        How long it took [s].
    sampled
        Whether draws of the posterior were asked for.
    redshifts
        What is known of the redshifts.
    delays
        How many delays the Hubble constant stands on.
    """

    fit: SceneFit
    sample: PosteriorSample | None
    hubble: Hubble | None
    seconds: float
    sampled: bool = True
    redshifts: Redshifts = dataclasses.field(default_factory=Redshifts)
    delays: int = 0

    @property
    def certified(self) -> bool:
        """Whether the draws of the posterior have a certificate, see :mod:`lensvit.inference.importance`."""
        return self.sample is not None and not self.sample.drawn.reason

    @property
    def table(self) -> pd.DataFrame:
        """One row a parameter, by name: unit, most_probable, mean, sigma, and the quantiles low, median and high."""
        rows, best = [], self.fit.parameters
        for column, name in enumerate(self.fit.names):
            row: dict[str, object] = {"parameter": name, "unit": UNITS[name], "most_probable": best[name]}
            if self.sample is not None:
                values = self.sample.parameters[:, column]
                if name == "psi_ext":  # an angle of period pi, about its most probable value
                    values = (values - best[name] + np.pi / 2) % np.pi + best[name] - np.pi / 2
                low, median, high = np.quantile(values, LEVELS)
                row |= {"mean": values.mean(), "sigma": values.std(), "low": low, "median": median, "high": high}
            rows.append(row)
        return pd.DataFrame(rows).set_index("parameter")

    @property
    def images(self) -> pd.DataFrame:
        """One row an image of the quasar: x, y [arcsec], where it is seen, magnification of the model, and flux."""
        models = self.fit.posterior.models(self.fit.coordinates[None])
        magnification = models.magnification[0].numpy()
        seen = seen_images(self.fit.posterior, self.fit.coordinates)
        if seen is None:  # an image without light is nowhere but where the model has it
            _, solution = self.fit.posterior.solution(self.fit.coordinates)
            fluxes = solution.amplitudes[self.fit.posterior.parts.quasars].numpy() * np.ones_like(magnification)
            seen = models.positions[0].numpy()[magnification != 0], fluxes[magnification != 0]
        positions, fluxes = seen
        rows = {"x": positions[:, 0], "y": positions[:, 1], "magnification": magnification[magnification != 0]}
        return pd.DataFrame({**rows, "flux": fluxes})

    @cached_property
    def chi_square(self) -> ChiSquare:
        """Mean chi^2 per pixel, by the noise of the data alone: galaxies, quasar, rest and whole."""
        return chi_square(self.fit)

    @property
    def verdict(self) -> list[str]:
        """What speaks against the result, in sentences; nothing if nothing does."""
        fit, result = self.fit, list[str]()
        if not fit.converged:
            result.append(
                "The search did not end at a maximum: the parameters are those of the best place that it found."
            )
        if fit.errors.galaxies > EXPLAINED:
            result.append(
                f"The image is not explained to its noise: the galaxies' light deviates from the model by "
                f"{fit.errors.galaxies:.0%}, and the errors of the parameters were enlarged accordingly."
            )
        if fit.errors.psf > POOR_PSF:
            result.append(
                f"The PSF is off by {fit.errors.psf:.0%} at the quasar's images, which count the less for it."
            )
        _, solution = fit.posterior.solution(fit.coordinates)
        sigma = solution.covariance.diagonal().sqrt()
        significance = float(solution.amplitudes[0] / sigma[0])
        if significance < FAINT:
            result.append(
                f"No lens galaxy is seen (its light is {significance:.1f} sigma): two stars, or a pair of quasars, "
                "could look like this."
            )
        best = fit.parameters
        if "light_x" in best:
            off = np.hypot(best["light_x"] - best["center_x"], best["light_y"] - best["center_y"])
            if off > ELSEWHERE * best["theta_E"]:
                result.append(
                    f"The light that was fitted as the lens galaxy's lies {off:.2f}\" from the mass, at "
                    f"({best['light_x']:.2f}, {best['light_y']:.2f}): it may be the halo of the quasar's images, where "
                    "the PSF is too small or wrong, or a companion."
                )
        shifts = solution.amplitudes[fit.posterior.parts.shifts] / fit.posterior.scale[fit.posterior.parts.shifts]
        if len(shifts) and float(shifts.abs().max()) > LONG_SHIFT:
            result.append(
                "The quasar's images lie off those of the model by more than their errors: the mass is no power law "
                "with shear, or has a companion."
            )
        if self.hubble is not None:
            result += doubts(self.hubble, self.delays)
        if self.sample is None:
            result += ["The posterior could not be drawn from."] * self.sampled
        elif self.sample.drawn.reason:
            result.append(
                f"The draws of the posterior are not certified ({self.sample.drawn.reason}; effective size "
                f"{self.sample.drawn.effective:.0f}): take means and errors as approximate."
            )
        return result

    def summary(self) -> dict[str, object]:
        """All of it, as it is written to JSON."""
        fit = self.fit
        drawn = None if self.sample is None else self.sample.drawn
        return {
            "name": fit.observation.name,
            "lensvit": __version__,
            "notes": list(fit.observation.notes),
            "verdict": self.verdict,
            "converged": fit.converged,
            "galaxies": list(fit.posterior.parts.structure.galaxies),
            "parameters": {
                str(name): {str(key): _plain(value) for key, value in row.items()}
                for name, row in self.table.iterrows()
            },
            "priors": {
                name: {key: value for key, value in vars(prior).items() if value is not None}
                for name, prior in fit.prior.items()
            },
            "images": [
                {str(key): float(value) for key, value in row.items()} for row in self.images.to_dict("records")
            ],
            "errors": fit.errors._asdict(),
            "chi_square": {key: _plain(value) for key, value in self.chi_square._asdict().items()},
            "posterior": None
            if drawn is None
            else {
                "certified": self.certified,
                "reason": drawn.reason,
                "pareto_k": _plain(drawn.k),
                "effective_size": drawn.effective,
                "draws": len(drawn.places),
                "likelihood_calls": drawn.calls,
                "log_evidence": _plain(drawn.log_evidence),
            },
            "hubble": None if self.hubble is None else {**self.hubble._asdict(), "caveat": CAVEAT},
            "frame": "x along columns, y along rows [arcsec], 0 in the middle of the fitted square",
            "seconds": self.seconds,
        }

    def write(self, folder: Path) -> list[Path]:
        """Write {name}.json, {name}.csv, {name}_images.csv, {name}.parquet (samples), {name}_model.fits and COOLEST's.

        The last are {name}_coolest.json, {name}_coolest_psf.fits and {name}_coolest_noise.fits, see
        :mod:`lensvit.observations.coolest`.

        Parameters
        ----------
        folder
            Where to; it is made.

        Returns
        -------
        list[Path]
            The files.
        """
        folder, name = Path(folder), self.fit.observation.name
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for path, text in (
            (folder / f"{name}.json", json.dumps(self.summary(), indent=1, ensure_ascii=False) + "\n"),
            (folder / f"{name}.csv", self.table.to_csv(float_format="%.8g")),
            (folder / f"{name}_images.csv", self.images.to_csv(index=False, float_format="%.8g")),
        ):
            with files.atomic(path) as temporary:
                temporary.write_text(text)
            written.append(path)
        if self.sample is not None:
            path = folder / f"{name}.parquet"
            samples = pd.DataFrame(self.sample.parameters, columns=list(self.fit.names))
            amplitudes = pd.DataFrame(
                self.sample.amplitudes,
                columns=[f"amp_{part}" for part in self.fit.posterior.parts.names[: self.sample.amplitudes.shape[1]]],
            )
            with files.atomic(path) as temporary:
                pd.concat([samples, amplitudes], axis=1).to_parquet(temporary)
            written.append(path)
        written.append(self._write_model(folder / f"{name}_model.fits"))
        return written + write_coolest(self, folder)

    def _write_model(self, path: Path) -> Path:
        """Data, model, residual in units of the noise, maps of chi^2, and each part, of the first image."""
        fit = self.fit
        part, solution = fit.posterior.solution(fit.coordinates)
        image, count = fit.observation.images[0], fit.posterior.parts.pixels[0]
        shape = image.data.shape
        model = (solution.amplitudes @ part)[:count].reshape(shape).numpy()
        units = [fits.PrimaryHDU(image.data), fits.ImageHDU(model, name="MODEL")]
        units[0].header["PIXSCALE"] = (image.pixel_scale, "side of a pixel [arcsec]")
        residual = (image.data - model) / np.sqrt(np.where(np.isfinite(image.variance), image.variance, np.inf))
        maps = chi_square_maps(image, model)
        units += [
            fits.ImageHDU(plane, name=extension)
            for plane, extension in zip((residual, *maps), ("RESIDUAL", "CHI2", "CHI2_SMOOTHED"), strict=True)
        ]
        names = fit.posterior.parts.names
        for row in range(fit.posterior.parts.quasars.stop):
            light = (solution.amplitudes[row] * part[row, :count]).reshape(shape).numpy()
            units.append(fits.ImageHDU(light, name=names[row].upper()))
        with files.atomic(path) as temporary:
            fits.HDUList(units).writeto(temporary, overwrite=True)
        return path


def _plain(value: object) -> object:
    """A number of any library as Python has it; None for one that is not finite."""
    if isinstance(value, str) or value is None:
        return value
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None
