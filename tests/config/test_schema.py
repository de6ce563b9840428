"""The schema: the paper's facts stand in config.yaml, wrong values are named, stages read only their part."""

from pathlib import Path

import pytest
import yaml

from lensvit.config import schema
from lensvit.errors import LensvitError
from lensvit.parameters import NAMES

ROOT = Path(__file__).parents[2]


def content(name="config.yaml"):
    return yaml.safe_load((ROOT / name).read_text())


def changed(changes, base="config.yaml"):
    merged = content(base)
    schema._merge(merged, changes)
    return merged


def test_config_yaml_is_the_papers_scale():
    config = schema.load(ROOT / "config.yaml")
    assert (config.data.train, config.data.validation, config.data.test) == (27000, 3000, 1200)
    assert len(config.psfs) == 6 and config.scale == "paper"
    for psf in config.psfs:
        shares = [sum(count for _, _, count in schema.chunks(config, psf, split)) for split in schema.SPLITS]
        assert shares == [4500, 500, 200]
    recipe = config.recipe("vit")
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size) == ("adam", 1e-3, 20)
    assert config.evaluation.passes == 1000
    assert {model.architecture for model in config.models.values()} == {"google/vit-base-patch16-224", "resnet152"}


@pytest.mark.parametrize("run", sorted(path.name for path in (ROOT / "runs").glob("*.yaml")))
def test_overlays_are_valid_and_only_full_runs_pass_for_the_paper(run):
    config = schema.load(ROOT / "config.yaml", ROOT / "runs" / run)
    sizes = (config.data.train, config.data.validation, config.data.test)
    assert (config.scale == "paper") == (
        sizes >= (27000, 3000, 1200) and all(model.image_size >= 224 for model in config.models.values())
    )


def training(*overlays):
    """Settings of the training of each model, with these overlays on the demo."""
    paths = [ROOT / "config.yaml", *(ROOT / "runs" / f"{name}.yaml" for name in ("demo", *overlays))]
    config = schema.load(*paths)
    return {name: schema.stage_settings(config, f"train/{name}") for name in config.models}


def test_everything_has_the_demos_resnet_with_a_full_posterior():
    models = training("everything")
    models["resnet_full"]["network"]["posterior"] = "diagonal"
    assert models["resnet_full"] == models["resnet"] == training()["resnet"]


def test_the_dropout_run_has_the_demos_resnet_at_three_rates():
    models, demo = training("dropout"), training()["resnet"]
    assert [model["network"]["dropout"] for model in models.values()] == [0.02, 0.1, 0.2]
    for model in models.values():
        model["network"]["dropout"] = demo["network"]["dropout"]
        assert model == demo


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"train": -3}}, ["data.train", "-3", "greater"]),
        ({"data": {"trian": 3}}, ["data.trian", "no such key"]),
        ({"nonsense": 1}, ["nonsense", "no such key"]),
        ({"refine": {"systems": 0}}, ["refine.systems", "0", "1"]),
        ({"refine": {"model": "swin"}}, ["refine.model", "swin", "resnet"]),
        ({"ablation": {"models": {"swin": ["raw"]}}}, ["ablation.models", "swin", "resnet"]),
        ({"ablation": {"models": {"vit": ["rae"]}}}, ["ablation.models.vit", "rae", "raw"]),
        ({"ablation": {"variants": {"reference": {"label": "x"}}}}, ["ablation.variants.reference", "another key"]),
        ({"ablation": {"train": True}}, ["ablation.models", "train: false"]),
        ({"training": {"stream": "often"}}, ["training.stream", "often", "boolean"]),
        ({"shift": {"model": "swin"}}, ["shift.model", "swin", "resnet"]),
        ({"shift": {"left_out": "acs"}}, ["shift.left_out", "acs", "hst_a"]),
        ({"shift": {"systems": 1300}}, ["shift.systems", "1300", "1200"]),
        (
            {"shift": {"cases": {"steep": {"priors": {"slope": {"mean": 3}}}}}},
            ["shift.cases.steep.priors.slope", "gamma"],
        ),
        (
            {"shift": {"cases": {"steep": {"priors": {"gamma": {"high": 1}}}}}},
            ["shift.cases.steep.priors.gamma", "1.85", "1"],
        ),
        ({"shift": {"cases": {"noisy": {"scene": {"noise": 3}}}}}, ["shift.cases.noisy.scene.noise", "3"]),
        (
            {"shift": {"cases": {"noisy": {"scene": {"sigma_bkg_high": 1}}}}},
            ["shift.cases.noisy.scene", "sigma_bkg_low"],
        ),
        ({"shift": {"cases": {"same": {"label": "same"}}}}, ["shift.cases.same", "neither"]),
        (
            {"shift": {"cases": {"left_out": {"label": "x", "scene": {"exposure": 9}}}}},
            ["shift.cases.left_out", "another key"],
        ),
        ({"shift": {"cases": {"steep": {"label": "strong noise"}}}}, ["shift.cases", "strong noise, strong noise"]),
        ({"limit": {"amplitudes": "free"}}, ["limit.amplitudes", "free", "marginalised"]),
        ({"models": {"vit": {"recipe": "best"}}}, ["models.vit.recipe", "best", "paper"]),
        ({"models": {"vit": {"dropout": 1.0}}}, ["models.vit.dropout", "1.0", "less than 1"]),
        ({"models": {"vit": {"posterior": "normal"}}}, ["models.vit.posterior", "normal", "full"]),
        ({"models": {"vit": {"library": "timm"}}}, ["models.vit.library", "timm", "transformers"]),
        ({"models": {"vit": {"changes": {"epochs": 0}}}}, ["models.vit.changes.epochs", "0"]),
        ({"models": {"vit": {"changes": {"epoch": 3}}}}, ["models.vit.changes.epoch", "3"]),
        ({"models": {"vit": {"changes": {"resize": "area"}}}}, ["models.vit.image_size", "224", "120"]),
        ({"models": {"vit": {"changes": {"resize": "graded"}}}}, ["models.vit.image_size", "224", "hst has 120"]),
        ({"psfs": {"hst_a": {"pixels": 100}}}, ["psfs.hst_a.pixels", "100", "odd"]),
        ({"psfs": {"mine": {"kind": "fits", "instrument": "jwst", "path": "x.fits"}}}, ["psfs.mine", "jwst", "hst"]),
        ({"psfs": {"mine": {"kind": "zip"}}}, ["psfs.mine", "zip", "keck_ao"]),
        ({"recipes": {"paper": {"learning_rate": "1e-4x"}}}, ["recipes.paper.learning_rate", "1e-4x", "number"]),
        ({"priors": {"theta_X": {"mean": 1}}}, ["priors.theta_X", "theta_E"]),
        ({"priors": {"theta_E": {"low": 2.0, "high": 1.0}}}, ["priors.theta_E", "2.0", "1.0"]),
        ({"priors": {"theta_E": {"kind": "uniform"}}}, ["priors.theta_E", "low and high"]),
        ({"priors": {"theta_E": {"mean": float("nan")}}}, ["priors.theta_E.mean", "finite"]),
        ({"scene": {"sigma_bkg_low": 9.0}}, ["scene", "sigma_bkg_high"]),
        ({"models": {"resnet": {"label": "ViT"}}}, ["models", "ViT, ViT"]),
        ({"run": "../x"}, ["run", "../x"]),
        ({"figures": {"attention_model": "swin"}}, ["figures.attention_model", "swin", "vit"]),
        ({"data": {"test": 3}}, ["data.test", "3", "PSF"]),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(changes, words):
    with pytest.raises(LensvitError) as caught:
        schema.validate(changed(changes))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words), lines[0]


def test_a_model_cannot_be_called_as_another_column_of_the_table():
    merged = content()
    merged["models"]["prior"] = {**merged["models"]["resnet"], "label": "Other"}
    with pytest.raises(LensvitError, match="models.prior: .*another column"):
        schema.validate(merged)


def ablation(**changes):
    part = {"train": True, "seeds": 2, "models": {"resnet": ["raw", "paper"]}, **changes}
    return schema.validate(changed({"seed": 5, "ablation": part, "models": {"resnet": {"changes": {"epochs": 7}}}}))


def test_the_networks_of_the_ablation_are_a_model_with_variants_and_seeds():
    config = ablation(variants={"raw": {"label": "raw", "changes": {"stretch": "asinh"}, "seeds": 1}})
    assert list(config.models) == ["vit", "resnet"]
    assert list(config.networks) == [
        "vit", "resnet", "resnet-reference-2", "resnet-raw-1", "resnet-paper-1", "resnet-paper-2",
    ]  # fmt: skip
    assert config.networks["resnet"] == config.models["resnet"]
    parts = {name: schema.stage_settings(config, f"train/{name}") for name in config.networks}
    assert [parts[name]["seed"] for name in list(parts)[1:]] == [5, 6, 5, 5, 6]
    assert parts["resnet-raw-1"]["recipe"] == parts["resnet"]["recipe"] | {"stretch": "asinh"}
    assert parts["resnet-paper-2"]["recipe"] == parts["resnet"]["recipe"] | {
        "resize": "bilinear"
    }  # config.yaml's is it
    assert parts["resnet-reference-2"] == parts["resnet"] | {"seed": 6}
    groups = schema.stage_settings(config, "ablation_table")["options"]
    assert [entry["networks"] for entry in groups] == [
        ["resnet", "resnet-reference-2"], ["resnet-raw-1"], ["resnet-paper-1", "resnet-paper-2"],
    ]  # fmt: skip
    assert [entry["variant"] for entry in groups] == [None, "raw", "paper"]


@pytest.mark.parametrize("off", [{"enabled": False}, {"train": False}])
def test_an_ablation_that_is_not_trained_has_no_networks(off):
    assert list(ablation(**off).networks) == ["vit", "resnet"]


def test_a_wrong_change_of_a_variant_is_named():
    with pytest.raises(LensvitError, match="models.resnet-raw-1.changes.stretch.*'rough'"):
        ablation(variants={"raw": {"label": "raw", "changes": {"stretch": "rough"}}})


def test_a_models_own_seed_is_that_of_its_training_alone():
    config = schema.validate(changed({"models": {"vit": {"seed": 3}}}))
    assert schema.stage_settings(config, "train/vit")["seed"] == 3
    assert schema.stage_settings(config, "train/resnet")["seed"] == config.seed
    assert schema.stage_settings(config, "evaluate/vit")["seed"] == config.seed


def test_only_a_streaming_training_reads_the_simulation():
    assert "stream" not in schema.stage_settings(schema.validate(content()), "train/vit")
    config = schema.validate(changed({"training": {"stream": True}}))
    options = schema.stage_settings(config, "train/vit")["stream"]["options"]
    assert list(options) == sorted(config.psfs)
    for psf, entry in options.items():
        assert entry | {"engine": "lenstronomy"} == schema.stage_settings(config, f"simulate/{psf}")


def test_a_missing_key_is_named():
    incomplete = content()
    del incomplete["scene"]["exposure"]
    with pytest.raises(LensvitError, match="scene.exposure: is missing"):
        schema.validate(incomplete)


def test_yaml_reads_1e_4_as_text_and_the_schema_as_a_number():
    assert yaml.safe_load("a: 1e-4") == {"a": "1e-4"}
    config = schema.validate(changed({"recipes": {"paper": {"learning_rate": "1e-4"}}}))
    assert config.recipe("vit").learning_rate == 1e-4


def test_null_removes_an_entry():
    config = schema.validate(changed({"psfs": {"hst_b": None}, "models": {"resnet": None}}))
    assert "hst_b" not in config.psfs and list(config.models) == ["vit"]


def test_a_prior_changes_by_field_or_as_a_whole():
    changes = {"theta_E": {"mean": 1.0}, "gamma": {"kind": "uniform", "low": 1.8, "high": 2.2}}
    priors = schema.validate(changed({"priors": changes})).full_priors()
    assert list(priors) == list(NAMES)
    assert (priors["theta_E"].mean, priors["theta_E"].sd, priors["theta_E"].low) == (1.0, 0.3, 0.1)
    assert (priors["gamma"].kind, priors["gamma"].mean, priors["gamma"].low) == ("uniform", None, 1.8)


def test_a_larger_split_keeps_the_whole_chunks_of_a_smaller_one():
    small = schema.chunks(schema.validate(changed({"data": {"train": 12000}})), "hst_a", "train")
    large = schema.chunks(schema.validate(changed({"data": {"train": 27000}})), "hst_a", "train")
    assert large[: len(small)] == small and len(large) > len(small)


def test_shares_add_up_where_the_psfs_do_not_divide_the_split():
    config = schema.validate(changed({"data": {"train": 27004, "chunk": 499}}))
    total = sum(count for psf in config.psfs for _, _, count in schema.chunks(config, psf, "train"))
    assert total == 27004


REFINEMENTS = {"refine/vit", "refine/resnet", "refine_prior"}


SHIFTED = {f"shift_simulate/{case}/{psf}" for case in content()["shift"]["cases"] for psf in content()["psfs"]}


def parts(config):
    return {
        part: schema.stage_settings(config, part)
        for part in [
            *(f"{stage}/{psf}" for stage in ("psf", "simulate") for psf in config.psfs),
            *(f"{stage}/{model}" for stage in ("train", "evaluate", "refine") for model in config.models),
            *(f"shift_simulate/{case}/{psf}" for case in config.shift.cases for psf in config.psfs),
            "limit",
            "refine_prior",
            "shift_scores",
            "figure7",
            "fermat",
            "figure6",
            "figure1",
            "figure2",
            "figure3",
        ]
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"figures": {"systems": 20}}, {"figure2"}),
        ({"evaluation": {"passes": 9}}, {"evaluate/vit", "evaluate/resnet"}),
        ({"models": {"vit": {"dropout": 0.2}}}, {"train/vit"}),
        ({"models": {"vit": {"posterior": "full"}}}, {"train/vit"}),
        ({"models": {"vit": {"label": "Vision"}}}, {"figure2", "figure3", "figure6"}),
        ({"psfs": {"hst_a": {"despace_um": 1.0}}}, {"psf/hst_a"}),
        ({"recipes": {"paper": {"epochs": 7}}}, {"train/vit", "train/resnet"}),
        ({"data": {"train": 30000}, "device": "cpu"}, set()),
        ({"limit": {"amplitudes": "marginalised"}}, set()),
        ({"refine": {"also_from_prior": 7}}, {"refine_prior"}),
        ({"refine": {"starts": 7}}, REFINEMENTS),
        (
            {"priors": {"e1": {"sd": 0.1}}},
            {
                "limit",
                "fermat",
                "shift_scores",
                *REFINEMENTS,
                *SHIFTED,
                *(f"simulate/{psf}" for psf in content()["psfs"]),
            },
        ),
        ({"simulation": {"engine": "torch"}}, SHIFTED | {f"simulate/{psf}" for psf in content()["psfs"]}),
        (
            {"shift": {"cases": {"steep": {"priors": {"gamma": {"mean": 2.7}}}}}},
            {f"shift_simulate/steep/{psf}" for psf in content()["psfs"]},
        ),
        ({"shift": {"systems": 600}}, {"shift_scores"}),
        ({"fermat": {"draws": 50}}, {"fermat"}),
        ({"fermat": {"goal": 0.02}}, {"figure6"}),
        ({"shift": {"cases": {"steep": {"label": "steep"}}}}, {"figure7"}),
    ],
)
def test_a_setting_reaches_only_the_stages_that_read_it(changes, expected):
    before, after = parts(schema.validate(content())), parts(schema.validate(changed(changes)))
    assert {part for part in before if before[part] != after[part]} == expected


def test_a_case_of_the_shift_differs_from_the_run_in_nothing_else():
    config = schema.validate(changed({"priors": {"gamma": {"sd": 0.1}}, "shift": {"systems": 60}}))
    ordinary = schema.stage_settings(config, "simulate/hst_a")
    steep, noisy = (schema.stage_settings(config, f"shift_simulate/{case}/hst_a") for case in ("steep", "noisy"))
    assert steep == ordinary | {"priors": {"gamma": {"mean": 2.6, "sd": 0.05}}}
    assert noisy == ordinary | {"scene": ordinary["scene"] | {"sigma_bkg_low": 8.0, "sigma_bkg_high": 12.0}}
    cameras = schema.stage_settings(config, "shift_scores")["options"]
    systems = {psf: camera["systems"] for psf, camera in cameras.items()}
    assert systems == dict.fromkeys(config.psfs, 10) | {"keck_c": 200}  # of the PSF that is left out, all
    assert schema.chunks(config.shifted("steep"), "hst_a", "test") == [("test-0000", 0, 10)]


def test_what_is_switched_off_is_not_checked():
    merged = changed({"shift": {"enabled": False, "left_out": "gone", "model": "gone"}})
    assert not schema.validate(merged).shift.enabled


def test_settings_are_canonical_whatever_the_spelling():
    one = schema.validate(changed({"recipes": {"paper": {"learning_rate": 0.001, "batch_size": 20}}}))
    other = schema.validate(changed({"recipes": {"paper": {"batch_size": 20.0, "learning_rate": "1e-3"}}}))
    assert repr(schema.stage_settings(one, "train/vit")) == repr(schema.stage_settings(other, "train/vit"))
