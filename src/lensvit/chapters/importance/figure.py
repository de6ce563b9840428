"""Figure 8: the exact posterior of one system beside the networks and the refinement."""

from __future__ import annotations

from pathlib import Path

from lensvit.chapters.quoting import METHOD_LABELS
from lensvit.chapters.settings import LabelSettings
from lensvit.figures import corner, style
from lensvit.io import tables
from lensvit.io.settings import read_settings


def figure8(settings: Path, importance: Path, draws: list[Path], refined: Path, output: list[Path]) -> None:
    """Draw figure 8: the exact posterior of one system.

    Parameters
    ----------
    settings
        YAML, see :class:`lensvit.chapters.settings.LabelSettings`.
    importance
        importance.parquet, with the samples (.h5) beside it. The first certified system is shown, if possible one whose
        fit has converged; without any it is the first of all, by the networks alone.
    draws
        predictions/{model}.h5 of every model.
    refined
        refined/{model}.parquet, with the covariances (.h5) beside it.
    output
        .pdf and .png files.

    Raises
    ------
    LensvitError
        If a file is absent or broken, or has nothing of the system.
    """
    labels = read_settings(settings, LabelSettings).labels
    table = tables.read_importance(importance)
    fits = tables.read_refined(refined)
    counted = table.index.isin(tables.certified(table).index)
    merits = 2 * counted + table.index.isin(fits.index[fits["converged"]])
    row = table[merits == merits.max()].iloc[:1]
    name = row.index[0]
    networks = {Path(path).stem: corner.read_network(path, name) for path in draws}
    exact = corner.read_exact(Path(importance), name)
    fit = None if exact is None else corner.read_laplace(Path(refined), name)
    truth = tables.target_values(row, "truth")[0]
    style.save(corner.draw(truth, networks, corner.of_pixels(exact, fit, METHOD_LABELS), labels), output)
