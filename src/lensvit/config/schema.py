"""The schema of a run: every key, its unit, its bounds; and the part of it that each stage reads.

``config.yaml`` is the paper's scale, an overlay from ``runs/`` changes it. Snakemake merges
the two, :func:`validate` checks the result before any job starts, and :func:`stage_settings`
cuts out what one stage reads. Stages never import this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ValidationError,
    model_validator,
)

from lensvit.errors import LensvitError
from lensvit.learning.graded_resize import fits as graded_fits
from lensvit.parameters import NAMES, Prior, priors

PAPER_SIZES = {"train": 27000, "validation": 3000, "test": 1200}
PAPER_IMAGE_SIZE = 224
SPLITS = ("train", "validation", "test")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=40)]


class Part(BaseModel):
    """A part of the config: unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the kernel has a central pixel")
    return value


def _without_null(value: Any) -> Any:
    """An overlay removes an entry of config.yaml by setting it to null."""
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if entry is not None}
    return value


Odd = Annotated[int, Field(ge=11, le=1001), AfterValidator(_odd)]
Named = BeforeValidator(_without_null)


class PriorChange(Part):
    """Fields of a prior that stand instead of the paper's, in the parameter's own unit."""

    kind: Literal["normal", "uniform"] | None = None
    mean: float | None = Field(None, description="mean of a normal, before the bounds")
    sd: float | None = Field(None, ge=0, description="standard deviation of a normal, before the bounds")
    low: float | None = Field(None, description="floor of a normal, lower limit of a uniform")
    high: float | None = Field(None, description="ceiling of a normal, upper limit of a uniform")


class Instrument(Part):
    """A camera."""

    label: str = Field(description="as printed")
    pixels: int = Field(ge=16, le=1024, description="image side [pixel]")
    pixel_scale: float = Field(gt=0, le=1, description="pixel scale [arcsec]")


class HstPsf(Part):
    """HST ACS F814W, from the pupil, as Tiny Tim does."""

    kind: Literal["hst_acs"]
    instrument: Name
    pixels: Odd = Field(101, description="kernel side [pixel], odd")
    spectral_index: float = Field(ge=-5, le=5, description="alpha of F_nu ~ nu^alpha")
    despace_um: float = Field(ge=-20, le=20, description="despace of the secondary mirror [um]")


class KeckPsf(Part):
    """Keck laser-guide-star adaptive optics in K', from its optical transfer function."""

    kind: Literal["keck_ao"]
    instrument: Name
    pixels: Odd = Field(201, description="kernel side [pixel], odd")
    r0: float = Field(gt=0.02, le=1, description="Fried parameter at 500 nm at zenith [m]")
    zenith_angle_deg: float = Field(30, ge=0, le=70, description="zenith angle [deg]")
    outer_scale: float = Field(30, ge=1, le=1000, description="outer scale of the turbulence [m]")
    residual_nm: float = Field(ge=0, le=1000, description="corrected residual wavefront error, rms [nm]")
    jitter_mas: tuple[float, float] = Field(description="tip-tilt jitter along its axes, rms [mas]")
    static_nm: float = Field(100, ge=0, le=500, description="static wavefront error, rms [nm]")
    seed: int = Field(1, ge=0, description="seed of the static wavefront")


class FitsPsf(Part):
    """A user's own kernel: 2-D, square, odd, finite, centred within 0.2 pixel."""

    kind: Literal["fits"]
    instrument: Name
    path: str = Field(min_length=1, description="FITS file, absolute or relative to the working directory")
    extension: int | str = Field(0, description="extension number or name")
    file_pixel_scale: float | None = Field(
        None, gt=0, le=1, description="pixel scale [arcsec], where the header has none"
    )


Psf = Annotated[HstPsf | KeckPsf | FitsPsf, Discriminator("kind")]


class Scene(Part):
    """What is the same in all systems; amplitudes are lenstronomy's, in counts/s."""

    source_amp: float = Field(ge=0, description="Sersic amplitude of the source [counts/s/arcsec^2]")
    source_e1: float = Field(ge=-0.9, le=0.9, description="ellipticity of the source, first component")
    source_e2: float = Field(ge=-0.9, le=0.9, description="ellipticity of the source, second component")
    lens_amp: float = Field(ge=0, description="Sersic amplitude of the lens light [counts/s/arcsec^2]")
    quasar_amp: float = Field(ge=0, description="unlensed flux of the quasar [counts/s]")
    max_images: int = Field(ge=1, le=5, description="the brightest quasar images that are kept")
    exposure: float = Field(gt=0, description="exposure time [s]")
    sigma_bkg_low: float = Field(ge=0, description="least background noise [counts/s per pixel, rms]")
    sigma_bkg_high: float = Field(gt=0, description="largest background noise [counts/s per pixel, rms]")

    @model_validator(mode="after")
    def _ordered(self) -> Scene:
        if self.sigma_bkg_high < self.sigma_bkg_low:
            raise ValueError("sigma_bkg_high must not lie below sigma_bkg_low")
        return self


class Data(Part):
    """How many images; each split is shared evenly among the PSFs."""

    train: int = Field(ge=2, le=10_000_000, description="training images, all PSFs together")
    validation: int = Field(ge=2, le=10_000_000, description="validation images")
    test: int = Field(ge=2, le=10_000_000, description="test images")
    chunk: int = Field(ge=1, le=100_000, description="images in one simulation job and file")


class Simulation(Part):
    """How an image is computed."""

    engine: Literal["lenstronomy", "torch"] = Field(
        description="lenstronomy, or this package's own way in torch: the same systems and images, faster"
    )
    supersampling: Literal[1, 5] = Field(description="PSF kernel of the quasars: native (1, the paper) or 5x finer")
    external_shear: bool = Field(description="the notebook has it, the paper's text does not")


Precision = Literal["auto", "32-true", "bf16-mixed"]
PRECISION = (
    "arithmetic, by Lightning's name: float32, or float32 weights with bfloat16 products; auto: these on a GPU, "
    "float32 on a CPU"
)


class Recipe(Part):
    """From image to input, and from loss to weights."""

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
    normalise: Literal["none", "pixel"] = Field(
        description="pixel: each input pixel by its mean and standard deviation over training images"
    )
    noise: Literal["fixed", "fresh"] = Field(
        description="training noise: one realisation an image (the paper) or a new one every epoch"
    )
    symmetries: Literal["none", "half_turn", "source"] = Field(
        description="turns and reflections of training images with their targets: none, the half turn, or all four "
        "that keep the source's ellipticity"
    )
    symmetries_until: float = Field(
        gt=0, le=1, description="share of all steps with them; the PSF does not turn with the sky, and what it does "
        "to an image is learnt in the rest"
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


class Network(Part):
    """A model of transformers or torchvision, by its name there."""

    label: str = Field(description="as printed", min_length=1)
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
    gpus: int = Field(1, ge=1, le=64, description="GPUs of one machine that train it together; no CPU setting")
    nodes: int = Field(1, ge=1, le=1024, description="SLURM nodes, each with so many GPUs, that train it together")
    recipe: Name
    changes: dict[str, Any] = Field(default_factory=dict, description="the recipe's keys that differ for this model")
    seed: int | None = Field(None, ge=0, lt=2**31, description="of its weights and its training; null: the run's")


class Training(Part):
    """Where the training images come from."""

    stream: bool = Field(
        description="new systems in every epoch, rendered while training; false: the training split's stored images"
    )


class Evaluation(Part):
    """Monte-Carlo dropout on the test set."""

    passes: int = Field(ge=2, le=100_000, description="stochastic forward passes over the test split")
    validation_passes: int = Field(ge=4, le=100_000, description="passes over the validation split, for the calibration")
    batch_size: int = Field(ge=1, le=65536, description="images in one forward pass")
    batch_norm: Literal["frozen", "batch"] = Field(
        description="frozen: running statistics; batch: those of the test batch, as the original code"
    )
    precision: Precision = Field(description=PRECISION)
    compile: bool = Field(description="torch.compile the network")


class Limit(Part):
    """The limit of information: how well each test system's parameters can be known at all."""

    enabled: bool = Field(description="compute it, and show it in Table 1, figure 3 and a section of the paper")
    amplitudes: Literal["known", "marginalised"] = Field(
        description="of the source, the lens light and the quasar: known to be those of the scene, or unknown"
    )


class Refine(Part):
    """Fits to all pixels of some test images, from the networks' draws on."""

    enabled: bool = Field(description="make the fits, and show them in Table 1 and a section of the paper")
    model: Name | None = Field(description="whose draws the fits start from; null: those of every model, one after the other")
    systems: int | None = Field(ge=1, le=1_000_000, description="test systems that are fitted, by lot from each camera; null: all")
    starts: int = Field(ge=1, le=1000, description="draws from which lenses are matched to the quasar images of a system")
    max_iterations: int = Field(ge=1, le=1000, description="most steps of a search, at each of three errors of the model")
    also_from_prior: int = Field(ge=0, le=1_000_000, description="systems fitted from the means of the priors too")


class Variant(Part):
    """A network of the ablation: what differs from the model that it is a variant of."""

    label: str = Field(description="as printed", min_length=1)
    recipe: Name | None = Field(None, description="another recipe; null: the model's")
    changes: dict[str, Any] = Field(default_factory=dict, description="keys of the recipe that differ from the model's")
    seeds: int | None = Field(None, ge=1, le=100, description="trainings; null: ablation.seeds")


class Ablation(Part):
    """What each part of a recipe brings: models beside variants of them that lack it."""

    enabled: bool = Field(description="show it in a section of the paper")
    train: bool = Field(description="train the variants in this run; false: show paper/ablation.csv, of an earlier run")
    seeds: int = Field(ge=1, le=100, description="trainings of each model and each variant, with seeds of their own")
    models: Annotated[dict[Name, list[Name]], Named] = Field(description="model to the variants of it")
    variants: Annotated[dict[Name, Variant], Named] = Field(description="what the variants are")


class ShiftCase(Part):
    """Systems unlike those of the training in what is named here, and in nothing else."""

    label: str = Field(min_length=1, max_length=30, description="as printed")
    priors: Annotated[dict[str, PriorChange], Named] = Field(default_factory=dict, description="as those of the run")
    scene: Annotated[dict[str, Any], Named] = Field(default_factory=dict, description="keys of `scene` that differ")


class Shift(Part):
    """Out of distribution: one network on systems unlike those that it was trained on."""

    enabled: bool = Field(description="make the test, and show it in a table, figure 7 and a section of the paper")
    model: Name | None = Field(description="the network that is tested; null: the last of `models`")
    systems: int | None = Field(ge=1, le=1_000_000, description="systems of each case; null: as many as test systems")
    left_out: Name | None = Field(description="a PSF, without which the network is trained once more; null: none")
    cases: Annotated[dict[Name, ShiftCase], Named] = Field(default_factory=dict)


class Mcmc(Part):
    """Markov chains of all parameters of some test systems, from the priors and from a network's draws."""

    enabled: bool = Field(description="run them, and show them in a table, figure 5 and a section of the paper")
    model: Name | None = Field(description="from whose draws the second chains start; null: the first model's")
    systems: int = Field(ge=1, le=1_000_000, description="test systems, by lot from each camera, the refined ones first")
    walkers: int = Field(ge=28, le=10_000, description="of a chain; at least two for each of its 14 parameters")
    particles: int = Field(ge=28, le=100_000, description="of the annealing, from which the walkers are taken")
    annealing_steps: int = Field(ge=1, le=10_000, description="of the particles at each temperature")
    tuning_steps: int = Field(ge=10, le=1_000_000, description="of the first of three rounds, each twice the last")
    max_steps: int = Field(ge=50, le=10_000_000, description="most steps after the burn-in")
    attempts: int = Field(ge=1, le=100, description="annealings of a chain, until one explains the image")
    samples: int = Field(ge=10, le=1_000_000, description="of each chain that are written, evenly from all of it")

    @model_validator(mode="after")
    def _enough(self) -> Mcmc:
        if self.walkers > self.particles:
            raise ValueError(f"{self.walkers} walkers cannot be taken from {self.particles} particles: raise particles")
        return self


class Fermat(Part):
    """What the errors of lenses mean for H0, by differences of the Fermat potential."""

    enabled: bool = Field(description="compute it, and show it in figure 6 and a section of the paper")
    draws: int = Field(ge=4, le=100_000, description="most draws of each method and system")
    astrometry: float = Field(gt=0, le=0.1, description="error of each coordinate of an image's position [arcsec]")
    goal: float = Field(gt=0, lt=1, description="relative uncertainty of H0 that the number of lenses is for")


class Figures(Part):
    """What the figures show."""

    examples: list[str] = Field(default_factory=list, description="ids of figure 1; empty: chosen by seed")
    attention_model: Name | None = Field(description="the model of figure 1; null: images alone")
    attention_layer: int = Field(description="its layer, from 0; -1 is the last")
    systems: int = Field(ge=1, le=1000, description="test systems in figure 2")


class Config(Part):
    """A whole run."""

    run: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
    seed: int = Field(ge=0, lt=2**31, description="the one seed from which all others follow")
    device: Literal["gpu", "cpu"] = Field(description="where networks are trained and evaluated")
    priors: Annotated[dict[str, PriorChange], Named] = Field(default_factory=dict)
    instruments: Annotated[dict[Name, Instrument], Named] = Field(min_length=1)
    psfs: Annotated[dict[Name, Psf], Named] = Field(min_length=1)
    scene: Scene
    data: Data
    simulation: Simulation
    recipes: Annotated[dict[Name, Recipe], Named] = Field(min_length=1)
    models: Annotated[dict[Name, Network], Named] = Field(min_length=1)
    training: Training
    evaluation: Evaluation
    limit: Limit
    refine: Refine
    ablation: Ablation
    shift: Shift
    mcmc: Mcmc
    fermat: Fermat
    figures: Figures

    @model_validator(mode="after")
    def _references(self) -> Config:
        for name in self.priors:
            _known(f"priors.{name}", name, NAMES)
        for name, psf in self.psfs.items():
            _known(f"psfs.{name}.instrument", psf.instrument, self.instruments)
        if self.figures.attention_model is not None:
            _known("figures.attention_model", self.figures.attention_model, self.models)
        if self.refine.model is not None:
            _known("refine.model", self.refine.model, self.models)
        if self.mcmc.model is not None:
            _known("mcmc.model", self.mcmc.model, self.models)
        for name in self.models:
            if name in ("prior", "limit", "refined") or name.startswith("published"):
                raise ValueError(f"models.{name}: this is the name of another column of Table 1; choose another key")
        labels = [model.label for model in self.models.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"models: the labels {', '.join(labels)} are not all different")
        for split in SPLITS:
            if getattr(self.data, split) < len(self.psfs):
                raise ValueError(f"data.{split}: {getattr(self.data, split)} is less than one image a PSF")
        for name, prior in self.full_priors().items():
            _check_prior(name, prior)
        for name, variants in self.ablation.models.items():
            _known("ablation.models", name, self.models)
            for variant in variants:
                _known(f"ablation.models.{name}", variant, self.ablation.variants)
        if "reference" in self.ablation.variants:
            raise ValueError("ablation.variants.reference: this is the model as it is; choose another key")
        if self.ablation.enabled and self.ablation.train and not self.ablation.models:
            raise ValueError("ablation.models: is empty; name a model and its variants, or set ablation.train: false")
        for name in self.networks:
            self._check_input(name)
        if self.shift.enabled:
            self._check_shift()
        return self

    def _check_shift(self) -> None:
        shift = self.shift
        _known("shift.model", self.shift_model, self.models)
        if shift.left_out is not None:
            _known("shift.left_out", shift.left_out, self.psfs)
        if shift.left_out is not None and len(self.psfs) == 1:
            raise ValueError(f"shift.left_out: {shift.left_out} is the only PSF; set it to null")
        if shift.left_out is None and not shift.cases:
            raise ValueError("shift: has no case and leaves no PSF out; set shift.enabled to false")
        if shift.systems is not None and not len(self.psfs) <= shift.systems <= self.data.test:
            raise ValueError(
                f"shift.systems: {shift.systems}; between one a PSF ({len(self.psfs)}) and the test systems "
                f"({self.data.test}) are possible, as each has a test system as its counterpart"
            )
        labels = [case.label for case in shift.cases.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"shift.cases: the labels {', '.join(labels)} are not all different")
        for name, case in shift.cases.items():
            if name in ("ordinary", "left_out", "control"):
                raise ValueError(f"shift.cases.{name}: this names other systems of the test; choose another key")
            if not case.priors and not case.scene:
                raise ValueError(f"shift.cases.{name}: changes neither priors nor scene")
            self._check_case(name)

    def _check_case(self, name: str) -> None:
        for parameter in self.shift.cases[name].priors:
            _known(f"shift.cases.{name}.priors.{parameter}", parameter, NAMES)
        try:
            shifted = self.shifted(name)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("scene", *first["loc"]))
            raise ValueError(f"shift.cases.{name}.{where}: {first['msg']} (got {first['input']!r})") from error
        for parameter, prior in shifted.full_priors().items():
            _check_prior(parameter, prior, f"shift.cases.{name}.priors")

    def _check_input(self, name: str) -> None:
        model = self.networks[name]
        _known(f"models.{name}.recipe", model.recipe, self.recipes)
        recipe = self.recipe(name)
        smallest = min(self.instruments[psf.instrument].pixels for psf in self.psfs.values())
        if recipe.resize == "area" and model.image_size > smallest:
            raise ValueError(
                f"models.{name}.image_size: {model.image_size}; resize: area needs at most the {smallest} "
                "pixels of the smallest image (or choose resize: bilinear)"
            )
        if recipe.resize == "graded":
            for psf in self.psfs.values():
                pixels = self.instruments[psf.instrument].pixels
                if not graded_fits(pixels, model.image_size):
                    raise ValueError(
                        f"models.{name}.image_size: {model.image_size}; resize: graded needs an even number, at most "
                        f"half the pixels of an image, which must be even too ({psf.instrument} has {pixels})"
                    )

    def full_priors(self) -> dict[str, Prior]:
        """The priors of all parameters with this run's changes."""
        return priors({name: change.model_dump(exclude_none=True) for name, change in self.priors.items()})

    def recipe(self, model: str) -> Recipe:
        """The recipe of a model, with the model's own changes."""
        network = self.networks[model]
        try:
            return Recipe(**{**self.recipes[network.recipe].model_dump(), **network.changes})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"models.{model}.changes.{where}: {first['msg']} (got {first['input']!r})") from error

    @cached_property
    def networks(self) -> dict[str, Network]:
        """All networks that the run trains: the models, and those of the ablation, which only its table shows."""
        networks = dict(self.models)
        for group in self.ablation_groups:
            networks |= {name: self._member(*group[:2], number) for number, name in enumerate(group[2])}
        return networks

    @cached_property
    def ablation_groups(self) -> list[tuple[str, str | None, list[str]]]:
        """(model, variant or None for the model as it is, networks of one seed each); empty without trainings.

        The first network of a model as it is is the model itself.
        """
        groups: list[tuple[str, str | None, list[str]]] = []
        if not (self.ablation.enabled and self.ablation.train):
            return groups
        for model, variants in self.ablation.models.items():
            more = [f"{model}-reference-{number}" for number in range(2, self.ablation.seeds + 1)]
            groups.append((model, None, [model, *more]))
            for variant in variants:
                seeds = self.ablation.variants[variant].seeds or self.ablation.seeds
                groups.append((model, variant, [f"{model}-{variant}-{number}" for number in range(1, seeds + 1)]))
        return groups

    def _member(self, model: str, variant: str | None, number: int) -> Network:
        """A network of the ablation; the same number is the same seed in all variants of a model."""
        network = self.models[model]
        if variant is None and number == 0:
            return network
        seed = (self.seed if network.seed is None else network.seed) + number
        if variant is None:
            return network.model_copy(update={"seed": seed})
        different = self.ablation.variants[variant]
        changes = {**network.changes, **different.changes}
        return network.model_copy(
            update={"seed": seed, "recipe": different.recipe or network.recipe, "changes": changes}
        )

    @property
    def shift_model(self) -> str:
        """The network that is tested out of distribution."""
        return self.shift.model or list(self.models)[-1]

    def shifted(self, case: str) -> Config:
        """The run whose test systems are those of a case of ``shift``: the same systems, but for the shift."""
        shift, own = self.shift.cases[case], dict(self.priors)
        for name, change in shift.priors.items():
            before = own[name].model_dump(exclude_none=True) if name in own and change.kind is None else {}
            own[name] = PriorChange(**{**before, **change.model_dump(exclude_none=True)})
        scene = Scene(**{**self.scene.model_dump(), **shift.scene})
        return self.with_fewer(self.shift.systems).model_copy(update={"priors": own, "scene": scene})

    def with_fewer(self, systems: int | None) -> Config:
        """The run with so many test systems, the first of each PSF's; with all for None."""
        data = self.data if systems is None else self.data.model_copy(update={"test": systems})
        return self.model_copy(update={"data": data})

    @property
    def scale(self) -> str:
        """"paper" if no data set is smaller than the paper's and the inputs are of its size, else "reduced"."""
        whole = all(getattr(self.data, split) >= size for split, size in PAPER_SIZES.items())
        large = all(model.image_size >= PAPER_IMAGE_SIZE for model in self.models.values())
        return "paper" if whole and large else "reduced"


def _known(key: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{key}: {value!r} is not known; there are: {', '.join(allowed)}")


def _check_prior(name: str, prior: Prior, where: str = "priors") -> None:
    low = -math.inf if prior.low is None else prior.low
    high = math.inf if prior.high is None else prior.high
    if low > high:
        raise ValueError(f"{where}.{name}: low {prior.low} lies above high {prior.high}")
    if prior.kind == "uniform" and not math.isfinite(high - low):
        raise ValueError(f"{where}.{name}: a uniform prior needs low and high")
    if prior.kind == "normal" and (prior.mean is None or prior.sd is None):
        raise ValueError(f"{where}.{name}: a normal prior needs mean and sd")


def validate(content: Mapping[str, Any]) -> Config:
    """Check a merged config.

    Raises
    ------
    LensvitError
        One line for each wrong value: the key, the value, what is allowed.
    """
    try:
        return Config.model_validate(dict(content))
    except ValidationError as error:
        raise LensvitError("\n".join(_lines(error))) from error


def _lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"] if part not in ("hst_acs", "keck_ao", "fits"))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            yield f"config: {key}: no such key"
        elif problem["type"] == "missing":
            yield f"config: {key}: is missing"
        elif key:
            yield f"config: {key}: {problem['input']!r} is wrong: {message}"
        else:
            yield f"config: {message}"


def load(*paths: Path) -> Config:
    """Read config files, later ones over earlier ones as Snakemake merges them, and check the result."""
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LensvitError(f"no config file {path}") from error
        except yaml.YAMLError as error:
            raise LensvitError(f"{path} is no YAML: {error}") from error
        _merge(merged, content or {})
    return validate(merged)


def _merge(into: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


# ---------------------------------------------------------------- what each stage reads


def chunks(config: Config, psf: str, split: str) -> list[tuple[str, int, int]]:
    """The simulation jobs of one PSF and split: (name of the chunk, first index, count).

    A split is shared evenly; what is left over goes to the first PSFs, one each. A larger
    split keeps the whole chunks of a smaller one as they are.
    """
    names = list(config.psfs)
    total = getattr(config.data, split)
    count = total // len(names) + (names.index(psf) < total % len(names))
    size = config.data.chunk
    return [
        (f"{split}-{first // size:04d}", first, min(size, count - first)) for first in range(0, count, size)
    ]


def stage_settings(config: Config, part: str) -> dict[str, Any]:
    """The settings of one stage, as plain data in canonical order.

    ``part`` is the stage's name, with the item's name behind a slash where the stage works
    on one item: ``psf/hst_a``, ``simulate/hst_a``, ``train/vit``, ``table``.
    """
    stage, _, item = part.partition("/")
    content = _PARTS[stage](config, item) if item else _PARTS[stage](config)
    return _canonical(content)


def _canonical(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _canonical(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): _canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_canonical(entry) for entry in value]
    return value


def _psf(config: Config, name: str) -> dict[str, Any]:
    psf = config.psfs[name]
    return {"name": name, **psf.model_dump(), "pixel_scale": config.instruments[psf.instrument].pixel_scale}


def _simulate(config: Config, name: str) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "name": name,
        "priors": {key: change.model_dump(exclude_none=True) for key, change in config.priors.items()},
        "scene": config.scene,
        "instrument": config.instruments[config.psfs[name].instrument].model_dump(exclude={"label"}),
        **config.simulation.model_dump(),
    }


def _train(config: Config, name: str) -> dict[str, Any]:
    model = config.networks[name]
    content = {
        "seed": config.seed if model.seed is None else model.seed,
        "network": model.model_dump(exclude={"label", "gpus", "nodes", "recipe", "changes", "seed"}),
        "recipe": config.recipe(name),
    }
    if config.training.stream:
        options = {psf: _simulate(config, psf) for psf in config.psfs}
        for entry in options.values():
            del entry["engine"]  # always the fast one
        content["stream"] = {"options": options}
    return content


def _evaluate(config: Config, name: str) -> dict[str, Any]:
    return {"seed": config.seed, **config.evaluation.model_dump(exclude={"validation_passes"})}


def _evaluate_validation(config: Config, name: str) -> dict[str, Any]:
    return {**_evaluate(config, name), "passes": config.evaluation.validation_passes}


def _limit(config: Config) -> dict[str, Any]:
    scene = config.scene.model_dump(exclude={"sigma_bkg_low", "sigma_bkg_high"})
    cameras = {
        psf: {"name": entry.instrument, **config.instruments[entry.instrument].model_dump(exclude={"label"})}
        for psf, entry in config.psfs.items()
    }
    return {
        "priors": {key: change.model_dump(exclude_none=True) for key, change in config.priors.items()},
        "scene": scene,
        "external_shear": config.simulation.external_shear,
        "supersampling": config.simulation.supersampling,
        "options": cameras,
    }


def _refine(config: Config, name: str) -> dict[str, Any]:
    refine = config.refine.model_dump(include={"systems", "starts", "max_iterations"})
    return {"seed": config.seed, **_limit(config), **refine}


def _refine_prior(config: Config) -> dict[str, Any]:
    return {**_refine(config, "prior"), "systems": config.refine.also_from_prior}


def _ablation(config: Config) -> dict[str, Any]:
    return {
        "run": config.run,
        "data": config.data.model_dump(include=set(SPLITS)),
        "passes": config.evaluation.passes,
        "options": [
            {
                "model": model,
                "model_label": config.models[model].label,
                "variant": variant,
                "label": None if variant is None else config.ablation.variants[variant].label,
                "recipe": config.models[model].recipe if variant is None else config.ablation.variants[variant].recipe,
                "networks": networks,
            }
            for model, variant, networks in config.ablation_groups
        ],
    }


def _shift_simulate(config: Config, item: str) -> dict[str, Any]:
    case, _, psf = item.partition("/")
    return _simulate(config.shifted(case), psf)


def _shift_scores(config: Config) -> dict[str, Any]:
    content = _limit(config)
    fewer = config.with_fewer(config.shift.systems)
    for psf, camera in content["options"].items():
        whole = config if psf == config.shift.left_out else fewer
        camera["systems"] = sum(count for _, _, count in chunks(whole, psf, "test"))
    return content


def _figure7(config: Config) -> dict[str, Any]:
    return {"left_out": config.shift.left_out, "options": {key: case.label for key, case in config.shift.cases.items()}}


def _mcmc(config: Config) -> dict[str, Any]:
    return {"seed": config.seed, **_limit(config), **config.mcmc.model_dump(exclude={"enabled", "model"})}


def _fermat(config: Config) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "priors": {key: change.model_dump(exclude_none=True) for key, change in config.priors.items()},
        "external_shear": config.simulation.external_shear,
        "max_images": config.scene.max_images,
        **config.fermat.model_dump(include={"draws", "astrometry"}),
    }


def _labels(config: Config) -> dict[str, str]:
    return {name: model.label for name, model in config.models.items()}


def _figure1(config: Config) -> dict[str, Any]:
    figures = config.figures
    return {
        "seed": config.seed,
        "examples": figures.examples,
        "model": figures.attention_model,
        "layer": figures.attention_layer,
        "options": {
            psf: config.instruments[entry.instrument].model_dump() for psf, entry in config.psfs.items()
        },
    }


def _figure2(config: Config) -> dict[str, Any]:
    return {"seed": config.seed, "systems": config.figures.systems, "options": _labels(config)}


def _figure3(config: Config) -> dict[str, Any]:
    return {"options": _labels(config)}


def _figure6(config: Config) -> dict[str, Any]:
    return {"options": _labels(config), "goal": config.fermat.goal}


def _numbers(config: Config) -> dict[str, Any]:
    content = config.model_dump()
    content["shift"]["model"] = config.shift_model
    return {"config": content, "scale": config.scale}


_PARTS = {
    "psf": _psf,
    "simulate": _simulate,
    "train": _train,
    "evaluate": _evaluate,
    "evaluate_validation": _evaluate_validation,
    "limit": _limit,
    "refine": _refine,
    "refine_prior": _refine_prior,
    "ablation_table": _ablation,
    "mcmc": _mcmc,
    "fermat": _fermat,
    "figure1": _figure1,
    "figure2": _figure2,
    "figure3": _figure3,
    "figure4": _figure3,
    "shift_simulate": _shift_simulate,
    "shift_scores": _shift_scores,
    "figure7": _figure7,
    "figure5": _figure3,
    "figure6": _figure6,
    "numbers": _numbers,
}


def main(files: list[Path]) -> None:
    """Check config files (the later over the earlier) and print the run as resolved."""
    print(yaml.safe_dump(_canonical(load(*files)), sort_keys=False), end="")
