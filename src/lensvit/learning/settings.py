"""Settings of networks, of their training and of their evaluation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lensvit.io.settings import Settings
from lensvit.simulation.settings import SystemSettings

Precision = Literal["auto", "32-true", "bf16-mixed"]
PRECISION = (
    "arithmetic, by Lightning's name: float32, or float32 weights with bfloat16 products; auto: these on a GPU, "
    "float32 on a CPU"
)


class InputRecipe(Settings):
    """From image to input."""

    resize: Literal["bilinear", "area", "graded"] = Field(
        description="bilinear: corners aligned, as scipy.ndimage.zoom of order 1; area: mean over the pixel; graded: "
        "mean over blocks of pixels that grow outwards from the middle"
    )
    brightness: Literal["per_pixel", "per_area"] = Field(
        description="counts/s per detector pixel (the paper), or per (0.05 arcsec)^2 for all instruments"
    )
    stretch: Literal["raw", "imagenet", "asinh", "three"] = Field(
        description="raw counts thrice (the original code), ImageNet's mean and standard deviation (the "
        "paper's text), one asinh thrice, or three stretches for sky, arc and quasar peaks"
    )
    noise: Literal["fixed", "fresh"] = Field(
        description="training noise: one realisation an image (the paper) or a new one every epoch"
    )


class Recipe(InputRecipe):
    """From image to input, and from loss to weights."""

    normalise: Literal["none", "pixel"] = Field(
        description="pixel: each input pixel by its mean and standard deviation over training images"
    )
    symmetries: Literal["none", "half_turn", "source"] = Field(
        description="turns and reflections of training images with their targets: none, the half turn, or all four "
        "that keep the source's ellipticity"
    )
    symmetries_until: float = Field(
        gt=0,
        le=1,
        description="share of all steps with them; the PSF does not turn with the sky, and what it does "
        "to an image is learnt in the rest",
    )
    optimizer: Literal["adam", "adamw"]
    learning_rate: float = Field(gt=0, le=1, description="peak learning rate")
    schedule: Literal["constant", "cosine"]
    warmup: float = Field(ge=0, lt=1, description="share of all steps with a linear warm-up")
    weight_decay: float = Field(ge=0, le=1, description="AdamW's; 0 with Adam")
    clip_norm: float | None = Field(gt=0, description="largest gradient norm; null: no clipping")
    average: float = Field(ge=0, lt=1, description="decay a step of the moving average of the weights; 0: none")
    batch_size: int = Field(ge=1, le=65536)
    epochs: int = Field(ge=1, le=100_000)
    criterion: Literal["mse", "nll"] = Field(description="validation score that picks the best epoch")
    precision: Precision = Field(description=PRECISION)
    compile: bool = Field(description="torch.compile the network: minutes at first, faster steps on a GPU")


class Architecture(Settings):
    """A network of transformers or torchvision, by its name there."""

    library: Literal["transformers", "torchvision"]
    architecture: str = Field(description="hub id or model type of transformers, model name of torchvision")
    weights: str = Field(description="pretrained, scratch, or the path of a local folder or file", min_length=1)
    options: dict[str, Any] = Field(default_factory=dict, description="the library's own options of the model")
    dropout: float = Field(ge=0, lt=1, description="dropout probability where the paper has it")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the attention (transformers)")
    pool_grid: int = Field(
        1, ge=1, le=32, description="torchvision: side of the grid that the last pooling leaves (1: its own)"
    )
    image_size: int = Field(ge=16, le=1024, description="side of the network's input [pixel]")
    posterior: Literal["diagonal", "full"] = Field(
        "diagonal", description="covariance of the predicted Gaussian: diagonal (the paper), or with correlations"
    )


class Stream(Settings):
    """Where training images come from that are rendered while training."""

    systems: dict[str, SystemSettings] = Field(alias="options", description="PSF to the systems that it is for")


class TrainSettings(Settings):
    """Settings of the stages ``train`` and ``train_streaming``."""

    seed: int
    network: Architecture
    recipe: Recipe
    stream: Stream | None = None


class Scaler(Settings):
    """Mean and standard deviation of each target over the training split, in physical units."""

    mean: dict[str, float]
    sd: dict[str, float]


class TrainedModel(Settings):
    """What a trained network is: the content of models/{model}/config.json."""

    network: Architecture
    recipe: Recipe
    targets: list[str]
    scaler: Scaler
    family: Literal["transformer", "convolutional"]
    parameters: int = Field(description="trainable ones")
    systems_seen: int = Field(description="different ones in training")
    best_epoch: int = Field(description="from 1; the epoch whose weights are kept")
    best_validation_mse: float = Field(description="of standardised targets")


class MonteCarloDropout(Settings):
    """Monte-Carlo dropout."""

    passes: int = Field(ge=2, le=100_000, description="stochastic forward passes over the test split")
    batch_size: int = Field(ge=1, le=65536, description="images in one forward pass")
    batch_norm: Literal["frozen", "batch"] = Field(
        description="frozen: running statistics; batch: those of the test batch, as the original code"
    )
    precision: Precision = Field(description=PRECISION)
    compile: bool = Field(description="torch.compile the network")


class EvaluateSettings(MonteCarloDropout):
    """Settings of the stages ``evaluate`` and ``evaluate_validation``."""

    seed: int


def graded_fits(pixels: int, size: int) -> bool:
    """Whether ``resize: graded`` can make an image of ``pixels`` a side into an input of ``size`` a side.

    Each of ``size`` blocks along an axis needs a pixel, and both numbers must be even.
    """
    return size % 2 == 0 and pixels % 2 == 0 and 2 * size <= pixels
