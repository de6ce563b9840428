"""Monte-Carlo dropout: from a trained network to draws of the parameters of the test systems.

Each pass runs the network once over the test set with dropout on and draws one value from
the Gaussian that it predicts (Perreault Levasseur, Hezaveh & Wechsler 2017). Every pass has
a seed of its own, so the draws do not depend on how passes are grouped into calls or jobs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lensvit import frames
from lensvit import settings as stage_settings
from lensvit.devices import pick
from lensvit.files import atomic, write_manifest
from lensvit.losses import split
from lensvit.networks import load, monte_carlo
from lensvit.parameters import TARGET_NAMES
from lensvit.pipeline import Inputs
from lensvit.seeds import derive


@dataclass
class Passes:
    """Running sums over the passes, in standardised units, so that memory does not grow with them.

    mean, square : (n, K) sums of the predicted means and of their squares.
    variance : (n, K) sum of the predicted variances.
    """

    count: int
    mean: np.ndarray
    square: np.ndarray
    variance: np.ndarray

    def add(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Book one pass: (n, K) each."""
        self.count += 1
        self.mean += mean
        self.square += mean**2
        self.variance += variance

    def epistemic(self) -> np.ndarray:
        """(n, K) standard deviation of the predicted means over the passes."""
        mean = self.mean / self.count
        return np.sqrt(np.maximum(self.square / self.count - mean**2, 0))

    def aleatoric(self) -> np.ndarray:
        """(n, K) root of the mean predicted variance."""
        return np.sqrt(self.variance / self.count)


def evaluate(
    settings: Path,
    catalog: Path,
    images: Path,
    model: Path,
    output: Path,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Predict the test split with MC dropout: draws in ``output`` (.h5), their summary beside it (.parquet).

    Parameters
    ----------
    settings : the stage's settings: seed, passes, batch_size, batch_norm.
    catalog, images : the run's catalogue and folder of images.
    model : folder with weights.safetensors and config.json.
    output : predictions/{model}.h5.
    device : "cpu" or "gpu".
    threads : of the CPU.

    Raises
    ------
    LensvitError
        If files are broken, or no GPU is there.
    """
    torch.set_num_threads(threads)
    choice = stage_settings.read(settings)
    rows = frames.read(catalog)
    rows = rows[rows["split"] == "test"].reset_index(drop=True)
    with pick(device) as place:
        network, config = load(model)
        network = monte_carlo(network.to(place), choice.batch_norm)
        inputs = Inputs(rows, images, config.recipe, config.network.image_size, device=place)
        scale = _Scale(config.scaler)
        with atomic(Path(output)) as path:
            summary = _write_draws(path, network, inputs, choice, scale, rows["id"])
    table = _summary(rows, *summary)
    with atomic(Path(output).with_suffix(".parquet")) as path:
        table.to_parquet(path, index=False)
    write_manifest(Path(output))
    write_manifest(Path(output).with_suffix(".parquet"))


class _Scale:
    """Standardised targets to physical units."""

    def __init__(self, scaler: object) -> None:
        content = stage_settings.plain(scaler)
        self.mean = np.array([content["mean"][name] for name in TARGET_NAMES])
        self.sd = np.array([content["sd"][name] for name in TARGET_NAMES])


def _write_draws(path: Path, network, inputs: Inputs, choice, scale: _Scale, ids: pd.Series):
    """Stream the passes into an HDF5 file; (mean, sigma, aleatoric, epistemic), each (n, K), physical."""
    shape = (len(inputs), len(TARGET_NAMES))
    passes = Passes(0, np.zeros(shape), np.zeros(shape), np.zeros(shape))
    total, square = np.zeros(shape), np.zeros(shape)  # of the draws, standardised
    with h5py.File(path, "w") as file:
        file["id"] = ids.to_list()
        file.attrs["targets"] = json.dumps(TARGET_NAMES)
        draws = file.create_dataset("draws", (choice.passes, *shape), "f4", chunks=(1, *shape))
        for number, (mean, variance) in enumerate(predict(network, inputs, choice)):
            passes.add(mean, variance)
            normal = np.random.default_rng(derive(choice.seed, "draw", number)).standard_normal(shape)
            draw = mean + np.sqrt(variance) * normal
            total += draw
            square += draw**2
            draws[number] = scale.mean + scale.sd * draw
    mean = total / choice.passes
    sigma = np.sqrt(np.maximum(square / choice.passes - mean**2, 0))
    return (
        scale.mean + scale.sd * mean,
        scale.sd * sigma,
        scale.sd * passes.aleatoric(),
        scale.sd * passes.epistemic(),
    )


@torch.inference_mode()
def predict(network: nn.Module, inputs: Inputs, choice) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the (mean, variance) of each pass, (n, K) each, standardised, float64.

    The inputs are prepared once: they do not change from pass to pass.
    """
    everything = torch.arange(len(inputs), device=inputs.device)
    batches = [inputs.batch(rows) for rows in everything.split(choice.batch_size)]
    bar = tqdm(range(choice.passes), desc="passes", mininterval=0.1 if sys.stderr.isatty() else 20, leave=False)
    for number in bar:
        torch.manual_seed(derive(choice.seed, "pass", number))
        output = torch.cat([network(batch) for batch in batches]).float()
        yield _numpy(output)


def _numpy(output: Tensor) -> tuple[np.ndarray, np.ndarray]:
    mean, log_variance = split(output.double().cpu())
    return mean.numpy(), log_variance.exp().numpy()


def _summary(
    rows: pd.DataFrame, mean: np.ndarray, sigma: np.ndarray, aleatoric: np.ndarray, epistemic: np.ndarray
) -> pd.DataFrame:
    """One row a system, five columns a target."""
    columns: dict[str, object] = {"id": rows["id"], "psf": rows["psf"]}
    for number, name in enumerate(TARGET_NAMES):
        columns[f"{name}_truth"] = rows[name]
        columns[f"{name}_mean"] = mean[:, number]
        columns[f"{name}_sigma"] = sigma[:, number]
        columns[f"{name}_aleatoric"] = aleatoric[:, number]
        columns[f"{name}_epistemic"] = epistemic[:, number]
    return pd.DataFrame(columns)
