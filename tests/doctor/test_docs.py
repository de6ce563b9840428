"""What the documents say of a new machine is what the program does."""

import re

import pytest

from lensvit.doctor import run
from lensvit.jobs.devices import LEAST_DRIVER
from lensvit.learning.architectures import build_network
from tests.config.configs import ROOT, overlaid

TEXT = (ROOT / "docs/paper-scale.md").read_text(encoding="utf-8")


def test_the_least_drivers_are_those_that_are_checked():
    assert dict(re.findall(r"^\| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE)) == LEAST_DRIVER
    assert "\n## An older driver\n" in TEXT  # which the line of the driver names


def test_every_check_has_a_line():
    part = TEXT.partition("\n## 1. The doctor\n")[2].partition("\n## 2. ")[0]
    said = " ".join(re.findall(r"^\| (.*?) \|", part, re.MULTILINE))
    lines = {"GPUs": "GPU 0", "weights": "weights of", "training": "training of"}
    assert [name for name in run.CHECKS if lines.get(name, name) not in said] == []


def test_the_checklist_tries_the_papers_networks():
    first, paper = overlaid(["first"]), overlaid([])
    for name, network in paper.models.items():
        assert first.models[name].model_copy(update={"weights": network.weights, "changes": {}}) == network


@pytest.mark.slow
def test_the_number_of_exchanges_of_a_resnet152():
    from torch import device, nn

    network = overlaid([]).models["resnet"].model_copy(update={"weights": "scratch"})
    with device("meta"):
        model = build_network(network, 16)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    text = " ".join((ROOT / "docs/training.md").read_text(encoding="utf-8").split())
    assert f"ResNet152 has {norms} of them, so that a step makes {2 * norms} small exchanges" in text
