"""Training: it learns, it resumes to the same weights after a kill, it stops when it fails."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from lensvit.errors import LensvitError
from lensvit.io.files import sha256
from lensvit.io.settings import read_settings
from lensvit.learning import checkpoints
from lensvit.learning import train as training
from lensvit.learning import trainer as stage
from lensvit.learning.architectures import load_network
from lensvit.learning.settings import TrainSettings
from lensvit.learning.symmetries import augment
from lensvit.parameters import TARGET_NAMES


def train(run, settings, folder, state=None):
    training.train(
        settings,
        run / "catalog.parquet",
        run / "scaler.json",
        run / "images",
        folder / "model",
        state or folder / "state",
    )
    return folder / "model"


def test_it_learns_what_the_images_show(tiny_run, train_settings, tmp_path):
    model = train(tiny_run, train_settings(epochs=30, noise="fixed"), tmp_path)
    history = pd.read_csv(model / "history.csv")
    assert list(history["epoch"]) == list(range(1, 31))
    assert history["validation_mse"].min() < 0.9 * history["validation_mse"].iloc[0]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] - 0.1
    config = load_network(model).config
    assert config.best_epoch == history["validation_mse"].idxmin() + 1
    assert config.targets == list(TARGET_NAMES)
    assert (model / "weights.safetensors.sha256").read_text().startswith(sha256(model / "weights.safetensors"))


def test_the_same_settings_end_in_the_same_weights(tiny_run, train_settings, tmp_path):
    one = train(tiny_run, train_settings(), tmp_path / "a")
    two = train(tiny_run, train_settings(), tmp_path / "b")
    assert sha256(one / "weights.safetensors") == sha256(two / "weights.safetensors")


class KilledError(Exception):
    pass


@pytest.mark.parametrize(("network", "posterior"), [("vit", "diagonal"), ("resnet", "full")])
def test_a_run_that_breaks_off_goes_on_to_the_same_weights(
    tiny_run, train_settings, tmp_path, monkeypatch, network, posterior
):
    """Broken off three times, with checkpoints every step: in the first epoch, in the second, and after its end."""
    settings = train_settings(network, posterior=posterior, epochs=3)
    whole = train(tiny_run, settings, tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    step, count = stage.Trainer.train_step, [0]
    for after in (1, 8, 13):

        def breaking(self, rows, number, after=after):
            if count[0] == after:
                raise KilledError
            count[0] += 1
            return step(self, rows, number)

        monkeypatch.setattr(stage.Trainer, "train_step", breaking)
        with pytest.raises(KilledError):
            train(tiny_run, settings, tmp_path / "broken")
        assert not (tmp_path / "broken" / "model" / "weights.safetensors").exists()
    monkeypatch.setattr(stage.Trainer, "train_step", step)
    resumed = train(tiny_run, settings, tmp_path / "broken")
    assert sha256(resumed / "weights.safetensors") == sha256(whole / "weights.safetensors")
    columns = ["epoch", "train_loss", "validation_loss", "validation_mse", "lr"]
    one, two = (pd.read_csv(model / "history.csv")[columns] for model in (whole, resumed))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.slow
def test_kill_9_at_any_moment_and_the_same_command_again(tiny_run, train_settings, tmp_path):
    settings = train_settings(epochs=30)
    whole = train(tiny_run, settings, tmp_path / "whole")
    command = [
        sys.executable, "-m", "lensvit", "train", "--settings", settings, "--catalog", tiny_run / "catalog.parquet",
        "--scaler", tiny_run / "scaler.json", "--images", tiny_run / "images", "--output", tmp_path / "model",
        "--state", tmp_path / "state",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 100
    while not list((tmp_path / "state").glob("*/checkpoint.pt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model").exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stdout
    assert sha256(tmp_path / "model" / "weights.safetensors") == sha256(whole / "weights.safetensors")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_scheduler_that_ends_the_job_gets_a_checkpoint_first(tiny_run, train_settings, tmp_path, monkeypatch, number):
    settings = train_settings(epochs=3)
    whole = train(tiny_run, settings, tmp_path / "whole")
    step, count, handler = stage.Trainer.train_step, [0], signal.getsignal(number)

    def signalled(self, rows, index):
        count[0] += 1
        if count[0] == 9:
            os.kill(os.getpid(), number)
        return step(self, rows, index)

    monkeypatch.setattr(stage.Trainer, "train_step", signalled)
    with pytest.raises(LensvitError, match=f"stopped by {number.name} in epoch 2 after step 3; the checkpoint"):
        train(tiny_run, settings, tmp_path / "stopped")
    assert count[0] == 9 and signal.getsignal(number) == handler
    saved = torch.load(next((tmp_path / "stopped" / "state").glob("*/checkpoint.pt")), weights_only=True)
    assert (saved["progress"]["epoch"], saved["progress"]["step"]) == (1, 3)
    resumed = train(tiny_run, settings, tmp_path / "stopped")
    assert count[0] == 18  # 6 steps an epoch: none is done twice
    assert sha256(resumed / "weights.safetensors") == sha256(whole / "weights.safetensors")


def test_a_checkpoint_of_other_settings_is_left_alone(tiny_run, train_settings, tmp_path, capsys):
    train(tiny_run, train_settings(epochs=2), tmp_path)
    train(tiny_run, train_settings(epochs=3, learning_rate=1e-4), tmp_path)
    assert "resumed" not in capsys.readouterr().out
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_a_checkpoint_is_that_of_its_files_and_of_what_the_code_means(tmp_path, monkeypatch):
    scaler = tmp_path / "scaler.json"
    scaler.write_text("{}")
    monkeypatch.setattr(training, "code", lambda module: f"{module} 0123")
    key = training.checkpoint_key("lensvit.learning.train", scaler)
    assert len(key) == 16 and training.checkpoint_key("lensvit.learning.train", scaler) == key
    assert training.checkpoint_key("lensvit.learning.stream", scaler) != key
    monkeypatch.setattr(training, "code", lambda module: f"{module} 4567")
    assert training.checkpoint_key("lensvit.learning.train", scaler) != key
    monkeypatch.undo()
    other = training.checkpoint_key("lensvit.learning.train", scaler)
    scaler.write_text("{ }")
    assert training.checkpoint_key("lensvit.learning.train", scaler) != other


def test_a_broken_checkpoint_is_said(tiny_run, train_settings, tmp_path):
    train(tiny_run, train_settings(epochs=1), tmp_path)
    checkpoint = next((tmp_path / "state").glob("*/checkpoint.pt"))
    whole = checkpoint.read_bytes()
    incomplete = torch.load(checkpoint, weights_only=True)
    del incomplete["optimizer"]
    for content in (whole[:1000], b"", b"no checkpoint", incomplete):
        torch.save(content, checkpoint) if content is incomplete else checkpoint.write_bytes(content)
        with pytest.raises(LensvitError, match=r"checkpoint.pt is truncated or broken: delete .*state"):
            train(tiny_run, train_settings(epochs=1), tmp_path)


def test_a_loss_that_is_no_number_stops_with_advice(tiny_run, train_settings, tmp_path):
    settings = train_settings("resnet", optimizer="adam", learning_rate=1.0, clip_norm=None, stretch="raw", epochs=30)
    with pytest.raises(LensvitError, match=r"(the loss is (nan|inf).*|training diverges.*)learning_rate"):
        train(tiny_run, settings, tmp_path)
    assert not (tmp_path / "model").exists()


def test_divergence_is_three_epochs_far_above_the_prior(train_settings):
    choice = read_settings(train_settings(learning_rate=1.0), TrainSettings).recipe
    rows = [{"validation_mse": value} for value in (1.0, 200.0, 300.0, 250.0)]
    stage._stop_if_diverged(rows[:3], choice)
    with pytest.raises(LensvitError, match="200, 300, 250"):
        stage._stop_if_diverged(rows, choice)


def test_the_schedule(tiny_run, train_settings):
    def rates(**changes):
        trainer = training.stored_trainer(
            read_settings(train_settings(epochs=10, learning_rate=1e-2, **changes), TrainSettings),
            *(tiny_run / name for name in ("catalog.parquet", "scaler.json", "images")),
            Fabric(accelerator="cpu", devices=1),
            tiny_run / "state",
        )
        return [trainer.learning_rate(step) for step in range(10 * trainer.steps)]

    cosine = rates(warmup=0.1)
    assert cosine[0] == pytest.approx(1e-2 / 6) and max(cosine) == pytest.approx(1e-2, rel=0.02)
    assert cosine[-1] < 1e-4 and all(a >= b for a, b in pairwise(cosine[7:]))
    assert set(rates(schedule="constant", warmup=0.0)) == {1e-2}


def test_a_gpu_that_is_not_there_is_said(tiny_run, train_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LensvitError, match=r"device: gpu .* no GPU .* device: cpu"):
        training.train(
            train_settings(), tiny_run / "catalog.parquet", tiny_run / "scaler.json", tiny_run / "images",
            tmp_path / "model", tmp_path / "state", device="gpu",
        )  # fmt: skip


def test_truncated_weights_are_said(tiny_run, train_settings, tmp_path):
    model = train(tiny_run, train_settings(epochs=1), tmp_path)
    weights = model / "weights.safetensors"
    assert load_file(weights)
    weights.write_bytes(weights.read_bytes()[:-500])
    with pytest.raises(LensvitError, match=r"weights.safetensors is truncated"):
        load_network(model)


@pytest.mark.parametrize("network", ["vit", "resnet"])
def test_a_full_posterior_is_trained_and_read_again(tiny_run, train_settings, tmp_path, network):
    model = train(tiny_run, train_settings(network, posterior="full", epochs=8, noise="fixed", average=0.0), tmp_path)
    history = pd.read_csv(model / "history.csv")
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] - 0.05
    loaded, _, config = load_network(model)
    assert config.network.posterior == "full"
    assert loaded(torch.zeros(2, 3, 24, 24)).shape == (2, 44)


@pytest.mark.slow
def test_two_processes_end_where_one_does(tiny_run, train_settings, tmp_path):
    """On the CPU, over gloo; without dropout, whose masks differ. The last batch is one image."""
    settings = train_settings(posterior="full", epochs=2, batch_size=19)
    text = settings.read_text().replace("dropout: 0.1", "dropout: 0.0")
    settings.write_text(text)
    one, two = train(tiny_run, settings, tmp_path / "one"), tmp_path / "two" / "model"
    command = [
        sys.executable, "-m", "lensvit", "train", "--settings", settings, "--catalog", tiny_run / "catalog.parquet",
        "--scaler", tiny_run / "scaler.json", "--images", tiny_run / "images", "--output", two, "--state",
        tmp_path / "two" / "state", "--processes", "2",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [pd.read_csv(model / "history.csv")[["train_loss", "validation_mse"]].to_numpy() for model in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    many = load_file(two / "weights.safetensors")
    for name, weights in load_file(one / "weights.safetensors").items():
        assert torch.allclose(many[name], weights, atol=2e-4), name


def test_what_is_kept_is_the_average_of_the_weights(tiny_run, train_settings, tmp_path, monkeypatch):
    """The recursion by hand, from the weights before and after every step of one epoch."""
    name = "classifier.vit.embeddings.patch_embeddings.projection.weight"
    steps = []
    done = stage.Trainer.train_step

    def spy(trainer, rows, step):
        if not steps:
            steps.append(trainer.averaged.state_dict()[name].clone())
        loss = done(trainer, rows, step)
        steps.append(trainer.network.state_dict()[name].clone())
        return loss

    monkeypatch.setattr(stage.Trainer, "train_step", spy)
    model = train(tiny_run, train_settings(average=0.4, epochs=1), tmp_path)
    expected = steps[0]
    for step, weights in enumerate(steps[1:]):
        decay = min(0.4, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights
    kept = load_file(model / "weights.safetensors")[f"network.{name}"]
    assert len(steps) > 4 and torch.allclose(kept, expected, atol=1e-7)
    assert not torch.allclose(kept, steps[-1], atol=1e-5)


def test_images_and_targets_are_turned_together(tiny_run, train_settings, tmp_path, monkeypatch):
    """Every image of a step comes with the targets of its own symmetry, and all four occur."""
    seen = []
    monkeypatch.setattr(stage, "augment", lambda *arguments: seen.append(arguments) or augment(*arguments))
    train(tiny_run, train_settings(epochs=1, symmetries="source"), tmp_path)
    assert {int(one) for _, _, chosen, _ in seen for one in chosen} == {0, 1, 2, 3}
    seen.clear()
    train(tiny_run, train_settings(epochs=1, symmetries="half_turn"), tmp_path / "half")
    assert {int(one) for _, _, chosen, _ in seen for one in chosen} == {0, 1}


@pytest.mark.parametrize(("until", "turned"), [(0.3, 4), (0.7, 9), (1.0, 12)])
def test_the_last_steps_are_without_symmetries(tiny_run, train_settings, tmp_path, monkeypatch, until, turned):
    """Counted over both epochs: 12 steps, of which so many turn images."""
    seen = []
    monkeypatch.setattr(stage, "augment", lambda *arguments: seen.append(arguments[2]) or augment(*arguments))
    train(tiny_run, train_settings(epochs=2, symmetries_until=until), tmp_path)
    assert [bool(chosen.any()) for chosen in seen] == [step < turned for step in range(12)]
