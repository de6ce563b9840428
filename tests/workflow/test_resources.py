"""What trainings ask SLURM for, and GPUs that Snakemake does not give."""

import os
import re
import shutil

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SIZES = [(1, 1), (4, 1), (1, 2), (4, 2)]  # GPUs of a node, nodes
NETWORK = (
    "m{gpus}{nodes}: {{label: {gpus} on {nodes}, gpus: {gpus}, nodes: {nodes}, recipe: improved, dropout: 0.1, "
    "library: torchvision, architecture: resnet18, weights: scratch, image_size: 40}}"
)
WANTED = {
    "m11": "--nodes=1 --gpus=1 --cpus-per-task=8",
    "m41": "--nodes=1 --gpus=4 --cpus-per-task=8",
    "m12": "--nodes=2 --gpus=2 --ntasks=2 --cpus-per-task=8",
    "m42": "--nodes=2 --gpus=8 --ntasks-per-node=4 --cpus-per-task=8",
}
# of each process: a node's are shared, but srun gives each task its own
THREADS = {
    "train .*models/m11": (8, "1 --nodes 1"),
    "train .*models/m41": (2, "4 --nodes 1"),
    "train .*models/m42": (8, "4 --nodes 2"),
    "evaluate .*models/m41": (1, "4"),
    "evaluate .*models/m42": (1, "4"),
}
OVERLAY = """
device: gpu
models: {{vit: null, resnet: null, {networks}}}
figures: {{attention_model: null}}
ablation: {{train: false}}
shift: {{enabled: false}}
"""
# what SLURM's plugin calls; no job gets farther than this
PROGRAMS = {
    "sbatch": 'echo "$@" >> {folder}/submitted; echo "sbatch: error: nothing is submitted here" >&2; exit 1',
    "sacctmgr": "echo me",  # accounts
    "sshare": "echo me",
    "sinfo": "echo main",
    "sacct": "exit 0",
    "squeue": "exit 0",
    "scontrol": "exit 0",
}


@pytest.fixture
def slurm(tmp_path):
    """A PATH with programs of SLURM that take down what is submitted."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script.format(folder=folder)}\n")
        (folder / name).chmod(0o755)
    return folder


def test_trainings_ask_slurm_for_the_gpus_nodes_and_memory_that_they_take(smoke, slurm):
    networks = ", ".join(NETWORK.format(gpus=gpus, nodes=nodes) for gpus, nodes in SIZES)
    (smoke.path / "mine.yaml").write_text(OVERLAY.format(networks=networks))
    configs = ("runs/smoke.yaml", "mine.yaml")
    before = set((smoke.path / "results/smoke/settings").rglob("*.yaml"))
    arguments = ["--executor", "slurm", "--jobs", "8", "--until", "train", "--retries", "0", "--keep-going"]
    resources = ["--default-resources", "slurm_account=me", "slurm_partition=main", "--resources"]
    path = f"{slurm}:{os.environ['PATH']}"
    try:
        done = smoke.snakemake(*arguments, *resources, "gpu=8", configs=configs, PATH=path)
        submitted = (slurm / "submitted").read_text().splitlines()
        asked = {re.search(r"rule_train_wildcards_(\w+)", line)[1]: line.partition(" --wrap")[0] for line in submitted}
        assert sorted(asked) == sorted(f"m{gpus}{nodes}" for gpus, nodes in SIZES), done.stderr[-2000:]
        memory = {name: int(re.search(r"--mem (\d+)", line)[1]) for name, line in asked.items()}
        assert memory["m41"] == memory["m42"] == 4 * memory["m11"] == 4 * memory["m12"]
        for name, options in WANTED.items():
            assert set(options.split()) <= set(asked[name].split()), asked[name]
            assert ("ntasks" in asked[name]) == ("ntasks" in options)  # one node's processes start each other
        shown = smoke.snakemake(
            "-n", "-p", "--cores", "8", "--until", "evaluate", "--resources", "gpu=8", configs=configs
        )
        for stage, (threads, rest) in THREADS.items():
            line = next(line for line in shown.stdout.splitlines() if re.search(rf" lensvit {stage}\b", line))
            assert f"--threads {threads} --processes {rest}" in line, line
        refused = smoke.snakemake("-n", "--resources", "gpu=4", configs=configs)
        assert refused.returncode == 1
        assert "models.m42 is trained by 8 GPUs, and Snakemake may use 4 at once" in refused.stdout + refused.stderr
    finally:
        for path in set((smoke.path / "results/smoke/settings").rglob("*.yaml")) - before:
            path.unlink()
        shutil.rmtree(smoke.path / ".snakemake/slurm_logs", ignore_errors=True)
        (smoke.path / "mine.yaml").unlink()
