"""The smoke run on a SLURM cluster of this machine, undisturbed and disturbed: make test-slurm.

The cluster has two nodes, of two GPUs each that are no devices: jobs are granted them and
compute on the CPU. No test counts seconds; what is waited for may take many times what it
takes on a quiet machine.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lensvit.io.files import sha256

HERE = Path(__file__).parent
SMOKE = Path("results/smoke")
MODEL = SMOKE / "models/vit"
WEIGHTS = MODEL / "weights.safetensors"
LOG = SMOKE / "logs/train/vit.log"
STEP_SECONDS = 1500  # that anything here may take, on the slowest machine
ON_NETWORKS = (
    "train", "left_out_train", "evaluate", "evaluate_validation", "shift_evaluate", "left_out_evaluate",
)  # fmt: skip
# overlays on runs/smoke.yaml: trainings long enough to be caught in the middle
LONG = {"models": {"vit": {"changes": {"epochs": 80}}}}
TWO_NODES = {"models": {"vit": {"nodes": 2, "dropout": 0.0, "changes": {"epochs": 80, "learning_rate": 1e-4}}}}


# ---------------------------------------------------------------- the cluster, projects and models


@pytest.fixture(scope="session", autouse=True)
def cluster(tmp_path_factory):
    """The cluster; afterwards nothing of it and of what was started on it goes on."""
    begun = subprocess.run([HERE / "start"], stderr=subprocess.PIPE, text=True)
    if begun.returncode:
        pytest.exit(begun.stderr.strip(), returncode=1)
    yield
    for process in psutil.process_iter(["cwd"]):
        if Path(process.info["cwd"] or "/").is_relative_to(tmp_path_factory.getbasetemp()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    subprocess.run([HERE / "stop"], check=True)


@pytest.fixture(scope="session")
def finished(cluster, tmp_path_factory):
    """A copy of the repository with the whole smoke run done on the cluster, and what snakemake said."""
    project = tmp_path_factory.mktemp("finished") / "project"
    root = HERE.parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in listed.rstrip("\0").split("\0"):
        if (root / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, project / name)
    for name, overlay in {"long": LONG, "two_nodes": TWO_NODES}.items():
        (project / f"runs/{name}.yaml").write_text(yaml.safe_dump(overlay))
    snake = start(project, "--slurm-keep-successful-logs")
    ends(snake, project)
    return project, said(project)


def copy(finished, folder):
    """A project with all data of the smoke run."""
    shutil.copytree(finished[0], folder / "project", symlinks=True)
    return folder / "project"


@pytest.fixture
def project(finished, tmp_path):
    return copy(finished, tmp_path)


@pytest.fixture(scope="session")
def stands_still(finished, tmp_path_factory):
    """A long training that stands still in the middle until its time limit, now one minute, the shortest there is."""
    project = copy(finished, tmp_path_factory.mktemp("limit"))
    snake = long_training(project)
    job = caught(project, snake)
    subprocess.run(["scancel", "--signal=STOP", job], check=True)
    subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)
    return project, snake, job


@pytest.fixture(scope="session")
def undisturbed(finished, tmp_path_factory):
    """The model that the long training ends in."""
    return alone(finished[0], tmp_path_factory.mktemp("undisturbed"), LONG)


def alone(project, folder, overlay):
    """The model of a training in one go, in one process and without SLURM."""
    network = {key: value for key, value in overlay["models"]["vit"].items() if key not in ("nodes", "changes")}
    settings = yaml.safe_load((project / SMOKE / "settings/train/vit.yaml").read_text())
    settings["network"].update(network)
    settings["recipe"].update(overlay["models"]["vit"]["changes"])
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    command = [
        sys.executable, "-m", "lensvit", "train", "--settings", folder / "settings.yaml", "--catalog",
        SMOKE / "catalog.parquet", "--scaler", SMOKE / "scaler.json", "--images", SMOKE / "images",
        "--output", folder / "model", "--state", folder / "state",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=project, env=environment)
    return folder / "model"


# ---------------------------------------------------------------- snakemake and its jobs


def command(*arguments, configs=(), resources=()):
    return [
        sys.executable, HERE / "snakemake_asking_often.py", "--workflow-profile", "profiles/slurm",
        "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
        "--latency-wait", "30", "--set-threads", *(f"{rule}=1" for rule in ON_NETWORKS),
        "--set-resources", "train:gpu=1", *resources,
        "--configfile", "runs/smoke.yaml", *configs, *arguments,
    ]  # fmt: skip


def start(project, *arguments, **options):
    """Start snakemake on the cluster; its output goes to a file beside the project."""
    # the nodes' names are no hosts' names
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    with open(project.parent / "snakemake.out", "a") as output:
        return subprocess.Popen(
            command(*arguments, **options), cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT
        )


def long_training(project, *arguments, overlay="long", **options):
    """Start snakemake for the long training alone."""
    return start(project, *arguments, "--", str(WEIGHTS), configs=[f"runs/{overlay}.yaml"], **options)


def said(project):
    return (project.parent / "snakemake.out").read_text()


def ends(snake, project, well=True):
    """Wait for snakemake's end, which is a good one or an error."""
    code = snake.wait(timeout=STEP_SECONDS)
    assert (code == 0) == well, said(project)[-5000:]


def until(condition):
    """The first true value of ``condition()``."""
    deadline = time.monotonic() + STEP_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return value


def jobs(project, rule):
    """What SLURM knows of the jobs of a rule submitted from a project, oldest first."""
    shown = subprocess.run(["scontrol", "show", "job"], capture_output=True, text=True, check=True).stdout
    found = [dict(re.findall(r"(\S+?)=(\S*)", record)) for record in shown.split("\n\n")]
    mine = [job for job in found if job.get("WorkDir") == str(project)]
    return sorted(
        (job for job in mine if re.fullmatch(f"rule_{rule}(_wildcards_.*)?", job["Comment"])),
        key=lambda job: int(job["JobId"]),
    )


def trainings(project):
    """The processes of the training in a project."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if process.info["cwd"] == str(project) and (process.info["cmdline"] or [])[1:4] == ["-m", "lensvit", "train"]
    ]


def caught(project, snake):
    """The SLURM job of the training, once a checkpoint of the long training is there."""
    before = set(project.glob("results/smoke/state/vit/*/checkpoint.pt"))
    until(lambda: snake.poll() is not None or set(project.glob("results/smoke/state/vit/*/checkpoint.pt")) - before)
    assert snake.poll() is None, said(project)[-5000:]
    assert trainings(project), said(project)[-5000:]
    return jobs(project, "train")[-1]["JobId"]


def resumed_epoch(project):
    """The epoch in which the last training took up its work."""
    found = re.search(r"resumed from \S+: epoch (\d+)", (project / LOG).read_text())
    return int(found[1]) if found else 0


def stopped_epoch(project, name="SIGTERM"):
    """The epoch in which a training said that a signal had stopped it."""
    found = re.search(rf"stopped by {name} in epoch (\d+) after step \d+; the checkpoint is written", said(project))
    return int(found[1]) if found else 0


def same(one, two):
    """Two models have the same weights and came to them through the same losses."""
    assert sha256(one / "weights.safetensors") == sha256(two / "weights.safetensors")
    losses = [pd.read_csv(model / "history.csv").drop(columns=["seconds", "images_per_second"]) for model in (one, two)]
    pd.testing.assert_frame_equal(*losses, check_exact=True)


# ---------------------------------------------------------------- undisturbed


def test_the_whole_run_on_the_cluster(finished):
    project, _ = finished
    assert (project / SMOKE / "paper/paper.pdf").read_bytes().startswith(b"%PDF")
    assert (project / SMOKE / "index.html").read_bytes().startswith(b"<!doctype html>")
    counts = {"psf": 2, "catalog": 1, "train": 3, "evaluate": 2, "evaluate_validation": 3, "pdf": 1, "page": 1}
    for rule, count in counts.items():
        assert [job["JobState"] for job in jobs(project, rule)] == ["COMPLETED"] * count, rule
    again = subprocess.run(command("--dry-run"), cwd=project, capture_output=True, text=True, timeout=STEP_SECONDS)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_jobs_get_the_gpu_they_ask_for_and_others_none(finished):
    project, _ = finished
    for job in jobs(project, "train"):
        assert re.fullmatch("gres[:/]gpu:1", job["TresPerJob"]), job
        assert re.match(r"cpu=1,mem=600\dM,", job["TRES"]), job  # a process on a CPU, and few small images
    for rule in ("evaluate", "simulate", "pdf"):
        for job in jobs(project, rule):
            assert "gpu" not in job.get("TresPerJob", ""), job


# ---------------------------------------------------------------- disturbed


@pytest.mark.usefixtures("stands_still")  # so that its minute goes by meanwhile
def test_scancel_then_the_same_command(project, undisturbed):
    snake = long_training(project, "--restart-times", "0")
    job = caught(project, snake)
    assert trainings(project)[0].environ()["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    subprocess.run(["scancel", job], check=True)
    ends(snake, project, well=False)
    assert jobs(project, "train")[-1]["JobState"] == "CANCELLED"
    assert not (project / WEIGHTS).exists()
    ends(long_training(project, "--restart-times", "0"), project)
    assert resumed_epoch(project) > 1
    same(project / MODEL, undisturbed)


def test_a_second_snakemake_is_refused_and_the_first_finishes(project, undisturbed):
    snake = long_training(project)
    job = caught(project, snake)
    subprocess.run(["scancel", "--signal=STOP", job], check=True)
    second = subprocess.run(command(), cwd=project, capture_output=True, text=True, timeout=STEP_SECONDS)
    assert second.returncode != 0 and "Directory cannot be locked" in second.stdout + second.stderr
    subprocess.run(["scancel", "--signal=CONT", job], check=True)
    ends(snake, project)
    assert len(jobs(project, "train")) == 1
    same(project / MODEL, undisturbed)


def test_two_nodes_train_what_one_process_does(finished, project, tmp_path):
    """Two processes over gloo, which SIGTERM ends after the same step; their job is submitted again."""
    snake = long_training(project, overlay="two_nodes", resources=["train:gpu=2"])
    job = caught(project, snake)
    submitted = jobs(project, "train")[-1]
    assert (submitted["NumNodes"], submitted["NumTasks"]) == ("2", "2"), submitted
    assert re.fullmatch("gres[:/]gpu:2", submitted["TresPerJob"]), submitted
    assert {process.environ()["SLURMD_NODENAME"] for process in trainings(project)} == {"node1", "node2"}
    subprocess.run(["scancel", "--signal=TERM", job], check=True)
    ends(snake, project)
    assert [found["JobState"] for found in jobs(project, "train")] == ["FAILED", "COMPLETED"]
    assert resumed_epoch(project) == stopped_epoch(project) > 0
    one, two = alone(project, tmp_path, TWO_NODES), project / MODEL
    many = load_file(two / "weights.safetensors")
    for name, weights in load_file(one / "weights.safetensors").items():
        assert torch.allclose(many[name], weights, atol=1e-4), name


def test_a_job_over_its_time_limit_goes_on_in_the_next(stands_still, undisturbed):
    project, snake, job = stands_still
    ends(snake, project)
    *_, first, last = jobs(project, "train")
    assert (first["JobId"], first["JobState"], last["JobState"]) == (job, "TIMEOUT", "COMPLETED")
    assert resumed_epoch(project) == stopped_epoch(project) > 0
    same(project / MODEL, undisturbed)


def test_a_node_down_and_resumed_loses_nothing(project, undisturbed):
    snake = long_training(project)
    job = caught(project, snake)
    node = jobs(project, "train")[-1]["NodeList"]
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"], check=True)
    until(lambda: jobs(project, "train")[-1]["Restarts"] == "1")
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=True)
    ends(snake, project)
    again = jobs(project, "train")[-1]
    assert (again["JobId"], again["JobState"], again["Restarts"]) == (job, "COMPLETED", "1")
    assert resumed_epoch(project) > 1
    same(project / MODEL, undisturbed)


def test_the_doctor_knows_the_cluster():
    doctor = [sys.executable, "-m", "lensvit", "doctor", "--files", "config.yaml", "runs/smoke.yaml", "--device", "gpu"]

    def lines(*before, status):
        done = subprocess.run(
            [*before, *doctor], cwd=HERE.parent.parent, capture_output=True, text=True, timeout=STEP_SECONDS,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent / "src")},
        )  # fmt: skip
        assert done.returncode == status and "Traceback" not in done.stderr, done.stdout
        return done.stdout.splitlines()

    # a login node without a GPU says nothing of the others; a job that was given one and sees none is wrong
    outside, inside = lines(status=0), lines("srun", "--gpus=1", status=1)
    for found in (outside, inside):
        assert {"+ SLURM partitions: right: main*: gpu"} < set(found)
        assert any(line.startswith("+ profiles/slurm/config.yaml: right") for line in found)
    assert any(line.startswith("? device: unknown: gpu: none on this node, from which SLURM") for line in outside)
    assert any(line.startswith("! srun: wrong: torch sees no GPU in a process that it starts") for line in inside)
