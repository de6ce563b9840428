"""The schema of numbers.json: the parts of all chapters in one model, and the table of it in paper/README.md.

``python -m lensvit.paper.schema paper/README.md`` writes the table anew.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, create_model, model_serializer
from pydantic.fields import FieldInfo

from lensvit.chapters.data.numbers import AttentionNumbers
from lensvit.chapters.quoting import Numbers, own_first
from lensvit.chapters.registry import can_be_off, in_order_of_keys
from lensvit.errors import LensvitError
from lensvit.io.files import write_text
from lensvit.learning.settings import DropoutPlaces, Recipe

MARK = "<!-- from here on written by: python -m lensvit.paper.schema paper/README.md -->\n"


# ---------------------------------------------------------------- what is of no chapter


class RunName(Numbers):
    """The run that the numbers are of."""

    name: str = Field(description="name of the run")
    scale: Literal["paper", "reduced"] = Field(
        description="\"reduced\" if a data set or a network's input is smaller than the paper's, which prints a banner"
    )
    seed: int = Field(description="seed of the run")


class NamedRecipe(Recipe, Numbers):
    """A recipe with its name; a model's own changes are in it."""

    name: str = Field(description="name in the config")

    @model_serializer(mode="wrap")
    def _own_first(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return own_first(handler(self), Recipe.model_fields)


class DropoutNumbers(DropoutPlaces, Numbers):
    """Dropout of one kind and rate in a network, counted over one pass."""


class LearningCurve(Numbers):
    """The loss of a training: negative log-likelihood of the standardised targets, in the mean over the targets."""

    train_loss: float = Field(description="on the training batches of the epoch whose weights are kept")
    validation_loss: float = Field(description="on the validation split after that epoch")
    least_loss: float = Field(description="the least on the validation split")
    least_epoch: int = Field(description="epoch of the least, from 1")
    last_loss: float = Field(description="on the validation split after the last epoch")


class TrainedNetwork(Numbers):
    """A model of this run, its training and what it cost."""

    name: str = Field(description="key in the config")
    label: str = Field(description="as printed")
    library: str = Field(description='"transformers" or "torchvision"')
    architecture: str = Field(description="name in the library")
    weights: str = Field(description='where the training starts: "pretrained", "scratch" or a path')
    image_size: int = Field(description="side of the input [pixel]")
    dropout: float = Field(description="dropout probability")
    posterior: Literal["diagonal", "full"] = Field(description="covariance of the predicted Gaussian: diagonal or full")
    attention_dropout: float | None = Field(
        description="dropout probability in the attention; null: the library has none"
    )
    dropout_places: list[DropoutNumbers] | None = Field(
        None, description="dropout in the network as built; null: not recorded, as until 0.1.0"
    )
    family: Literal["transformer", "convolutional"] = Field(
        description="family of the architecture: transformer or convolutional"
    )
    parameters: int = Field(description="trainable parameters")
    recipe: NamedRecipe = Field(description="how it was trained")
    epochs_run: int = Field(description="epochs that were run")
    systems_seen: int = Field(description="different systems in the training")
    best_epoch: int = Field(description="epoch whose weights are kept, from 1")
    best_mse: float = Field(description="mean squared error of that epoch on the validation split, of scaled targets")
    curve: LearningCurve | None = Field(None, description="its loss; null: not recorded, as until 0.1.0")
    seconds: float = Field(description="time of the training [s]")
    images_per_second: float = Field(description="median over the epochs [1/s]")
    evaluation_seconds: float | None = Field(description="time of the predictions [s]; null: not measured")
    device: str = Field(description='where it was trained: "cpu" or "gpu"')
    hardware: str = Field(description="name of the processor or the graphics card")


class EvaluationNumbers(Numbers):
    """How predictions were made."""

    passes: int = Field(description="passes of Monte-Carlo dropout over the test split")
    batch_norm: Literal["frozen", "batch"] = Field(
        description="batch normalisation: frozen, by running statistics; batch, by those of the test batch"
    )


class ExampleSystem(Numbers):
    """A system in figure 1."""

    id: str = Field(description="id in the catalogue")
    psf: str = Field(description="key of its PSF")
    instrument: str = Field(description="its instrument, as printed")


class Figure1Numbers(Numbers):
    """What figure 1 shows."""

    examples: list[ExampleSystem] = Field(description="the systems, in their order")
    model: str | None = Field(description="label of the model whose attention is shown; null: images alone")
    layer: int = Field(description="layer of the attention, from 0, or from the end if negative")
    heads: list[int] = Field(description="heads that are shown one by one, from 1; none without attention")
    contours: list[float] = Field(description="levels of the contours, as shares of the range of the stretched image")
    softening: float = Field(description="standard deviations of the background where the stretch turns logarithmic")
    attention: AttentionNumbers | None = Field(description="what the attention does; null: images alone")


class FigureSystems(Numbers):
    """What a figure of the predictions shows."""

    systems: int = Field(description="test systems that are shown")


class FigureNumbers(Numbers):
    """What the first figures show."""

    figure1: Figure1Numbers = Field(description="examples, and where a model looks")
    figure2: FigureSystems = Field(description="predictions against truth")
    figure3: FigureSystems = Field(description="errors of the predictions")


class OriginalModel(Numbers):
    """A model of the original paper."""

    key: str = Field(description="key of its column in Table 1")
    architecture: str = Field(description="name of the architecture")
    parameters: int = Field(description="trainable parameters of that architecture")
    printed_parameters: int | None = Field(description="their number as the original paper prints it; null: the same")
    best_epoch: int = Field(description="epoch whose weights were kept")
    best_mse: float = Field(description="mean squared error of that epoch on the validation split")


class Original(Numbers):
    """Settings of the original paper."""

    train: int = Field(description="training images")
    validation: int = Field(description="validation images")
    test: int = Field(description="test images")
    passes: int = Field(description="passes of Monte-Carlo dropout")
    image_size: int = Field(description="side of the inputs [pixel]")
    batch_size: int = Field(description="images in a batch")
    learning_rate: float = Field(description="learning rate")
    epochs: int = Field(description="epochs of a training")
    dropout: float = Field(description="dropout probability")
    models: list[OriginalModel] = Field(description="one a published column of Table 1")


class Duration(Numbers):
    """How long a stage took."""

    stage: str = Field(description="what was done, as printed")
    seconds: float = Field(description="time of all its jobs together [s]")


class Provenance(Numbers):
    """What made the results, by the training that ended last."""

    date: str = Field(description="day of the training, as 2026-01-31")
    commit: str | None = Field(description="commit of the code; null: unknown")
    python: str = Field(description="version of Python")
    platform: str = Field(description="operating system")
    cores: int | None = Field(description="cores of the machine; null: unknown")
    versions: dict[str, str] = Field(description="package to its version")
    durations: list[Duration] = Field(description="one a stage that was measured; may be empty")


# ---------------------------------------------------------------- the whole

_FIRST: dict[str, Any] = {"run": (RunName, Field(description="name, scale and seed"))}
_MODELS: dict[str, Any] = {
    "models": (list[TrainedNetwork], Field(description="one a model, in the order of the config")),
    "evaluation": (EvaluationNumbers, Field(description="how predictions were made")),
}
_LAST: dict[str, Any] = {
    "figures": (FigureNumbers, Field(description="what the first figures show")),
    "original": (Original, Field(description="settings of the original paper")),
    "provenance": (Provenance, Field(description="versions, machine, date and durations")),
}


def _chapter_fields(before_models: bool) -> dict[str, Any]:
    """Key to its type and field, of the chapters before or behind the section on the networks."""
    found: dict[str, Any] = {}
    for name, chapter in in_order_of_keys().items():
        if chapter.keys and chapter.before_models == before_models:
            part = importlib.import_module(f"lensvit.chapters.{name}.numbers").Part
            if tuple(part.model_fields) != chapter.keys:
                raise ValueError(f"chapter {name}: its keys and the fields of its Part are not the same")
            for key, field in part.model_fields.items():
                found[key] = _field_of(field, can_be_off(name))
    return found


def _field_of(field: FieldInfo, optional: bool) -> tuple[Any, Any]:
    if not optional:
        return field.annotation, Field(description=field.description)
    return field.annotation | None, Field(description=f"{field.description}; null where it is switched off")  # type: ignore[operator] # the annotation of a field is a type


PaperNumbers: type[Numbers] = create_model(
    "PaperNumbers",
    __base__=Numbers,
    __doc__="The content of numbers.json.",
    **_FIRST,
    **_chapter_fields(before_models=True),
    **_MODELS,
    **_chapter_fields(before_models=False),
    **_LAST,
)


# ---------------------------------------------------------------- its documentation


def document() -> str:
    """The schema as Markdown: one table for each of its models, in the order in which they first appear."""
    return "\n".join(_table(model) for model in models_of(PaperNumbers))


def models_of(whole: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all those inside of it, each once.

    Raises
    ------
    ValueError
        If two of them have the same name, by which the documentation tells them apart.
    """
    found = [whole]
    for model in found:  # grows on the way
        for field in model.model_fields.values():
            found += [inner for inner in dict.fromkeys(_inner_models(field.annotation)) if inner not in found]
    names = [model.__name__ for model in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"numbers.json has two models called {twice}: rename one")
    return found


def _inner_models(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _inner_models(part)]


def _table(model: type[BaseModel]) -> str:
    about = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    lines = [f"### {model.__name__}", "", about, "", "| key | type | what it is |", "|---|---|---|"]
    for key, field in model.model_fields.items():
        lines.append(f"| `{key}` | {_type(field.annotation)} | {_cell(field.description or '')} |")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return re.sub(r"([|<>])", r"\\\1", text)


def _type(kind: Any) -> str:
    """A type in words: ``list of [Column](#column)``, ``number or null``."""
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in arguments))
    if origin is Literal:
        return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in arguments)
    if origin is tuple:
        return f"list of {len(arguments)} {_PLURALS[arguments[0]]}"
    if origin is list:
        return f"list of {_PLURALS.get(arguments[0]) or _type(arguments[0])}"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return _WORDS[kind]


_PLURALS: Mapping[Any, str] = {str: "texts", int: "integers", float: "numbers"}
_WORDS: Mapping[Any, str] = {str: "text", bool: "true or false", int: "integer", float: "number", NoneType: "null"}


def write_table(readme: Path) -> None:
    """Write the table of numbers.json into paper/README.md, in place of all that stands behind the mark.

    Parameters
    ----------
    readme
        The file.

    Raises
    ------
    LensvitError
        If the file lacks the mark.
    """
    text, mark, _ = Path(readme).read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise LensvitError(f"{readme} has no line {MARK.strip()!r}, behind which the table stands")
    write_text(readme, f"{text}{MARK}\n{document()}")


if __name__ == "__main__":
    write_table(Path(sys.argv[1]))
