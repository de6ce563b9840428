"""Costs that are known: fitted, added over jobs, and foretold."""

from pathlib import Path

import pandas as pd
import pytest

from lensvit.cli import main
from lensvit.config.run import load
from lensvit.errors import LensvitError
from lensvit.workflow.cost import USED, cost

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
CHUNK = 100


def benchmark(path, seconds, memory):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{2 * seconds}\t0:00:01\t{memory}\t-\t-\t-\t0\t0\t90\t{seconds}\n")


@pytest.fixture
def runs(tmp_path):
    """Chunks of 100 cost 3 s and 0.02 s an image, shards of 200 cost 4 s and 0.5 s an image, two trainings 5 s and
    0.1 s an image with 0.5 MB each.
    """

    def run(images):
        folder = tmp_path / f"cost_{images}"
        chunks = images // CHUNK
        for chunk in range(chunks):
            benchmark(folder / f"benchmarks/simulate/hst/train-{chunk:04d}.tsv", 3 + 0.02 * CHUNK, 400 + chunk % 2)
        for model in ("vit", "resnet"):
            benchmark(folder / f"benchmarks/train/{model}.tsv", 5 + 0.1 * images, 600 + 0.5 * images)
        benchmark(folder / "benchmarks/table.tsv", 2, 150)
        for shard in range(images // 200):
            benchmark(folder / f"benchmarks/refine/vit/{shard:04d}.tsv", 4 + 0.5 * 200, 900)
        rows = pd.DataFrame({"psf": "hst", "chunk": [f"train-{row // CHUNK:04d}" for row in range(images)]})
        rows.to_parquet(folder / "catalog.parquet")
        return folder

    return [run(images) for images in (200, 400, 1200)]


def test_what_a_larger_run_costs(runs, tmp_path, capsys):
    cost(runs, tmp_path / "cost.csv", images=100_000)
    table = pd.read_csv(tmp_path / "cost.csv")
    assert table["measured"].sum() == 12 and (~table["measured"]).sum() == 4
    foretold = table[~table["measured"]].set_index("stage")
    assert foretold["jobs"].to_dict() == {"simulate": 1000, "refine": 500, "train": 2, "table": 1}
    expected = {"simulate": 3 * 1000 + 2000, "train": 2 * (5 + 10_000), "table": 2, "refine": 4 * 500 + 50_000}
    assert foretold["cpu_seconds"].to_dict() == pytest.approx(expected, rel=1e-3)
    assert foretold["seconds"].to_dict() == pytest.approx({stage: 2 * cpu for stage, cpu in expected.items()}, rel=1e-3)
    memory = {"simulate": 401, "train": 50_600, "table": 150, "refine": 900}
    assert foretold["memory_mb"].to_dict() == pytest.approx(memory, rel=1e-3)
    assert "100,000" in capsys.readouterr().out


def test_measured_jobs_are_added(runs, tmp_path):
    cost(runs[:2], tmp_path / "cost.csv")
    table = pd.read_csv(tmp_path / "cost.csv").set_index(["stage", "images"])
    assert table.loc[("train", 400), ["jobs", "cpu_seconds", "memory_mb"]].tolist() == [2, 90, 800]


def test_the_last_line_of_a_log_counts_more_than_samples(runs, tmp_path):
    log = runs[0] / "logs/train/vit.log"
    log.parent.mkdir(parents=True)
    log.write_text("used: 1.00 s of CPU time, 1 MB of memory\nused: 31.00 s of CPU time, 999 MB of memory\n")
    cost(runs[:2], tmp_path / "cost.csv")
    table = pd.read_csv(tmp_path / "cost.csv").set_index(["stage", "images"])
    assert table.loc[("train", 200), ["cpu_seconds", "memory_mb"]].tolist() == [31 + 25, 999]


def test_a_log_ends_with_what_its_job_used(tmp_path, capsys):
    assert main(["schema", "--output", str(tmp_path)]) == 0
    seconds, memory = USED.findall(capsys.readouterr().err)[-1]
    assert float(seconds) > 0.1 and float(memory) > 50


def test_the_runs_of_make_cost_are_alike_but_for_their_images():
    run = load(*(Path(name) for name in ("config.yaml", "runs/demo.yaml", "runs/scale.yaml")))
    assert f"results/{run.run}" == "results/cost_1000"
    assert run.data.train + run.data.validation + run.data.test == 1000
    assert not run.limit.enabled and not run.refine.enabled


def test_what_it_cannot_do_is_said(runs, tmp_path, capsys):
    with pytest.raises(LensvitError, match="two or more sizes"):
        cost([runs[0], runs[0]], tmp_path / "cost.csv")
    for path in (runs[1] / "benchmarks").rglob("*.tsv"):
        path.unlink()
    with pytest.raises(LensvitError, match="an adopted release has none"):
        cost(runs[:2], tmp_path / "cost.csv")
    assert main(["cost", "--runs", str(tmp_path / "nothing"), "--output", str(tmp_path / "cost.csv")]) == 1
    assert "are folders of finished runs" in capsys.readouterr().err
