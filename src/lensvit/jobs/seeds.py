"""Seeds of random numbers: each stream has its own, made from the run's seed and from what the stream is for."""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """A 63-bit seed from the SHA-256 of ``parts``, the same on every machine.

    Parameters
    ----------
    parts
        The run's seed, then words and numbers that say what the stream is for.
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
