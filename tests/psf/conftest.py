from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

REAL_FILES = Path(__file__).parents[2].parent / "shared" / "psf"

HST = {"kind": "hst_acs", "instrument": "hst", "pixel_scale": 0.05, "pixels": 101}
KECK = {
    "kind": "keck_ao",
    "instrument": "keck",
    "pixel_scale": 0.02,
    "pixels": 201,
    "zenith_angle_deg": 30.0,
    "outer_scale": 30.0,
    "static_nm": 100.0,
    "seed": 1,
}
PAPER = {
    "hst_a": {**HST, "spectral_index": -2.0, "despace_um": 6.0},
    "hst_b": {**HST, "spectral_index": -1.0, "despace_um": 4.0},
    "hst_c": {**HST, "spectral_index": -0.5, "despace_um": 0.0},
    "keck_a": {**KECK, "r0": 0.247, "residual_nm": 220.0, "jitter_mas": [8.0, 8.0]},
    "keck_b": {**KECK, "r0": 0.186, "residual_nm": 280.0, "jitter_mas": [14.0, 11.0]},
    "keck_c": {**KECK, "r0": 0.135, "residual_nm": 340.0, "jitter_mas": [20.0, 14.0]},
}


def write_settings(folder: Path, name: str, **fields: object) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **fields}))
    return path


def gaussian(size: int, sigma: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """A Gaussian star of sum 1, (size, size), offset by (x, y) pixels."""
    offset = np.arange(size) - (size - 1) / 2
    star = np.exp(-((offset - x) ** 2 + (offset[:, None] - y) ** 2) / (2 * sigma**2))
    return star / star.sum()


@pytest.fixture(scope="session")
def paper_psfs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The paper's six PSF files."""
    from lensvit.psf.build import build_kernel

    folder = tmp_path_factory.mktemp("psf")
    for name, fields in PAPER.items():
        build_kernel(write_settings(folder, name, **fields), folder / f"{name}.fits")
    return {name: folder / f"{name}.fits" for name in PAPER}


@pytest.fixture
def stars():
    return gaussian


@pytest.fixture
def settings_file():
    return write_settings


@pytest.fixture
def paper_settings():
    return PAPER


@pytest.fixture
def real_file():
    """Path of one of the real PSF files that lie beside a checkout; skips where it is absent."""

    def find(name: str) -> Path:
        path = REAL_FILES / name
        if not path.exists():
            pytest.skip(f"{name} is not there")
        return path

    return find
