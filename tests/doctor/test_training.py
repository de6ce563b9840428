"""Networks that are tried, and what is said of them."""

import json
import subprocess

import pytest
import torch

from lensvit.doctor import training, trial
from lensvit.doctor.trial import Seen
from lensvit.jobs import devices
from lensvit.learning import trainer
from lensvit.learning.libraries import NotHereError
from tests.config.configs import content

pytestmark = pytest.mark.usefixtures("login_node")

SEEN = {
    "place": "a card", "precision": "bf16-mixed", "batch": 20, "images_per_second": 912.3, "memory": 9.5,
    "inputs": ["float32"], "convolutions": 310, "channels_last": 310, "wants_channels_last": True,
    "parameters": 1234567, "waited": 0.4, "written": 3.0, "size": 1_370_000_000,
}  # fmt: skip


def said(case, monkeypatch, found):
    """The lines of the ViT for what its process answers."""
    monkeypatch.setattr(training, "_in_a_process", lambda trial: found)
    return list(training.models(case(models={"resnet": None}, shift={"model": "vit"}, device="cpu")))


def test_what_is_said_of_a_network(case, monkeypatch):
    speed, inputs, layout, checkpoint = said(case, monkeypatch, {"seen": SEEN})
    assert speed.what == "training vit" and speed.verdict == inputs.verdict == layout.verdict == "right"
    assert speed.said == (
        "912 images/s (batch 20, 224 px, bf16-mixed on a card, 1 steps after one), 9.5 GB of memory, 1,234,567 weights"
    )
    assert "1.37 GB, written in 3.0 s, of which the training waits 0.4 s" in checkpoint.said


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"inputs": ["bfloat16", "float32"]}, 1, "should be float32"),
        ({"channels_last": 309}, 2, "309 of 310 outputs of convolutions; the others are slower"),
        ({"written": 31.0}, 3, "--signal=TERM@120"),
    ],
)
def test_what_is_wrong_with_a_network_and_does_not_stop_it(case, monkeypatch, changes, place, words):
    answers = said(case, monkeypatch, {"seen": {**SEEN, **changes}})
    assert [answer.verdict == "wrong" for answer in answers] == [number == place for number in range(4)]
    assert words in answers[place].said and not answers[place].stops


def test_a_transformer_needs_no_channels_last(case, monkeypatch):
    answers = said(case, monkeypatch, {"seen": {**SEEN, "channels_last": 0, "wants_channels_last": False}})
    assert answers[2].verdict == "right"


def test_a_smaller_batch_is_said(case, monkeypatch):
    (speed, *_) = said(case, monkeypatch, {"seen": {**SEEN, "batch": 4}})
    assert "batch 4 of 20" in speed.said


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        ({"error": "out of memory: lower batch_size"}, "wrong", "out of memory"),
        ({"unknown": "who knows"}, "unknown", "who knows"),
        ({}, "unknown", "no answer"),
    ],
)
def test_a_network_of_which_nothing_was_seen(case, monkeypatch, found, verdict, words):
    (answer,) = said(case, monkeypatch, found)
    assert answer.verdict == verdict and words in answer.said and answer.stops == (verdict == "wrong")


@pytest.mark.parametrize(
    ("status", "output", "answer"),
    [
        (0, 'a word of a library\n{"error": "x"}\n', {"error": "x"}),
        (-9, "", "its process was killed, as for lack of memory"),
        (139, "", "its process ended with status 139 (a last word)"),
        (0, "nonsense\n", "its process ended with status 0"),
    ],
)
def test_what_a_process_answers(case, monkeypatch, tmp_path, status, output, answer):
    def run(command, env, **_):
        assert env["HF_HUB_OFFLINE"] == "1"
        return subprocess.CompletedProcess(command, status, stdout=output, stderr="first\na last word\n")

    monkeypatch.setattr(subprocess, "run", run)
    found = training._in_a_process(training._trial(case(), "vit", "cpu", str(tmp_path)))
    assert found == answer if isinstance(answer, dict) else answer in next(iter(found.values()))


def test_a_process_that_takes_too_long(case, monkeypatch, tmp_path):
    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    assert "given up" in training._in_a_process(training._trial(case(), "vit", "cpu", str(tmp_path)))["unknown"]


def test_what_is_tried_is_the_models_own_size_and_needs_no_hub(case, tmp_path):
    made = training._trial(case(recipes={"paper": {"compile": True}}), "vit", "gpu", str(tmp_path))
    assert made.training.network.weights == "scratch" and made.training.network.image_size == 224
    assert made.training.network.architecture == "google/vit-base-patch16-224" and not made.training.recipe.compile
    assert made.cameras == {"hst": (120, 0.05), "keck": (300, 0.02)}
    local = training._trial(case(models={"vit": {"weights": "runs/mine"}}), "vit", "cpu", str(tmp_path))
    assert local.training.network.weights == "runs/mine"


def smoke(case, tmp_path, name, **changes):
    """A trial of a model of the smoke run."""
    made = training._trial(case(**content("runs/smoke.yaml")), name, "cpu", str(tmp_path))
    return made.model_copy(
        update={
            "training": made.training.model_copy(update={"recipe": made.training.recipe.model_copy(update=changes)})
        }
    )


@pytest.mark.parametrize(("name", "last"), [("vit", False), ("resnet", True)])
def test_a_trial_in_bfloat16_gives_the_network_float32(case, tmp_path, name, last):
    found = trial.answer(smoke(case, tmp_path, name, precision="bf16-mixed", batch_size=6))
    assert "seen" in found, found
    seen = Seen(**found["seen"])
    assert (seen.inputs, seen.precision, seen.batch) == (["float32"], "bf16-mixed", 6)
    assert seen.wants_channels_last == last and seen.convolutions > 0
    assert (seen.channels_last == seen.convolutions) or not last
    assert seen.images_per_second > 0 and 0 <= seen.waited <= seen.written
    checkpoint = torch.load(next((tmp_path / "state").glob("checkpoint.pt")), weights_only=True)
    assert {"network", "optimizer"} <= set(checkpoint) and seen.size > 3 * 4 * seen.parameters


def test_images_that_are_rounded_before_the_network_are_seen(case, tmp_path, monkeypatch):
    batch = trainer.StoredImages.batch

    def rounded(self, *args):
        images, targets = batch(self, *args)
        return images.bfloat16(), targets

    monkeypatch.setattr(trainer.StoredImages, "batch", rounded)
    made = smoke(case, tmp_path, "vit", precision="bf16-mixed", batch_size=4, normalise="none", symmetries="none")
    assert "bfloat16" in Seen(**trial.answer(made)["seen"]).inputs


def test_convolutions_whose_channels_are_not_last_are_seen(case, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "memory_format", lambda network: torch.contiguous_format)
    seen = Seen(**trial.answer(smoke(case, tmp_path, "resnet", batch_size=4))["seen"])
    assert seen.channels_last < seen.convolutions


def test_a_batch_that_takes_too_long_on_a_cpu_is_a_small_one(case, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "LONGEST", 0.0)
    assert trial.answer(smoke(case, tmp_path, "vit"))["seen"]["batch"] == trial.SMALL


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (NotHereError(), "unknown"),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "error"),
        (RuntimeError("something else"), "unknown"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), "unknown"),
    ],
)
def test_a_trial_that_fails(case, tmp_path, monkeypatch, error, found):
    def build(*_, **__):
        raise error

    monkeypatch.setattr(trial, "build_network", build)
    assert list(trial.answer(smoke(case, tmp_path, "vit"))) == [found]


def test_too_little_memory_says_what_to_lower(case, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")

    monkeypatch.setattr(trainer, "gaussian_nll", fail)
    assert "lower the recipe's batch_size" in trial.answer(smoke(case, tmp_path, "vit"))["error"]


def test_a_gpu_that_is_not_there_and_gpus_that_are_taken(case, tmp_path, gpus):
    gpus()
    asked = smoke(case, tmp_path, "vit").model_copy(update={"device": "gpu"})
    assert "torch sees no GPU" in trial.answer(asked)["error"]
    gpus("A")
    with devices.free_slots(["A"], 1, tmp_path):
        assert "taken by other jobs" in trial.answer(asked)["unknown"]


def test_a_gpu_that_a_scheduler_has_given_is_tried_whoever_has_it(case, tmp_path, gpus, monkeypatch):
    asked = smoke(case, tmp_path, "vit").model_copy(update={"device": "gpu"})
    gpus("A")
    monkeypatch.setattr(trial, "try_training", lambda asked: asked)
    monkeypatch.setenv("PBS_JOBID", "12")
    with devices.free_slots(["A"], 1, tmp_path):
        assert list(trial.answer(asked)) == ["seen"]


def test_where_networks_are_tried(case, gpus):
    gpus("A")
    assert training._place(case()) == "gpu" and training._place(case(device="cpu")) == "cpu"
    gpus()
    assert training._place(case()) == "cpu"


def test_nothing_is_tried_on_the_cpu_of_a_login_node(case, gpus, login_node, monkeypatch, tmp_path):
    login_node(True)
    monkeypatch.setattr(training, "_in_a_process", lambda trial: {"error": "tried"})
    gpus()
    for asked in (case(), case(device="cpu")):
        (answer,) = training.models(asked)
        assert answer.verdict == "unknown" and "srun --gpus=1" in answer.said
    gpus("A")
    assert "tried" in next(iter(training.models(case()))).said


@pytest.mark.slow
def test_another_process_answers(case, tmp_path):
    """As it is in earnest."""
    found = training._in_a_process(smoke(case, tmp_path, "vit"))
    assert Seen(**found["seen"]).inputs == ["float32"], json.dumps(found)
