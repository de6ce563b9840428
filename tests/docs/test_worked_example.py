"""The worked example of the docs, run as it stands there."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from tests.config.configs import ROOT

PAGE = (ROOT / "docs/worked-example.md").read_text(encoding="utf-8")
BASH = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^ +(\w+) +(-?[\d.]+) \+- ([\d.]+)", re.MULTILINE)


def printed(text):
    """Parameter to value and error, as a terminal shows them."""
    return {name: (float(value), float(error)) for name, value, error in PRINTED.findall(text)}


def blocks(start, end):
    """What the page shows between two of its headings as printed."""
    return printed(PAGE.split(f"\n## {start}\n")[1].split(f"\n## {end}\n")[0])


@pytest.mark.slow
def test_the_commands_of_the_page_give_what_it_shows(tmp_path):
    for name in ("paper", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    said = []
    for block in BASH.findall(PAGE):
        for line in block.replace("\\\n", " ").splitlines():
            program, *arguments = line.split()
            assert program == ".venv/bin/lensvit"
            command = [sys.executable, "-m", "lensvit", *arguments]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
    truth = pd.read_csv(tmp_path / "example/truth.csv").iloc[0]
    shown = (
        blocks("What a network says", "What a fit says"),
        blocks("What a fit says", "A survey's cutouts, and a cluster"),
    )
    for found, expected in zip((printed(said[2]), printed(said[3])), shown, strict=True):
        assert set(expected) <= set(found) and len(expected) > 5
        for name, (value, error) in expected.items():
            # another machine rounds otherwise, and draws are others
            assert found[name][0] == pytest.approx(value, abs=0.5 * error), name
            assert found[name][1] == pytest.approx(error, rel=0.4), name
            if name != "H0":
                assert found[name][0] == pytest.approx(truth[name], abs=3.5 * found[name][1]), name
    hubble = json.loads((tmp_path / "example/fits" / f"{truth['name']}.json").read_text())["hubble"]
    assert hubble["h0"] == pytest.approx(70, abs=2.5 * hubble["h0_sigma"]) and "kappa" in hubble["caveat"]
    for name, value in re.findall(r"^    (\w+) = (-?[\d.]+)", PAGE, re.MULTILINE):  # the truth on the page
        assert truth[name] == pytest.approx(float(value), abs=1e-3), name
