"""Which jobs share a stage that works on each test system by itself, and what each of them works on.

A shard is a group of consecutive files of test images, known from the config alone, so that its job waits for its own
files only. Where one job does all, the table has no shards, and the stage writes it as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from lensvit.config.schema import Run, Sharing, chunks

Shards = Mapping[str, list[str]]  # name of a shard, such as 0002, to its image files as {psf}/{chunk}


def shards_of(run: Run, sharing: Sharing) -> Shards:
    """The shards of each table of a stage; none if one job does all.

    Systems that are drawn by lot lie evenly in all files. A shard has as many files as have ``per_job`` of them in the
    mean, and one at least.

    Parameters
    ----------
    run
        The whole config.
    sharing
        How the stage is shared.
    """
    if sharing.per_job is None:
        return {}
    most = sharing.per_job * max(1.0, run.data.test / (sharing.systems or run.data.test))  # test systems of a shard
    groups: list[list[str]] = []
    held = most
    for psf in run.psfs:
        for chunk, _, count in chunks(run, psf, "test"):
            if held + count > most:
                groups.append([])
                held = 0
            groups[-1].append(f"{psf}/{chunk}")
            held += count
    return {f"{number:04d}": group for number, group in enumerate(groups)} if len(groups) > 1 else {}


def stage_shards(run: Run) -> dict[str, Shards]:
    """The shards of every stage of a run that jobs may share."""
    return {
        stage: shards_of(run, sharing)
        for section in run.sections.values()
        for stage, sharing in section.sharing(run).items()
    }


def merged_tables(run: Run) -> dict[str, list[str]]:
    """Every table that is merged from shards, to the names of these; paths as in :class:`Sharing`."""
    by_stage = stage_shards(run)
    return {
        table: list(by_stage[stage])
        for section in run.sections.values()
        for stage, sharing in section.sharing(run).items()
        for table in sharing.tables
        if by_stage[stage]
    }
