"""Scores of predictions and tests of calibration, on plain arrays."""
