"""Shards are groups of consecutive image files that hold all test systems once."""

from itertools import pairwise

import pytest

from lensvit.config.run import validate
from lensvit.config.schema import Sharing, chunks
from lensvit.config.shards import merged_tables, shards_of, stage_shards
from tests.config.configs import OVERLAYS, changed, overlaid


def run(test=3000, chunk=100, **changes):
    return validate(changed({"data": {"test": test, "chunk": chunk}, **changes}))


def files(config):
    return [f"{psf}/{chunk}" for psf in config.psfs for chunk, _, _ in chunks(config, psf, "test")]


@pytest.mark.parametrize(("test", "chunk", "per_job"), [(3000, 100, 400), (3001, 70, 333), (100, 1, 7), (60, 500, 5)])
@pytest.mark.parametrize("systems", [None, 20, 10**6])
def test_each_file_is_in_one_shard_and_shards_are_of_the_size_asked_for(test, chunk, per_job, systems):
    config = run(test, chunk)
    shards = shards_of(config, Sharing([], systems, per_job))
    if not shards:
        assert (systems or test) <= per_job
        return
    assert [name for group in shards.values() for name in group] == files(config)
    assert list(shards) == [f"{number:04d}" for number in range(len(shards))] and len(shards) > 1
    held = {f"{psf}/{name}": count for psf in config.psfs for name, _, count in chunks(config, psf, "test")}
    sizes = [sum(map(held.get, group)) for group in shards.values()]
    most = per_job * test / min(systems or test, test)  # of which the lot takes per_job
    assert all(size <= most or len(group) == 1 for size, group in zip(sizes, shards.values(), strict=True))
    assert all(one + two > most for one, two in pairwise(sizes))  # no shard could be spared


def test_one_job_has_no_shards():
    for sharing in (Sharing([], None, None), Sharing([], None, 3000), Sharing([], 300, 300)):
        assert shards_of(run(), sharing) == {}


@pytest.mark.parametrize("names", OVERLAYS, ids="+".join)
def test_the_runs_of_the_project_have_one_job_for_each_start(names):
    assert merged_tables(overlaid(names)) == {}


def test_what_is_merged():
    assert list(merged_tables(run(1200, limit={"systems_per_job": 999}))) == ["limit"]
    assert not merged_tables(run(1200, limit={"systems_per_job": 999, "enabled": False}))
    config = run(refine={"systems_per_job": 1000}, importance={"systems_per_job": 2000})
    assert {stage: len(shards) for stage, shards in stage_shards(config).items()}["refine"] == 3
    fits = {f"refined/{name}": ["0000", "0001", "0002"] for name in ("vit", "resnet")}
    assert merged_tables(config) == fits | {"importance": ["0000", "0001"]}
    one = {"systems_per_job": None}
    several = run(refine={"systems_per_job": 100, "model": "vit"}, importance=one)
    assert {name: len(shards) for name, shards in merged_tables(several).items()} == {
        "refined/vit": 30,
        "refined/prior": 3,
    }
    assert merged_tables(run(refine={"systems_per_job": 100, "enabled": False}, importance={"enabled": False})) == {}
    assert "refined/prior" not in merged_tables(run(refine={"systems_per_job": 100, "also_from_prior": 0}))
