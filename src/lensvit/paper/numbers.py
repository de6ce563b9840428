"""numbers.json: every number that the paper prints, raw; the templates format them.

Its schema is :data:`lensvit.paper.schema.PaperNumbers`, of which paper/README.md has a table.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from lensvit.chapters.accuracy import claims as accuracy
from lensvit.chapters.accuracy.published import ORIGINAL
from lensvit.chapters.data import claims as data
from lensvit.chapters.data.examples import choose_examples
from lensvit.chapters.data.settings import CONTOURS, HEADS, SOFTENING
from lensvit.chapters.quoting import Context, Numbers
from lensvit.chapters.registry import CHAPTERS, can_be_off
from lensvit.errors import LensvitError
from lensvit.io import tables
from lensvit.io.files import AGAIN, first_line, read_json, read_model, write_text
from lensvit.io.settings import Settings, read_settings, shown
from lensvit.jobs.provenance import packages
from lensvit.learning.settings import TrainedModel
from lensvit.paper.schema import (
    DropoutNumbers,
    Duration,
    EvaluationNumbers,
    ExampleSystem,
    Figure1Numbers,
    FigureNumbers,
    FigureSystems,
    LearningCurve,
    NamedRecipe,
    Original,
    PaperNumbers,
    Provenance,
    RunName,
    TrainedNetwork,
)

STAGES = {"simulate": "simulation of the images", "train": "training of {}", "evaluate": "prediction with {}"}
ORIGIN = ("date", "commit", "python", "platform", "cores", "versions", "device", "hardware")  # of a training


class NumbersSettings(Settings):
    """Settings of the stage ``numbers``."""

    config: dict[str, Any] = Field(description="the whole config, as plain data")
    scale: Literal["paper", "reduced"] = Field(description="the scale that the config has")


def numbers(
    settings: Path,
    table: Path,
    errors: Path,
    differences: Path,
    chapter: list[str],
    models: list[Path],
    predictions: list[Path],
    catalog: Path,
    psfs: list[Path],
    benchmarks: Path,
    output: Path,
    attention: Path | None = None,
) -> None:
    """Collect the numbers of a run, all that the paper prints.

    Parameters
    ----------
    settings
        The whole config and the scale that it has, as YAML.
    table
        Table 1.
    errors
        The standard errors of the entries of Table 1.
    differences
        How the models of Table 1 differ, with paired standard errors.
    chapter
        NAME=PATH for each table of the other chapters: calibration=tables/calibration.csv
        calibration=tables/joint.csv limit=tables/limit.csv. The files of a chapter stand in the order that its
        ``chapter.py`` names; a chapter that is switched off has none.
    models
        models/{model}/config.json, with history.csv and provenance.json beside.
    predictions
        predictions/{model}.parquet.
    catalog
        catalog.parquet.
    psfs
        psf/{name}.json, of one kernel each.
    benchmarks
        Snakemake's folder of benchmarks; stages without one have no duration.
    output
        numbers.json.
    attention
        tables/attention.csv; without it, or if it says that the network has none, figure 1 shows the images alone.

    Raises
    ------
    LensvitError
        If a chapter is not known or has too few or too many tables, if a file is absent or broken, or if a number
        is not what the schema says.
    """
    content = read_settings(settings, NumbersSettings)
    given = chapter_tables(chapter)
    config = content.config
    durations = _durations(Path(benchmarks), list(config["models"]))
    context = Context(config, tables.read_catalog(catalog), models, durations)
    with _checked("models", models):
        networks = [_network(path, context) for path in models]
    with _checked("data", [catalog, *psfs]):
        data_part = data.numbers(psfs, context)
    whole_table = [table, errors, differences, *predictions]
    with _checked("accuracy", whole_table):
        accuracy_part = accuracy.numbers(whole_table, context)
    with _checked("run", [settings]):
        run = RunName(name=config["run"], scale=content.scale, seed=config["seed"])
    with _checked("evaluation", [settings]):
        chosen = {key: config["evaluation"][key] for key in EvaluationNumbers.model_fields}
        evaluation = EvaluationNumbers(**chosen)
    with _checked("figures", [settings, catalog, *([] if attention is None else [attention])]):
        figures = _figures(context, attention)
    with _checked("provenance", [path.with_name("provenance.json") for path in models]):
        provenance = _provenance(context)
    parts = {
        "run": run,
        "models": networks,
        "evaluation": evaluation,
        **dict(data_part),
        **dict(accuracy_part),
        **chapter_parts(given, context),
        "figures": figures,
        "original": Original(**ORIGINAL),
        "provenance": provenance,
    }
    whole = PaperNumbers(**parts)
    write_text(output, json.dumps(whole.model_dump(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _checked(part: str, files: Sequence[Path]) -> Iterator[None]:
    """Turn what is wrong with a part of numbers.json into one line that names the files it is made of.

    Parameters
    ----------
    part
        Name of the part.
    files
        One file or several, whose content the block turns into the part.

    Raises
    ------
    LensvitError
        If a number is not what the schema says, or the content lacks what the part needs.
    """
    try:
        yield
    except (ValidationError, KeyError, ValueError, TypeError, IndexError, StopIteration, AttributeError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            key = ".".join(map(str, [error.title, *first["loc"]]))
            said = f"{key}: {first['msg']} (got {shown(first['input'])})"
        else:
            said = f"{type(error).__name__}: {first_line(error)}"
        remedy = AGAIN if len(files) == 1 else "delete the one that is wrong and run snakemake again"
        raise LensvitError(
            f"numbers.json: the part {part} cannot be made from {', '.join(map(str, files))}: {said}: {remedy}"
        ) from error


# ---------------------------------------------------------------- chapters


def chapter_tables(given: Sequence[str]) -> dict[str, list[Path]]:
    """Chapter to its tables.

    Parameters
    ----------
    given
        ``NAME=PATH``, the paths of a chapter in the order of :attr:`lensvit.chapters.registry.Chapter.tables`.

    Raises
    ------
    LensvitError
        If a name is no chapter that takes tables, a chapter has too few or too many of them, or one is absent
        that cannot be switched off.
    """
    expected = {name: chapter.tables for name, chapter in CHAPTERS.items() if chapter.tables}
    found: dict[str, list[Path]] = {}
    for entry in given:
        name, separator, path = entry.partition("=")
        if not separator or name not in expected:
            raise LensvitError(f"--chapter {entry}: give NAME=PATH, where NAME is one of {', '.join(expected)}")
        found.setdefault(name, []).append(Path(path))
    for name, files in expected.items():
        count = len(found.get(name, []))
        if count != len(files) and (name in found or not can_be_off(name)):
            raise LensvitError(
                f"--chapter {name}=PATH was given {count} times, the chapter takes {len(files)}: {', '.join(files)}"
            )
    return found


def chapter_parts(given: Mapping[str, Sequence[Path]], context: Context) -> dict[str, Any]:
    """The keys of all chapters that take tables, None for those of a chapter that is switched off.

    Parameters
    ----------
    given
        Chapter to its tables.
    context
        The run.

    Raises
    ------
    LensvitError
        If a table is absent or broken, or a number is not what the schema says.
    """
    parts: dict[str, Any] = {}
    for name, chapter in CHAPTERS.items():
        if not chapter.tables:
            continue
        if name not in given:
            parts |= dict.fromkeys(chapter.keys)
            continue
        with _checked(name, given[name]):
            part: Numbers = importlib.import_module(f"lensvit.chapters.{name}.claims").numbers(given[name], context)
        parts |= dict(part)
    return parts


# ---------------------------------------------------------------- models


def _network(path: Path, context: Context) -> TrainedNetwork:
    """One network: what the config asked for, what its folder says, what it cost."""
    name = path.parent.name
    made = read_model(path, TrainedModel)
    origin = _origin(path)
    history = tables.read_history(path.parent / "history.csv", made.best_epoch)
    network, entry = made.network, context.config["models"][name]
    return TrainedNetwork(
        name=name,
        label=entry["label"],
        library=network.library,
        architecture=network.architecture,
        weights=network.weights,
        image_size=network.image_size,
        dropout=network.dropout,
        posterior=network.posterior,
        attention_dropout=network.attention_dropout if network.library == "transformers" else None,
        dropout_places=_dropout(made),
        family=made.family,
        parameters=made.parameters,
        recipe=NamedRecipe(name=entry["recipe"], **made.recipe.model_dump()),
        epochs_run=len(history),
        systems_seen=made.systems_seen,
        best_epoch=made.best_epoch,
        best_mse=made.best_validation_mse,
        curve=_curve(history, made.best_epoch),
        seconds=float(history["seconds"].sum()),
        images_per_second=float(history["images_per_second"].median()),
        evaluation_seconds=context.durations.get(f"evaluate/{name}"),
        device=origin["device"],
        hardware=origin["hardware"],
    )


def _curve(history: pd.DataFrame, kept: int) -> LearningCurve:
    """The loss of a training, of which the weights of the epoch ``kept`` are kept."""
    epochs, training, validation = (
        history[name].to_numpy() for name in ("epoch", "train_loss", "validation_loss")
    )  # (epochs,) each
    best, least = int(np.flatnonzero(epochs == kept)[0]), int(validation.argmin())
    return LearningCurve(
        train_loss=float(training[best]),
        validation_loss=float(validation[best]),
        least_loss=float(validation[least]),
        least_epoch=int(epochs[least]),
        last_loss=float(validation[-1]),
    )


def _dropout(made: TrainedModel) -> list[DropoutNumbers] | None:
    """Where the network has dropout; None where its release did not record it."""
    if made.dropout_places is None:
        return None
    return [DropoutNumbers(**place.model_dump()) for place in made.dropout_places]


def _origin(model: Path) -> dict[str, Any]:
    return read_json(model.parent / "provenance.json", *ORIGIN)


def _durations(benchmarks: Path, models: Sequence[str]) -> dict[str, float]:
    """Seconds of the long stages, from Snakemake's benchmarks; jobs of one stage are added up."""
    files = {"simulate": sorted(benchmarks.glob("simulate/*/*.tsv"))}
    for stage in ("train", "evaluate"):
        files |= {f"{stage}/{model}": sorted(benchmarks.glob(f"{stage}/{model}.tsv")) for model in models}
    return {stage: sum(map(tables.read_seconds, paths)) for stage, paths in files.items() if paths}


def _provenance(context: Context) -> Provenance:
    latest = max((_origin(path) for path in context.models), key=lambda origin: origin["date"])
    named = []
    for stage, seconds in context.durations.items():
        kind, _, model = stage.partition("/")
        named.append(Duration(stage=STAGES[kind].format(context.labels.get(model, "")), seconds=seconds))
    return Provenance(
        date=latest["date"][:10],
        commit=latest["commit"],
        python=latest["python"],
        platform=latest["platform"],
        cores=latest["cores"],
        versions={**latest["versions"], **packages(("snakemake", "lenstronomy"))},
        durations=named,
    )


def _figures(context: Context, attention: Path | None) -> FigureNumbers:
    config, systems = context.config, context.systems
    figures = config["figures"]
    labels = {psf: context.cameras[entry["instrument"]] for psf, entry in config["psfs"].items()}
    examples = choose_examples(systems, figures["examples"], labels, config["seed"])
    count = int((systems["split"] == "test").sum())
    shown = None if attention is None else data.attention(attention, figures["attention_layer"])
    return FigureNumbers(
        figure1=Figure1Numbers(
            examples=[
                ExampleSystem(id=row["id"], psf=row["psf"], instrument=labels[row["psf"]])
                for _, row in examples.iterrows()
            ],
            model=None if shown is None else context.labels[figures["attention_model"]],
            layer=figures["attention_layer"],
            heads=[] if shown is None else list(range(1, min(HEADS, shown.heads) + 1)),
            contours=list(CONTOURS),
            softening=SOFTENING,
            attention=shown,
        ),
        figure2=FigureSystems(systems=min(figures["systems"], count)),
        figure3=FigureSystems(systems=count),
    )
