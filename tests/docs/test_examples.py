"""The runs that the pages show are runs that the config takes."""

import re

import pytest
import yaml

from lensvit.config.run import validate
from tests.config.configs import ROOT, changed

BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def overlays():
    """Every overlay of config.yaml in a page, whole ones alone: not those with an ellipsis, nor those of profiles."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        for number, text in enumerate(BLOCK.findall(path.read_text(encoding="utf-8"))):
            if "..." not in text and not re.search("^(set|default)-resources:", text, re.MULTILINE):
                yield pytest.param(yaml.safe_load(text), id=f"{path.stem}-{number}")


@pytest.mark.parametrize("overlay", overlays())
def test_an_overlay_is_valid(overlay):
    run = validate(changed(overlay))
    assert all(getattr(run, key) for key in overlay)
