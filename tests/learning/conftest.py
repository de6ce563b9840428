"""What a stream for the tiny run needs: its PSFs, and the settings of its simulation."""

import pytest
import yaml

from lensvit.bench.simulation import moffat
from lensvit.io import files
from lensvit.psf import kernel
from tests.learning.streams import CAMERAS, options


@pytest.fixture
def psfs(tmp_path):
    paths = [tmp_path / "psf" / f"{name}.fits" for name in CAMERAS]
    for path, (_, scale) in zip(paths, CAMERAS.values(), strict=True):
        kernel.write_kernel(path, kernel.Kernel(moffat(11, scale, 2 * scale), scale, 1.0), {})
        files.write_manifest(path)
    return paths


@pytest.fixture
def stream_settings(train_settings):
    def write(**changes):
        path = train_settings(**changes)
        content = yaml.safe_load(path.read_text()) | {"stream": {"options": {name: options(name) for name in CAMERAS}}}
        path.write_text(yaml.safe_dump(content))
        return path

    return write
