"""The schema of a run: every key, its unit, its bounds.

``config.yaml`` is the paper's scale, and an overlay from ``runs/`` changes it. A :class:`Run` is what all runs have;
:mod:`lensvit.config.run` adds the key of each chapter, a :class:`Section`, which lies in the chapter's package.
Stages never import this module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from lensvit.io.settings import Name, Settings, WithoutNull, partial_schema, shown
from lensvit.learning.settings import Architecture, MonteCarloDropout, Recipe, camera_name, graded_fits
from lensvit.lensing.settings import FREE_KEYS, Instrument, PriorChanges, Scene, check_priors, full_priors
from lensvit.lensing.structure import BULGE, LENS_SHAPE, LOGARITHMS
from lensvit.observations.settings import LensName, ObservedLens
from lensvit.paper import latex
from lensvit.parameters import NAMES
from lensvit.psf.settings import WIDEST, FitsPsf, Psf
from lensvit.simulation.possible import check_targets_vary, share_imaged
from lensvit.simulation.settings import Simulation, system_id

PAPER_SIZES = {"train": 27000, "validation": 3000, "test": 1200}
PAPER_IMAGE_SIZE = 224
SPLITS = ("train", "validation", "test")
# what tables call their columns, rows and groups, and files their parts, beside the parameters
RESERVED = {
    *("overall", "standardised", "mass", "trainings", "scatter"),
    *("all", "id", "index", "model", "models", "method", "kind", "state", "target", "instrument", "psf"),
    *("case", "sample", "start", "images", "systems", "split", "train", "validation", "test", "seed", "chunk", "row"),
    *("redraws", "n_images", "sigma_bkg", "label", "run", "stage", "seconds", "level", "coverage", "share"),
    *("prior", "network", "limit", "bayes", "refined", "importance", "mcmc", "covariance", "ensemble"),
    *("ordinary", "left_out", "control"),
}
NOT_TEXT = {"na", "null", "none", "true", "false"}  # as tables are read again, beside numbers, nan and inf

BESIDE = {"label", "gpus", "nodes", "recipe", "changes", "seed"}  # keys of a network that are none of its architecture
LEAST_IMAGED = 0.5  # share of the systems of the priors that a camera can image

# stage -> its settings, as a function of the item that it works on ("" for none)
Stages = dict[str, Callable[[str], Mapping[str, Any]]]
Part = TypeVar("Part", bound="Section")
RecipeChanges = Annotated[dict[str, Any], WithJsonSchema(partial_schema(Recipe))]


class Sample(NamedTuple):
    """Images that a network is trained on, or that it predicts.

    Parameters
    ----------
    network
        Key of the network in ``Run.networks``.
    images
        Number of images.
    key
        Keys of the config from which the number follows.
    is_trained_on
        Whether the network is trained on them.
    """

    network: str
    images: int
    key: str
    is_trained_on: bool = False


class Sharing(NamedTuple):
    """How a stage that works on each test system by itself is shared among jobs, see :mod:`lensvit.config.shards`.

    Parameters
    ----------
    tables
        What it makes: paths under the run's folder without suffix, for example ``refined/vit``; one job, or one
        shard, makes one of them.
    systems
        Number of test systems that it works on; None for all.
    per_job
        Most systems of one job; None for all.
    """

    tables: list[str]
    systems: int | None
    per_job: int | None


class Section(Settings):
    """The key of a chapter in the config."""

    comes_later: ClassVar[bool] = False  # whether runs that are kept were made before there was this key

    def is_shown(self, run: Run) -> bool:
        """Whether the paper of a run has the chapter."""
        return getattr(self, "enabled", True)

    @classmethod
    def summary(cls) -> str:
        """What the key is for, as a description: the first line of the class's docstring."""
        first = str(inspect.getdoc(cls)).splitlines()[0].removesuffix(".")
        return first[0].lower() + first[1:]

    def check(self, run: Run) -> None:
        """Raise a ValueError where the section does not suit the rest of the run."""

    def networks(self, run: Run) -> dict[str, Network]:
        """Networks that the chapter trains beside the models of the run, by key."""
        return {}

    def given_images(self, run: Run) -> list[Sample]:
        """Images that the chapter gives to networks, beside those that every network of the run gets."""
        return []

    def stages(self, run: Run) -> Stages:
        """The settings of the chapter's stages."""
        return {}

    def sharing(self, run: Run) -> dict[str, Sharing]:
        """The chapter's stages that several jobs may share, by name."""
        return {}

    def resolved(self, run: Run) -> dict[str, Any]:
        """The key as plain data, with what the run chooses where it is null, for the paper."""
        return self.model_dump()


class Data(Settings):
    """How many images; each split is shared evenly among the PSFs."""

    train: int = Field(ge=2, le=10_000_000, description="training images of all PSFs together")
    validation: int = Field(ge=2, le=10_000_000, description="validation images of all PSFs together")
    test: int = Field(ge=2, le=10_000_000, description="test images of all PSFs together")
    chunk: int = Field(ge=1, le=100_000, description="most images in one file, which one job simulates")


class Network(Architecture):
    """A model, and how it is trained."""

    label: str = Field(description="name as printed", min_length=1)
    gpus: int = Field(
        1, ge=1, le=64, description="GPUs of one machine that train the network together; without meaning on a CPU"
    )
    nodes: int = Field(
        1, ge=1, le=1024, description="SLURM nodes that train the network together, each with so many GPUs"
    )
    recipe: Name = Field(
        description="one of `recipes`; `changes: {epochs: 50}` beside it changes it for this model alone"
    )
    changes: RecipeChanges = Field(default_factory=dict, description="keys of the recipe that differ for this model")
    seed: int | None = Field(
        None, ge=0, lt=2**31, description="seed of the weights and of the training; null: the run's"
    )


class Training(Settings):
    """Where the training images come from, and how often each model is trained."""

    seeds: int = Field(
        ge=1,
        le=100,
        description="trainings of each model with different seeds; several show their scatter (Table 1)",
    )
    stream: bool = Field(description="whether every epoch has new systems, rendered while training (docs/training.md)")


class Evaluation(MonteCarloDropout):
    """Monte-Carlo dropout: a network predicts each image many times, with random outputs dropped."""

    validation_passes: int = Field(
        ge=4,
        le=100_000,
        description="passes over the validation images, whose errors set the scale of the uncertainties",
    )


class Figures(Settings):
    """What the figures show."""

    examples: list[str] = Field(
        default_factory=list, description="ids of the three systems in figure 1; empty: chosen by the seed"
    )
    attention_model: Name | None = Field(description="model whose attention figure 1 shows; null: the images alone")
    attention_layer: int = Field(description="layer of that model, counted from 0; -1 is the last")
    systems: int = Field(ge=1, le=1000, description="test systems in figure 2")


class Run(Settings):
    """A whole run, but for the keys of the chapters."""

    run: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=40,
        description="name of the run, whose files lie under results/{run}/",
    )
    seed: int = Field(ge=0, lt=2**31, description="the one seed from which all others follow")
    device: Literal["gpu", "cpu"] = Field(description="gpu or cpu: where networks are trained and evaluated")
    priors: PriorChanges = Field(default_factory=dict)
    instruments: Annotated[dict[Name, Instrument], WithoutNull] = Field(min_length=1, description="cameras")
    psfs: Annotated[dict[Name, Psf], WithoutNull] = Field(
        min_length=1,
        description="point-spread functions (PSFs); your own: {kind: fits, instrument: hst, path: my.fits}",
    )
    scene: Scene = Field(description="what is the same in all systems")
    data: Data = Field(description="how many images; each split is shared evenly among the PSFs")
    simulation: Simulation = Field(description="how images are computed")
    recipes: Annotated[dict[Name, Recipe], WithoutNull] = Field(
        min_length=1, description="ways from an image to a network's input, and from its output to its weights"
    )
    models: Annotated[dict[Name, Network], WithoutNull] = Field(min_length=1, description="networks that are compared")
    training: Training = Field(description="where the training images come from, and how often each model is trained")
    evaluation: Evaluation = Field(
        description="Monte-Carlo dropout: networks predict each image many times, with random outputs dropped"
    )
    figures: Figures = Field(description="what figures 1 and 2 show")
    observations: Annotated[dict[LensName, ObservedLens], WithoutNull] = Field(
        default_factory=dict,
        description="images of your own lenses, each fitted by a job (docs/your-lens.md): {my_lens: {image: my.fits}}",
    )

    @model_validator(mode="after")
    def _references(self) -> Run:
        check_priors(self.priors)
        for name, psf in self.psfs.items():
            known_name(f"psfs.{name}.instrument", psf.instrument, self.instruments)
            self._check_psf(name, psf)
        if self.figures.attention_model is not None:
            known_name("figures.attention_model", self.figures.attention_model, self.models)
        for key in ("models", "psfs", "instruments"):
            check_names(key, getattr(self, key))
        for key in ("models", "instruments"):
            for name, entry in getattr(self, key).items():
                check_label(f"{key}.{name}.label", entry.label)
        labels = [model.label for model in self.models.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"models: the labels {', '.join(labels)} are not all different")
        for split in SPLITS:
            if getattr(self.data, split) < len(self.psfs):
                raise ValueError(f"data.{split}: {getattr(self.data, split)} is less than one image a PSF")
        self._check_examples()
        check_targets_vary(full_priors(self.priors))
        check_imaged(self)
        check_scene(self)
        for section in self.sections.values():
            section.check(self)
        for name in self.networks:
            self._check_input(name)
        return self

    def _check_psf(self, name: str, psf: Psf) -> None:
        if isinstance(psf, FitsPsf):
            if self.simulation.supersampling > 1:
                raise ValueError(
                    f"simulation.supersampling: {self.simulation.supersampling}, but psfs.{name} is known at the "
                    "detector's sampling only: set it to 1, or leave out PSFs of files"
                )
            return
        side = psf.pixels * self.instruments[psf.instrument].pixel_scale
        if side > WIDEST:
            raise ValueError(
                f"psfs.{name}.pixels: {psf.pixels}; a kernel of {side:.1f} arcsec is too wide to compute (at most "
                f"{WIDEST:g}): choose fewer, or a finer pixel_scale of the instrument {psf.instrument}"
            )

    def _check_examples(self) -> None:
        for name in self.figures.examples:
            psf, _, index = name.partition("-test-")
            known = psf in self.psfs and index.isdecimal() and name == system_id(psf, "test", int(index))
            if not known or int(index) >= systems_of(self, psf, "test"):
                ids = (f"{system_id(psf, 'test', 0)} to {systems_of(self, psf, 'test') - 1:06d}" for psf in self.psfs)
                raise ValueError(
                    f"figures.examples: {shown(name)} is no test system of this run; there are {', '.join(ids)}"
                )

    def _check_input(self, name: str) -> None:
        model = self.networks[name]
        known_name(f"models.{name}.recipe", model.recipe, self.recipes)
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
        self.check_groups(name)

    def check_groups(self, model: str, left_out: str | None = None) -> None:
        """Check that each group of images that are normalised together has two training images.

        Parameters
        ----------
        model
            Key of the network in ``networks``.
        left_out
            A PSF without which it is trained; its images are then normalised by those of its camera.

        Raises
        ------
        ValueError
            If a group has fewer.
        """
        recipe = self.recipe(model)
        if not recipe.normalises_by_camera:
            return
        cameras = {name: self.instruments[entry.instrument] for name, entry in self.psfs.items()}
        names = {name: camera_name(camera.pixels, camera.pixel_scale) for name, camera in cameras.items()}
        for psf in self.psfs:
            alone = recipe.normalise == "psf" and psf != left_out
            group = [
                name for name in self.psfs if name != left_out and (name == psf if alone else names[name] == names[psf])
            ]
            count = sum(systems_of(self, name, "train") for name in group)
            if count < 2:
                without = "" if left_out is None else f" without {left_out}"
                raise ValueError(
                    f"data.train: {self.data.train} makes {count} training images{without} by which those of {psf} are "
                    f"normalised, and normalise: {recipe.normalise} of models.{model} needs two or more: raise it, or "
                    "choose normalise: pixel"
                )

    @property
    def sections(self) -> dict[str, Section]:
        """The keys of the chapters, by name."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, Section)}

    def section(self, kind: type[Part]) -> Part:
        """The key of one chapter, by its class."""
        return next(section for section in self.sections.values() if isinstance(section, kind))

    def recipe(self, model: str) -> Recipe:
        """The recipe of a network, with the network's own changes.

        Parameters
        ----------
        model
            Key of the network in ``networks``.

        Raises
        ------
        ValueError
            If a change is no key of a recipe, or a value is out of bounds.
        """
        network = self.networks[model]
        try:
            return Recipe(**{**self.recipes[network.recipe].model_dump(), **network.changes})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"models.{model}.changes.{where}: {first['msg']} (got {shown(first['input'])})") from error

    @cached_property
    def networks(self) -> dict[str, Network]:
        """All networks that the run trains: the models, their further seeds, and those that chapters add."""
        networks = dict(self.models)
        for model in self.models:
            networks |= self.of_seeds(model, self.training.seeds)
        for section in self.sections.values():
            networks |= section.networks(self)
        return networks

    def of_seeds(self, model: str, count: int) -> dict[str, Network]:
        """A model trained with several seeds, by key: the model itself, and others with the seeds after its own.

        Parameters
        ----------
        model
            Key of the model in ``models``.
        count
            How many there are.
        """
        network = self.models[model]
        first = self.seed if network.seed is None else network.seed
        more = {
            f"{model}-seed-{number}": network.model_copy(update={"seed": first + number - 1})
            for number in range(2, count + 1)
        }
        return {model: network} | more

    def further_trainings(self, model: str) -> list[str]:
        """The networks that differ from a model in their seed alone, one of each seed.

        Parameters
        ----------
        model
            Key of the model.
        """

        def same(name: str) -> tuple[dict[str, Any], Recipe]:
            return self.networks[name].model_dump(exclude=BESIDE), self.recipe(name)

        def seed(name: str) -> int:
            chosen = self.networks[name].seed
            return self.seed if chosen is None else chosen

        found = {seed(model): model}
        for name in self.networks:
            if same(name) == same(model):
                found.setdefault(seed(name), name)
        return [name for name in found.values() if name != model]

    def given_images(self) -> list[Sample]:
        """All images that networks are given."""
        found = [
            Sample(name, getattr(self.data, split), f"data.{split}", split == "train")
            for name in self.networks
            for split in SPLITS
        ]
        return [*found, *(sample for section in self.sections.values() for sample in section.given_images(self))]

    def with_fewer(self, systems: int | None) -> Run:
        """The run with fewer test systems, the first ones of each PSF.

        Parameters
        ----------
        systems
            Number of test systems of all PSFs together; None for all.
        """
        data = self.data if systems is None else self.data.model_copy(update={"test": systems})
        return self.model_copy(update={"data": data})

    @property
    def scale(self) -> str:
        """``paper`` if no data set is smaller than the paper's and the inputs are of its size, else ``reduced``."""
        whole = all(getattr(self.data, split) >= size for split, size in PAPER_SIZES.items())
        large = all(model.image_size >= PAPER_IMAGE_SIZE for model in self.models.values())
        return "paper" if whole and large else "reduced"


def known_name(key: str, value: str, allowed: Iterable[str]) -> None:
    """Check a value that names another entry of the config.

    Parameters
    ----------
    key
        Key in the config, for the message.
    value
        Its value.
    allowed
        Values that it may have.

    Raises
    ------
    ValueError
        If the value is none of them.
    """
    if value not in allowed:
        raise ValueError(f"{key}: {value!r} is not known; there are: {', '.join(allowed)}")


def check_names(key: str, names: Iterable[str]) -> None:
    """Check that names can stand in tables beside what tables call their own columns, rows and groups.

    Parameters
    ----------
    key
        Key in the config of what has the names, for the message.
    names
        The names.

    Raises
    ------
    ValueError
        If a name has another meaning there.
    """
    for name in names:
        if name.lower() in RESERVED or name in NAMES or name.lower().startswith("published"):
            raise ValueError(f"{key}.{name}: tables use this name for something else; choose another key")
        if name.lower() in NOT_TEXT or _is_number(name):
            raise ValueError(f"{key}.{name}: in a table this reads as no text; choose another key")


def _is_number(text: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_label(key: str, label: str) -> None:
    """Check that a label can be printed as it is.

    Parameters
    ----------
    key
        Key of the label in the config, for the message.
    label
        The label.

    Raises
    ------
    ValueError
        If the paper's font lacks a character of it.
    """
    lacking = latex.lacking(label)
    if lacking or not label.strip():
        what = f"the paper cannot print {', '.join(map(repr, lacking))}" if lacking else "it is empty"
        raise ValueError(f"{key}: {label!r}: {what}; write it with Latin and small Greek letters and signs of ASCII")


def check_imaged(run: Run, where: str = "priors") -> None:
    """Check that most systems of the priors can be imaged by each camera, as far as is known without solving them.

    Parameters
    ----------
    run
        The whole config.
    where
        Key of the priors in the config, for the message.

    Raises
    ------
    ValueError
        If more than half of some draws cannot be imaged.
    """
    for name in sorted({psf.instrument for psf in run.psfs.values()}):
        camera = run.instruments[name]
        share, reason = share_imaged(full_priors(run.priors), camera.pixels * camera.pixel_scale)
        if share < LEAST_IMAGED:
            raise ValueError(
                f"{where}: {1 - share:.0%} of the systems cannot be imaged by {name}, for example: {reason}; change "
                "the priors or the camera"
            )


def check_scene(run: Run, where: str = "priors") -> None:
    """Check that the priors are of parameters that the systems have.

    Parameters
    ----------
    run
        The whole config.
    where
        Key of the priors in the config, for the message.

    Raises
    ------
    ValueError
        If a parameter belongs to another kind of scene, or the kind of its prior does.
    """
    names = run.scene.structure.names
    for name, change in run.priors.items():
        if name not in names:
            key = "lens_light: free" if name in LENS_SHAPE else "source_shape: free"
            key = "bulge: true" if name in BULGE else key
            raise ValueError(f"{where}.{name}: systems have no such parameter; set scene.{key}")
        if change.kind == "lognormal" and name not in LOGARITHMS:
            raise ValueError(f"{where}.{name}.kind: lognormal is for {', '.join(LOGARITHMS)} alone")
        if change.kind == "lognormal" and not run.scene.is_free:
            raise ValueError(
                f"{where}.{name}.kind: lognormal is for free scenes (scene.lens_light or source_shape: free, or "
                "magnitudes); choose normal or uniform"
            )


def check_free_fits(run: Run, key: str) -> None:
    """Check that fits suit a scene if it is free: they solve for amplitudes, and have sizes and indices by logarithms.

    Parameters
    ----------
    run
        The whole config.
    key
        Key of the chapter that makes fits, for the message.

    Raises
    ------
    ValueError
        If the scene is free, and it or its priors are of another kind.
    """
    if not run.scene.is_free:
        return
    why, instead = f"{key}.enabled: fits to all pixels of a free scene need", f"set it, or {key} to false"
    if run.scene.magnitudes is None:
        raise ValueError(f"{why} scene.magnitudes, as they leave all amplitudes free: {instead}")
    known = full_priors(run.priors, run.scene.structure.names)
    wrong = [name for name in LOGARITHMS if name in known and known[name].kind != "lognormal"]
    if wrong:
        raise ValueError(f"{why} a prior of the kind lognormal for {', '.join(wrong)}: {instead}")
    if not run.simulation.external_shear or known["gamma_ext"].kind != "rayleigh":
        raise ValueError(f"{why} an external shear with a prior of the kind rayleigh: {instead}")


# ---------------------------------------------------------------- what several stages read


def systems_of(run: Run, psf: str, split: str) -> int:
    """The number of systems of one PSF and split, see :func:`chunks`."""
    names, total = list(run.psfs), getattr(run.data, split)
    return total // len(names) + (names.index(psf) < total % len(names))


def chunks(run: Run, psf: str, split: str) -> list[tuple[str, int, int]]:
    """The simulation jobs of one PSF and split.

    A split is shared evenly; what is left over goes to the first PSFs, one each. A larger split keeps the whole chunks
    of a smaller one as they are.

    Parameters
    ----------
    run
        The whole config.
    psf
        Key of the PSF.
    split
        One of :data:`SPLITS`.

    Returns
    -------
    list of (str, int, int)
        For each chunk its name, the index of its first system, and the number of its systems.
    """
    count, size = systems_of(run, psf, split), run.data.chunk
    return [(f"{split}-{first // size:04d}", first, min(size, count - first)) for first in range(0, count, size)]


def prior_changes(run: Run) -> dict[str, dict[str, Any]]:
    """The priors of a run that differ from the paper's."""
    return {key: change.model_dump(exclude_none=True) for key, change in run.priors.items()}


def without_defaults(content: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those keys, younger than runs that are kept, that have their defaults.

    So a run that was made before there was a key is not made again.

    Parameters
    ----------
    content
        Settings.
    defaults
        The keys and their defaults.
    """
    return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}


SCENE_DEFAULTS = {name: Scene.model_fields[name].default for name in FREE_KEYS}
SIMULATION_DEFAULTS = {"light_samples": 1}
INSTRUMENT_DEFAULTS = {"exposure_map": None}


def system_settings(run: Run, psf: str) -> dict[str, Any]:
    """Settings of the stage ``simulate`` for one PSF."""
    return {
        "seed": run.seed,
        "name": psf,
        "priors": prior_changes(run),
        "scene": without_defaults(run.scene.model_dump(), SCENE_DEFAULTS),
        "instrument": run.instruments[run.psfs[psf].instrument].camera(),
        **without_defaults(run.simulation.model_dump(), SIMULATION_DEFAULTS),
    }


def lens_model(run: Run) -> dict[str, Any]:
    """Settings of the stages that compute images of lenses again, see :class:`lensvit.lensing.settings.LensModel`."""
    cameras = {
        psf: {"name": entry.instrument, **run.instruments[entry.instrument].camera()} for psf, entry in run.psfs.items()
    }
    return {
        "priors": prior_changes(run),
        "scene": without_defaults(run.scene.model_dump(exclude={"sigma_bkg_low", "sigma_bkg_high"}), SCENE_DEFAULTS),
        "external_shear": run.simulation.external_shear,
        "supersampling": run.simulation.supersampling,
        **without_defaults({"light_samples": run.simulation.light_samples}, SIMULATION_DEFAULTS),
        "options": cameras,
    }


def figure_labels(run: Run) -> dict[str, Any]:
    """Settings of a figure that shows every model, see :class:`lensvit.chapters.settings.LabelSettings`."""
    return {"options": {name: model.label for name, model in run.models.items()}}
