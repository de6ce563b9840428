"""When a difference between two scores is clear."""

from __future__ import annotations

CLEAR = 2.0  # combined standard errors by which a difference is called clear
