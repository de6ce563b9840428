"""PNG files of pictures with a palette, one below the other, each compressed in the way that suits it best.

Noise is smallest where its levels are coded one by one, and a smooth picture where repetitions or differences of
neighbours are. No encoder is told which is which: all ways are tried.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INDEXED = 3  # the colour type of a palette
NONE, LEFT, ABOVE = 0, 1, 2  # filters of a line: as it is, or its difference to the pixels at its left or above
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)
WINDOW = -15  # of a stream without header, which can be followed by another one


def encode(pictures: Sequence[np.ndarray], palette: np.ndarray) -> bytes:
    """A PNG file.

    Parameters
    ----------
    pictures
        From the top, (height, width) places in the palette each, uint8, of one width.
    palette
        (colours, 3) red, green and blue, uint8.

    Raises
    ------
    ValueError
        If a level is not in the palette.
    """
    highest = max(int(picture.max()) for picture in pictures)
    if highest >= len(palette):
        raise ValueError(f"level {highest} of a palette of {len(palette)} colours")
    height, width = sum(map(len, pictures)), pictures[0].shape[1]
    header = struct.pack(">IIBBBBB", width, height, 8, INDEXED, 0, 0, 0)
    parts = {b"IHDR": header, b"PLTE": palette.astype(np.uint8).tobytes(), b"IDAT": _stream(pictures), b"IEND": b""}
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _stream(pictures: Sequence[np.ndarray]) -> bytes:
    """The lines of all pictures as one zlib stream, whose pieces know nothing of each other."""
    check, pieces = 1, [b"\x78\xda"]
    for picture in pictures:
        lines, piece = min(_ways(picture), key=lambda way: len(way[1]))
        check = zlib.adler32(lines, check)
        pieces.append(piece)
    end = zlib.compressobj(9, zlib.DEFLATED, WINDOW).flush()
    return b"".join([*pieces, end, struct.pack(">I", check)])


def _ways(picture: np.ndarray) -> Iterator[tuple[bytes, bytes]]:
    """The filtered lines of a picture and what they are compressed to, in each way."""
    for kind in (NONE, LEFT, ABOVE):
        lines = filtered(picture, kind)
        for strategy in STRATEGIES:
            packer = zlib.compressobj(9, zlib.DEFLATED, WINDOW, 9, strategy)
            yield lines, packer.compress(lines) + packer.flush(zlib.Z_FULL_FLUSH)


def filtered(picture: np.ndarray, kind: int) -> bytes:
    """The lines of a picture (height, width), each behind the number of its filter.

    Parameters
    ----------
    picture
        Levels, uint8.
    kind
        The filter of all lines; the first one has no other line above it.
    """
    lines = np.empty((len(picture), picture.shape[1] + 1), np.uint8)
    lines[:, 0], lines[:, 1:] = kind, picture
    if kind == LEFT:
        lines[:, 2:] -= picture[:, :-1]
    elif kind == ABOVE:
        lines[0, 0] = NONE
        lines[1:, 1:] -= picture[:-1]
    return lines.tobytes()
