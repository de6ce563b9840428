"""Loops over pixels in single precision, compiled for the CPU that runs them.

Torch does one operation with all pixels after the other. Here all operations of a pixel follow each other, eight pixels
at a time where the processor has registers for them. Exponentials and logarithms are written out, with relative errors
below 2e-7, since compilers call a library for them, one number at a time.

The compiled code is kept beside this module, or in the user's cache; the first use on a machine takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from lensvit.lensing.power_law import CENTRE

Loop = TypeVar("Loop", bound=Callable[..., Any])

F, I = np.float32, np.int32  # noqa: E741 - constants and casts of the loops
ONE, TWO = F(1), F(2)
LEAST, MOST = F(-87), F(88)  # exponents whose exponential is a normal number
LOG2_E = F(1 / math.log(2))
LN2_HIGH = F(0.693359375)  # with few digits, so that products with small whole numbers are exact
LN2_LOW = F(math.log(2) - 0.693359375)
WHOLE = F(1.5 * 2**23)  # added to a number it leaves the nearest whole number
E2, E3, E4, E5, E6, E7 = (F(1 / math.factorial(k)) for k in range(2, 8))  # of the series of the exponential
L3, L5, L7, L9 = (F(2 / k) for k in (3, 5, 7, 9))  # of the series of the logarithm
MANTISSA, BIAS = I(23), I(127)  # bits of a float32's fraction, and the exponent that stands for 1
ROOT_HALF = I(F(math.sqrt(0.5)).view(np.int32))
NEAREST = F(CENTRE**2)  # least square of a distance
TINY = F(1e-37)


def compiled(**options: Any) -> Callable[[Loop], Loop]:
    """A decorator for a loop that keeps its compiled code, where there is a folder that it can be kept in."""

    def decorate(loop: Loop) -> Loop:
        common = {"error_model": "numpy", "fastmath": {"contract"}} | options
        try:
            return cast(Loop, numba.njit(cache=True, **common)(loop))
        except RuntimeError:  # no such folder
            return cast(Loop, numba.njit(**common)(loop))

    return decorate


inline = numba.njit(inline="always", error_model="numpy", fastmath={"contract"})


@inline
def exp(x: np.float32) -> np.float32:
    """The exponential of a float32, between 1e-38 and 1e38."""
    x = min(max(x, LEAST), MOST)
    whole = (x * LOG2_E + WHOLE) - WHOLE
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
    value = E7 * rest + E6
    value = value * rest + E5
    value = value * rest + E4
    value = value * rest + E3
    value = value * rest + E2
    value = value * rest + ONE
    value = value * rest + ONE
    power = I(I(I(whole) + BIAS) << MANTISSA)
    return value * power.view(np.float32)


@inline
def log(x: np.float32) -> np.float32:
    """The logarithm of a positive, normal float32."""
    bits = F(x).view(np.int32)
    whole = I(I(bits - ROOT_HALF) >> MANTISSA)
    fraction = I(bits - I(whole << MANTISSA)).view(np.float32)  # between the roots of 1/2 and of 2
    z = (fraction - ONE) / (fraction + ONE)
    square = z * z
    series = L9 * square + L7
    series = series * square + L5
    series = series * square + L3
    series = series * square + TWO
    return F(whole) * LN2_HIGH + (z * series + F(whole) * LN2_LOW)


@compiled()
def light(
    out: np.ndarray,
    first: int,
    terms: np.ndarray,
    lens_columns: np.ndarray,
    lens_rows: np.ndarray,
    forms: np.ndarray,
    factors: np.ndarray,
    mass_power: np.ndarray,
    power: np.ndarray,
    floor: np.ndarray,
    shift: np.ndarray,
    amplitude: np.ndarray,
    source_columns: np.ndarray,
    source_rows: np.ndarray,
    bend: np.ndarray,
) -> None:
    """Write the light of :meth:`lensvit.lensing.galaxies.Galaxies.light`, whose arrays these are.

    The b systems from ``first`` on are computed. ``terms`` (b,) are theirs, as is the light ``out`` (b, ny, nx).
    """
    side = out.shape[2]
    x, y, xx, yy, sum_x, sum_y = np.empty((6, side), np.float32)
    for number in range(len(out)):
        s = first + number
        for row in range(out.shape[1]):
            for i in range(side):
                x[i] = lens_columns[s, 0, 0, i] + lens_rows[s, 0, row, 0]
                y[i] = lens_columns[s, 1, 0, i] + lens_rows[s, 1, row, 0]
                xx[i], yy[i] = x[i] * x[i], y[i] * y[i]
                sum_x[i], sum_y[i] = F(0), F(0)
            for term in range(terms[number]):
                of_x, of_y = forms[s, 1 + term, 0], forms[s, 1 + term, 1]
                to_x, to_y = factors[s, 0, term], factors[s, 1, term]
                for i in range(side):
                    inverse = ONE / max(of_x * xx[i] + of_y * yy[i], NEAREST)
                    sum_x[i] += to_x * inverse
                    sum_y[i] += to_y * inverse
            line = out[number, row]
            of_x, of_y, exponent = forms[s, 0, 0], forms[s, 0, 1], mass_power[s, 0]
            start_x, start_y = source_rows[s, 0, row, 0], source_rows[s, 1, row, 0]
            x_by_x, x_by_y, y_by_x, y_by_y = bend[s, 0, 0], bend[s, 0, 1], bend[s, 1, 0], bend[s, 1, 1]
            source, lens = amplitude[s, 0, 0], amplitude[s, 0, 1]
            source_floor, source_power, source_shift = floor[s, 0, 0], power[s, 0, 0], shift[s, 0, 0]
            lens_floor, lens_power, lens_shift = floor[s, 1, 0], power[s, 1, 0], shift[s, 1, 0]
            for i in range(side):
                near = log(max(of_x * xx[i] + of_y * yy[i], NEAREST))
                scale = exp(near * exponent)
                bent_x, bent_y = x[i] * sum_x[i] * scale, y[i] * sum_y[i] * scale
                at_x = source_columns[s, 0, 0, i] + start_x + (x_by_x * bent_x + x_by_y * bent_y)
                at_y = source_columns[s, 1, 0, i] + start_y + (y_by_x * bent_x + y_by_y * bent_y)
                far = log(max(at_x * at_x + at_y * at_y, TINY))
                line[i] = source * exp(-exp(max(far, source_floor) * source_power + source_shift)) + lens * exp(
                    -exp(max(near, lens_floor) * lens_power + lens_shift)
                )


@compiled(fastmath={"contract", "reassoc"})
def misfit(image: np.ndarray, data: np.ndarray, background: np.float32, share: np.float32, error: np.float32) -> float:
    r"""The sum over pixels of (data - image)^2 / v + ln v, float64.

    Parameters
    ----------
    image
        (ny, nx) model image.
    data
        (ny, nx) noisy image.
    background
        Variance of the background noise.
    share
        Variance of the noise in units of \|image\|.
    error
        A further error in units of the data where these are positive.
    """
    total, terms = 0.0, np.empty(image.shape[1], np.float32)
    for row in range(image.shape[0]):
        for i in range(image.shape[1]):
            off, more = data[row, i] - image[row, i], error * max(data[row, i], F(0))
            spread = background + abs(image[row, i]) * share + more * more
            terms[i] = off * off / spread + log(spread)
        for i in range(image.shape[1]):
            total += np.float64(terms[i])
    return total
