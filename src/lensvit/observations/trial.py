"""A trial of fits: mock lenses are fitted as if they were observed, and held against the truth.

If posteriors are right, the truth lies within the central 68% of a parameter's draws in 68% of the lenses, and so for
every share. This holds for lenses that are drawn from the very priors of the fits, whatever the images show of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtr

from lensvit.errors import LensvitError
from lensvit.inference.settings import ImportanceSettings
from lensvit.io import files
from lensvit.jobs.processes import share_work
from lensvit.observations.mock import PIXELS, Camera, Mock, camera_of, draw_mock
from lensvit.observations.observation import Observation
from lensvit.observations.result import LensResult
from lensvit.observations.run import SAMPLING, fit_images

FAINT = 0.01  # flux of an image, in units of the brightest one's, that a fit may have or not
NEAR = 0.02  # farthest image of the quasar from the true one in a fit that has found the lens [arcsec]
SHARES = 0.68, 0.95  # of the draws around their median
PERIOD = np.pi  # of psi_ext


class Fitted(NamedTuple):
    """What came of one mock lens.

    Parameters
    ----------
    lens
        One row: what the fit was like.
    parameters
        One row a parameter; nothing where there is no fit.
    """

    lens: dict[str, object]
    parameters: list[dict[str, object]]


def fitted(camera: Camera, images: int, seed: int, sampling: ImportanceSettings | None) -> Fitted:
    """Draw a mock lens and fit it.

    Parameters
    ----------
    camera
        What takes its image.
    images
        Images of its quasar.
    seed
        Seed of the lens and of the fit.
    sampling
        Size and budget of the draws of the posterior; None for errors from the curvature at the maximum.
    """
    made, name = draw_mock(camera, images, seed), f"mock_{seed:03d}"
    row: dict[str, object] = {"lens": name, "seed": seed, "found": False}
    try:
        result = fit_images(Observation(name, (made.image,)), sampling=sampling, seed=seed)
    except LensvitError as error:
        print(f"{name}: {error}", flush=True)
        return Fitted(row | {"verdict": str(error)}, [])
    found = _found(made, result)
    row |= {"found": found, "converged": result.fit.converged, "seconds": result.seconds}
    if result.sample is not None:
        drawn = result.sample.drawn
        row |= {
            "certified": result.certified, "reason": drawn.reason, "effective": drawn.effective, "pareto_k": drawn.k,
            "calls": drawn.calls,
        }  # fmt: skip
    row |= {"psf_error": result.fit.errors.psf, "galaxies_error": result.fit.errors.galaxies}
    row["verdict"] = " ".join(result.verdict)
    print(f"{name}: {'found' if found else 'not found'}, {result.seconds:.0f} s {row['verdict']}", flush=True)
    return Fitted(row, _parameters(made, result))


def _found(made: Mock, result: LensResult) -> bool:
    """Whether a fit ended at a maximum with the true images of the quasar, and no other but for very faint ones."""
    seen, flux = result.images[["x", "y"]].to_numpy(), result.images["flux"].to_numpy()
    if not result.fit.converged or not len(seen):
        return False
    apart = np.hypot(*(seen[:, None] - made.positions).transpose(2, 0, 1))  # (images of the fit, true ones)
    extra = (apart.min(1) >= NEAR) & (flux > FAINT * flux.max())
    return bool((apart.min(0) < NEAR).all()) and not extra.any()


def _parameters(made: Mock, result: LensResult) -> list[dict[str, object]]:
    """One row a parameter: the truth, the most probable value, mean, sigma, z and the share of draws below the truth.

    Without draws, only the mass has errors: they are those of the curvature.
    """
    fit, rows = result.fit, []
    best, last = fit.parameters, fit.rounds[-1].fit
    information = last.information[0]
    free = torch.nonzero(information.diagonal())[:, 0]
    spread = torch.zeros(len(fit.names)).double()
    spread[free] = torch.linalg.inv(information[free][:, free]).diagonal().sqrt()
    laplace = dict(zip(fit.names, spread.tolist(), strict=True))
    table = result.table
    for column, name in enumerate(fit.names):
        truth = made.truth[name]
        row: dict[str, object] = {"lens": fit.observation.name, "parameter": name, "truth": truth}
        row["most_probable"] = best[name]
        if result.sample is not None:
            off = result.sample.parameters[:, column] - truth
            if name == "psi_ext":
                off = (off + PERIOD / 2) % PERIOD - PERIOD / 2
            row |= {"mean": table.loc[name, "mean"], "sigma": off.std(), "z": off.mean() / off.std()}
            row["level"] = float((off < 0).mean())
        elif name in fit.posterior.parts.structure.names[:6]:
            row |= {"sigma": laplace[name], "z": (best[name] - truth) / laplace[name]}
            row["level"] = float(ndtr(-(best[name] - truth) / laplace[name]))
        rows.append(row)
    return rows


def coverage(parameters: pd.DataFrame) -> pd.DataFrame:
    """How often posteriors have the truth: one row a parameter.

    Parameters
    ----------
    parameters
        One row a lens and parameter, with the columns parameter, truth, mean or most_probable, z and level.

    Returns
    -------
    DataFrame
        By parameter: lenses, the shares of lenses whose truth lies within the central 68% and 95% of the draws
        (within68 and within95), the rms of z, and the median absolute error.
    """
    rows = []
    for name, some in parameters.dropna(subset=["level"]).groupby("parameter", sort=False):
        off = np.abs(some["level"] - 0.5)
        value = some["mean"] if "mean" in some else some["most_probable"]
        row: dict[str, object] = {"parameter": name, "lenses": len(some)}
        row |= {f"within{100 * share:.0f}": float((off <= share / 2).mean()) for share in SHARES}
        row |= {
            "rms_z": float(np.sqrt(np.square(some["z"]).mean())),
            "median_error": (value - some["truth"]).abs().median(),
        }
        rows.append(row)
    return pd.DataFrame(rows).set_index("parameter")


def trial(
    output: Path,
    count: int = 20,
    quasar_images: int = 4,
    psf: Path | None = None,
    pixel_scale: float | None = None,
    pixels: int = PIXELS,
    exposure_time: float | None = None,
    background_rms: float | None = None,
    samples: bool = True,
    seed: int = 0,
    processes: int = 1,
) -> None:
    """Fit mock lenses, and count how often the truth lies within the errors: a test with your own PSF and noise.

    Writes lenses.csv (one row a lens), parameters.csv (one row a lens and parameter) and coverage.csv.

    Parameters
    ----------
    output
        Folder of the tables.
    count
        How many lenses.
    quasar_images
        How many images each quasar has: 2 or 4.
    psf
        FITS or HDF5 file of the camera's PSF on pixels of the image; HST's in F814W by default.
    pixel_scale
        Side of a pixel [arcsec]; 0.05 or that of the PSF by default.
    pixels
        Side of an image [pixel].
    exposure_time
        Exposure time [s]; drawn between 1,300 and 5,200 s by default.
    background_rms
        Standard deviation of the background noise [counts/s per pixel]; drawn between 0.003 and 0.012 by default.
    samples
        Whether to draw from the posteriors; else errors are those of the curvature at the maximum, of the mass alone.
    seed
        Seed of the first lens; the next ones have the next seeds.
    processes
        Lenses that are fitted at once.

    Raises
    ------
    LensvitError
        If the PSF cannot be read, or an option is impossible.
    """
    if quasar_images not in (2, 4):
        raise LensvitError(f"--quasar-images {quasar_images}: give 2 or 4")
    camera = camera_of(psf, pixel_scale, pixels, exposure_time, background_rms)
    output.mkdir(parents=True, exist_ok=True)  # before hours of work
    sampling = SAMPLING if samples else None
    work = [(camera, quasar_images, seed + number, sampling) for number in range(count)]
    all_of_them = share_work(fitted, work, processes)
    lenses = pd.DataFrame([one.lens for one in all_of_them])
    parameters = pd.DataFrame([row for one in all_of_them for row in one.parameters])
    tables = {"lenses.csv": lenses, "parameters.csv": parameters}
    if lenses["found"].any():
        some = parameters[parameters["lens"].isin(lenses.loc[lenses["found"], "lens"])]
        tables["coverage.csv"] = coverage(some).reset_index()
        print(tables["coverage.csv"].to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    for file, table in tables.items():
        with files.atomic(output / file) as temporary:
            table.to_csv(temporary, index=False, float_format="%.8g")
    print(json.dumps(summary(lenses)))


def summary(lenses: pd.DataFrame) -> dict[str, float]:
    """Shares of lenses, and the median duration, of a table with one row a lens."""
    result = {"lenses": float(len(lenses)), "found": float(lenses["found"].mean())}
    if "certified" in lenses:
        result["certified"] = float(lenses["certified"].fillna(False).astype(bool).mean())
        result["median_effective"] = float(lenses["effective"].median())
    if "seconds" in lenses:
        result["median_seconds"] = float(lenses["seconds"].median())
    return result
