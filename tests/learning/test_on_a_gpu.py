"""A step, a prediction and a portion of the stream on a pretended GPU: one device, few copies, no waiting."""

import pytest
import torch
from lightning_fabric import Fabric
from torch._subclasses.fake_tensor import FakeTensor

from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.learning import evaluate, stream
from lensvit.learning import train as training
from lensvit.learning.architectures import build_network
from lensvit.learning.inputs import Inputs
from lensvit.learning.mc_dropout import monte_carlo
from lensvit.learning.preprocessing import resize, stretch
from lensvit.learning.settings import EvaluateSettings, TrainSettings
from tests.pretended import GPU, gpu_fabric, pretended_gpu, tensor_caches

FAMILIES = ["vit", "resnet"]
CHOICE = EvaluateSettings(seed=7, passes=4, batch_size=12, batch_norm="frozen", precision="32-true", compile=False)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu(monkeypatch) as watch:
        yield watch


def test_what_is_counted(gpu):
    here, there = torch.arange(3), torch.arange(3, device=GPU)
    here.to(GPU)
    there.cpu()
    torch.zeros(5)[:3].copy_(there)
    torch.tensor([1.0, 2.0], device=GPU)
    there[here[:2]]
    assert gpu.sent == [(3,), (2,), (2,)] and gpu.fetched == [(3,), (3,)] and not gpu.waits
    there.sum().item()
    bool((there > 1).any())
    there[there > 0] = there[:2]
    assert len(gpu.waits) == 3
    with pytest.raises(RuntimeError, match="two devices"):
        here + there
    gpu.forget()
    assert not gpu.sent + gpu.fetched + gpu.waits


@pytest.mark.parametrize("network", FAMILIES)
def test_a_training_step(gpu, network, tiny_run, train_settings, tmp_path):
    """It sends the images' places, those of the targets, the symmetries' and the groups', and nothing else."""
    settings = read_settings(train_settings(network, epochs=1, normalise="camera"), TrainSettings)
    files = (tiny_run / name for name in ("catalog.parquet", "scaler.json", "images"))
    trainer = training.stored_trainer(settings, *files, gpu_fabric(), tmp_path)
    trainer.parallel.train()
    seen = {}
    first = next(module for module in trainer.network.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_hook(lambda module, images, output: seen.update(images=images[0], output=output))
    gpu.forget()
    loss = trainer.train_step(torch.arange(16), 0)
    assert gpu.sent == [(48,), (16,), (8,), (16,)] and not gpu.fetched and not gpu.waits
    assert seen["images"].dtype == torch.float32 and seen["output"].dtype == torch.bfloat16
    assert seen["images"].is_contiguous(memory_format=trainer.format)
    assert first.weight.is_contiguous(memory_format=trainer.format)
    trained = [loss, *trainer.averaged.state_dict().values()]
    trained += [parameter.grad for parameter in trainer.network.parameters()]
    assert {one.device for one in trained} == {GPU}


@pytest.mark.parametrize("network", FAMILIES)
def test_a_prediction(gpu, network, tiny_run, train_settings):
    """A batch of systems costs one copy of their places and one of all outputs, for however many passes."""
    settings = read_settings(train_settings(network), TrainSettings)
    rows = tables.read_catalog(tiny_run / "catalog.parquet").query("split == 'test'").reset_index(drop=True)
    inputs = Inputs(rows, tiny_run / "images", settings.recipe, 24, device=str(GPU))
    forward = monte_carlo(build_network(settings.network, 16).to(GPU))
    gpu.forget()
    batches = evaluate.predict(forward, inputs, CHOICE, gpu_fabric())
    next(batches)
    assert len(gpu.waits) == 2 and all("equal" in wait for wait in gpu.waits)  # of the first batch alone
    gpu.forget()
    next(batches)
    assert len(gpu.sent) == 1 and gpu.fetched == [(4, 12, 16)] and not gpu.waits


def test_a_portion_of_the_stream(gpu, tiny_run, psfs, stream_settings, monkeypatch):
    """What is drawn goes to the GPU in one piece; the images stay there, and what comes back is whether each is finite.

    The GPU is waited for once, when it has been given the portion after the one that is waited for.
    """
    monkeypatch.setattr(stream, "PORTION", 4)
    rows = tables.read_catalog(tiny_run / "catalog.parquet").query("split == 'train'")
    choice = read_settings(stream_settings(epochs=1, batch_size=2, resize="graded"), TrainSettings)
    batches = stream.NewSystems(choice, psfs, rows["psf"], str(GPU)).batches(0, workers=0)
    next(batches)
    gpu.forget()
    next(batches)  # the second batch of a portion
    assert not gpu.sent + gpu.fetched + gpu.waits
    images, targets = next(batches)
    assert images.device == targets.device == GPU and images.shape == (2, 24, 24) and targets.shape == (2, 8)
    assert len(gpu.sent) == 1 and gpu.fetched == [(4,)] and gpu.waits == ["event"]


def test_no_pretended_tensor_is_left_behind(monkeypatch):
    with pretended_gpu(monkeypatch):
        shown = stretch(resize(torch.zeros(2, 48, 48, device=GPU), 24, "graded"), "imagenet")
        assert shown.shape == (2, 3, 24, 24) and isinstance(shown, FakeTensor)
        assert sum(cached.cache_info().currsize for cached in tensor_caches()) >= 2
    assert not any(cached.cache_info().currsize for cached in tensor_caches())


def test_convolutions_are_channels_last_in_training_and_evaluation(tiny_run, train_settings, tmp_path):
    settings = read_settings(train_settings("resnet"), TrainSettings)
    files = [tiny_run / name for name in ("catalog.parquet", "scaler.json", "images")]
    fabric = Fabric(accelerator="cpu", devices=1)
    trainer = training.stored_trainer(settings, *files, fabric, tmp_path)
    network = monte_carlo(build_network(settings.network, 16))
    trained, evaluated = channels_last(trainer.network), channels_last(network)
    trainer.train_step(torch.arange(16), 0)
    rows = tables.read_catalog(files[0]).query("split == 'test'").reset_index(drop=True)
    next(evaluate.predict(network, Inputs(rows, files[2], settings.recipe, 24), CHOICE, fabric))
    assert len(evaluated) > len(trained) > 4 and all(trained) and all(evaluated)


def channels_last(network):
    """A list to which each convolution adds whether its output is channels last, where there are several pixels."""
    found = []

    def look(module, images, output):
        if output.shape[-1] > 1:
            found.append(output.is_contiguous(memory_format=torch.channels_last) and not output.is_contiguous())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(look)
    return found
