"""A run whose systems are refined."""

from tests.chapters.refine.conftest import run as refined_run

__all__ = ["refined_run"]
