"""Settings of networks, of their training and of their evaluation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from lensvit.io.scaler import Scaler
from lensvit.io.settings import Seeded, Settings
from lensvit.simulation.settings import SystemSettings

Precision = Annotated[
    Literal["auto", "32-true", "bf16-mixed"],
    Field(
        description="arithmetic: 32-true (float32), bf16-mixed (products in bfloat16) or auto (bf16-mixed "
        "on a GPU, 32-true on a CPU)"
    ),
]
Compile = Annotated[
    bool, Field(description="compile the network by torch.compile: minutes at the start, then faster steps on a GPU")
]

Resize = Annotated[
    Literal["bilinear", "area", "graded"],
    Field(
        description="how an image becomes as large as the input: bilinear, area (mean over each new "
        "pixel) or graded (mean over blocks of pixels that grow outwards)"
    ),
]
ImageSize = Annotated[int, Field(ge=16, le=1024, description="side of the network's input [pixel]")]
Normalise = Literal["none", "pixel", "camera", "psf"]


class InputRecipe(Settings):
    """From image to input.

    The key ``unit``, younger than runs that are kept, is left out of what is written where it is 1.
    """

    resize: Resize
    brightness: Literal["per_pixel", "per_area"] = Field(
        description="unit of the input: per_pixel (counts/s per pixel, as in the paper) or per_area "
        "(counts/s per square of 0.05 arcsec, for all cameras)"
    )
    stretch: Literal["raw", "imagenet", "asinh", "three"] = Field(
        description="what the three channels of the input show: raw (the counts thrice, as in the "
        "authors' code), imagenet (raw, normalised as ImageNet's images, as in the paper's "
        "text), asinh (one stretch thrice) or three (a stretch each for sky, arcs and "
        "quasars)"
    )
    unit: float = Field(
        1.0,
        gt=0,
        description="counts/s that the stretch takes as one: the order of the faintest arcs",
    )
    noise: Literal["fixed", "fresh"] = Field(
        description="noise of training images: fixed (one realisation, as in the paper) or fresh in every epoch"
    )

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = handler(self)
        if self.unit == 1.0:
            written.pop("unit", None)
        return written


class Recipe(InputRecipe):
    """From image to input, and from loss to weights."""

    normalise: Normalise = Field(
        description="none, or each input pixel by its mean and standard deviation over training "
        "images: all of them (pixel), those of the same camera (camera) or of the same PSF (psf)"
    )
    symmetries: Literal["none", "half_turn", "source"] = Field(
        description="turns and reflections of training images and targets: none, half_turn (180 degrees) "
        "or source (the four that keep the source's ellipticity)"
    )
    symmetries_until: float = Field(
        gt=0,
        le=1,
        description="share of all steps with symmetries; not all, as the PSF does not turn with the sky",
    )
    optimizer: Literal["adam", "adamw"] = Field(description="adam or adamw (Adam with weight decay)")
    learning_rate: float = Field(gt=0, le=1, description="largest learning rate")
    schedule: Literal["constant", "cosine"] = Field(
        description="learning rate after the warm-up: constant or cosine (falls to 0)"
    )
    warmup: float = Field(ge=0, lt=1, description="share of all steps in which the learning rate rises from 0")
    weight_decay: float = Field(ge=0, le=1, description="weight decay of adamw; adam has none")
    clip_norm: float | None = Field(gt=0, description="largest norm of the gradient; null: any")
    average: float = Field(ge=0, lt=1, description="decay per step of the moving average of the weights; 0: no average")
    batch_size: int = Field(ge=1, le=65536, description="training images in one step")
    epochs: int = Field(ge=1, le=100_000, description="passes over the training images")
    criterion: Literal["mse", "nll"] = Field(
        description="validation score that picks the best epoch: mse (squared error) or nll (log-likelihood)"
    )
    precision: Precision
    compile: Compile

    @property
    def normalises_by_camera(self) -> bool:
        """Whether inputs of different cameras are normalised by statistics of their own."""
        return self.normalise in ("camera", "psf")


def camera_name(pixels: int, pixel_scale: float) -> str:
    """A camera by the side of its images [pixel] and of a pixel [arcsec]."""
    return f"{pixels} x {pixel_scale:g} arcsec"


class Architecture(Settings):
    """A network of transformers or torchvision, by its name there."""

    library: Literal["transformers", "torchvision"] = Field(
        description="package that the network is from: transformers or torchvision"
    )
    architecture: str = Field(description="id or type of a model of transformers, or name of a model of torchvision")
    weights: str = Field(
        description="pretrained, scratch (random), or the path of a local folder or file", min_length=1
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the model itself, by their names in the library"
    )
    dropout: float = Field(
        ge=0, lt=1, description="dropout probability; 0: none, nor any of the library's own (docs/networks.md)"
    )
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout probability in the attention (transformers only)"
    )
    pool_grid: int = Field(
        1,
        ge=1,
        le=32,
        description="side of the grid of means that the last pooling leaves (torchvision only); 1: the model's own",
    )
    image_size: ImageSize
    posterior: Literal["diagonal", "full"] = Field(
        "diagonal",
        description="covariance of the prediction: diagonal (as in the paper) or full (with correlations)",
    )


class Stream(Settings):
    """Where training images come from that are rendered while training."""

    systems: dict[str, SystemSettings] = Field(alias="options", description="PSF to the systems that it is for")


class TrainSettings(Settings):
    """Settings of the stages ``train`` and ``train_streaming``."""

    seed: int = Field(description="seed of the network's weights and of its training")
    network: Architecture = Field(description="network that is trained")
    recipe: Recipe = Field(description="how it is trained")
    stream: Stream | None = Field(None, description="systems that are rendered while training; null: stored images")


class DropoutPlaces(Settings):
    """Places of a network where dropout of one kind and rate is, counted over one pass."""

    kind: Literal["channels", "features", "attention"] = Field(
        description="what is dropped: channels (whole channels of maps), features (single numbers) or attention "
        "(weights of an attention)"
    )
    rate: float = Field(description="dropout probability")
    places: int = Field(description="number of such places in the network")


class TrainedModel(Settings):
    """What a trained network is: the content of models/{model}/config.json."""

    network: Architecture = Field(description="the network")
    recipe: Recipe = Field(description="how it was trained")
    targets: list[str] = Field(description="names of the targets, in the order of the outputs")
    scaler: Scaler = Field(description="mean and standard deviation by which the targets were standardised")
    normalised_by: list[str] = Field(
        [], description="groups of images by whose statistics inputs are normalised: cameras, PSFs, or all"
    )
    family: Literal["transformer", "convolutional"] = Field(
        description="transformer (a network with attention) or convolutional (any other)"
    )
    dropout_places: list[DropoutPlaces] | None = Field(
        None, description="dropout in the network as built; none: an empty list; null: not recorded, as until 0.1.0"
    )
    parameters: int = Field(description="number of trainable parameters")
    systems_seen: int = Field(description="number of different systems in the training")
    best_epoch: int = Field(description="epoch whose weights are kept, counted from 1")
    best_validation_mse: float = Field(description="mean squared error of the standardised targets in that epoch")


class MonteCarloDropout(Settings):
    """Monte-Carlo dropout."""

    passes: int = Field(  # fewer would leave no scatter to test the calibration by
        ge=4, le=100_000, description="passes over the test images, each with dropout drawn anew"
    )
    batch_size: int = Field(ge=1, le=65536, description="images that the network sees at once")
    batch_norm: Literal["frozen", "batch"] = Field(
        description="statistics of batch normalisation: frozen (the training's) or batch (the test "
        "batch's, as in the authors' code)"
    )
    precision: Precision
    compile: Compile


class EvaluateSettings(MonteCarloDropout, Seeded):
    """Settings of the stages ``evaluate`` and ``evaluate_validation``."""


# how far the images of a split are prepared when they are read: at the input's side with noise; at the input's side
# noise-free, with the variance of the noise; as simulated
Preparation = Literal["noisy", "resized", "native"]


def prepared_as(recipe: InputRecipe, pixels: int, size: int, *, fresh: bool) -> Preparation:
    """How images are kept until batches are made of them.

    Parameters
    ----------
    recipe
        How images are made into inputs.
    pixels
        Side of the images as simulated [pixel].
    size
        Side of the inputs [pixel].
    fresh
        Whether noise is drawn anew for each batch.
    """
    if not fresh:
        return "noisy"
    whole_blocks = recipe.resize == "graded" or (recipe.resize == "area" and pixels % size == 0)
    return "resized" if whole_blocks else "native"


def kept_bytes(kept: Preparation, side: int) -> int:
    """Memory of one image of ``side`` pixels, in float32 and with its variance where that is kept too [byte]."""
    return 4 * side**2 * (2 if kept == "resized" else 1)


def graded_fits(pixels: int, size: int) -> bool:
    """Whether ``resize: graded`` can make an image of ``pixels`` a side into an input of ``size`` a side.

    Each of ``size`` blocks along an axis needs a pixel, and both numbers must be even.
    """
    return size % 2 == 0 and pixels % 2 == 0 and 2 * size <= pixels
