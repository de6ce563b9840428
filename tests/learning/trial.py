"""One network tried to the end: built, trained a step, saved, loaded and sampled."""

import torch
from lightning_fabric import Fabric

from lensvit.io.files import write_text
from lensvit.io.scaler import Scaler
from lensvit.learning import gaussian
from lensvit.learning.architectures import build_network, family, load_network, trainable_parameters
from lensvit.learning.dropout import places
from lensvit.learning.evaluate import predict, varying
from lensvit.learning.libraries import save_weights
from lensvit.learning.mc_dropout import monte_carlo
from lensvit.learning.settings import Architecture, EvaluateSettings, Recipe, TrainedModel
from lensvit.parameters import TARGET_NAMES

# statistics of the batch, as those of a training of one step are not yet any
PASSES = EvaluateSettings(seed=1, passes=4, batch_size=2, batch_norm="batch", precision="32-true", compile=False)
RECIPE = Recipe(
    resize="area", brightness="per_area", stretch="three", noise="fixed", normalise="none", symmetries="none",
    symmetries_until=1.0, optimizer="adam", learning_rate=1e-3, schedule="constant", warmup=0.0, weight_decay=0.0,
    clip_norm=None, average=0.0, batch_size=2, epochs=1, criterion="mse", precision="32-true", compile=False,
)  # fmt: skip


def network(architecture, library="torchvision", dropout=0.2, size=64, **changes):
    """Settings of a network of random weights."""
    return Architecture(
        library=library, architecture=architecture, weights="scratch", dropout=dropout, image_size=size, **changes
    )


class Inputs:
    """Two images of noise, (2, 3, S, S)."""

    def __init__(self, size):
        self.images = torch.randn(2, 3, size, size)

    def __len__(self):
        return len(self.images)

    def batch(self, rows):
        return self.images[rows]


def rehearse(choice):
    """Build a network and take a step's passes forward and backward without numbers; return its number of weights."""
    with torch.device("meta"):
        model = build_network(choice, gaussian.output_count(choice.posterior, len(TARGET_NAMES)))
        inputs = Inputs(choice.image_size)
        gaussian.gaussian_nll(model.train()(inputs.images), torch.randn(2, len(TARGET_NAMES))).backward()
    return trainable_parameters(model)


def trial(choice, folder):
    """Try a network with two images, and return what its config.json says.

    What the house refuses is a LensvitError; what else is not as it should be, an AssertionError.
    """
    torch.manual_seed(0)
    inputs, targets = Inputs(choice.image_size), torch.randn(2, len(TARGET_NAMES))
    model = build_network(choice, gaussian.output_count(choice.posterior, len(TARGET_NAMES)))
    layout = torch.channels_last if family(model) == "convolutional" else torch.contiguous_format  # as the trainer
    model.to(memory_format=layout).train()
    loss = gaussian.gaussian_nll(model(inputs.images.contiguous(memory_format=layout)), targets)
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    assert torch.isfinite(loss) and any(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()

    made = TrainedModel(
        network=choice,
        recipe=RECIPE,
        targets=list(TARGET_NAMES),
        scaler=Scaler(mean=dict.fromkeys(TARGET_NAMES, 0.0), sd=dict.fromkeys(TARGET_NAMES, 1.0)),
        family=family(model),
        dropout_places=places(choice, model),
        parameters=trainable_parameters(model),
        systems_seen=2,
        best_epoch=1,
        best_validation_mse=1.0,
    )
    write_text(folder / "config.json", made.model_dump_json())
    save_weights(model.state_dict(), folder / "weights.safetensors")
    loaded = load_network(folder).network
    state = model.state_dict()
    assert all(torch.equal(value, state.pop(name)) for name, value in loaded.state_dict().items()) and not state
    del model

    passes = predict(monte_carlo(loaded, PASSES.batch_norm), inputs, PASSES, Fabric(accelerator="cpu", devices=1))
    ((_, (one, other, *_)),) = varying(passes, choice)
    assert torch.isfinite(one).all() and torch.isfinite(other).all()
    assert torch.equal(one, other) == (choice.dropout == choice.attention_dropout == 0)
    return made
