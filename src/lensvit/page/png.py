"""PNG files of pictures with a palette, which are small and the same byte for byte."""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INDEXED = 3  # the colour type of a palette


def encode(levels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file.

    Parameters
    ----------
    levels
        (height, width) places in the palette, uint8; the first row is the top one.
    palette
        (colours, 3) red, green and blue, uint8.

    Raises
    ------
    ValueError
        If a level is not in the palette.
    """
    height, width = levels.shape
    if levels.size and levels.max() >= len(palette):
        raise ValueError(f"level {levels.max()} of a palette of {len(palette)} colours")
    lines = np.zeros((height, width + 1), np.uint8)  # each begins with its filter, which is none
    lines[:, 1:] = levels
    header = struct.pack(">IIBBBBB", width, height, 8, INDEXED, 0, 0, 0)
    parts = {b"IHDR": header, b"PLTE": palette.astype(np.uint8).tobytes(), b"IDAT": zlib.compress(lines.tobytes(), 9)}
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in {**parts, b"IEND": b""}.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
