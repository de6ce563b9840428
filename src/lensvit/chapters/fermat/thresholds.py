"""Thresholds and names that the table, the figure and the claims of this chapter share."""

from __future__ import annotations

ALL = "all"  # numbers of images
CENTRAL = 0.68  # share of the systems between the ends of the bars of figure 6
MOST_UNPHYSICAL = 0.1  # share of draws without a lens or with the delay reversed, above which a system is not used
