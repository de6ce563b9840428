"""Who knows of whom: environments, and what several processes agree on."""

import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.jobs.fabric import agree, launch, slurm_environment


@pytest.fixture
def srun(monkeypatch):
    """The environment of the second task on the second of two nodes, as srun sets it."""
    values = {
        "STEP_NUM_NODES": 2, "STEP_NUM_TASKS": 4, "NTASKS_PER_NODE": 2, "NTASKS": 4, "NNODES": 2, "NODEID": 1,
        "PROCID": 3, "LOCALID": 1, "NODELIST": "gpu[07,12]", "JOB_ID": 120345, "JOB_NAME": "training",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        # set first, so that what the environment adds is taken away again
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("srun")
def test_a_task_of_srun_knows_its_place():
    found = slurm_environment(processes=2, nodes=2)
    assert (found.world_size(), found.global_rank(), found.node_rank(), found.local_rank()) == (4, 3, 1, 1)
    assert found.main_address == "gpu07" and found.main_port > 10000 and found.creates_processes_externally


@pytest.mark.usefixtures("srun")
@pytest.mark.parametrize(("processes", "nodes"), [(4, 1), (1, 2), (2, 3)])
def test_another_number_of_tasks_than_the_model_wants_is_said(processes, nodes):
    with pytest.raises(
        LensvitError, match=f"srun has started 4 .*on 2 nodes.*--nodes={nodes} --ntasks-per-node={processes}"
    ):
        slurm_environment(processes, nodes)


def test_several_nodes_need_slurm(monkeypatch):
    # a batch script's environment: SLURM is there, srun was not used
    monkeypatch.delenv("SLURM_STEP_NUM_NODES", raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with (
        pytest.raises(LensvitError, match=r"nodes: 2 needs SLURM: .*profiles/slurm.*nodes: 1"),
        launch("cpu", 1, nodes=2),
    ):
        pass


def test_a_process_on_its_own_agrees_with_itself():
    assert agree(SimpleNamespace(world_size=1), 3, 0) == [3, 0]


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step(tiny_run, train_settings, tmp_path):
    command = [
        sys.executable, "-m", "lensvit", "train", "--settings", train_settings(epochs=100_000), "--catalog",
        tiny_run / "catalog.parquet", "--scaler", tiny_run / "scaler.json", "--images", tiny_run / "images",
        "--output", tmp_path / "model", "--state", tmp_path / "state", "--processes", "2",
    ]  # fmt: skip
    with open(tmp_path / "output", "w") as output:
        first = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "state").glob("*/checkpoint.pt")):
        assert first.poll() is None and time.monotonic() < deadline, (tmp_path / "output").read_text()
        time.sleep(0.1)
    (second,) = psutil.Process(first.pid).children()
    second.send_signal(signal.SIGTERM)
    assert first.wait(timeout=120) == 1
    psutil.wait_procs([second], timeout=60)
    assert not second.is_running()
    stopped = re.search(r"stopped by SIGTERM in epoch (\d+) after step (\d+)", (tmp_path / "output").read_text())
    (checkpoint,) = (tmp_path / "state").glob("*/checkpoint.pt")
    progress = torch.load(checkpoint, weights_only=True)["progress"]
    assert (progress["epoch"] + 1, progress["step"]) == (int(stopped[1]), int(stopped[2]))
