"""requirements.lock has a distribution of each package for every platform that docs/platforms.md names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
REQUIREMENTS = [Requirement(line) for line in LOCK.read_text().splitlines()]

PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {  # as uv calls them, and as markers do
    "x86_64-unknown-linux-gnu": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "aarch64-unknown-linux-gnu": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "aarch64-apple-darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}
MACOS = "14.0"  # the oldest one that the pinned torch has a wheel for
WITHOUT_WHEELS = ("connection-pool", "lenstronomy")  # pure Python, built from their source on any platform
OFFLINE = ("failed to fetch", "error sending request", "dns error", "connect error", "network connectivity")


def uv():
    """The program uv; beside this Python, where the environment is not activated."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def resolve(platform, python, lock, folder):
    """Ask for every package's distribution, and install none."""
    exceptions = [option for name in WITHOUT_WHEELS for option in ("--no-binary", name)]
    command = [uv(), "pip", "install", "--dry-run", "--no-deps", "--target", folder, "--python-platform", platform]
    command += ["--python-version", python, "--only-binary", ":all:", *exceptions, "--requirement", lock]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": MACOS, "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    if done.returncode and any(said in done.stderr.lower() for said in OFFLINE):
        pytest.skip("no network")
    return done


@pytest.mark.skipif(uv() is None, reason="no uv")
@pytest.mark.parametrize(
    ("platform", "python"),
    # the ends of the range for all, and what lies between for one
    [(platform, python) for platform in PLATFORMS for python in PYTHONS if python != "3.12" or "x86" in platform],
)
def test_every_pinned_package_has_a_distribution_for_each_platform(platform, python, tmp_path):
    done = resolve(platform, python, LOCK, tmp_path / "target")
    assert done.returncode == 0, done.stderr
    assert f"Would install {pins_for(platform, python)} packages" in done.stderr


@pytest.mark.skipif(uv() is None, reason="no uv")
def test_a_package_without_a_distribution_is_found(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "".join(line.partition(" ;")[0] + "\n" for line in LOCK.read_text().splitlines() if "nvidia" in line)
    )
    done = resolve("aarch64-apple-darwin", "3.12", lock, tmp_path / "target")
    assert done.returncode != 0 and "nvidia" in done.stderr


def pins_for(platform, python):
    environment = default_environment() | PLATFORMS[platform]
    environment |= {"python_version": python, "python_full_version": f"{python}.0"}
    return sum(line.marker is None or line.marker.evaluate(environment) for line in REQUIREMENTS)


def test_what_comes_with_cuda_is_for_linux_alone():
    cuda = [line for line in REQUIREMENTS if re.match("nvidia|cuda|triton", line.name)]
    assert len(cuda) > 10
    for platform, values in PLATFORMS.items():
        environment = default_environment() | values
        assert {line.marker.evaluate(environment) for line in cuda} == {"linux" in platform}


def test_the_lock_file_names_packages_alone():
    """No index, no host, no path, no option."""
    for line in LOCK.read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+]+( ; [\w .'<>=!()]+)?", line), line
