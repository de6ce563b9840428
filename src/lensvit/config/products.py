"""What the chapters of a run offer to each other and to the paper: paths of files, and how stages are told of them.

The rules of a chapter ask here for what another chapter makes, so that the order in which they are read carries
nothing. What a chapter offers is empty where the run switches it off.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lensvit.chapters.ablation.section import Ablation
from lensvit.chapters.importance.section import Importance
from lensvit.chapters.limit.section import Limit
from lensvit.chapters.mcmc.section import Mcmc
from lensvit.chapters.refine.section import Refine
from lensvit.chapters.registry import CHAPTERS
from lensvit.config.schema import Run

EARLIER = Path("paper/data")  # tables of an earlier run, for a chapter that this run does not compute


class Shown(NamedTuple):
    """Data files of one chapter that a stage of another one shows.

    Parameters
    ----------
    files
        What the stage reads; empty where the run has none of it.
    options
        How the stage is told of it on the command line; empty likewise.
    """

    files: list[str]
    options: str

    @property
    def with_arrays(self) -> list[str]:
        """The files, which are tables, and after them the arrays that lie beside each."""
        return [*self.files, *map(arrays_file, self.files)]


def run_folder(run: Run) -> str:
    """Where all files of a run lie."""
    return f"results/{run.run}"


def is_shown(run: Run, chapter: str) -> bool:
    """Whether the paper has a chapter: it has no key in the config, or the key does not switch it off."""
    section = run.sections.get(chapter)
    return section is None or section.is_shown(run)


# ---------------------------------------------------------------- for the stages of other chapters


def limit_file(run: Run) -> str:
    """The limit of information of each test system."""
    return f"{run_folder(run)}/limit.parquet"


def refined_file(run: Run, start: str) -> str:
    """The fits that start from a network's draws, or from the priors for ``prior``."""
    return f"{run_folder(run)}/refined/{start}.parquet"


def importance_file(run: Run) -> str:
    """The exact posteriors by importance sampling."""
    return f"{run_folder(run)}/importance.parquet"


def chains_file(run: Run) -> str:
    """The Markov chains."""
    return f"{run_folder(run)}/mcmc.parquet"


def arrays_file(table: str) -> str:
    """The arrays that lie beside a table: covariances of limits and fits, samples of posteriors and chains."""
    return str(Path(table).with_suffix(".h5"))


def limit_shown(run: Run) -> Shown:
    """The limit of information, for the stages that show errors beside it."""
    limit = run.section(Limit)
    if not limit.enabled:
        return Shown([], "")
    return Shown([limit_file(run)], f"--limit {limit_file(run)} --amplitudes {limit.amplitudes}")


def refined_shown(run: Run) -> Shown:
    """The fits from the first network's draws, for the stages that show one kind of them."""
    networks = run.section(Refine).networks_used(run)
    if not networks:
        return Shown([], "")
    return Shown([refined_file(run, networks[0])], f"--refined {refined_file(run, networks[0])}")


def importance_shown(run: Run) -> Shown:
    """The exact posteriors, for the stages that show errors beside them."""
    if not run.section(Importance).enabled or not refined_shown(run).files:
        return Shown([], "")
    return Shown([importance_file(run)], f"--importance {importance_file(run)}")


def chain_starts(run: Run) -> Shown:
    """The exact posteriors from whose samples the second Markov chain of a system starts, if it does."""
    return importance_shown(run) if run.section(Mcmc).second_start == "importance" else Shown([], "")


def chains_shown(run: Run) -> Shown:
    """The Markov chains, for the stages that show posteriors."""
    return Shown([chains_file(run)], f"--mcmc {chains_file(run)}") if run.section(Mcmc).enabled else Shown([], "")


def posteriors_shown(run: Run) -> Shown:
    """All posteriors from pixels that the run has: the limit, the fits, the exact ones and the chains."""
    every = [
        part for part in (limit_shown(run), refined_shown(run), importance_shown(run), chains_shown(run)) if part.files
    ]
    return Shown([file for part in every for file in part.files], " ".join(part.options for part in every))


def trainings_shown(run: Run) -> Shown:
    """The predictions of further trainings of the models, for Table 1."""
    folder = f"{run_folder(run)}/predictions"
    given = [(model, f"{folder}/{other}.parquet") for model in run.models for other in run.further_trainings(model)]
    files = list(dict.fromkeys(path for _, path in given))
    return Shown(files, " ".join(["--trainings", *(f"{model}={path}" for model, path in given)]) if given else "")


def weights_file(run: Run) -> str:
    """The weights of the models in their ensemble."""
    return f"{run_folder(run)}/tables/table1_weights.csv"


def ensemble_shown(run: Run) -> Shown:
    """The predictions of the validation systems, for the ensemble of several models in Table 1."""
    if len(run.models) < 2:
        return Shown([], "")
    files = [f"{run_folder(run)}/predictions/validation/{model}.parquet" for model in run.models]
    return Shown(files, " ".join(["--validation", *files, "--ensemble", weights_file(run)]))


# ---------------------------------------------------------------- for the paper


def tables_shown(run: Run) -> dict[str, list[str]]:
    """The tables from which the paper's numbers are taken, by chapter, in the order of the paper.

    The ablation takes the tables of an earlier run where this one does not train its variants; where there are none,
    the paper lacks the chapter.
    """
    found = {}
    for chapter, facts in CHAPTERS.items():
        earlier = chapter == "ablation" and not run.section(Ablation).groups()
        folder = EARLIER if earlier else Path(run_folder(run), "tables")
        paths = [folder / name for name in facts.tables]
        if paths and is_shown(run, chapter) and not (earlier and not all(path.exists() for path in paths)):
            found[chapter] = [str(path) for path in paths]
    return found


def figures_shown(run: Run) -> list[str]:
    """The names of the paper's figures, in its order."""
    return [figure for chapter, facts in CHAPTERS.items() if is_shown(run, chapter) for figure in facts.figures]


def claims_shown(run: Run) -> list[str]:
    """The modules that make the paper's numbers from the tables of :func:`tables_shown`."""
    return [f"lensvit.chapters.{chapter}.claims" for chapter in tables_shown(run)]
