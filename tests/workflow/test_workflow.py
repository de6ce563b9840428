"""The DAG: what is built, and what is built again when something changes."""

import ast
import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest

from tests.builders import same_arrays
from tests.workflow.conftest import SMOKE

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

EVALUATIONS = {"evaluate": 2, "evaluate_validation": 3, "shift_evaluate": 1, "left_out_evaluate": 1}
PAPER = {"numbers": 1, "tex": 1, "pdf": 1, "archive": 1, "page": 1}
COMPARED = {"mcmc_table": 1}
CHAINS = {**COMPARED, "figure5": 1}
SHOWN = {"table": 1, "limit_table": 1, "calibrate": 1, "figure2": 1, "figure3": 1, "figure4": 1, **PAPER}
SHIFT = {"shift_scores": 3, "shift_table": 1, "figure7": 1}
FERMAT = {"fermat": 1, "fermat_table": 1, "figure6": 1}
REFINED = {"refine": 2, "refined_table": 1}
EXACT = {"importance": 1, "importance_table": 1, "figure8": 1, "figure9": 1}
AFTER_DRAWS = {**REFINED, **EXACT, "ablation_table": 1, "mcmc": 1, **CHAINS, **FERMAT, **SHOWN}
AFTER_TRAINING = {**EVALUATIONS, "figure1": 1, "figure10": 1, **AFTER_DRAWS, **SHIFT}
AFTER_IMAGES = {"limit": 1, "refine_prior": 1, "train": 3, "left_out_train": 1, **AFTER_TRAINING}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
CATALOGS = {"catalog": 1, "shift_catalog": 1, "left_out_catalog": 1}


def test_the_smoke_run_makes_all_that_a_reader_sees(smoke):
    run = smoke.path / "results" / "smoke"
    assert (run / "paper" / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert (run / "paper" / "paper-source.tar.gz").stat().st_size > 10_000
    html = (run / "index.html").read_text(encoding="utf-8")
    assert 'data-column="vit" data-row="overall"' in html and "All 16 test systems" in html
    with open(run / "tables" / "table1.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["target"] for row in rows][:4] == ["overall", "standardised", "mass", "theta_E"] and len(rows) == 11
    pairs = pd.read_csv(run / "tables" / "table1_differences.csv")
    assert len(pairs) == 5 * len(rows) and (pairs["difference_error"] >= 0).all()
    assert (pairs.loc[pairs["second"] != "ensemble", "difference_error"] > 0).all()  # which may be one of the networks
    columns = ["target", "vit", "resnet", "ensemble", "refined", "importance", "prior", "limit", "bayes"]
    columns += ["published_vit", "published_resnet"]
    varying = ("refined", "importance", "bayes")  # where a fit has converged, and a posterior is certified
    assert [name for name in rows[0] if name not in varying] == [name for name in columns if name not in varying]
    for start, count in {"vit": 4, "resnet": 4, "prior": 2}.items():
        assert len(pd.read_parquet(run / "refined" / f"{start}.parquet")) == count
    assert list(pd.read_parquet(run / "mcmc.parquet")["start"]) == ["prior", "network"]
    assert len(pd.read_parquet(run / "importance.parquet")) == 4
    for number in range(1, 11):
        for suffix in ("pdf", "png"):
            assert (run / "figures" / f"figure{number}.{suffix}").stat().st_size > 5_000
    catalog = pd.read_parquet(run / "catalog.parquet")
    assert catalog.groupby(["split", "psf"]).size().to_dict() == {
        (split, psf): count
        for split, count in {"train": 30, "validation": 6, "test": 8}.items()
        for psf in ("hst_a", "keck_b")
    }
    numbers = json.loads((run / "numbers.json").read_text())
    assert numbers["run"]["scale"] == "reduced" and numbers["dataset"]["total"] == 88
    assert {entry["stage"] for entry in numbers["provenance"]["durations"]} >= {"training of ViT"}
    for rule in ("train/vit", "evaluate/resnet", "pdf", "simulate/hst_a/train-0000"):
        assert (run / "benchmarks" / f"{rule}.tsv").exists() and (run / "logs" / f"{rule}.log").exists()


# ---------------------------------------------------------------- what re-runs when


def test_a_second_call_does_nothing(smoke):
    assert smoke.planned() == {}


def test_a_template_edited_makes_only_the_paper_again(smoke):
    with smoke.edited("paper/chapters/accuracy.tex.j2", "\nA new sentence.\n"):
        assert smoke.planned() == {"tex": 1, "pdf": 1, "archive": 1}
    assert smoke.planned() == {}


def test_more_passes_evaluate_again_and_what_follows(smoke):
    planned = smoke.planned(overlay="evaluation: {passes: 7}")
    settings = planned.pop("settings")
    expected = {"evaluate": 2, "shift_evaluate": 1, "left_out_evaluate": 1, **AFTER_DRAWS, **SHIFT}
    del expected["ablation_table"]  # which is of the validation systems
    assert planned == expected
    assert settings == 3  # of the two evaluations and of the numbers


def test_a_template_of_the_page_edited_makes_the_page_again_and_a_caption_of_a_figure_too(smoke):
    with smoke.edited("src/lensvit/page/assets/page.css"):
        assert smoke.planned() == {"page": 1}
    with smoke.edited("paper/captions/figure3.rst", "Anew.\n"):
        assert smoke.planned() == {"page": 1}
    assert smoke.planned() == {}


def test_images_that_are_gone_are_not_made_again_for_the_page(smoke):
    images = smoke.path / "results/smoke/images/hst_a/test-0000.h5"
    page = smoke.path / "results/smoke/index.html"
    with aside(images, page):
        assert smoke.planned() == {}
        assert smoke.planned("page")["simulate"] == 1  # which is asked for
    assert smoke.planned() == {}


@contextlib.contextmanager
def aside(*paths):
    """Without some files for a while."""
    for path in paths:
        path.rename(path.with_name("aside-" + path.name))
    try:
        yield
    finally:
        for path in paths:
            path.with_name("aside-" + path.name).rename(path)


def test_a_figure_setting_draws_that_figure_again(smoke):
    planned = smoke.planned(overlay="figures: {systems: 9}")
    assert planned == {"settings": 2, "figure2": 1, **PAPER}


def test_a_refinement_switched_off_leaves_what_does_not_show_it(smoke):
    expected = {"settings": 1, "table": 1, **CHAINS, **FERMAT, **PAPER}
    assert smoke.planned(overlay="{refine: {enabled: false}, importance: {enabled: false}}") == expected


SHARED = "refine: {systems_per_job: 2}"  # of 4 systems, whose images lie in two files


def test_a_refinement_that_jobs_share_runs_again_in_shards_and_the_one_from_the_priors_does_not(smoke):
    expected = {"settings": 1, "refine": 4, "merge_shards": 2, "refined_table": 1, "table": 1, **EXACT}
    assert smoke.planned(overlay=SHARED) == {**expected, **CHAINS, **FERMAT, **PAPER}
    done = smoke.snakemake("-n", "-p", configs=[SMOKE, "overlay.yaml"])
    command = next(line for line in done.stdout.splitlines() if "refined/vit/0001.parquet >" in line)
    assert "--psfs results/smoke/psf/keck_b.fits --draws" in command and "--chunks keck_b/test-0000 --" in command


def test_a_limit_that_jobs_share_is_computed_again_in_shards(smoke):
    shown = {"limit_table": 1, "importance_table": 1, "table": 1, "figure3": 1, **COMPARED, **FERMAT, **PAPER}
    planned = smoke.planned(overlay="limit: {systems_per_job: 8}")
    assert planned == {"settings": 1, "limit": 2, "merge_shards": 1, **shown}


def test_exact_posteriors_switched_off_leave_what_does_not_show_them(smoke, fresh):
    overlay = "importance: {enabled: false}"
    assert smoke.planned(overlay=overlay) == {"settings": 1, "table": 1, **CHAINS, **FERMAT, **PAPER}
    planned = fresh.planned(overlay=overlay)
    assert "pdf" in planned and not set(EXACT) & set(planned)


def test_chains_switched_off_leave_what_does_not_show_them(smoke, fresh):
    assert smoke.planned(overlay="mcmc: {enabled: false}") == {"settings": 1, **FERMAT, **PAPER}
    planned = fresh.planned(overlay="mcmc: {enabled: false}")
    assert "pdf" in planned and not [rule for rule in planned if "mcmc" in rule or rule == "figure5"]


def test_longer_chains_run_alone(smoke):
    expected = {"settings": 2, "mcmc": 1, **CHAINS, **FERMAT, **PAPER}
    assert smoke.planned(overlay="mcmc: {max_steps: 150}") == expected


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [("limit: {amplitudes: marginalised}", {"limit_table": 1}), ("limit: {enabled: false}", {})],
)
def test_another_limit_is_not_computed_again(smoke, overlay, expected):
    shown = {"importance_table": 1, "table": 1, "figure3": 1, **COMPARED, **FERMAT}
    assert smoke.planned(overlay=overlay) == {"settings": 1, **expected, **shown, **PAPER}


@pytest.mark.parametrize(
    ("overlay", "settings", "expected"),
    [
        ("fermat: {enabled: false}", 1, {}),
        ("fermat: {goal: 0.02}", 2, {"fermat_table": 1, "figure6": 1}),  # of the figure and of the numbers
        ("fermat: {astrometry: 0.002}", 2, FERMAT),  # of the stage and of the numbers
    ],
)
def test_a_change_of_the_delays_reaches_nothing_else(smoke, overlay, settings, expected):
    assert smoke.planned(overlay=overlay) == {"settings": settings, **expected, **PAPER}


def test_delays_switched_off_leave_no_trace_in_the_plan(fresh):
    planned = fresh.planned(overlay="fermat: {enabled: false}")
    assert "pdf" in planned and not set(FERMAT) & set(planned)


def test_delays_need_neither_limit_nor_refinement(fresh):
    off = ", ".join(f"{chapter}: {{enabled: false}}" for chapter in ("limit", "refine", "importance", "mcmc"))
    planned = fresh.planned(overlay=f"{{{off}}}")
    assert not {"limit", "refine", "importance", "mcmc"} & set(planned) and FERMAT.items() <= planned.items()


def test_a_full_posterior_trains_that_model_and_its_variant_alone(smoke):
    planned = smoke.planned(overlay="models: {resnet: {posterior: full}}")
    # its variant in the ablation too
    own = {"train": 2, "evaluate": 1, "evaluate_validation": 2, "refine": 1, "figure10": 1}
    expected = {"settings": 3, **AFTER_DRAWS, **own}
    del expected["mcmc"]  # from the draws of the first model
    assert planned == expected


@pytest.mark.parametrize(
    ("overlay", "settings", "expected"),
    [
        ("shift: {enabled: false}", 1, {}),
        (
            "shift: {cases: {steep: {priors: {gamma: {mean: 2.7}}}}}",
            3,  # of its images from either PSF and of the numbers
            {"shift_simulate": 2, "shift_catalog": 1, "shift_evaluate": 1, **SHIFT, "shift_scores": 1},
        ),
        (
            "shift: {left_out: keck_b}",
            3,  # of the scores, of the figure and of the numbers
            {"left_out_catalog": 1, "left_out_train": 1, "left_out_evaluate": 1, **SHIFT},
        ),
        ("shift: {cases: {steep: {label: Steep}}}", 2, {"figure7": 1}),
    ],
)
def test_a_change_of_the_shift_reaches_nothing_else(smoke, overlay, settings, expected):
    assert smoke.planned(overlay=overlay) == {"settings": settings, **expected, **PAPER}


def test_a_shift_switched_off_leaves_no_trace_in_the_plan(fresh):
    planned = fresh.planned(overlay="shift: {enabled: false}")
    traces = [rule for rule in planned if "shift" in rule or "left_out" in rule or rule == "figure7"]
    assert "pdf" in planned and not traces


ONE_MODEL = "ablation: {enabled: false, models: {resnet: null}}\n"  # the smoke run has variants of the ResNet
THIRD = """
models:
  third: {label: Third, library: torchvision, architecture: mobilenet_v3_small, weights: scratch, dropout: 0.1,
          image_size: 40, recipe: improved, changes: {epochs: 1}}
"""


def test_a_third_model_adds_its_own_jobs_and_what_shows_all_models(smoke):
    planned = smoke.planned(overlay=THIRD)
    planned.pop("settings")
    own = {"train": 1, "evaluate": 1, "evaluate_validation": 1, "figure10": 1, **AFTER_DRAWS, "refine": 1}
    del own["ablation_table"], own["mcmc"]
    assert planned == own


def test_another_variant_of_the_ablation_trains_alone_and_is_in_its_table_only(smoke):
    planned = smoke.planned(overlay="ablation: {models: {resnet: [three, asinh]}}")
    del planned["settings"]
    assert planned == {"train": 1, "evaluate_validation": 1, "ablation_table": 1, **PAPER}


def test_another_seed_trains_one_model_again(smoke):
    planned = smoke.planned(overlay="models: {vit: {seed: 3}}")
    assert planned["train"] == planned["evaluate"] == planned["evaluate_validation"] == 1
    assert "ablation_table" not in planned and "simulate" not in planned


@pytest.mark.parametrize("off", ["enabled: false", "train: false"])
def test_an_ablation_switched_off_leaves_what_does_not_show_it(smoke, off):
    assert smoke.planned(overlay=f"ablation: {{{off}}}") == {"settings": 1, **PAPER}


def test_streaming_trains_again_with_the_psfs_and_no_stored_image_changes(smoke):
    planned = smoke.planned(overlay="training: {stream: true}")
    del planned["settings"]
    assert planned == {"train": 3, "left_out_train": 1, **AFTER_TRAINING}
    (smoke.path / "overlay.yaml").write_text("training: {stream: true}")
    commands = smoke.snakemake("-n", "-p", configs=["runs/smoke.yaml", "overlay.yaml"])
    text = commands.stdout + commands.stderr
    assert text.count("train_streaming --settings") == 4
    assert text.count("--psfs results/smoke/psf/hst_a.fits results/smoke/psf/keck_b.fits --output") == 4


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("chapters/accuracy/scatter_figure.py", {"figure2": 1, "pdf": 1, "archive": 1, "page": 1}),
        ("chapters/accuracy/table.py", {"table": 1, **PAPER}),
        ("learning/stream.py", {}),
        ("chapters/ablation/table.py", {"ablation_table": 1, **PAPER}),
        ("paper/render.py", {"tex": 1, "pdf": 1, "archive": 1}),
        ("chapters/calibration/covariance_claims.py", PAPER),
        ("chapters/limit/claims.py", PAPER),
        ("chapters/shift/chapter.py", PAPER),
        ("inference/delays.py", {**FERMAT, **PAPER}),
        ("chapters/fermat/table.py", {"fermat_table": 1, "figure6": 1, **PAPER}),
        ("chapters/fermat/figure.py", {"figure6": 1, "pdf": 1, "archive": 1, "page": 1}),
        ("page/document.py", {"page": 1}),
        (
            "inference/starts.py",
            {**REFINED, **EXACT, "refine_prior": 1, "mcmc": 1, "table": 1, **CHAINS, **FERMAT, **SHIFT, **PAPER},
        ),
        ("inference/chart.py", {**EXACT, "mcmc": 1, "table": 1, **CHAINS, **FERMAT, **PAPER}),
        ("config/shards.py", {}),
        ("chapters/shift/compute.py", {**SHIFT, **PAPER}),
        ("chapters/shift/table.py", {"shift_table": 1, "figure7": 1, **PAPER}),
        ("learning/evaluate.py", {**EVALUATIONS, **AFTER_DRAWS, **SHIFT}),
        ("learning/train.py", {"train": 3, "left_out_train": 1, **AFTER_TRAINING}),
        (
            "chapters/limit/compute.py",
            {
                "limit": 1,
                "limit_table": 1,
                "importance_table": 1,
                "table": 1,
                "figure3": 1,
                **COMPARED,
                **FERMAT,
                **PAPER,
            },
        ),
        ("inference/annealed_ensemble.py", {"mcmc": 1, **CHAINS, **FERMAT, **PAPER}),
        ("simulation/simulate.py", {"simulate": 6, "shift_simulate": 2, **CATALOGS, **AFTER_IMAGES}),
        ("io/files.py", {"psf": 2, "simulate": 6, "shift_simulate": 2, **CATALOGS, **AFTER_IMAGES}),
        ("config/run.py", {}),
        ("cli.py", {}),
    ],
)
def test_a_module_edited_runs_only_the_stages_that_import_it(smoke, module, expected):
    with smoke.edited(f"src/lensvit/{module}", "\nADDED = 1\n"):
        assert smoke.planned() == expected


FILES = "src/lensvit/io/files.py"  # which every stage imports
SIGNATURE = "def write_text(path: Path, text: str) -> None:\n"


@pytest.mark.parametrize(
    "addition",
    [
        "# a comment in front\n" + SIGNATURE,
        SIGNATURE.replace("(", "(\n    ").replace(", ", ",\n    ").replace(")", ",\n)"),
        SIGNATURE.replace("\n", "  # a comment behind, and an empty line\n\n"),
    ],
)
def test_a_comment_or_the_formatting_edited_runs_nothing(smoke, addition):
    with smoke.edited(FILES, addition, replaced=SIGNATURE):
        assert smoke.planned() == {}


def test_a_docstring_edited_runs_nothing(smoke):
    path = smoke.path / FILES
    tree = ast.parse(path.read_text())
    docstrings = [ast.get_docstring(node, clean=False) for node in [tree, *tree.body] if isinstance(node, DOCUMENTED)]
    assert len([text for text in docstrings if text]) > 3
    with contextlib.ExitStack() as edits:
        for text in filter(None, docstrings):
            edits.enter_context(smoke.edited(FILES, f'"""Otherwise. {text}"""', replaced=f'"""{text}"""'))
        assert smoke.planned() == {}


def test_one_value_in_a_function_edited_runs_what_calls_it(smoke):
    with smoke.edited(FILES, f"{SIGNATURE}    text = text.strip()\n", replaced=SIGNATURE):
        assert smoke.planned()["simulate"] == 6
    assert smoke.planned() == {}


def test_the_order_in_which_chapters_are_included_carries_nothing(fresh):
    planned = fresh.planned()
    paper = 'include: "rules/paper.smk"\n'
    with (
        fresh.edited("Snakefile", "", replaced=paper),
        fresh.edited(
            "Snakefile", f"{paper}\n\nfor chapter in reversed(list(CHAPTERS)):", replaced="for chapter in CHAPTERS:"
        ),
    ):
        assert fresh.planned() == planned


def test_one_psf_changed_leaves_the_other_cameras_images(smoke):
    planned = smoke.planned(overlay="psfs: {hst_a: {despace_um: 5.0}}")
    assert (planned["psf"], planned["simulate"]) == (1, 3)


def test_more_images_simulate_only_the_new_chunks(smoke):
    planned = smoke.planned(overlay="data: {train: 90, test: 16}")
    planned.pop("settings")
    assert planned == {"simulate": 2, **CATALOGS, **AFTER_IMAGES}


def test_touched_files_run_nothing(smoke):
    for folder in ("src", "paper", "rules", "results"):
        for path in (smoke.path / folder).rglob("*"):
            if path.is_file() and ".metadata" not in path.parts:
                os.utime(path)
    assert smoke.planned() == {}


def test_a_fresh_clone_with_results_copied_in_runs_nothing(smoke, fresh):
    shutil.copytree(smoke.path / "results", fresh.path / "results", symlinks=True)
    for path in (fresh.path / "src").rglob("*.py"):
        os.utime(path)  # a checkout is younger than the results
    assert fresh.planned() == {}


def test_a_deleted_result_is_made_again_alone(smoke):
    pdf = smoke.path / "results/smoke/paper/paper.pdf"
    before = pdf.read_bytes()
    pdf.unlink()
    assert smoke.planned() == {"pdf": 1}
    smoke.run()
    assert pdf.read_bytes() == before


# ---------------------------------------------------------------- running it


def test_lint_is_clean(smoke):
    done = smoke.snakemake("--lint")
    assert done.returncode == 0 and "good condition" in done.stdout + done.stderr


def test_the_papers_scale_is_planned_in_ten_seconds(fresh):
    before = os.times()  # of a snakemake that has imported nothing, and whose networks have been tried
    done = fresh.snakemake("--dry-run", configs=["config.yaml"])
    after = os.times()  # of the processor, as other work may go on beside
    seconds = sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))
    assert done.returncode == 0, done.stderr[-3000:]
    text = done.stdout + done.stderr
    assert int(dict(line.split()[:2] for line in text.splitlines() if line.startswith("simulate "))["simulate"]) == 66
    # two trainings and one without a PSF; two evaluations of the test and of the validation split, four of the shift
    assert text.count("(1 GPU)") == 11
    assert seconds < 10


@pytest.mark.parametrize("overlay", ["everything", "dropout"])
def test_overlays_on_the_demo_are_planned(fresh, overlay):
    done = fresh.snakemake("-n", configs=["runs/demo.yaml", f"runs/{overlay}.yaml"])
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    assert ["train", "3"] in jobs and ["evaluate", "3"] in jobs and ["figure4", "1"] in jobs
    assert (["refine", "1"] in jobs) == (overlay == "everything")


def test_the_report_has_table_figures_and_captions(smoke):
    smoke.run("--report", "report.html")
    html = (smoke.path / "report.html").read_text(encoding="utf-8")
    assert all(name in html for name in ("table1.csv", "figure1.png", "figure3.png", "paper.pdf", "one panel a target"))


def test_a_users_own_psf(fresh, smoke):
    shutil.copy(smoke.path / "results/smoke/psf/hst_a.fits", fresh.path / "mine.fits")
    overlay = "psfs: {hst_a: null, keck_b: null, mine: {kind: fits, instrument: hst, path: mine.fits}}\n"
    overlay += "shift: {left_out: null}\n"
    (fresh.path / "mine.yaml").write_text(overlay)
    target = "results/smoke/images/mine/test-0000.h5"
    fresh.run(target, configs=["runs/smoke.yaml", "mine.yaml"])
    assert (fresh.path / target).exists()


def test_lenses_of_the_user_are_a_job_each_and_reach_nothing_else(smoke):
    (smoke.path / "lens.fits").touch()
    lenses = "observations: {a: {image: lens.fits}, b: {image: lens.fits, psf: lens.fits}}\n"
    off = lenses + "real: {enabled: false}\n"
    assert smoke.planned(overlay=off) == {"settings": 2, "observe": 2, "observations_table": 1}
    # with their section in the paper
    shown = smoke.planned(overlay=lenses)
    assert {job: shown.get(job) for job in ("observe", "predict_observed", "reference", "real_table", "figure11")} == {
        "observe": 2, "predict_observed": 2, "reference": 2, "real_table": 1, "figure11": 1
    }  # fmt: skip
    assert not {"simulate", "train", "evaluate", "limit", "refine", "importance"} & set(shown)
    assert smoke.planned("observations", overlay=lenses) == {
        "settings": 2, "observe": 2, "observations_table": 1, "observations": 1
    }  # fmt: skip


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ("data: {train: -1}", "data.train: -1 is wrong"),
        ("models: {vit: {architekture: vit}}", "models.vit.architekture: no such key"),
        ("psfs: {x: {kind: fits, instrument: hst}}", "psfs.x.path: is missing"),
    ],
)
def test_a_wrong_config_stops_before_any_job_with_one_line(fresh, overlay, words):
    (fresh.path / "wrong.yaml").write_text(overlay)
    done = fresh.snakemake("--cores", "1", configs=["runs/smoke.yaml", "wrong.yaml"])
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in text
    assert [line for line in text.splitlines() if words in line]
    assert not (fresh.path / "results/smoke").exists()


WRONG = """
models:
  vit: {architecture: nonsense}
  resnet: {options: {layers: [1, 1, 1, 1]}, image_size: 32, changes: {batch_size: 59}}
psfs: {mine: {kind: fits, instrument: hst, path: mine.fits}}
figures: {examples: []}
"""


def test_what_takes_seconds_to_check_stops_before_any_job_with_one_line_each(fresh):
    (fresh.path / "wrong.yaml").write_text(WRONG)
    done = fresh.snakemake("-n", configs=["runs/smoke.yaml", "wrong.yaml"])
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode != 0 and not (fresh.path / "results/smoke").exists()
    refused = [line.split(": ")[1] for line in lines if line.startswith("config: ")]
    assert refused == ["psfs.mine", "models.vit", "models.resnet"]
    said = "\n".join(lines)
    assert "there is no such file" in said and "transformers has no model type 'nonsense'" in said
    assert "data.train makes 60 images in batches of 59" in said and "Traceback" not in said


def test_networks_are_not_tried_again_at_the_next_start_nor_in_the_jobs_of_a_cluster(fresh):
    first, second = (fresh.snakemake("-n") for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr
    assert "before the first job" not in second.stdout + second.stderr
    (fresh.path / "wrong.yaml").write_text("models: {vit: {architecture: nonsense}}")
    target = "results/smoke/settings/limit.yaml"
    job = ("--mode", "subprocess", "--cores", "1", "--force", target)  # as a cluster's job starts it
    done = fresh.snakemake(*job, configs=["runs/smoke.yaml", "wrong.yaml"])
    assert done.returncode == 0 and (fresh.path / target).exists(), done.stderr


OTHER = (
    "run: other\nmodels: {vit: {changes: {epochs: 60}}, resnet: null}\nfigures: {attention_model: vit}\n" + ONE_MODEL
)


@pytest.fixture(scope="module")
def other(smoke):
    """A second run in the clone, of a long training, for which all but this training is done; and its files."""
    (smoke.path / "other.yaml").write_text(OTHER)
    configs = ["runs/smoke.yaml", "other.yaml"]
    copy = smoke.path / "results" / "other"
    shutil.copytree(smoke.path / "results/smoke", copy, ignore=shutil.ignore_patterns("models", "state", "train"))
    smoke.run("--touch", "results/other/catalog.parquet", configs=configs)  # so that it is not made again
    yield copy, configs
    shutil.rmtree(copy)


def test_a_job_that_fails_says_its_message_and_leaves_no_half_output(smoke, other):
    copy, configs = other
    whole = (copy / "scaler.json").read_text()
    (copy / "scaler.json").write_text("{")
    done = smoke.snakemake("--cores", "2", "results/other/models/vit/config.json", configs=configs)
    (copy / "scaler.json").write_text(whole)
    assert done.returncode != 0
    assert "scaler.json is truncated or broken" in done.stdout + done.stderr
    assert not list(copy.glob("models/vit/*"))


def test_a_shard_that_was_killed_is_made_again_alone(smoke):
    """kill -9 of the one job; what it left, and the result, are as if nothing had happened."""
    (smoke.path / "shared.yaml").write_text("{run: shared, refine: {systems_per_job: 1}}")  # of two from the priors
    configs, target = [SMOKE, "shared.yaml"], "results/shared/refined/prior.parquet"
    run, before = smoke.path / "results" / "shared", smoke.path / "results" / "smoke"
    shutil.copytree(before, run, ignore=shutil.ignore_patterns("models", "state", "refined"))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", target, "--configfile", *configs]
    with subprocess.Popen(command, cwd=smoke.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (
            found := [job for job in psutil.Process(process.pid).children(True) if makes(job, "prior/0001.parquet")]
        ):
            assert process.poll() is None
            time.sleep(0.02)
        found[-1].kill()
    assert process.returncode and {path.stem for path in run.glob("refined/*/*.parquet")} == {"0000"}
    again = {"refine_prior": 1, "merge_shards": 1}
    assert smoke.planned(target, configs=configs) == again
    smoke.run(target, configs=configs)
    one, merged = (folder / "refined" / "prior.parquet" for folder in (before, run))
    tables = [pd.read_parquet(path).drop(columns="seconds") for path in (one, merged)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert same_arrays(one, merged) and smoke.planned(target, configs=configs) == {}
    for path in (merged, run / "refined" / "prior" / "0000.h5"):
        path.unlink()
    assert smoke.planned(target, configs=configs) == again
    shutil.rmtree(run)


def makes(job, name):
    """Whether a process is the one that computes what has this name."""
    with contextlib.suppress(psutil.Error):
        words = job.cmdline()
        return words[1:3] == ["-m", "lensvit"] and name in words[-1]
    return False


def test_snakemake_killed_in_training_and_the_same_command_again(smoke, other):
    """kill -9 of the whole process group."""
    copy, configs = other
    target = "results/other/models/vit/config.json"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", target, "--configfile", *configs]
    process = subprocess.Popen(
        command, cwd=smoke.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(copy.glob("state/vit/*/checkpoint.pt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    smoke.run(target, configs=configs)
    assert "resumed from" in (copy / "logs/train/vit.log").read_text()
    assert json.loads((copy / "models/vit/config.json").read_text())["recipe"]["epochs"] == 60
