"""Inputs of all stages, but for those in LATER, broken in seven ways: each is one line, never a traceback."""

import errno
import inspect
import json
import re
import shutil
from pathlib import Path
from typing import get_type_hints

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.io import fits

from lensvit import cli
from lensvit.chapters.registry import CHAPTERS
from lensvit.config.run import load
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.io.shards import write_part
from lensvit.page.png import encode
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf.kernel import write_kernel
from tests.builders import lopsided_psf
from tests.conftest import CAMERAS

ROOT = Path(__file__).parents[1]
WRITTEN = {"output", "errors", "differences", "coverage", "pit", "joint", "chains", "curves", "provenance", "state",
           "measures", "ensemble", "summary"}  # fmt: skip
READ_TOO = {("figure4", "coverage"), ("figure4", "pit"), ("figure7", "curves"), ("numbers", "errors"),
            ("numbers", "differences"), ("page", "coverage"), ("page", "pit")}  # fmt: skip
SCALERS = {("catalog", "scaler")}  # written by this one stage
ELSEWHERE = {  # stages that make no use of a run's files, or whose broken inputs have tests of their own
    "config", "schema", "settings", "release", "adopt", "verify", "bench", "doctor", "pdf", "cost",
    "train_streaming", "predict", "share", "completion", "figure12",
}  # fmt: skip
PARTS = {"evaluate": "evaluate/vit", "psf": "psf/hst_a", "simulate": "simulate/hst_a", "train": "train/vit",
         "refine": "refine/vit", "observe": "observe/mine", "model_card": "model_card/vit"}  # fmt: skip
COLUMNS = (  # of every table of a figure
    "model", "case", "state", "target", "level", "coverage", "low", "high", "from", "to", "share", "score", "ordinary",
    "shifted", "ratio", "ratio_error", "coverage_error", "ordinary_coverage", "theta_E", "z_mean", "z_sd",
    "coverage_68", "coverage_95", "p_value", "verdict",
)  # fmt: skip
LATER = {  # inputs that a stage reads after others that would have to make sense
    ("evaluate", "images"), ("numbers", "table"), ("numbers", "errors"), ("numbers", "predictions"),
    ("numbers", "differences"), ("numbers", "psfs"), ("numbers", "attention"), ("tex", "templates"),
    ("numbers", "benchmarks"), ("page", "benchmarks"), ("page", "runs"),
    ("predict_observed", "model"), ("reference", "images"),
    ("model_card", "table"), ("model_card", "errors"), ("model_card", "calibration"),
    ("page", "captions"), ("fit", "psf"), ("fit", "psf_variance"), ("fit", "noise"), ("fit", "mask"),
}  # fmt: skip
LENS = {  # the result of a fit, as far as a table of lenses reads it
    "name": "mine", "images": [{}] * 4, "posterior": None, "hubble": None, "errors": {"psf": 0.1, "galaxies": 0.0},
    "seconds": 1.0, "verdict": ["It is."], "priors": {}, "converged": True,
    "parameters": {name: {"most_probable": 1.0} for name in
                   ("theta_E", "gamma", "e1", "e2", "gamma_ext", "psi_ext")},
}  # fmt: skip
WAYS = ("absent", "empty", "truncated", "of another kind", "without rows", "of text", "forbidden")


@pytest.fixture(scope="session")
def whole(tmp_path_factory, tiny_run):
    """A folder with a readable file for every kind of input; what is in them need not make sense."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(tiny_run, folder, dirs_exist_ok=True)
    smoke = yaml.safe_load((ROOT / "runs/smoke.yaml").read_text())
    smoke["psfs"] = dict.fromkeys(("hst_b", "hst_c", "keck_b", "keck_c")) | {psf: {"pixels": 51} for psf in CAMERAS}
    smoke["instruments"] = {
        psf.partition("_")[0]: {"pixels": pixels, "pixel_scale": scale} for psf, (pixels, scale) in CAMERAS.items()
    }
    smoke["fermat"]["draws"] = 4  # the priors are drawn from before the other files are read
    smoke["shift"] |= {"systems": 2, "left_out": None}  # which are scored before the model is read
    smoke["observations"] = {"mine": {"image": "mine.fits"}}
    (folder / "overlay.yaml").write_text(yaml.safe_dump(smoke))
    run = load(ROOT / "config.yaml", folder / "overlay.yaml")
    for stage in cli.STAGES:
        if stage not in ELSEWHERE and "settings" in parameters(stage):
            content = stage_settings(run, PARTS.get(stage, stage))
            (folder / f"{stage}.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    for psf, (_, scale) in CAMERAS.items():
        write_kernel(folder / f"{psf}.fits", lopsided_psf(31, scale), {})
    catalog = pd.read_parquet(folder / "catalog.parquet")
    catalog = catalog[
        (catalog["split"] != "test") | (catalog["row"] < 2)
    ]  # of few test systems, which are computed with
    catalog.to_parquet(folder / "catalog.parquet")
    systems = catalog.query("split == 'test'").reset_index(drop=True)
    write_table(folder / "vit.parquet", systems)
    write_arrays(folder / "vit.h5", list(systems["id"]))
    for number, (psf, _) in enumerate(CAMERAS.items()):
        rows = systems[systems["psf"] == psf]
        write_part(folder / f"shards/{number:04d}.parquet", rows, {"id": list(rows["id"])}, NAMES, systems["id"])
    row = dict.fromkeys(COLUMNS, "1") | {"target": "overall"}
    (folder / "rows.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    (folder / "paper").mkdir()
    shutil.copy(ROOT / "tests/data/numbers.json", folder / "numbers.json")
    (folder / "results.json").write_text(json.dumps(LENS))
    (folder / "paper.tex").write_text("\\documentclass{article}\n")
    (folder / "figure1.pdf").write_bytes(b"%PDF-1.4\n")
    (folder / "figure2.png").write_bytes(encode([np.zeros((50, 50), np.uint8)], np.zeros((1, 3))))
    shutil.copytree(ROOT / "paper/captions", folder / "captions")
    (folder / "vit").mkdir()
    (folder / "vit/config.json").write_text(json.dumps({"scaler": {"sd": dict.fromkeys(TARGET_NAMES, 1.0)}}))
    (folder / "vit/history.csv").write_text("images_per_second,seconds\n1,2\n")
    for name in ("resnet", "resnet-three-1"):  # of the ablation
        shutil.copytree(folder / "vit", folder / name)
        shutil.copy(folder / "vit.parquet", folder / f"{name}.parquet")
    return folder


def write_table(path, systems):
    """One table with the columns of predictions, limits, fits, chains, scores and delays."""
    kinds = ("truth", "mean", "sigma", "aleatoric", "epistemic", "limit", "known", "marginalised")
    values = {f"{name}_{kind}": np.linspace(1, 2, len(systems)) for name in TARGET_NAMES for kind in kinds}
    values |= {f"{name}_truth": systems[name].to_numpy() for name in TARGET_NAMES}
    flags = dict.fromkeys(("valid_known", "valid_marginalised", "converged", "certified", "used", "cut"), True)
    ones = dict.fromkeys(
        ("attempts", "tau", "steps", "ess_bulk", "ess_tail", "burn_in", "k", "ess", "seconds", "calls", "predicted",
         "epistemic", "residual", "draws", "unphysical", "error", "sigma", "z", "share_gamma", "share_theta_E",
         "sigma_gamma", "sigma_theta_E", "sigma_shear"), 1.0
    )  # fmt: skip
    words = {"instrument": "HST", "start": "network", "reason": "", "method": "vit", "treatment": "images"}
    table = systems[["id", "psf", "n_images", "sigma_bkg"]].assign(**flags, **ones, **words)
    pd.concat([table, pd.DataFrame(values)], axis=1).to_parquet(path)


def write_arrays(path, ids):
    """One HDF5 file with the datasets of draws, fits, limits and chains."""
    count, size, rng = len(ids), len(NAMES), np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["id"], file["converged"], file["certified"] = ids, np.ones(count, bool), np.ones(count, bool)
        file["draws"] = rng.uniform(1, 2, (64, count, len(TARGET_NAMES)))
        file["samples"] = rng.uniform(1, 2, (count, 20, size))
        file["coordinates"] = np.ones((count, size))
        for name in ("covariance", "known", "marginalised"):
            file[name] = np.tile(np.eye(size), (count, 1, 1))


def parameters(stage):
    """The parameters of a stage's function."""
    return inspect.signature(cli._function(cli.STAGES[stage])).parameters


def inputs(stage):
    """Names of the parameters of a stage that are files or folders to read."""
    hints = get_type_hints(cli._function(cli.STAGES[stage]))
    for name in parameters(stage):
        written = (name in WRITTEN and (stage, name) not in READ_TOO) or (stage, name) in SCALERS
        if "Path" in str(hints[name]) and not written:
            yield name


CASES = [(stage, name) for stage in cli.STAGES if stage not in ELSEWHERE for name in inputs(stage)]
CASES = [case for case in CASES if case not in LATER]


def file_of(stage, name, folder):
    """The argument of an input, and the file that is broken."""
    # of the one system of which the chains are, and of those that are sampled first
    psf = "keck_a" if stage in ("mcmc", "importance") else "hst_a"
    chunk = folder / f"images/{psf}/test-0000.h5"
    if name == "settings":
        return folder / f"{stage}.yaml", folder / f"{stage}.yaml"
    if name == "images":
        return (sorted(folder.glob("images/*/*.h5")) if stage == "catalog" else folder / "images"), (
            folder / "images/hst_a/train-0000.h5" if stage == "train" else chunk
        )
    if name == "shards":
        files = sorted(folder.glob("shards/*.parquet"))
        return files, files[0]
    if name == "psfs":
        files = sorted(folder.glob("*.fits"))
        return files, folder / f"{psf}.fits"
    if name == "models":
        whole = folder / "vit/config.json"
        return ([whole], whole) if stage in ("numbers", "figure10", "page") else (folder, folder / "resnet/history.csv")
    if (stage, name) == ("real_table", "predictions"):
        return [folder / "rows.csv"], folder / "rows.csv"
    if name == "results":
        return [folder / "results.json"], folder / "results.json"
    if (stage, name) == ("show_tables", "table"):
        return [folder / "rows.csv"], folder / "rows.csv"
    if name == "captions":
        return folder / "captions", folder / "captions/figure2.rst"
    if stage == "page" and name == "figures":
        return [folder / "figure2.png"], folder / "figure2.png"
    if name == "figures":
        return [folder / "figure1.pdf"], folder / "figure1.pdf"
    if name == "predictions" and stage == "ablation_table":
        return folder, folder / "resnet.parquet"
    if stage == "table" and name in ("predictions", "validation"):  # an ensemble has two models
        part = folder / "validation" if name == "validation" else folder
        return [part / "vit.parquet", part / "resnet.parquet"], part / "vit.parquet"
    if name in ("model", "weights"):
        return folder / "vit", folder / "vit/config.json"
    names = {"catalog": "catalog.parquet", "scaler": "scaler.json", "psf": "hst_a.fits", "numbers": "numbers.json",
             "tex": "paper.tex", "coverage": "rows.csv", "pit": "rows2.csv", "curves": "rows2.csv",
             "references": "references.bib", "errors": "rows2.csv",
             "differences": "rows2.csv"}  # fmt: skip
    arrays = name == "draws" or (stage, name) in {("calibrate", "predictions"), ("calibrate", "validation")}
    default = "rows.csv" if name == "table" else "vit.h5" if arrays else "vit.parquet"
    path = folder / names.get(name, default)
    if name in (
        "validation",
        "refined",
        "importance",
        "limit",
        "mcmc",
    ):  # read beside the predictions
        path = folder / name / path.name
    return path, path


def arguments(stage, folder):
    """Arguments of a stage, all of whose inputs are whole."""
    hints, result = get_type_hints(cli._function(cli.STAGES[stage])), {}
    for name in inputs(stage):
        value = file_of(stage, name, folder)[0]
        many = "list" in str(hints[name]) and not isinstance(value, list)
        result[name] = [value] if many else value
    outputs = {name for name in parameters(stage) if "Path" in str(hints[name])} - set(result)
    for name in outputs:
        path = folder / "made" / f"{name}.png"
        result[name] = [path] if "list" in str(hints[name]) else path
    plain = {"split": "test", "first": 0, "count": 1, "amplitudes": "known", "goal": 0.01,
             "chapter": [f"{chapter}={folder / 'rows.csv'}" for chapter in CHAPTERS for _ in CHAPTERS[chapter].tables],
             "templates": ROOT / "paper", "benchmarks": folder, "inputs": ["graded60"]}  # fmt: skip
    return result | {name: value for name, value in plain.items() if name in parameters(stage)}


def wrong(path):
    """Make a file one of its own format that holds something else."""
    suffix = path.suffix
    path.unlink()
    if suffix == ".parquet":
        pd.DataFrame({"x": [1.0]}).to_parquet(path)
    elif suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["x"] = [1.0]
    elif suffix == ".fits":
        fits.PrimaryHDU().writeto(path)
    elif suffix in (".json", ".yaml"):
        path.write_text("[1, 2]\n")
    else:
        path.write_bytes(b"\xff\xfe\x00\x81")


def without_rows(path):
    """Leave a table its columns alone."""
    if path.suffix == ".parquet":
        pd.read_parquet(path).iloc[:0].to_parquet(path)
    else:
        path.write_text(path.read_text().splitlines()[0] + "\n")


def forbid(monkeypatch, path):
    """Let no library read a file; permissions do not bind root, who may run the tests."""

    def guarded(read):
        def call(first, *rest, **options):
            if str(first) == str(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return read(first, *rest, **options)

        return call

    for holder, name in (
        (h5py, "File"), (pd, "read_parquet"), (pd, "read_csv"), (fits, "open"), (Path, "read_text"),
        (Path, "read_bytes"),
    ):  # fmt: skip
        monkeypatch.setattr(holder, name, guarded(getattr(holder, name)))


@pytest.mark.parametrize(("stage", "name"), CASES)
def test_a_broken_input_is_one_line(whole, tmp_path, monkeypatch, stage, name):
    function = cli._function(cli.STAGES[stage])
    folder = tmp_path / "run"
    for way in WAYS:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        for other in ("validation", "refined", "importance", "limit", "mcmc"):
            (folder / other).mkdir()
            for suffix in (".h5", ".parquet"):
                shutil.copy(folder / f"vit{suffix}", folder / other / f"vit{suffix}")
        if stage == "table":
            for model in ("vit", "resnet"):
                others = pd.read_parquet(folder / f"{model}.parquet")
                others.assign(id="v" + others["id"]).to_parquet(folder / "validation" / f"{model}.parquet")
        shutil.copy(folder / "rows.csv", folder / "rows2.csv")
        shutil.copy(ROOT / "paper/references.bib", folder / "references.bib")
        given, path = arguments(stage, folder), file_of(stage, name, folder)[1]
        with monkeypatch.context() as patches:
            if way == "absent":
                path.unlink()
            elif way == "empty":
                path.write_bytes(b"")
            elif way == "truncated":
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            elif way == "of another kind":
                wrong(path)
            elif way == "without rows":
                if path.suffix not in (".csv", ".parquet"):
                    continue
                without_rows(path)
            elif way == "of text":
                if path.suffix != ".parquet":
                    continue
                pd.read_parquet(path).astype(str).replace(".*", "x", regex=True).to_parquet(path)
            else:
                forbid(patches, path)
            said = None
            try:
                function(**given)
            except LensvitError as error:
                said = str(error)
        copied = path.suffix in (".tex", ".bib", ".pdf")  # into the archive, whatever is in it
        if said is None:
            half = way == "truncated" and path.suffix in (".csv", ".yaml")  # which may be whole
            assert half or (copied and way not in ("absent", "forbidden")), (way, path)
            continue
        assert len(said.splitlines()) <= 2 and len(said) < 600, said
        assert path.name in said or path.parent.name in said, (way, path.name, said)
        if way == "forbidden":
            assert "permission denied" in said and not re.search("delete", said), said
