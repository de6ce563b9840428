"""Who knows of whom: environments, and what several processes agree on."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest
import torch

from lensvit.errors import LensvitError
from lensvit.jobs import fabric
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
def test_a_task_of_srun_knows_its_place(monkeypatch):
    monkeypatch.setattr(fabric, "check_address", lambda: None)
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


@pytest.mark.parametrize("address", ["127.0.1.1", None])
def test_a_node_that_others_cannot_reach_is_refused(monkeypatch, address):
    def gethostbyname(name):
        if address is None:
            raise OSError("Name or service not known")
        return address

    monkeypatch.setattr(fabric.socket, "gethostname", lambda: "gpu07")
    monkeypatch.setattr(fabric.socket, "gethostbyname", gethostbyname)
    for name in ("MASTER_ADDR", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    expected = "gpu07 has the address 127.0.1.1.*GLOO_SOCKET_IFNAME" if address else "gpu07 has no address"
    with pytest.raises(LensvitError, match=expected):
        fabric.check_address()
    if address:
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # all on one machine
        fabric.check_address()
        monkeypatch.delenv("MASTER_ADDR")
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
        fabric.check_address()


def test_processes_take_the_gpus_that_are_free_and_tell_those_that_they_start(monkeypatch):
    taken = []

    @contextmanager
    def take(count):
        yield [2, 3]

    class Fabric:
        def __init__(self, **options):
            taken.append((options["devices"], options["strategy"], os.environ.get(fabric.TAKEN)))

        def launch(self):
            pass

        def barrier(self):
            pass

    monkeypatch.delenv(fabric.TAKEN, raising=False)
    monkeypatch.setattr(fabric, "known_device", lambda device: device)
    monkeypatch.setattr(fabric, "take", take)
    monkeypatch.setattr(fabric, "Fabric", Fabric)
    with launch("gpu", 2):
        assert taken == [([2, 3], "ddp", "2,3")]
    assert fabric.TAKEN not in os.environ
    monkeypatch.setattr(fabric, "take", None)  # a process that was started takes none
    monkeypatch.setenv(fabric.TAKEN, "2,3")
    with launch("gpu", 2):
        assert taken[1] == ([2, 3], "ddp", "2,3")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_network_is_given_images_in_float32_in_training_as_in_evaluation(precision):
    seen = []

    class Network(torch.nn.Linear):
        def forward(self, images):
            seen.append(images.dtype)
            return super().forward(images)

    with launch("cpu", 1, precision) as found:
        parallel = found.setup(Network(4, 2))
        assert parallel(torch.zeros(1, 4)).dtype == torch.float32
        with found.autocast():
            Network(4, 2)(torch.zeros(1, 4))
    assert seen == [torch.float32, torch.float32]


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
