"""What chapters offer to each other and to the paper, with everything on and with parts switched off."""

import pytest

from lensvit.chapters.registry import CHAPTERS
from lensvit.config import products
from lensvit.config.run import validate
from lensvit.errors import LensvitError
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
    tables = [f"{folder}/{name}.parquet" for name in ("limit", "refined/vit", "importance", "mcmc")]
    assert shown.files == tables
    assert shown.with_arrays == tables + [table.replace(".parquet", ".h5") for table in tables]
    limit, fits, exact, chains = tables
    first, last = f"--limit {limit} --amplitudes known", f"--mcmc {chains}"
    assert shown.options == f"{first} --refined {fits} --importance {exact} {last}"
    without = run(refine={"enabled": False}, importance={"enabled": False})
    assert products.posteriors_shown(without).options == f"{first} {last}"


def test_exact_posteriors_are_shown_where_there_are_any():
    assert products.importance_shown(run()).options == "--importance results/paper/importance.parquet"
    assert "results/paper/importance.h5" in products.posteriors_shown(run()).with_arrays
    off = run(importance={"enabled": False})
    assert products.importance_shown(off) == ([], "")
    assert "importance" not in products.posteriors_shown(off).options


def test_chains_start_from_exact_posteriors_where_the_config_says_so():
    chosen = {"enabled": True, "second_start": "importance"}
    assert products.chain_starts(run()) == ([], "")
    shown = products.chain_starts(run(mcmc=chosen))
    assert shown.with_arrays == ["results/paper/importance.parquet", "results/paper/importance.h5"]
    assert shown.options == "--importance results/paper/importance.parquet"
    few = {"enabled": True, "model": None, "systems": 5}
    for changes, says in (
        ({"importance": {"enabled": False}}, "needs the samples of the exact posteriors"),
        ({"refine": few}, r"mcmc.systems: 20, and only 5 systems have an exact posterior \(refine.systems\)"),
        (
            {"refine": few, "importance": {"systems": 3}},
            r"only 3 systems have an exact posterior \(importance.systems\)",
        ),
        ({"importance": {"systems": 19}}, r"only 19 systems have an exact posterior \(importance.systems\): lower the"),
    ):
        with pytest.raises(LensvitError, match=says):
            run(mcmc=chosen, **changes)
        run(mcmc=chosen | {"enabled": False}, **changes)
    run(mcmc=chosen, importance={"systems": 20})


def test_exact_posteriors_need_fits():
    few = {"enabled": True, "model": None, "systems": 5}
    for changes, says in (
        ({"refine": {"enabled": False}}, "importance needs the fits of refine: set refine.enabled to true"),
        ({"refine": few, "importance": {"systems": 6}}, "importance.systems: 6 is more than refine.systems: 5"),
    ):
        with pytest.raises(LensvitError, match=says) as error:
            run(**changes)
        assert len(str(error.value).splitlines()) == 1
        changes["importance"] = changes.get("importance", {}) | {"enabled": False}
        run(**changes)
    assert run(refine=few).sections["importance"].systems is None  # all of the five


def test_what_is_switched_off_offers_nothing():
    off = run(
        limit={"enabled": False}, refine={"enabled": False}, mcmc={"enabled": False}, importance={"enabled": False}
    )
    for shown in (products.limit_shown(off), products.refined_shown(off), products.posteriors_shown(off)):
        assert shown == ([], "")
    assert not {"limit", "refine", "importance", "mcmc"} & set(products.tables_shown(off))
    assert not {"figure5", "figure8", "figure9"} & set(products.figures_shown(off))


def test_the_paper_has_the_tables_and_figures_of_the_chapters_that_are_on():
    demo = overlaid(["demo"])
    assert products.figures_shown(demo) == [f"figure{number}" for number in (1, 2, 3, 4, 6, 8, 9, 10)]
    tables = products.tables_shown(demo)
    assert tables["calibration"] == ["results/demo/tables/calibration.csv", "results/demo/tables/joint.csv"]
    assert set(tables) == {"calibration", "limit", "refine", "importance", "fermat", "ablation"}
    full = overlaid(["demo", "everything"])
    assert products.figures_shown(full) == [f"figure{number}" for number in range(1, 11)]
    named = [name for name, chapter in CHAPTERS.items() if chapter.tables]
    assert list(products.tables_shown(full)) == [name for name in named if name != "real"]  # it has no lens of its own
    real = validate({**full.model_dump(by_alias=True), "observations": {"mine": {"image": "a.fits"}}})
    assert list(products.tables_shown(real)) == named and {"figure11", "figure12"} < set(products.figures_shown(real))
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


def test_further_trainings_are_those_that_differ_in_their_seed_alone():
    plain = run()
    assert products.trainings_shown(plain) == ([], "")
    first = plain.models["vit"]
    same = first.model_dump() | {"label": "Again", "seed": 5, "gpus": 2}
    others = {
        "again": same,
        "other_dropout": same | {"label": "Dropout", "dropout": 0.2},
        "other_recipe": same | {"label": "Recipe", "changes": {"learning_rate": 0.1}},
        "same_seed": same | {"label": "Seed", "seed": plain.seed},
    }
    found = run(models=others)
    assert found.further_trainings("vit") == ["again"] and found.further_trainings("again") == ["vit"]
    twice = run(models={"again": same, "once_more": same | {"label": "More"}})
    assert twice.further_trainings("vit") == ["again"]  # the same seed is the same training
    assert found.further_trainings("other_dropout") == found.further_trainings("other_recipe") == []
    shown = products.trainings_shown(found)
    folder = "results/paper/predictions"
    assert shown.files == [f"{folder}/{name}.parquet" for name in ("again", "vit")]
    assert shown.options.startswith(f"--trainings vit={folder}/again.parquet again={folder}/vit.parquet ")


def test_several_models_have_an_ensemble():
    shown = products.ensemble_shown(run())
    assert shown.files == [f"results/paper/predictions/validation/{name}.parquet" for name in ("vit", "resnet")]
    assert shown.options == f"--validation {' '.join(shown.files)} --ensemble results/paper/tables/table1_weights.csv"
    assert products.ensemble_shown(run(models={"resnet": None})).files == []


def test_models_are_trained_with_several_seeds():
    found = run(training={"seeds": 3}, models={"vit": {"seed": 9}})
    assert list(found.networks) == ["vit", "resnet", "vit-seed-2", "vit-seed-3", "resnet-seed-2", "resnet-seed-3"]
    assert [found.networks[name].seed for name in found.networks] == [9, None, 10, 11, 1 + found.seed, 2 + found.seed]
    assert list(found.models) == ["vit", "resnet"]
    assert found.further_trainings("vit") == ["vit-seed-2", "vit-seed-3"]
    ablated = {"train": True, "seeds": 2, "models": {"resnet": ["raw"]}}
    both = run(training={"seeds": 3}, ablation=ablated)  # no seed is trained twice
    assert both.further_trainings("resnet") == ["resnet-seed-2", "resnet-seed-3"]
    assert [name for name in both.networks if "raw" in name] == ["resnet-raw-1", "resnet-raw-2"]
    assert len(both.networks) == 8
    assert list(run().networks) == ["vit", "resnet"]


def test_the_ablation_trains_models_again():
    chosen = {"train": True, "seeds": 3, "models": {"resnet": []}}
    found = run(ablation=chosen)
    assert found.further_trainings("resnet") == ["resnet-seed-2", "resnet-seed-3"]
    assert found.further_trainings("vit") == []
