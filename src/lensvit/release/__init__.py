"""Releases of a run: packed, adopted in another clone, and verified."""
