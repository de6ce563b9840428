"""What chapters offer to each other and to the paper, with everything on and with parts switched off."""

from types import SimpleNamespace

import pytest

from lensvit.chapters.mcmc.section import Mcmc
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


class WithExact:
    """A run with the key of exact posteriors."""

    def __init__(self, config, enabled=True):
        self.config, self.sections = config, config.sections | {"importance": SimpleNamespace(enabled=enabled)}

    def __getattr__(self, name):
        return getattr(self.config, name)


def test_exact_posteriors_are_shown_where_there_are_fits():
    config = WithExact(run())
    assert products.importance_shown(config).options == "--importance results/paper/importance.parquet"
    assert " --importance results/paper/importance.h5 --mcmc " in products.posteriors_shown(config).options
    assert "results/paper/importance.h5" in products.posteriors_shown(config).files
    for off in (WithExact(run(), enabled=False), WithExact(run(refine={"enabled": False}))):
        assert products.importance_shown(off) == ([], "")
        assert "importance" not in products.posteriors_shown(off).options


def test_chains_start_from_exact_posteriors_where_the_config_says_so():
    config, chosen = run(), {"enabled": True, "second_start": "importance"}
    assert products.chain_starts(WithExact(config)) == ([], "")
    section = config.section(Mcmc).model_copy(update=chosen)
    section.check(WithExact(config))
    for wrong, says in (
        (WithExact(config, enabled=False), "needs the samples of the exact posteriors"),
        (WithExact(run(refine={"enabled": False})), "needs the samples of the exact posteriors"),
        (WithExact(run(refine={"enabled": True, "systems": 5})), "mcmc.systems: 20, and only 5 systems are refined"),
    ):
        with pytest.raises(ValueError, match=says):
            section.check(wrong)
        section.model_copy(update={"enabled": False}).check(wrong)
    with_samples = WithExact(config)
    with_samples.section = lambda kind: section if kind is Mcmc else config.section(kind)
    shown = products.chain_starts(with_samples)
    assert shown.files == ["results/paper/importance.parquet", "results/paper/importance.h5"]
    assert shown.options == "--importance results/paper/importance.parquet"


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
