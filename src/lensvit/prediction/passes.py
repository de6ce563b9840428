"""What a trained network says of images: means, covariances, their parts, and its features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lensvit.io.scaler import Scaler
from lensvit.jobs.seeds import derive
from lensvit.learning import gaussian
from lensvit.learning.architectures import memory_format
from lensvit.learning.evaluate import NetworkInputs, TargetScale
from lensvit.learning.mc_dropout import SharedMasks, monte_carlo
from lensvit.learning.settings import EvaluateSettings
from lensvit.prediction.features import last_layer, watched
from lensvit.statistics.metrics import standardised


class Answers(NamedTuple):
    """What a network says of n images, of K targets in their own units.

    Parameters
    ----------
    mean
        (n, K).
    covariance
        (n, K, K), of the network's own uncertainty and of its passes together, not calibrated.
    epistemic
        (n, K) standard deviation of the means over the passes.
    """

    mean: np.ndarray
    covariance: np.ndarray
    epistemic: np.ndarray


class Looks(NamedTuple):
    """What a network without dropout makes of n images.

    Parameters
    ----------
    mean
        (n, K) means of the targets in their own units.
    features
        (n, F) what comes to its last layer.
    clipped
        (n,) share of the input's values that lie beyond what the normalisation of pixels lets through.
    """

    mean: np.ndarray
    features: np.ndarray
    clipped: np.ndarray


@torch.no_grad()
def look(network: nn.Module, inputs: NetworkInputs, limit: float | None, scaler: Scaler, batch_size: int) -> Looks:
    """One pass without dropout.

    Parameters
    ----------
    network
        The network.
    inputs
        Inputs of n images.
    limit
        What normalised pixels are clipped to; None where they are not.
    scaler
        Scale of the targets.
    batch_size
        Images that the network sees at once.
    """
    network.eval()
    scale, form = TargetScale(scaler), memory_format(network)
    network.to(memory_format=form)
    layer: nn.Linear | None = None
    means, features, clipped = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for rows in torch.arange(len(inputs)).split(batch_size):
        batch = inputs.batch(rows).contiguous(memory_format=form)
        layer = layer or last_layer(network, batch[:1])
        with watched(layer) as seen:
            output = network(batch).double().cpu()
        mean = gaussian.split_output(output, len(scale.mean))[0].numpy()
        means.append(scale.mean + scale.sd * mean)
        features.append(seen().numpy())
        beyond = torch.zeros(len(rows)) if limit is None else (batch.abs() >= limit).float().mean((1, 2, 3))
        clipped.append(beyond.double().cpu().numpy())
    return Looks(*(np.concatenate(part) for part in (means, features, clipped)))


@torch.no_grad()
def ask(
    network: nn.Module, inputs: NetworkInputs, settings: EvaluateSettings, scaler: Scaler, fabric: Fabric
) -> Answers:
    """All passes of Monte-Carlo dropout over some images, summed up.

    Each pass is one network for all images, so that what an image gets does not depend on those beside it.

    Parameters
    ----------
    network
        The network.
    inputs
        Inputs of n images.
    settings
        Number of passes, batches, arithmetic, seed.
    scaler
        Scale of the targets.
    fabric
        The process's device.
    """
    scale = TargetScale(scaler)
    network = monte_carlo(network, settings.batch_norm)
    form, parts = memory_format(network), list[Answers]()
    for rows in torch.arange(len(inputs)).split(settings.batch_size):
        batch, outputs = inputs.batch(rows).contiguous(memory_format=form), list[Tensor]()
        for number in range(settings.passes):
            torch.manual_seed(derive(settings.seed, "pass", number))
            with fabric.autocast(), SharedMasks():
                outputs.append(network(batch).double().cpu())
        parts.append(_summed(torch.stack(outputs), scale))
    return Answers(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _summed(output: Tensor, scale: TargetScale) -> Answers:
    """Mean and covariance of the mixture of all passes (P, B, O)."""
    count = len(scale.mean)
    mean, log_variance, coupling = gaussian.split_output(output, count)
    if coupling is None:
        own = torch.diag_embed(log_variance.exp()).mean(0)
    else:
        factor = gaussian.covariance_factor(log_variance, coupling)
        own = (factor @ factor.mT).mean(0)
    centred = mean - mean.mean(0)
    among = torch.einsum("pbi,pbj->bij", centred, centred) / len(mean)
    covariance = scale.sd[:, None] * (own + among).numpy() * scale.sd
    return Answers(scale.mean + scale.sd * mean.mean(0).numpy(), covariance, scale.sd * mean.std(0, False).numpy())


def scores(answers: Answers, scaler: Scaler, distance: np.ndarray, clipped: np.ndarray) -> Mapping[str, np.ndarray]:
    """The scores (n,) by which images unlike the training's are told, see :data:`lensvit.prediction.reference.SCORES`.

    ``predicted`` is the whole sigma and ``epistemic`` the part of it that comes from the passes, each as the root mean
    square over the targets in units of their scatter over the training, as in the chapter on other populations.
    """
    sd = TargetScale(scaler).sd
    sigma = np.sqrt(np.diagonal(answers.covariance, axis1=1, axis2=2))
    return {
        "distance": distance,
        "epistemic": standardised(answers.epistemic**2, sd),
        "predicted": standardised(sigma**2, sd),
        "clipped": clipped,
    }
