"""Thresholds that several modules of this chapter share."""

from __future__ import annotations

CENTRAL = 0.68  # share of the systems between the ends of the bars of figure 6
MOST_UNPHYSICAL = 0.1  # share of draws without a lens or with the delay reversed, above which a system is not used
