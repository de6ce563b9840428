"""A small made run, as far as the page reads it, and its page."""

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from lensvit.inference.coordinates import start_from
from lensvit.io import tables
from lensvit.page.page import page
from lensvit.page.png import encode
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf.kernel import write_kernel
from lensvit.release.records import write_records
from tests.builders import NETWORK_ERRORS, SCENE, filled, light, lopsided_psf
from tests.conftest import CAMERAS

ROOT = Path(__file__).parents[2]
MODELS = ("vit", "resnet")
FITTED, CERTIFIED = 14, 9  # of 16 systems that are refined
PASSES = 30
RED = np.array([[200, 30, 30]])


def covariance(count):
    """Covariances (count, 14, 14) of fits, in which the first two targets go together."""
    one = np.diag(np.full(len(NAMES), 1e-3) ** 2)
    one[0, 1] = one[1, 0] = 0.8e-6
    return np.tile(one, (count, 1, 1))


def write_posteriors(folder, systems):
    """Limits of all systems, fits and exact posteriors of some; the fits lie at the truth."""
    count, rng = len(systems), np.random.default_rng(3)
    table = systems[["id", "psf", "n_images", "sigma_bkg"]].reset_index(drop=True).assign(instrument="x", reason="")
    table["converged"] = np.arange(count) < FITTED
    table["certified"] = np.arange(count) < CERTIFIED
    table.loc[~table["certified"], "reason"] = "few"
    for name in TARGET_NAMES:
        truth = systems[name].to_numpy()
        error = np.where(np.arange(count) == 1, 5.0, 0.5) * 1e-3  # in sigma: 5 of the second system
        values = {"truth": truth, "mean": truth + error, "sigma": 1e-3, "limit": 1e-3, "known": 1e-3, "aleatoric": 1e-3}
        table = table.assign(**{f"{name}_{kind}": value for kind, value in values.items()})
    whole = filled(table, (*tables.REFINED, *tables.IMPORTANCE, "valid_known"))
    some = whole.iloc[:16]
    (folder / "refined").mkdir()
    for path, rows in {"refined/resnet": some, "importance": some, "limit": whole}.items():
        rows.to_parquet(folder / f"{path}.parquet")
    truth = torch.tensor(systems[list(NAMES)].to_numpy(dtype=float))
    with h5py.File(folder / "refined/resnet.h5", "w") as file:
        file["id"], file["coordinates"] = list(some["id"]), start_from(truth).numpy()[:16]
        file["covariance"] = covariance(16)
    with h5py.File(folder / "importance.h5", "w") as file:
        scatter = np.linalg.cholesky(covariance(16))[:, None] @ rng.standard_normal((16, 200, len(NAMES), 1))
        file["id"], file["certified"] = list(some["id"]), some["certified"].to_numpy()
        file["samples"] = truth.numpy()[:16, None] + scatter[..., 0]
    with h5py.File(folder / "limit.h5", "w") as file:
        file["id"], file["known"] = list(whole["id"]), covariance(count)


def write_predictions(folder, systems):
    """Draws and predictions of two networks, in which the first two targets go against each other."""
    rng = np.random.default_rng(4)
    (folder / "predictions").mkdir()
    truth = systems[list(TARGET_NAMES)].to_numpy()
    for model in MODELS:
        scatter = rng.standard_normal((PASSES, *truth.shape))
        scatter[..., 1] = 0.1 * scatter[..., 1] - 0.9 * scatter[..., 0]
        draws = truth + NETWORK_ERRORS * (rng.standard_normal(truth.shape) + scatter)
        with h5py.File(folder / f"predictions/{model}.h5", "w") as file:
            file["id"], file["draws"] = list(systems["id"]), draws.astype(np.float32)
        table = systems[["id", "psf"]].reset_index(drop=True)
        for place, name in enumerate(TARGET_NAMES):
            values = {"truth": truth[:, place], "mean": draws[..., place].mean(0), "sigma": draws[..., place].std(0)}
            table = table.assign(**{f"{name}_{kind}": value for kind, value in values.items()})
        filled(table, tables.PREDICTIONS).to_parquet(folder / f"predictions/{model}.parquet")


def write_tables(folder):
    """Coverage, PIT values and measures of calibration; histories of three trainings."""
    (folder / "tables").mkdir()
    keys = [
        {"model": model, "state": state, "target": target}
        for model in MODELS
        for state in ("predicted", "recalibrated")
        for target in (*TARGET_NAMES, "joint")
    ]
    levels, edges = np.arange(1, 20) / 20, np.arange(10) / 10
    rows = {
        "coverage": [key | {"level": level, "coverage": level, "low": level - 0.1, "high": level + 0.1}
                     for key in keys for level in levels],
        "pit": [key | {"from": edge, "to": edge + 0.1, "share": 0.1, "low": 0.05, "high": 0.15}
                for key in keys for edge in edges],
        "calibration": [key | {"z_mean": 0.1, "z_sd": 1.1, "coverage_68": 0.68, "coverage_95": 0.95, "p_value": 0.3,
                               "verdict": "passes"} for key in keys],
    }  # fmt: skip
    for name, entries in rows.items():
        pd.DataFrame(entries).to_csv(folder / f"tables/{name}.csv", index=False)
    example = json.loads((ROOT / "tests/data/numbers.json").read_text(encoding="utf-8"))["models"][0]
    keys = ("library", "architecture", "weights", "image_size", "dropout", "posterior")
    made = {
        "network": {key: example[key] for key in keys},
        "recipe": {key: value for key, value in example["recipe"].items() if key != "name"},
        "targets": list(TARGET_NAMES), "scaler": {"mean": {}, "sd": {}}, "family": "transformer", "parameters": 5,
        "systems_seen": 60, "best_epoch": 4, "best_validation_mse": 0.9, "dropout_places": [],
    }  # fmt: skip
    for name in (*MODELS, "resnet-seed-2"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "config.json").write_text(json.dumps(made))
        history = pd.DataFrame({"epoch": range(1, 6), "train_loss": 1 / np.arange(1, 6), "validation_loss": 0.5})
        filled(history, tables.HISTORY).to_csv(folder / "models" / name / "history.csv", index=False)


def write_rest(folder):
    """numbers.json, figures, benchmarks and Snakemake's records, all of the run ``made``."""
    numbers = json.loads((ROOT / "tests/data/numbers.json").read_text(encoding="utf-8"))
    numbers["run"] |= {"name": folder.name}
    numbers["models"][0]["label"] = "ViT </script><b>"  # which ends no element
    (folder / "numbers.json").write_text(json.dumps(numbers))
    (folder / "figures").mkdir()
    for name in ("figure2", "figure10"):
        (folder / f"figures/{name}.png").write_bytes(encode([np.zeros((40, 60), np.uint8)], RED))
    for name, seconds in {"train/vit": 200.0, "train/resnet": 100.0, "table": 1.0}.items():
        path = folder / f"benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00\t512\n")
    (folder / "benchmarks/broken.tsv").write_text("")
    run = f"results/{folder.name}"
    made = {f"{run}/tables/table1.csv": "table", f"{run}/tables/table1_errors.csv": "table"}
    commands = {"table": "lensvit table > log", "catalog": "lensvit catalog <b>", "simulate": "lensvit simulate"}
    commands |= {f"evaluate/{model}": f"lensvit evaluate --model {model}" for model in MODELS}
    made |= {f"{run}/predictions/{model}.parquet": f"evaluate/{model}" for model in MODELS}
    made |= {f"{run}/catalog.parquet": "catalog", f"{run}/images/hst_a/test-0000.h5": "simulate"}
    inputs = {
        "table": [f"{run}/predictions/vit.parquet", f"{run}/predictions/resnet.parquet", f"{run}/catalog.parquet",
                  f"{run}/catalog.parquet.sha256"],
        "evaluate/vit": [f"{run}/catalog.parquet"], "evaluate/resnet": [f"{run}/catalog.parquet"],
        "catalog": [f"{run}/images/hst_a/test-0000.h5"], "simulate": [],
    }  # fmt: skip
    order = ["simulate", "catalog", "evaluate/vit", "evaluate/resnet", "table"]
    known = {
        path: {
            "rule": job.partition("/")[0], "shellcmd": commands[job], "input": inputs[job],
            "params": [f"'lensvit.{job.partition('/')[0]} 0123456789abcdef'", "3"],
            "starttime": 1.7e9 + 10 * order.index(job), "endtime": 1.7e9 + 10 * order.index(job) + 5,
        }
        for path, job in made.items()
    }  # fmt: skip
    write_records(folder.parent, folder.name, known)


def page_settings(**changes):
    """Settings of the stage, as YAML."""
    cameras = {
        psf: {"name": psf.partition("_")[0], "pixels": pixels, "pixel_scale": scale}
        for psf, (pixels, scale) in CAMERAS.items()
    }
    content = {"seed": 5, "priors": {}, "scene": light(SCENE), "external_shear": True, "supersampling": 1}
    return yaml.safe_dump(content | {"options": cameras} | changes)


@pytest.fixture(scope="session")
def made_run(tmp_path_factory, tiny_run):
    """The folder of the run, and the arguments of the stage."""
    folder = tmp_path_factory.mktemp("page") / "results/made"
    folder.mkdir(parents=True)
    catalog = pd.read_parquet(tiny_run / "catalog.parquet")
    systems = catalog[catalog["split"] == "test"]
    (folder / "page.yaml").write_text(page_settings())
    for psf, (_, scale) in CAMERAS.items():
        write_kernel(folder / f"{psf}.fits", lopsided_psf(31, scale), {})
    write_predictions(folder, systems)
    write_posteriors(folder, systems)
    write_tables(folder)
    write_rest(folder)
    arguments = {
        "settings": folder / "page.yaml", "numbers": folder / "numbers.json",
        "catalog": tiny_run / "catalog.parquet", "images": tiny_run / "images",
        "psfs": [folder / f"{psf}.fits" for psf in CAMERAS],
        "predictions": [folder / f"predictions/{model}.parquet" for model in MODELS],
        "draws": [folder / f"predictions/{model}.h5" for model in MODELS],
        "models": [folder / f"models/{name}/config.json" for name in (*MODELS, "resnet-seed-2")],
        "table": folder / "tables/calibration.csv", "coverage": folder / "tables/coverage.csv",
        "pit": folder / "tables/pit.csv",
        "figures": [folder / f"figures/{name}.png" for name in ("figure2", "figure10")],
        "captions": ROOT / "paper/captions", "benchmarks": folder / "benchmarks", "runs": folder.parent,
        "refined": folder / "refined/resnet.parquet", "importance": folder / "importance.parquet",
        "limit": folder / "limit.parquet",
    }  # fmt: skip
    return SimpleNamespace(folder=folder, systems=systems.reset_index(drop=True), arguments=arguments)


@pytest.fixture(scope="session")
def made_page(made_run):
    """index.html of the made run."""
    output = made_run.folder / "index.html"
    page(**made_run.arguments, output=output)
    return output
