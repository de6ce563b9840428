"""Config files are merged and checked: the paper's facts stand in config.yaml, wrong values are named."""

import pytest
import yaml

from lensvit.config.run import load, read_config, validate
from lensvit.config.schema import SPLITS, chunks
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.paper import latex
from tests.config.configs import ROOT, changed, content, overlaid

UNIFORM = {"kind": "uniform"}
OWN = {"kind": "fits", "instrument": "hst", "path": "mine.fits"}


FOUR = dict.fromkeys(("hst_b", "keck_a"))


def by(normalise):
    """All networks have statistics of the inputs for each PSF or each camera."""
    return {"recipes": {"improved": {"normalise": normalise}, "paper": {"normalise": normalise}}}


TWO = dict.fromkeys(("hst_b", "hst_c", "keck_a", "keck_b"))  # removed, so that two PSFs are left


def test_config_yaml_is_the_papers_scale():
    config = load(ROOT / "config.yaml")
    assert (config.data.train, config.data.validation, config.data.test) == (27000, 3000, 1200)
    assert len(config.psfs) == 6 and config.scale == "paper"
    for psf in config.psfs:
        shares = [sum(count for _, _, count in chunks(config, psf, split)) for split in SPLITS]
        assert shares == [4500, 500, 200]
    recipe = config.recipe("vit")
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size) == ("adam", 1e-3, 20)
    assert config.evaluation.passes == 1000
    assert {model.architecture for model in config.models.values()} == {"google/vit-base-patch16-224", "resnet152"}


@pytest.mark.parametrize("run", sorted(path.name for path in (ROOT / "runs").glob("*.yaml")))
def test_overlays_are_valid_and_only_full_runs_pass_for_the_paper(run):
    config = load(ROOT / "config.yaml", ROOT / "runs" / run)
    sizes = (config.data.train, config.data.validation, config.data.test)
    assert (config.scale == "paper") == (
        sizes >= (27000, 3000, 1200) and all(model.image_size >= 224 for model in config.models.values())
    )


MAGNITUDES = {"zero_point": 25, "lens": [18, 21], "source": [22, 24], "quasar": [20, 23]}
PAPERLESS = {name: {"enabled": False} for name in ("refine", "importance", "mcmc", "fermat", "shift")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"train": -3}}, ["data.train", "-3", "greater"]),
        ({"data": {"trian": 3}}, ["data.trian", "no such key"]),
        ({"nonsense": 1}, ["nonsense", "no such key"]),
        ({"refine": {"systems": 0}}, ["refine.systems", "0", "1"]),
        ({"refine": {"model": "swin"}}, ["refine.model", "swin", "resnet"]),
        ({"ablation": {"train": True, "models": {"swin": ["raw"]}}}, ["ablation.models", "swin", "resnet"]),
        ({"ablation": {"train": True, "models": {"vit": ["rae"]}}}, ["ablation.models.vit", "rae", "raw"]),
        (
            {"ablation": {"train": True, "variants": {"seed": {"label": "x"}}}},
            ["ablation.variants.seed", "another key"],
        ),
        ({"ablation": {"train": True}}, ["ablation.models", "train: false"]),
        ({"training": {"seeds": 0}}, ["training.seeds", "0", "1"]),
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
        ({"priors": {"theta_E": UNIFORM | {"low": -2, "high": -1}}}, ["priors.theta_E", "low -2", "0.02 to 60 arcsec"]),
        ({"priors": {"theta_E": {"mean": 20}}}, ["priors", "100%", "hst", "6 arcsec"]),
        ({"priors": {"source_y": {"mean": 25}}}, ["priors", "100%", "hst", "6 arcsec"]),
        ({"priors": {"source_x": {"sd": 1e3}}}, ["priors", "source_x", "-30 to 30"]),
        ({"priors": {"gamma": UNIFORM | {"low": 3, "high": 3.5}}}, ["priors.gamma", "low 3", "1.1 to 2.9"]),
        ({"priors": {"gamma": {"low": 1.0}}}, ["priors.gamma", "low 1", "1.1 to 2.9"]),
        ({"priors": {"gamma_ext": {"mean": 1.5}}}, ["priors.gamma_ext", "mean 1.5", "0 to 0.9"]),
        ({"priors": {"n_sersic": UNIFORM | {"low": -1, "high": 0}}}, ["priors.n_sersic", "low -1", "0.3 to 12"]),
        ({"priors": {"e1": UNIFORM | {"low": 0.8, "high": 1}, "e2": {"mean": 0.8}}}, ["priors", "|e|", "below 1"]),
        ({"priors": {"psi_ext": {"mean": 1.0}}}, ["priors.psi_ext", "uniform prior has no mean"]),
        ({"priors": {"gamma": {"mean": 2.0, "sd": 0}}}, ["priors.gamma", "2 in all systems", "a target must vary"]),
        ({"priors": {"gamma": {"mean": 1.85, "low": 2.5}}}, ["priors.gamma", "2.5 in all", "a target must vary"]),
        ({"priors": {"e1": UNIFORM | {"low": 0.1, "high": 0.1}}}, ["priors.e1", "0.1 in all", "a target must vary"]),
        ({"shift": {"cases": {"steep": {"priors": {"gamma": {"mean": 4}}}}}}, ["cases.steep.priors.gamma", "mean 4"]),
        ({"shift": {"cases": {"steep": {"priors": {"theta_E": {"mean": 24}}}}}}, ["cases.steep.priors", "100%"]),
        ({"scene": {"source_amp": 1e39}}, ["scene.source_amp", "1e+39", "1000000000000"]),
        ({"models": {False: {"label": "x"}}}, ["models", "False", "quotes"]),
        ({"shift": {"cases": {True: {"label": "x"}}}}, ["shift.cases", "True", "quotes"]),
        ({"models": {"resnet": {"label": "Nguyễn"}}}, ["models.resnet.label", "cannot print 'ễ'"]),
        ({"instruments": {"hst": {"label": "哈勃"}}}, ["instruments.hst.label", "'哈', '勃'"]),
        ({"shift": {"cases": {"steep": {"label": "a\tb"}}}}, ["shift.cases.steep.label", "cannot print"]),
        ({"scene": {"sigma_bkg_low": 9.0}}, ["scene", "sigma_bkg_high"]),
        ({"models": {"resnet": {"label": "ViT"}}}, ["models", "ViT, ViT"]),
        ({"run": "../x"}, ["run", "../x"]),
        ({"figures": {"attention_model": "swin"}}, ["figures.attention_model", "swin", "vit"]),
        ({"data": {"test": 3}}, ["data.test", "3", "PSF"]),
        ({"figures": {"examples": ["hst_a-train-000000"]}}, ["figures.examples", "hst_a-train-000000", "000199"]),
        ({"figures": {"examples": ["hst_a-test-000200"]}}, ["figures.examples", "hst_a-test-000200", "000199"]),
        ({"figures": {"examples": ["hst_a-test-7"]}}, ["figures.examples", "hst_a-test-7", "keck_c-test-000000"]),
        (
            {"figures": {"examples": ["jwst-test-000000"]}},
            ["figures.examples", "jwst", "hst_a-test-000000"],
        ),
        ({"seed": 16**5000}, ["seed", "too long to show"]),
        ({"evaluation": {"passes": 3}}, ["evaluation.passes", "3", "4"]),
        ({"scene": {"max_images": 1}}, ["scene.max_images", "1", "fermat.enabled: false"]),
        ({"scene": {"lens_light": "free"}}, ["refine.enabled", "scene.magnitudes", "refine to false"]),
        ({"scene": {"bulge": True}}, ["scene", "bulge", "magnitudes"]),
        ({"scene": {"magnitudes": {**MAGNITUDES, "lens": [21, 18]}}}, ["scene.magnitudes", "lens", "21 lies above 18"]),
        ({"scene": {"magnitudes": {**MAGNITUDES, "lens": [-9, 18]}}}, ["scene.magnitudes", "lens", "brighter"]),
        ({"scene": {"magnitudes": {**MAGNITUDES, "bulge_share": [0.5, 1]}}}, ["bulge_share", "below 1"]),
        ({"scene": {"magnitudes": MAGNITUDES}, **PAPERLESS}, ["limit.amplitudes", "marginalised"]),
        ({"priors": {"light_x": {"sd": 0.1}}}, ["priors.light_x", "scene.lens_light: free"]),
        ({"priors": {"host_x": {"sd": 0.1}}}, ["priors.host_x", "scene.source_shape: free"]),
        ({"priors": {"bulge_R_sersic": {"sd": 0.1}}}, ["priors.bulge_R_sersic", "scene.bulge: true"]),
        ({"priors": {"R_sersic": {"kind": "lognormal", "mean": 1, "sd": 0.1}}}, ["priors.R_sersic", "free scenes"]),
        ({"priors": {"theta_E": {"kind": "lognormal", "mean": 1, "sd": 0.1}}}, ["priors.theta_E", "R_sersic"]),
        ({"priors": {"R_sersic": {"kind": "lognormal", "mean": 0, "sd": 0.1}}}, ["priors.R_sersic", "above 0"]),
        ({"priors": {"gamma_ext": {"kind": "rayleigh", "sd": 0.1, "low": 0}}}, ["priors.gamma_ext", "neither low"]),
        ({"priors": {"theta_E": {"kind": "rayleigh", "sd": 0.1}}}, ["priors.theta_E", "gamma_ext alone"]),
        (
            {"shift": {"cases": {"own": {"label": "own", "scene": {"magnitudes": {"lens": [18, 21]}}}}}},
            ["shift.cases.own.scene.magnitudes.zero_point", "required"],
        ),
        ({"psfs": {"mine": OWN}, "simulation": {"supersampling": 5}}, ["simulation.supersampling", "5", "psfs.mine"]),
        ({"psfs": {"hst_a": {"pixels": 1001}}}, ["psfs.hst_a.pixels", "1001", "50.1 arcsec", "25"]),
        ({"data": {"train": 2, "validation": 2, "test": 2}, "psfs": TWO}, ["shift.left_out", "keck_c", "one training"]),
        ({"psfs": TWO, **by("psf")}, ["data.train", "0 training", "without keck_c", "normalise: pixel"]),
        ({"psfs": TWO, **by("camera")}, ["data.train", "0 training", "without keck_c", "normalise: pixel"]),
        ({"data": {"train": 6}, **by("psf")}, ["data.train", "6 makes 1", "normalise: psf"]),
        ({"data": {"train": 4}, "psfs": FOUR, **by("camera")}, ["data.train", "4 makes 1", "without keck_c"]),
        ({"data": {"train": 11}, **by("psf")}, ["data.train", "11", "keck_c", "normalise: psf", "models.vit"]),
        ({"data": {"train": 3}, "psfs": TWO, "shift": {"enabled": False}, **by("camera")}, ["data.train", "of keck_c"]),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(changes, words):
    with pytest.raises(LensvitError) as caught:
        validate(changed(changes))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\ndata: {train: 9}\nseed: 2\n", ["line 3", "seed", "line 1"]),
        ("data: {train: 9, test: 8, train: 7}\n", ["line 1", "train"]),
        ("models:\n  vit: {label: a}\n  vit: {label: b}\n", ["line 3", "vit", "line 2"]),
        ("models: [\n", ["is no YAML"]),
        ("- 1\n", ["no keys"]),
        ("[]\n", ["no keys"]),
        ("false\n", ["no keys"]),
        ("a: &x {b: 1, b: 2}\nc: {<<: *x}\n", ["line 1", "key b"]),
        ("data: &x {train: 9, more: *x}\n", ["line 1", "contains itself"]),
        ("seed: 2020-99-99\n", ["is no YAML", "month"]),
        ("seed: !!int abc\n", ["is no YAML", "abc"]),
        ("seed: !!bool maybe\n", ["is no YAML", "maybe"]),
        ("seed: !!timestamp x\n", ["is no YAML"]),
    ],
)
def test_a_config_file_that_is_not_clear_is_one_line(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(LensvitError) as caught:
        load(ROOT / "config.yaml", tmp_path / "mine.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert all(word in str(caught.value) for word in ("mine.yaml", *words)), str(caught.value)


def test_anchors_and_merged_keys_are_no_duplicates(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "a: &a {x: 1, y: &y {z: 1}}\nb: {<<: *a, y: {z: 2}}\nc: [*y, *y]\nd: {<<: *a, <<: *y}\n"
    )
    content = read_config(tmp_path / "mine.yaml")
    assert content["b"] == {"x": 1, "y": {"z": 2}} and content["c"] == [{"z": 1}, {"z": 1}]
    assert content["d"] == {"x": 1, "y": {"z": 1}, "z": 1}


def test_a_config_file_without_text_has_no_keys(tmp_path):
    (tmp_path / "mine.yaml").write_text("# nothing yet\n")
    assert read_config(tmp_path / "mine.yaml") == {}


def test_labels_of_latin_and_greek_letters_are_kept():
    label = "É ö ß š Ł α β ± µ"
    run = validate(changed({"models": {"resnet": {"label": label}}}))
    assert run.models["resnet"].label == label and latex.lacking(label) == []
    assert latex.escape("e\u0301") == "é"


def test_a_free_scene_is_a_run():
    free = {"lens_light": "free", "source_shape": "free", "bulge": True, "magnitudes": MAGNITUDES}
    own = {"light_x": {"sd": 0.1}, "n_sersic": {"kind": "lognormal", "mean": 3, "sd": 0.3}}
    run = validate(changed({"scene": free, "priors": own, "limit": {"amplitudes": "marginalised"}, **PAPERLESS}))
    assert run.scene.is_free and len(run.scene.structure.names) == len(set(run.scene.structure.names)) == 23
    assert not validate(content()).scene.is_free


def survey(**changes):
    """The config of the survey with changes of single keys, as plain data."""
    plain = overlaid(("survey",)).model_dump(by_alias=True)
    return {
        key: {**plain[key], **changes.get(key, {})} if isinstance(plain[key], dict) else plain[key] for key in plain
    }


CASES = {
    "faint": {"label": "faint", "scene": {"magnitudes": {"quasar": [23, 24]}}},
    "tied": {"label": "tied", "scene": {"lens_light": "tied", "bulge": False}},
}


def test_chapters_of_a_free_scene():
    own = {"light_x": {"sd": 0.1}, "bulge_R_sersic": {"kind": "lognormal", "mean": 0.1, "sd": 0.2}}
    content = survey(priors=own, fermat={"enabled": True}, shift={"enabled": True, "left_out": None, "cases": CASES})
    run = validate(content)
    faint, tied = (run.shift.shifted(run, name) for name in CASES)
    assert faint.scene.magnitudes.quasar == (23, 24) and faint.scene.magnitudes.lens == run.scene.magnitudes.lens
    assert faint.priors == run.priors and not {"light_x", "bulge_R_sersic"} & set(tied.priors)
    gone = ("light_x", "light_y", "light_e1", "light_e2", "bulge_R_sersic")
    assert tied.scene.structure.names == tuple(name for name in run.scene.structure.names if name not in gone)
    assert stage_settings(run, "fermat")["priors"]["light_x"] == {"sd": 0.1}
    assert "exposure_high" in stage_settings(run, "shift_scores")["scene"]
    content["priors"] = {name: change for name, change in content["priors"].items() if name != "n_sersic"}
    with pytest.raises(LensvitError, match=r"shift\.enabled: .* lognormal for n_sersic"):
        validate(content)


def test_a_case_may_free_the_scene_of_a_run_like_the_papers():
    case = {"label": "own", "scene": {"lens_light": "free", "exposure_high": 2e3}, "priors": {"light_e1": {"sd": 0.3}}}
    run = validate(changed({"shift": {"cases": {"own": case}}}))
    assert run.shift.shifted(run, "own").scene.is_free and not run.scene.is_free
    assert "lens_light" not in stage_settings(run, "shift_scores")["scene"]
    del case["scene"]["lens_light"]
    with pytest.raises(LensvitError, match=r"shift\.cases\.own\.priors\.light_e1: systems have no such parameter"):
        validate(changed({"shift": {"cases": {"own": case}}}))


def test_a_missing_key_is_named():
    incomplete = content()
    del incomplete["scene"]["exposure"]
    with pytest.raises(LensvitError, match=r"scene\.exposure: is missing"):
        validate(incomplete)


def test_yaml_reads_1e_4_as_text_and_the_schema_as_a_number():
    assert yaml.safe_load("a: 1e-4") == {"a": "1e-4"}
    config = validate(changed({"recipes": {"paper": {"learning_rate": "1e-4"}}}))
    assert config.recipe("vit").learning_rate == 1e-4


def test_null_removes_an_entry():
    config = validate(changed({"psfs": {"hst_b": None}, "models": {"resnet": None}}))
    assert "hst_b" not in config.psfs and list(config.models) == ["vit"]
