"""Tests of observed lenses."""
