"""What chapters offer to each other and to the paper, with everything on and with parts switched off."""

import pytest

from lensvit.chapters.registry import CHAPTERS
from lensvit.config import products
from lensvit.config.run import validate
from tests.config.configs import ROOT, ablation, changed, overlaid

ALL = {"limit": {"enabled": True}, "refine": {"enabled": True, "model": None}, "mcmc": {"enabled": True}}


def run(**changes):
    return validate(changed({**ALL, **changes}))


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_others_show_the_limit_with_the_amplitudes_that_are_chosen():
    shown = products.limit_shown(run(limit={"enabled": True, "amplitudes": "marginalised"}))
    assert shown.files == ["results/paper/limit.parquet"]
    assert shown.options == "--limit results/paper/limit.parquet --amplitudes marginalised"


def test_others_show_the_fits_of_one_network():
    assert products.refined_shown(run()).files == ["results/paper/refined/vit.parquet"]
    one = products.refined_shown(run(refine={"enabled": True, "model": "resnet"}))
    assert one.options == "--refined results/paper/refined/resnet.parquet"


def test_delays_take_every_posterior_and_the_files_beside():
    shown = products.posteriors_shown(run())
    folder = "results/paper"
    tables = [f"{folder}/limit", f"{folder}/refined/vit"]
    files = [f"{table}.{suffix}" for table in tables for suffix in ("parquet", "h5")]
    assert sorted(shown.files) == sorted([*files, f"{folder}/mcmc.h5"])
    expected = f"--limit {tables[0]}.parquet --refined {tables[1]}.parquet --mcmc {folder}/mcmc.h5"
    assert shown.options == expected
    assert products.posteriors_shown(run(refine={"enabled": False})).options == expected.replace(
        f" --refined {tables[1]}.parquet", ""
    )


def test_what_is_switched_off_offers_nothing():
    off = run(limit={"enabled": False}, refine={"enabled": False}, mcmc={"enabled": False})
    for shown in (products.limit_shown(off), products.refined_shown(off), products.posteriors_shown(off)):
        assert shown == ([], "")
    assert not {"limit", "refine", "mcmc"} & set(products.tables_shown(off))
    assert "figure5" not in products.figures_shown(off)


def test_the_paper_has_the_tables_and_figures_of_the_chapters_that_are_on():
    demo = overlaid(["demo"])
    assert products.figures_shown(demo) == ["figure1", "figure2", "figure3", "figure4"]
    tables = products.tables_shown(demo)
    assert tables["calibration"] == ["results/demo/tables/calibration.csv", "results/demo/tables/joint.csv"]
    assert set(tables) == {"calibration", "limit", "refine", "ablation"}
    full = overlaid(["demo", "everything"])
    assert products.figures_shown(full) == [f"figure{number}" for number in range(1, 8)]
    assert list(products.tables_shown(full)) == [name for name, chapter in CHAPTERS.items() if chapter.tables]
    assert products.claims_shown(demo)[0] == "lensvit.chapters.calibration.claims"


def test_the_ablation_shows_its_own_tables_or_those_of_an_earlier_run(tmp_path, monkeypatch):
    assert products.tables_shown(ablation())["ablation"] == [
        "results/paper/tables/ablation.csv",
        "results/paper/tables/ablation.json",
    ]
    earlier = run(ablation={"enabled": True, "train": False})
    assert products.tables_shown(earlier)["ablation"] == ["paper/data/ablation.csv", "paper/data/ablation.json"]
    assert "ablation" not in products.tables_shown(run(ablation={"enabled": False}))
    monkeypatch.chdir(tmp_path)
    assert "ablation" not in products.tables_shown(earlier)
