"""The smoke run on a SLURM cluster of this machine, undisturbed and disturbed: make test-slurm.

The cluster's GPU is a resource without a device: jobs are granted it and compute on the CPU.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from lensvit.files import sha256

HERE = Path(__file__).parent
MODEL = Path("results/smoke/models/vit")
WEIGHTS = MODEL / "weights.safetensors"
LOG = Path("results/smoke/logs/train/vit.log")
# long enough to be caught in the middle
LONG = {"models": {"vit": {"changes": {"epochs": 200}}}}


@pytest.fixture(scope="session", autouse=True)
def cluster():
    subprocess.run([HERE / "start"], check=True)
    yield
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
    (project / "runs/long.yaml").write_text(yaml.safe_dump(LONG))
    done = snakemake(project, "--slurm-keep-successful-logs")
    return project, done.stdout


@pytest.fixture
def project(finished, tmp_path):
    """A project with all data of the smoke run, whose vit is to be trained for long."""
    shutil.copytree(finished[0], tmp_path / "project", symlinks=True)
    return tmp_path / "project"


@pytest.fixture(scope="session")
def undisturbed(finished, tmp_path_factory):
    """The model that the long training ends in, done in one go without SLURM."""
    folder = tmp_path_factory.mktemp("undisturbed")
    project = folder / "project"
    shutil.copytree(finished[0], project, symlinks=True)
    run = project / "results/smoke"
    settings = yaml.safe_load((run / "settings/train/vit.yaml").read_text())
    settings["recipe"].update(LONG["models"]["vit"]["changes"])
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    subprocess.run(
        [
            sys.executable, "-m", "lensvit", "train", "--settings", folder / "settings.yaml",
            "--catalog", run / "catalog.parquet", "--scaler", run / "scaler.json", "--images", run / "images",
            "--output", folder / "model", "--state", folder / "state",
        ],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(project / "src")},
    )  # fmt: skip
    return folder / "model"


def command(*arguments, configs=("runs/smoke.yaml",)):
    return [
        sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm",
        "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
        "--seconds-between-status-checks", "1", "--latency-wait", "10",
        "--set-threads", "train=1", "evaluate=1", "--set-resources", "train:gpu=1", "train:runtime=1",
        "--configfile", *configs, *arguments,
    ]  # fmt: skip


def start(project, *arguments, **options):
    """Start snakemake on the cluster; its output goes to a file beside the project."""
    with open(project.parent / "snakemake.out", "a") as output:
        return subprocess.Popen(
            command(*arguments, **options), cwd=project, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def said(project):
    return (project.parent / "snakemake.out").read_text()


def snakemake(project, *arguments, **options):
    process = start(project, *arguments, **options)
    assert process.wait(timeout=400) == 0, said(project)[-5000:]
    return subprocess.CompletedProcess(process.args, 0, said(project))


def long_training(project, *arguments):
    """Start snakemake for the long training alone."""
    return start(project, *arguments, "--", str(WEIGHTS), configs=("runs/smoke.yaml", "runs/long.yaml"))


def until(condition, seconds=100):
    """The first true value of ``condition()``."""
    deadline = time.monotonic() + seconds
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


def training(project):
    """The process of the training in a project; None where there is none."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cwd"] == str(project) and (process.info["cmdline"] or [])[1:4] == ["-m", "lensvit", "train"]:
            return process
    return None


def caught(project, snake):
    """The SLURM job of the training, once a checkpoint of the long training is there."""
    before = set(project.glob("results/smoke/state/vit/*/checkpoint.pt"))
    until(lambda: snake.poll() is not None or set(project.glob("results/smoke/state/vit/*/checkpoint.pt")) - before)
    assert snake.poll() is None, said(project)[-5000:]
    assert training(project)
    return jobs(project, "train")[-1]["JobId"]


def resumed_epoch(project):
    """The epoch in which the last training took up its work."""
    found = re.search(r"resumed from \S+: epoch (\d+)", (project / LOG).read_text())
    return int(found[1]) if found else 0


def same(one, two):
    """Two models have the same weights and came to them through the same losses."""
    assert sha256(one / "weights.safetensors") == sha256(two / "weights.safetensors")
    losses = [
        pd.read_csv(model / "history.csv").drop(columns=["seconds", "images_per_second"]) for model in (one, two)
    ]
    pd.testing.assert_frame_equal(*losses, check_exact=True)


def test_the_whole_run_on_the_cluster(finished):
    project, output = finished
    assert (project / "results/smoke/paper/paper.pdf").read_bytes().startswith(b"%PDF")
    for rule, count in {"psf": 2, "catalog": 1, "train": 2, "evaluate": 2, "pdf": 1}.items():
        assert [job["JobState"] for job in jobs(project, rule)] == ["COMPLETED"] * count, rule
    again = snakemake(project, "--dry-run").stdout
    assert "Nothing to be done" in again


def test_jobs_get_the_gpu_they_ask_for_and_others_none(finished):
    project, _ = finished
    for job in jobs(project, "train"):
        assert job["TresPerJob"] == "gres:gpu:1" and job["TRES"].startswith("cpu=1,mem=8000M,"), job
    for rule in ("evaluate", "simulate", "pdf"):
        for job in jobs(project, rule):
            assert "gpu" not in job.get("TresPerJob", ""), job


def test_scancel_then_the_same_command(project, undisturbed):
    snake = long_training(project, "--restart-times", "0")
    job = caught(project, snake)
    assert training(project).environ()["CUDA_VISIBLE_DEVICES"] == "0"
    subprocess.run(["scancel", job], check=True)
    assert snake.wait(timeout=100) != 0
    assert jobs(project, "train")[-1]["JobState"] == "CANCELLED"
    assert not (project / WEIGHTS).exists()
    assert long_training(project, "--restart-times", "0").wait(timeout=200) == 0, said(project)[-5000:]
    assert resumed_epoch(project) > 1
    same(project / MODEL, undisturbed)


def test_a_job_over_its_time_limit_goes_on_in_the_next(project, undisturbed):
    """The training stands still until its limit, one minute, the shortest there is."""
    snake = long_training(project)
    job = caught(project, snake)
    subprocess.run(["scancel", "--signal=STOP", job], check=True)
    assert snake.wait(timeout=300) == 0, said(project)[-5000:]
    first, *_, last = jobs(project, "train")[-2:]
    assert (first["JobId"], first["JobState"], last["JobState"]) == (job, "TIMEOUT", "COMPLETED")
    stopped = re.search(r"stopped by SIGTERM in epoch (\d+) after step \d+; the checkpoint is written", said(project))
    assert stopped and resumed_epoch(project) == int(stopped[1])
    same(project / MODEL, undisturbed)


def test_a_node_down_and_resumed_loses_nothing(project, undisturbed):
    snake = long_training(project)
    job = caught(project, snake)
    subprocess.run(["scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=test"], check=True)
    until(lambda: training(project) is None)
    subprocess.run(["scontrol", "update", "NodeName=localhost", "State=RESUME"], check=True)
    assert snake.wait(timeout=300) == 0, said(project)[-5000:]
    again = jobs(project, "train")[-1]
    assert (again["JobId"], again["JobState"], again["Restarts"]) == (job, "COMPLETED", "1")
    assert resumed_epoch(project) > 1
    same(project / MODEL, undisturbed)


def test_a_second_snakemake_is_refused_and_the_first_finishes(project, undisturbed):
    snake = long_training(project)
    caught(project, snake)
    second = subprocess.run(command(), cwd=project, capture_output=True, text=True, timeout=100)
    assert second.returncode != 0 and "Directory cannot be locked" in second.stdout + second.stderr
    assert snake.wait(timeout=300) == 0, said(project)[-5000:]
    assert len(jobs(project, "train")) == 1
    same(project / MODEL, undisturbed)


def test_a_snakemake_that_is_killed_goes_on_with_the_same_command(project, undisturbed):
    snake = long_training(project)
    job = caught(project, snake)
    snake.send_signal(signal.SIGINT)
    assert snake.wait(timeout=100) != 0
    until(lambda: jobs(project, "train")[-1]["JobState"] == "CANCELLED")
    assert long_training(project).wait(timeout=300) == 0, said(project)[-5000:]
    assert jobs(project, "train")[-1]["JobId"] != job and resumed_epoch(project) > 1
    same(project / MODEL, undisturbed)
