"""What makes a training fast changes its result by rounding alone: compiled networks, bfloat16, averages at once."""

import copy
from functools import partial

import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from torch._dynamo.backends.registry import lookup_backend
from torch._dynamo.utils import counters

from lensvit.io import tables
from lensvit.io.settings import read_settings
from lensvit.learning import evaluate
from lensvit.learning import train as training
from lensvit.learning.architectures import build_network
from lensvit.learning.inputs import Inputs
from lensvit.learning.mc_dropout import monte_carlo
from lensvit.learning.settings import EvaluateSettings, TrainSettings
from lensvit.learning.trainer import Followers

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def compiled(monkeypatch):
    """Batch and whether shapes are variable, of each call of a graph; the graphs' operations run one by one."""
    calls = []

    def backend(graph, inputs):
        function = lookup_backend("aot_eager")(graph, inputs)
        variable = any(not isinstance(part, torch.Tensor) for part in inputs)

        def run(*arguments):
            images = next(one for one in arguments if isinstance(one, torch.Tensor) and one.shape[1:] == (3, 24, 24))
            calls.append((len(images), variable))
            return function(*arguments)

        return run

    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    yield calls
    assert not counters["graph_break"]
    torch._dynamo.reset()


def trained(run, settings, folder):
    files = (run / name for name in ("catalog.parquet", "scaler.json", "images"))
    training.train(settings, *files, folder / "model", folder / "state")
    return pd.read_csv(folder / "model" / "history.csv")[["train_loss", "validation_loss", "validation_mse"]]


def test_a_compiled_network_trains_to_the_same_losses(tiny_run, train_settings, tmp_path, compiled):
    """Two graphs, one for full batches and one for the last: neither has variable shapes."""
    choice = {"epochs": 2, "batch_size": 20}
    plain = trained(tiny_run, train_settings(**choice), tmp_path / "plain")
    assert not compiled
    other = trained(tiny_run, train_settings(**choice, compile=True), tmp_path / "compiled")
    assert compiled == [(20, False)] * 4 + [(16, False)] + [(20, False)] * 4 + [(16, False)]
    assert counters["stats"]["unique_graphs"] == 2
    assert other.to_numpy() == pytest.approx(plain.to_numpy(), rel=1e-3)


def test_passes_through_a_compiled_resnet_differ(tiny_run, train_settings, compiled):
    settings = read_settings(train_settings("resnet"), TrainSettings)
    rows = tables.read_catalog(tiny_run / "catalog.parquet").query("split == 'test'").reset_index(drop=True)
    inputs = Inputs(rows, tiny_run / "images", settings.recipe, 24)
    torch.manual_seed(0)
    network = monte_carlo(build_network(settings.network, 16))
    fabric = Fabric(accelerator="cpu", devices=1)
    found = {}
    for compile_ in (False, True):
        choice = EvaluateSettings(
            seed=7, passes=4, batch_size=20, batch_norm="frozen", precision="32-true", compile=compile_
        )  # fmt: skip
        found[compile_] = torch.cat([output for _, output in evaluate.predict(network, inputs, choice, fabric)], 1)
    assert compiled == [(20, False)] * 4 + [(4, False)] * 4
    assert len({one.numpy().tobytes() for one in found[True]}) == 4
    torch.testing.assert_close(found[True], found[False], rtol=1e-3, atol=1e-4)


def test_bfloat16_ends_near_the_loss_of_float32(tiny_run, train_settings, tmp_path):
    choice = {"epochs": 6, "noise": "fixed"}
    one, two = (
        trained(tiny_run, train_settings(**choice, precision=precision), tmp_path / precision)
        for precision in ("32-true", "bf16-mixed")
    )
    assert not one.equals(two)
    assert two.iloc[-1].to_numpy() == pytest.approx(one.iloc[-1].to_numpy(), rel=0.05)


@pytest.mark.parametrize("network", ["vit", "resnet"])
def test_averages_of_all_weights_at_once_are_those_one_by_one(train_settings, network):
    present = build_network(read_settings(train_settings(network), TrainSettings).network, 16)
    averaged = copy.deepcopy(present)
    with torch.no_grad():
        for weights in present.state_dict().values():
            weights += 1 if weights.dtype == torch.int64 else torch.randn_like(weights)
    expected = copy.deepcopy(averaged)
    for average, now in zip(expected.state_dict().values(), present.state_dict().values(), strict=True):
        average.lerp_(now, 0.3) if average.is_floating_point() else average.copy_(now)
    Followers(averaged, present).follow(0.3)
    moved = averaged.state_dict()
    assert all(torch.equal(moved[name], average) for name, average in expected.state_dict().items())
    counts = [name for name, value in moved.items() if not value.is_floating_point()]
    assert bool(counts) == (network == "resnet") and all(moved[name] == 1 for name in counts)
