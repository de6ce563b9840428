import os
from types import SimpleNamespace

import pytest

from lensvit.doctor import machine


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups by their files: those of this process, and what is in them."""

    def install(mine, **files):
        (tmp_path / "mine").write_text(mine)
        for name, text in files.items():
            path = tmp_path / "groups" / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(machine, "MINE", tmp_path / "mine")
        monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")

    return install


@pytest.fixture
def processor(monkeypatch):
    def install(there, bound):
        monkeypatch.setattr(os, "cpu_count", lambda: there)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(bound)))

    return install


def test_the_least_of_a_group_and_of_those_around_it_counts(groups):
    groups("0::/job/step\n", **{"cpu_dot_max": "max 100000", "job__cpu_dot_max": "250000 100000",
                                "job__step__cpu_dot_max": "400000 100000", "job__memory_dot_max": "1000"})  # fmt: skip
    assert machine.cgroup_cores() == 2.5
    assert machine.cgroup_memory() == 1000


def test_groups_of_the_first_version(groups):
    groups(
        "4:cpu:/box\n3:memory:/box\n1:name=systemd:/\n",
        **{"cpu__box__cpu_dot_cfs_quota_us": "50000", "cpu__box__cpu_dot_cfs_period_us": "100000",
           "cpu__cpu_dot_cfs_quota_us": "-1", "cpu__cpu_dot_cfs_period_us": "100000",
           "memory__box__memory_dot_limit_in_bytes": "2000"},
    )  # fmt: skip
    assert machine.cgroup_cores() == 0.5
    assert machine.cgroup_memory() == 2000


@pytest.mark.parametrize("both", ["cpu,cpuacct", "cpuacct,cpu"])
@pytest.mark.parametrize("shown", ["cpu,cpuacct", "cpuacct,cpu"])
def test_groups_of_two_controllers_are_found_in_either_order(groups, tmp_path, both, shown):
    """As the folder has one order, the list of groups may have the other; links have the single names."""
    groups(
        f"4:{shown}:/box\n",
        **{f"{both}__box__cpu_dot_cfs_quota_us": "150000", f"{both}__box__cpu_dot_cfs_period_us": "100000"},
    )
    for name in ("cpu", "cpuacct"):
        (tmp_path / "groups" / name).symlink_to(both)
    assert machine.cgroup_cores() == 1.5


def test_in_a_container_only_the_top_is_seen(groups):
    groups("0::/a/name/outside\n", cpu_dot_max="300000 100000", memory_dot_max="max")
    assert (machine.cgroup_cores(), machine.cgroup_memory()) == (3.0, None)


def test_no_groups(groups, monkeypatch, tmp_path):
    groups("nonsense\n")
    assert machine.cgroup_cores() is None
    monkeypatch.setattr(machine, "MINE", tmp_path / "absent")
    assert machine.cgroup_cores() is None and machine.cgroup_memory() is None


@pytest.mark.parametrize(
    ("there", "bound", "quota", "verdict", "said"),
    [
        (64, 64, "max 100000", "right", "64 of 64 are allowed"),
        (64, 8, "max 100000", "right", "8 of 64 are allowed (affinity 8, bound none"),
        (64, 64, "450000 100000", "wrong", "--cores 4, and export OMP_NUM_THREADS=4"),
        (64, 64, "50000 100000", "wrong", "--cores 1,"),
        (2, 2, "max 100000", "wrong", "ask for 4 or more a GPU"),
    ],
)
def test_cores(case, groups, processor, there, bound, quota, verdict, said):
    groups("0::/\n", cpu_dot_max=quota)
    processor(there, bound)
    (answer,) = machine.cores(case())
    assert answer.verdict == verdict and said in answer.said and not answer.stops


def test_a_system_that_binds_no_process_to_cores_allows_all(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert machine.affinity() == 10 and machine.cores_allowed() <= 10


def test_two_cores_are_enough_for_a_cpu(case, groups, processor):
    groups("0::/\n")
    processor(2, 2)
    (answer,) = machine.cores(case(device="cpu"))
    assert answer.verdict == "right"


@pytest.mark.parametrize(
    ("there", "bound", "verdict", "stops"),
    [(64e9, "max", "right", False), (64e9, "8000000000", "wrong", False), (4e9, "max", "wrong", True)],
)
def test_memory(case, groups, monkeypatch, login_node, there, bound, verdict, stops):
    groups("0::/\n", memory_dot_max=bound)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(total=there, available=there / 2))
    (answer,) = machine.memory(case())
    assert (answer.verdict, answer.stops) == (verdict, stops)
    assert ("its control group allows 8.0" in answer.said) == (bound != "max")


def test_the_memory_of_a_login_node_does_not_stop_the_run(case, groups, monkeypatch, login_node):
    groups("0::/\n")
    login_node(True)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(total=4e9, available=2e9))
    (answer,) = machine.memory(case())
    assert answer.verdict == "wrong" and not answer.stops
