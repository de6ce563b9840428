"""The light of a scene's galaxies at the samples of an image by a compiled loop, in float64 on the CPU.

It is the light that :meth:`lensvit.lensing.parts.Parts.images` needs, without derivatives: the lens galaxy, and the
source's galaxies behind one deflection, which is computed once. Exponentials and logarithms are polynomials, so that
the loops run on vectors; their relative errors are below 1e-14. numba takes a second to import, so that this module is
imported where it is needed.
"""

from __future__ import annotations

import math

import numpy as np

from lensvit.lensing.compiled import compiled, inline
from lensvit.lensing.galaxies import LARGEST, SMOOTHING
from lensvit.lensing.power_law import CENTRE

BLOCK = 256  # samples at a time, which stay in the cache
LEAST, MOST = -708.0, 709.0  # exponents whose exponential is a normal number
LOG2_E = 1 / math.log(2)
LN2_HIGH = 0.693147180369123816490  # with few digits, so that products with small whole numbers are exact
LN2_LOW = 1.90821492927058770002e-10
WHOLE = 1.5 * 2.0**52  # added to a number it leaves the nearest whole number, in its last bits
WHOLE_BITS = np.int64(np.float64(WHOLE).view(np.int64))
MANTISSA, BIAS = np.int64(52), np.int64(1023)  # bits of a float64's fraction, and the exponent that stands for 1
ROOT_HALF = np.int64(np.float64(math.sqrt(0.5)).view(np.int64))
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11 = (1 / math.factorial(k) for k in range(2, 12))  # of the exponential
L3, L5, L7, L9, L11, L13, L15, L17 = (2 / k for k in range(3, 18, 2))  # of the logarithm
NEAREST = CENTRE**2
LEAST_SQUARE, MOST_POWER = SMOOTHING**2, math.log(LARGEST)


@inline
def exp(x: float) -> float:
    """The exponential of a float64, between 1e-307 and 1e307."""
    x = min(max(x, LEAST), MOST)
    shifted = x * LOG2_E + WHOLE
    whole = shifted - WHOLE
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
    value = E11 * rest + E10
    value = value * rest + E9
    value = value * rest + E8
    value = value * rest + E7
    value = value * rest + E6
    value = value * rest + E5
    value = value * rest + E4
    value = value * rest + E3
    value = value * rest + E2
    value = value * rest + 1.0
    value = value * rest + 1.0
    power = np.int64(np.int64(np.float64(shifted).view(np.int64) + BIAS) << MANTISSA)
    return value * power.view(np.float64)


@inline
def log(x: float) -> float:
    """The logarithm of a positive, normal float64."""
    bits = np.float64(x).view(np.int64)
    whole = np.int64(np.int64(bits - ROOT_HALF) >> MANTISSA)
    fraction = np.int64(bits - np.int64(whole << MANTISSA)).view(np.float64)  # between the roots of 1/2 and of 2
    exponent = np.int64(whole + WHOLE_BITS).view(np.float64) - WHOLE
    z = (fraction - 1.0) / (fraction + 1.0)
    square = z * z
    series = L17 * square + L15
    series = series * square + L13
    series = series * square + L11
    series = series * square + L9
    series = series * square + L7
    series = series * square + L5
    series = series * square + L3
    series = series * square + 2.0
    return exponent * LN2_HIGH + (z * series + exponent * LN2_LOW)


@compiled(nogil=True)
def light(
    out: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    mass: np.ndarray,
    forms: np.ndarray,
    factors: np.ndarray,
    profiles: np.ndarray,
) -> None:
    """Write the surface brightness ``out`` (G, Q) of galaxies of amplitude 1 at samples ``x``, ``y`` (Q,) [arcsec].

    Parameters
    ----------
    out
        Where to: the lens galaxy, then those of the source.
    x, y
        The samples.
    mass
        (9,) centre, cosine and sine of the major axis, size of the ellipticity, exponent and factor of the deflection,
        components of the shear.
    forms, factors
        (n, 2) and (2, n) as of :class:`lensvit.lensing.power_law.PowerLaw`.
    profiles
        (G, 7) of elliptical Sérsic profiles of amplitude 1: x and y of the centre [arcsec], e1, e2, R_sersic [arcsec],
        the index n, and the factor b_n.
    """
    bent_x, bent_y, sum_x, sum_y, turned_x, turned_y, xx, yy = np.empty((8, BLOCK))
    center_x, center_y, cos, sin, flat, half, factor, shear_1, shear_2 = mass
    for first in range(0, len(x), BLOCK):
        count = min(BLOCK, len(x) - first)
        for i in range(count):
            offset_x, offset_y = x[first + i] - center_x, y[first + i] - center_y
            turned_x[i] = (1.0 - flat) * (offset_x * cos + offset_y * sin)
            turned_y[i] = (1.0 + flat) * (offset_y * cos - offset_x * sin)
            xx[i], yy[i] = turned_x[i] * turned_x[i], turned_y[i] * turned_y[i]
            sum_x[i], sum_y[i] = 0.0, 0.0
        for term in range(len(forms)):
            of_x, of_y, to_x, to_y = forms[term, 0], forms[term, 1], factors[0, term], factors[1, term]
            for i in range(count):
                inverse = 1.0 / max(of_x * xx[i] + of_y * yy[i], NEAREST)
                sum_x[i] += to_x * inverse
                sum_y[i] += to_y * inverse
        for i in range(count):
            norm = max(xx[i] + yy[i], NEAREST)
            scale = norm * exp(half * (factor - log(norm)))
            along_x, along_y = scale * turned_x[i] * sum_x[i], scale * turned_y[i] * sum_y[i]
            at_x, at_y = x[first + i], y[first + i]
            bent_x[i] = at_x - (along_x * cos - along_y * sin) - (shear_1 * at_x + shear_2 * at_y)
            bent_y[i] = at_y - (along_x * sin + along_y * cos) - (shear_2 * at_x - shear_1 * at_y)
        for galaxy in range(len(profiles)):
            middle_x, middle_y, e1, e2, size, index, steepness = profiles[galaxy]
            squash, power, start = 1.0 / (1.0 - e1 * e1 - e2 * e2), 0.5 / index, 2.0 * np.log(size)
            line = out[galaxy]
            if galaxy == 0:
                for i in range(count):
                    xx[i], yy[i] = x[first + i], y[first + i]
            else:
                for i in range(count):
                    xx[i], yy[i] = bent_x[i], bent_y[i]
            for i in range(count):
                off_x, off_y = xx[i] - middle_x, yy[i] - middle_y
                flat_x = (1.0 - e1) * off_x - e2 * off_y
                flat_y = (1.0 + e1) * off_y - e2 * off_x
                square = max((flat_x * flat_x + flat_y * flat_y) * squash, LEAST_SQUARE)
                radius = exp(min((log(square) - start) * power, MOST_POWER))
                line[first + i] = exp(steepness - steepness * radius)
