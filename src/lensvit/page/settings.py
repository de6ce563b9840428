"""Settings of the page of results."""

from __future__ import annotations

from lensvit.io.settings import Seeded
from lensvit.lensing.settings import LensModel


class PageSettings(LensModel, Seeded):
    """Settings of the stage ``page``: how model images are computed, and the lot of systems where not all are shown."""
