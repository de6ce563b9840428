"""A run's Table 1 against the published one and against a released one, cell by cell."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensvit.chapters.accuracy.published import PUBLISHED, REFERENCES
from lensvit.errors import LensvitError
from lensvit.io.files import read_json, read_yaml
from lensvit.io.tables import read_by_target
from lensvit.release.archive import unpack

WORSE = 0.10  # a model may be worse than published by this share
RELATIVE = 0.01  # a run and a release may differ by this share of the release, or
SIGMAS = 3.0  # by this many combined standard errors
OPTIONAL = ("ensemble", "importance", "bayes", "limit")  # columns of errors that releases of earlier versions lack
BESIDE = ("refined", "prior", *OPTIONAL)  # columns with standard errors that are no model's


@dataclass(frozen=True)
class Table:
    """Table 1 of a run with its standard errors and what its models are.

    Parameters
    ----------
    name
        The run or the release, as printed.
    values
        Column (model, refined, prior, limit, published) to its errors by row (overall or target).
    errors
        Column, but the published ones, to the standard errors of these by row.
    families
        Model to the family of its architecture.
    scale
        "paper" or "reduced".
    """

    name: str
    values: dict[str, dict[str, float]]
    errors: dict[str, dict[str, float]]
    families: dict[str, str]
    scale: str


def verify(
    run: str,
    against: Path | None = None,
    results: Path = Path("results"),
    worse: float = WORSE,
    relative: float = RELATIVE,
    sigmas: float = SIGMAS,
) -> None:
    """Compare a run's Table 1 with the published one and, if given, a released one; print each cell.

    Against the published table a model passes where its error is up to (1 + worse) times the one published for its
    family. Against a release a cell passes where the two differ by up to the larger of two tolerances. A run below
    the paper's scale is not held to the published table when there is a release to hold it against.

    Parameters
    ----------
    run
        The run's name.
    against
        A release (.tar.gz), or the folder of another run.
    results
        The folder of all runs.
    worse
        The share by which a model may be worse than published.
    relative
        The share of the release by which a cell may differ from it.
    sigmas
        The combined bootstrap standard errors by which a cell may differ from the release.

    Raises
    ------
    LensvitError
        If a cell that counts fails, or a table is missing or has other models.
    """
    table = read_folder(Path(results) / run)
    counted = []
    cells = against_published(table, worse)
    if len(cells):
        print(f"{run} against the published table: at most {1 + worse:g} times as published\n{_text(cells)}")
        if against is None or table.scale == "paper":
            counted.append(cells)
        else:
            print(f"not counted: the data set or the inputs of {run} are smaller than the paper's\n")
    if against is not None:
        released = read_table(against)
        cells = against_release(table, released, relative, sigmas)
        print(
            f"{run} against {released.name}: within {relative:.1%} or {sigmas:g} combined standard errors\n"
            f"{_text(cells)}"
        )
        counted.append(cells)
    _conclude(run, counted)


def _conclude(run: str, counted: list[pd.DataFrame]) -> None:
    if not counted:
        raise LensvitError(f"{run} has no model of a published family: compare it with a release (AGAINST=...)")
    passed = np.concatenate([cells["passes"] for cells in counted])
    if not passed.all():
        count = f"{np.sum(~passed)} of {len(passed)} cells"
        raise LensvitError(f"fail: {count} of {run} are outside the tolerance")
    print(f"pass: all {len(passed)} cells of {run} are within the tolerance")


def against_published(table: Table, worse: float) -> pd.DataFrame:
    """One row for each cell of the models that have a published counterpart.

    Parameters
    ----------
    table
        The table of the run.
    worse
        The share by which a model may be worse than published.
    """
    rows = []
    for model, family in table.families.items():
        published = PUBLISHED[REFERENCES[family]] if family in REFERENCES else {}
        for target, reference in published.items():
            value = table.values[model][target]
            rows.append(_cell(model, target, value, reference, reference * (1 + worse), value))
    return pd.DataFrame(rows)


def against_release(table: Table, released: Table, relative: float, sigmas: float) -> pd.DataFrame:
    """One row for each cell that both have, of the models, the fits, the prior, exact posteriors and the limit.

    Parameters
    ----------
    table
        The table of the run.
    released
        The table of the release.
    relative
        The share of the release by which a cell may differ from it.
    sigmas
        The combined bootstrap standard errors by which a cell may differ from the release.

    Raises
    ------
    LensvitError
        If the two do not have the same models.
    """
    shared = [name for name in table.errors if name in released.errors]
    if not (set(table.errors) ^ set(released.errors)) <= set(OPTIONAL):
        raise LensvitError(
            f"{table.name} has the columns {', '.join(table.errors)}, {released.name} has "
            f"{', '.join(released.errors)}: compare runs of the same models"
        )
    rows = []
    for model in shared:
        for target, reference in released.values[model].items():
            if target not in table.values[model]:  # a row that earlier versions lack
                continue
            value = table.values[model][target]
            scatter = math.hypot(table.errors[model][target], released.errors[model][target])
            allowed = max(relative * reference, sigmas * scatter)
            rows.append(_cell(model, target, value, reference, allowed, abs(value - reference)))
    return pd.DataFrame(rows)


def _cell(model: str, target: str, value: float, reference: float, allowed: float, found: float) -> dict[str, Any]:
    return {
        "model": model, "target": target, "value": value, "reference": reference, "ratio": value / reference,
        "found": found, "allowed": allowed, "passes": bool(found <= allowed),
    }  # fmt: skip


def _text(cells: pd.DataFrame) -> str:
    shown = cells.assign(passes=np.where(cells["passes"], "pass", "FAIL"))
    return shown.to_string(index=False, float_format=lambda number: f"{number:.4g}") + "\n"


# ---------------------------------------------------------------- tables


def read_table(source: Path) -> Table:
    """The table of a release, with every hash checked, or of the folder of a run.

    Parameters
    ----------
    source
        A release (.tar.gz), or a folder.

    Raises
    ------
    LensvitError
        If the release is damaged or holds weights alone, or the run has no table.
    """
    source = Path(source)
    if source.is_dir():
        return read_folder(source)
    with tempfile.TemporaryDirectory(prefix="lensvit-") as folder:
        manifest = unpack(source, Path(folder))
        if manifest["kind"] != "results":
            results = f"{manifest['release']}.tar.gz" if "release" in manifest else "a release of the run"
            raise LensvitError(f"{source} holds weights alone: compare with {results}")
        return read_folder(Path(folder) / manifest["run"], source.name)


def read_folder(folder: Path, name: str | None = None) -> Table:
    """The table of a run.

    Parameters
    ----------
    folder
        The folder of the run.
    name
        The name as printed; None: that of the folder.

    Raises
    ------
    LensvitError
        If the run has none.
    """
    table = folder / "tables" / "table1.csv"
    if not table.is_file():
        raise LensvitError(f"no {table}: make paper RUN={folder.name} makes it")
    values, errors = (_columns(path) for path in (table, table.with_name("table1_errors.csv")))
    settings = read_yaml(folder / "settings/numbers.yaml", "scale")
    for path, found, other in ((table, values, errors), (table.with_name("table1_errors.csv"), errors, values)):
        missing = [name for name in other if name not in found and name != "limit" and not name.startswith("published")]
        if missing:
            raise LensvitError(f"{path} lacks the column {missing[0]}: delete it and run snakemake again")
    models = [column for column in errors if column not in BESIDE]
    families = {model: _family(folder / "models" / model / "config.json") for model in models}
    return Table(name or folder.name, values, errors, families, settings["scale"])


def _columns(path: Path) -> dict[str, dict[str, float]]:
    """Column to its values by row."""
    table = read_by_target(path)
    return {
        str(name): {str(target): float(value) for target, value in column.items()} for name, column in table.items()
    }


def _family(config: Path) -> str:
    return read_json(config, "family")["family"]
