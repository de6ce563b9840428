"""Images of a point source by lenstronomy: solutions of the lens equation of a power law with external shear.

lenstronomy's analytical solver reduces the lens equation to one dimension and finds its roots on a grid of angles. A
pair of images at a fold can fall between two angles, so that each system is solved on two grids. Where these disagree,
or where parities do not add up, a much finer grid of angles and lenstronomy's own search over the sky follow, whose
results are united.

The reduction divides by 0 where a system is symmetric: a lens without ellipticity and shear, or a quasar exactly behind
the centre. Then the images of a system that is a millionth less symmetric are found, and followed to this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

from lensvit.lensing.quasar_images import (
    FAINTEST,
    LARGEST,
    NUDGE,
    RESIDUAL,
    SEPARATION,
    NoSolution,
    QuasarImages,
)

SERIES_LIMIT = 0.8  # |e| to which EPL_NUMBA's 200 terms reach machine precision: 0.8^200 = 4e-20
ELLIPTICITY_LIMIT = 0.9999  # lenstronomy silently sets larger |e| to this
NEARLY_CIRCULAR = 1e-6  # ellipticity and shear up to which images lie on the line through centre and quasar
NEWTON_STEPS = 6  # from the images of a nudged system to those of the system; each doubles the digits that are right
SAMPLINGS = ({"Nmeas": 400, "Nmeas_extra": 80}, {"Nmeas": 1000, "Nmeas_extra": 150})
FINE_SAMPLING = {"Nmeas": 20000, "Nmeas_extra": 2000}


def lens_model(parameters: Mapping[str, float]) -> LensModel:
    """The lens model of lenstronomy: with its fast power law, or with the exact one for a very flat mass."""
    ellipticity = np.hypot(parameters["e1"], parameters["e2"])
    return _lens_model("EPL_NUMBA" if ellipticity <= SERIES_LIMIT else "EPL")


@cache
def _lens_model(profile: str) -> LensModel:
    return LensModel([profile, "SHEAR"])


def lens_kwargs(parameters: Mapping[str, float]) -> list[dict[str, float]]:
    """Arguments of lenstronomy for the mass (a power law) and for the external shear (in components)."""
    mass = {name: parameters[name] for name in ("theta_E", "gamma", "e1", "e2", "center_x", "center_y")}
    size, angle = parameters["gamma_ext"], parameters["psi_ext"]
    return [mass, {"gamma1": size * np.cos(2 * angle), "gamma2": size * np.sin(2 * angle)}]


def solve(parameters: Mapping[str, float]) -> QuasarImages:
    """All images of the quasar whose magnification is 1e-3 or more, in size.

    Minima, saddle points and maxima of the arrival time obey a sum rule: parities add up to 1 for a smooth deflector,
    and to 0 if the image in the cuspy or singular centre is left out (Burke 1981; Schneider, Ehlers & Falco 1992,
    section 5.4).

    Parameters
    ----------
    parameters
        Parameters of one system by their names in :data:`lensvit.parameters.NAMES`.

    Raises
    ------
    NoSolution
        If the ellipticity is beyond lenstronomy's limit, the quasar lies on a caustic (behind the centre of a circular
        lens its image is a ring), nothing that maps to the source is found, or the finer search still breaks the sum
        rule.
    """
    ellipticity = np.hypot(parameters["e1"], parameters["e2"])
    if not ellipticity < ELLIPTICITY_LIMIT:
        raise NoSolution(f"|e| = {ellipticity:.4f} is not below {ELLIPTICITY_LIMIT}")
    with np.errstate(all="ignore"):
        if _departure(parameters) == 0:
            return _off_caustic(_images(parameters, _on_a_line(parameters), newton_steps=NEWTON_STEPS))
        first, second = (_images(parameters, _angular(parameters, **grid)) for grid in SAMPLINGS)
        if len(second) and _same(first, second) and _parity(second) == 0:
            return _off_caustic(second)
        images = _images(parameters, *_fine(parameters))
        if len(images) < 2 or _may_lack_one(parameters, images):
            nearly = _images(parameters, *_less_symmetric(parameters), newton_steps=NEWTON_STEPS)
            if len(nearly) > len(images) and not _may_lack_one(parameters, nearly):
                images = nearly
    images = _off_caustic(images)
    if _parity(images) not in (0, 1):
        raise NoSolution(f"{len(images)} images whose parities add up to {_parity(images)}")
    return images


def _off_caustic(images: QuasarImages) -> QuasarImages:
    """The images, if there are any and none is infinitely bright."""
    if len(images) == 0:
        raise NoSolution("no image of the quasar was found")
    if np.abs(images.magnification).max() > LARGEST:
        raise NoSolution("the quasar lies on a caustic: its image is a ring, or infinitely bright")
    return images


def solve_each(systems: Sequence[Mapping[str, float]]) -> list[QuasarImages | NoSolution]:
    """What :func:`solve` returns or raises for each system's parameters."""
    found: list[QuasarImages | NoSolution] = []
    for parameters in systems:
        try:
            found.append(solve(parameters))
        except NoSolution as reason:
            found.append(reason)
    return found


def _angular(parameters: Mapping[str, float], **sampling: int) -> np.ndarray:
    """Positions (2, n) of the analytical solver [arcsec], whose grid of angles is ``sampling``."""
    source = parameters["source_x"], parameters["source_y"]
    solver = LensEquationSolver(_lens_model("EPL_NUMBA"))
    kwargs = lens_kwargs(parameters)
    return np.array(solver.image_position_analytical(*source, kwargs, arrival_time_sort=False, **sampling))


def _fine(parameters: Mapping[str, float]) -> Iterator[np.ndarray]:
    """Positions (2, n) [arcsec] from a fine grid of angles, then from a search over the sky."""
    yield _angular(parameters, **FINE_SAMPLING)
    source = parameters["source_x"], parameters["source_y"]
    reach = 4 * parameters["theta_E"] + 2 * np.hypot(*source)
    yield np.array(
        LensEquationSolver(lens_model(parameters)).image_position_from_source(
            *source,
            lens_kwargs(parameters),
            min_distance=reach / 600,
            search_window=reach,
            x_center=parameters["center_x"],
            y_center=parameters["center_y"],
            arrival_time_sort=False,
        )
    )


def _images(parameters: Mapping[str, float], *candidates: np.ndarray, newton_steps: int = 1) -> QuasarImages:
    """The images at candidate positions (2, n), polished, sorted, and without repeated, wrong and faint ones."""
    x, y = np.concatenate([np.reshape(part, (2, -1)) for part in candidates], axis=1)
    model, kwargs = lens_model(parameters), lens_kwargs(parameters)
    for _ in range(newton_steps):
        x, y = _newton(model, kwargs, parameters, x, y)
    beta_x, beta_y = model.ray_shooting(x, y, kwargs)
    residual = np.hypot(beta_x - parameters["source_x"], beta_y - parameters["source_y"])
    magnification = model.magnification(x, y, kwargs)
    order = np.argsort(-np.abs(magnification), kind="stable")
    keep: list[int] = []
    for i in order[(residual < RESIDUAL)[order] & (np.abs(magnification) >= FAINTEST)[order]]:
        if all(np.hypot(x[i] - x[j], y[i] - y[j]) > SEPARATION for j in keep):
            keep.append(i)
    return QuasarImages(x[keep], y[keep], magnification[keep])


def _newton(
    model: LensModel, kwargs: list[dict], parameters: Mapping[str, float], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions after one step of Newton's method, where it brings the ray nearer to the source."""
    source_x, source_y = parameters["source_x"], parameters["source_y"]
    beta_x, beta_y = model.ray_shooting(x, y, kwargs)
    off_x, off_y = beta_x - source_x, beta_y - source_y
    f_xx, f_xy, _, f_yy = model.hessian(x, y, kwargs)
    determinant = (1 - f_xx) * (1 - f_yy) - f_xy**2
    new_x = x - ((1 - f_yy) * off_x + f_xy * off_y) / determinant
    new_y = y - (f_xy * off_x + (1 - f_xx) * off_y) / determinant
    new_beta_x, new_beta_y = model.ray_shooting(new_x, new_y, kwargs)
    nearer = np.hypot(new_beta_x - source_x, new_beta_y - source_y) < np.hypot(off_x, off_y)
    return np.where(nearer, new_x, x), np.where(nearer, new_y, y)


def _less_symmetric(parameters: Mapping[str, float]) -> Iterator[np.ndarray]:
    """Positions (2, n) [arcsec] near the images of a symmetric system."""
    yield from _fine(parameters)
    if _departure(parameters) <= NEARLY_CIRCULAR:
        yield _on_a_line(parameters)
    else:
        yield from _fine({name: value + NUDGE.get(name, 0.0) for name, value in parameters.items()})


def _departure(parameters: Mapping[str, float]) -> float:
    """The largest of the parameters that make a lens not circular."""
    return max(abs(parameters[name]) for name in ("e1", "e2", "gamma_ext"))


def _on_a_line(parameters: Mapping[str, float]) -> np.ndarray:
    """Positions (2, n) [arcsec] of images behind a circular lens, where r -+ alpha(r) is the distance of the quasar."""
    centre = np.array([parameters["center_x"], parameters["center_y"]])
    source = np.array([parameters["source_x"], parameters["source_y"]]) - centre
    distance, radius = np.hypot(*source), parameters["theta_E"]
    direction = source / distance if distance else np.array([1.0, 0.0])
    r = np.geomspace(1e-9, 4 * radius + 2 * distance, 20000)
    deflection = radius * (r / radius) ** (2 - parameters["gamma"])
    found = []
    for side in (1, -1):
        off = r - deflection - side * distance
        crossed = np.nonzero(off[:-1] * off[1:] <= 0)[0]
        found += list(side * (r[crossed] + r[crossed + 1]) / 2)
    return centre[:, None] + direction[:, None] * np.array(found)


def _may_lack_one(parameters: Mapping[str, float], images: QuasarImages) -> bool:
    """Whether several images obey the sum rule only if none is left out of the centre, as in front of a naked cusp.

    Parities then add up to 1 without a maximum of the arrival time. So they do where a saddle point was not found.
    """
    if _parity(images) != 1:
        return _parity(images) != 0
    f_xx, _, _, f_yy = lens_model(parameters).hessian(images.x, images.y, lens_kwargs(parameters))
    maxima = (images.magnification > 0) & (f_xx + f_yy > 2)  # convergence above 1
    return len(images) > 1 and not bool(maxima.any())


def _parity(images: QuasarImages) -> int:
    """The sum of the parities of images."""
    return int(np.sign(images.magnification).sum())


def _same(first: QuasarImages, second: QuasarImages) -> bool:
    """Whether two searches have found the same images."""
    if len(first) != len(second):
        return False
    distance = np.hypot(first.x[:, None] - second.x, first.y[:, None] - second.y)
    return bool((distance.min(axis=1, initial=np.inf) < 10 * SEPARATION).all())
