"""What predictions on other images need beside the weights: cameras, calibration, and thresholds of warnings.

All of it is measured on the validation systems of the network's run. Files lie beside the weights, so that the folder
of a network is all that its users need.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from safetensors.numpy import load_file, save_file

from lensvit.errors import LensvitError
from lensvit.io import files, tables
from lensvit.io.settings import Settings, read_settings
from lensvit.jobs.fabric import arithmetic, launch
from lensvit.learning.architectures import load_network
from lensvit.learning.inputs import Inputs
from lensvit.learning.pixel_norm import PixelNorm
from lensvit.learning.settings import EvaluateSettings, camera_name
from lensvit.lensing.settings import LabelledCamera
from lensvit.parameters import TARGET_NAMES
from lensvit.prediction.features import Distance
from lensvit.prediction.passes import ask, look, scores
from lensvit.statistics.calibration import fit_scale

REFERENCE, FEATURES = "reference.json", "features.safetensors"
LEVEL = 0.995  # share of the validation systems that no score warns of
LEAST = 8  # validation systems without which thresholds would say nothing
#: Scores to what a large one says of an image.
SCORES = {
    "distance": "what the network sees in it is unlike what it saw in its training",
    "epistemic": "the network's passes disagree more than on images like its training's",
    "predicted": "the predicted errors are larger than on images like its training's",
    "clipped": "too many of its pixels are brighter or fainter than in the training's images",
}


class ReferenceSettings(EvaluateSettings):
    """Settings of the stage ``reference``."""

    run: str = Field(description="name of the run")
    cameras: dict[str, LabelledCamera] = Field(description="PSF to the camera that it belongs to")
    background: tuple[float, float] = Field(
        description="lowest and highest background noise of the images [counts/s per pixel]"
    )


class Reference(Settings):
    """What is known of a trained network: the content of models/{model}/reference.json."""

    run: str = Field(description="name of the run that it was trained in")
    systems: int = Field(description="number of the validation systems that all is measured on")
    passes: int = Field(description="passes of Monte-Carlo dropout that it was measured with")
    batch_size: int = Field(description="images that the network sees at once")
    batch_norm: str = Field(description="statistics of batch normalisation, frozen or batch")
    precision: str = Field(description="arithmetic")
    cameras: dict[str, LabelledCamera] = Field(description="name of a camera to its images")
    background: tuple[float, float] = Field(
        description="lowest and highest background noise of the images [counts/s per pixel]"
    )
    scale: dict[str, float] = Field(description="target to the factor that calibrates its sigma")
    thresholds: dict[str, float] = Field(description="score to the value above which it warns")


class Known(NamedTuple):
    """A network's reference, as it is read."""

    reference: Reference
    distance: Distance


def reference(
    settings: Path, catalog: Path, images: Path, model: Path, output: Path, device: str = "cpu", threads: int = 1
) -> None:
    """Measure on the validation systems what predictions on other images need, see :class:`Reference`.

    The distance of features is fitted to every other system, and its threshold comes from those between.

    Parameters
    ----------
    settings
        YAML, see :class:`ReferenceSettings`.
    catalog
        The run's catalogue.
    images
        The run's folder of images.
    model
        Folder with weights.safetensors and config.json.
    output
        reference.json; features.safetensors is written beside it.
    device
        "cpu" or "gpu".
    threads
        Threads of the CPU.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or there are fewer than 8 validation systems.
    """
    torch.set_num_threads(threads)
    choice = read_settings(settings, ReferenceSettings)
    rows = tables.read_catalog(catalog)
    rows = rows[rows["split"] == "validation"].reset_index(drop=True)
    if len(rows) < LEAST:
        raise LensvitError(
            f"{len(rows)} validation systems do not tell what images like the training's are; {LEAST} are the least: "
            "raise data.validation"
        )
    with launch(device, 1, arithmetic(choice.precision, device)) as fabric:
        network, norm, config = load_network(model)
        inputs = Inputs(rows, images, config.recipe, config.network.image_size, device=str(fabric.device))
        inputs.normalised(None if norm is None else norm.to(fabric.device))
        network = network.to(fabric.device)
        limit = None if norm is None else PixelNorm.LIMIT
        looks = look(network, inputs, limit, config.scaler, choice.batch_size)
        answers = ask(network, inputs, choice, config.scaler, fabric)
    truth = rows[list(TARGET_NAMES)].to_numpy(dtype=float)
    sigma = np.sqrt(np.diagonal(answers.covariance, axis1=1, axis2=2))
    scale, _ = fit_scale((truth - answers.mean) / sigma)
    distance, others = Distance.fitted(looks.features[::2]), slice(1, None, 2)
    every = scores(answers, config.scaler, distance.of(looks.features), looks.clipped)
    counted = {name: values[others] if name == "distance" else values for name, values in every.items()}
    found = Reference(
        run=choice.run, systems=len(rows), passes=choice.passes, batch_size=choice.batch_size,
        batch_norm=choice.batch_norm, precision=choice.precision,
        cameras={camera_name(one.pixels, one.pixel_scale): one for one in choice.cameras.values()},
        background=choice.background,
        scale=dict(zip(TARGET_NAMES, scale.tolist(), strict=True)),
        thresholds={name: float(np.quantile(values, LEVEL)) for name, values in counted.items()},
    )  # fmt: skip
    with files.atomic(Path(output).with_name(FEATURES)) as temporary:
        save_file({name: np.ascontiguousarray(array, np.float32) for name, array in distance.arrays.items()}, temporary)
    files.write_text(Path(output), found.model_dump_json(indent=1) + "\n")
    for name, value in found.thresholds.items():
        print(f"{name}: warns above {value:.4g}", flush=True)


def read_reference(folder: Path) -> Known:
    """The reference in the folder of a network.

    Raises
    ------
    LensvitError
        If a file is absent or broken.
    """
    path = Path(folder) / REFERENCE
    if not path.is_file():
        raise LensvitError(
            f"{folder}: there is no {REFERENCE}, without which nothing is known of its errors on other images: make it "
            "in the network's run by `snakemake networks`"
        )
    known = files.read_model(path, Reference)
    features = Path(folder) / FEATURES
    with files.reading(features, "features file"):
        distance = Distance(load_file(features))
        missing = {"mean", "directions", "sd", "rest"} - set(distance.arrays)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    return Known(known, distance)
