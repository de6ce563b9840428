"""Stages read only their part of the config, and each finds in it what its model wants."""

import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import product

import pytest
from pydantic import TypeAdapter

from lensvit.chapters.ablation.settings import AblationSettings
from lensvit.chapters.accuracy.settings import Figure2Settings
from lensvit.chapters.data.settings import Figure1Settings, PreviewSettings
from lensvit.chapters.fermat.settings import FermatSettings, Figure6Settings
from lensvit.chapters.importance.settings import ImportanceStage
from lensvit.chapters.limit.settings import LimitStage
from lensvit.chapters.mcmc.settings import McmcSettings
from lensvit.chapters.real.settings import RealLabels, RealSettings
from lensvit.chapters.refine.settings import RefineSettings
from lensvit.chapters.settings import LabelSettings
from lensvit.chapters.shift.settings import Figure7Settings, ShiftSettings
from lensvit.cli import STAGES
from lensvit.config.run import validate
from lensvit.config.schema import SCENE_DEFAULTS, SIMULATION_DEFAULTS, chunks
from lensvit.config.stages import all_stages, stage_settings
from lensvit.errors import LensvitError
from lensvit.io.settings import canonical
from lensvit.learning.settings import EvaluateSettings, TrainSettings
from lensvit.observations.settings import ObserveStage
from lensvit.page.settings import PageSettings
from lensvit.prediction.card import CardSettings
from lensvit.prediction.reference import ReferenceSettings
from lensvit.prediction.run import ObservedImages
from lensvit.psf.settings import KernelSettings
from lensvit.simulation.settings import SimulateSettings
from tests.config.configs import OVERLAYS, ablation, changed, content, overlaid

# stage of the config -> command of lensvit that reads its settings, and the model by which it does
READERS = {
    "psf": ("psf", KernelSettings),
    "simulate": ("simulate", SimulateSettings),
    "train": ("train", TrainSettings),
    "evaluate": ("evaluate", EvaluateSettings),
    "evaluate_validation": ("evaluate", EvaluateSettings),
    "reference": ("reference", ReferenceSettings),
    "model_card": ("model_card", CardSettings),
    "predict_observed": ("predict_observed", ObservedImages),
    "real_table": ("real_table", RealSettings),
    "figure11": ("figure11", RealLabels),
    "figure1": ("figure1", Figure1Settings),
    "preview": ("preview", PreviewSettings),
    "figure2": ("figure2", Figure2Settings),
    "figure3": ("figure3", LabelSettings),
    "figure4": ("figure4", LabelSettings),
    "figure10": ("figure10", LabelSettings),
    "figure5": ("figure5", LabelSettings),
    "figure6": ("figure6", Figure6Settings),
    "figure7": ("figure7", Figure7Settings),
    "limit": ("limit", LimitStage),
    "refine": ("refine", RefineSettings),
    "refine_prior": ("refine", RefineSettings),
    "ablation_table": ("ablation_table", AblationSettings),
    "shift_simulate": ("simulate", SimulateSettings),
    "shift_scores": ("shift_scores", ShiftSettings),
    "mcmc": ("mcmc", McmcSettings),
    "importance": ("importance", ImportanceStage),
    "figure8": ("figure8", LabelSettings),
    "figure9": ("figure9", LabelSettings),
    "fermat": ("fermat", FermatSettings),
    "observe": ("observe", ObserveStage),
    "page": ("page", PageSettings),
}


def parts_of(run):
    """Every stage of a run with every item that it works on."""
    items = {
        "psf": run.psfs,
        "simulate": run.psfs,
        "train": run.networks,
        "evaluate": run.networks,
        "model_card": run.models,
        "observe": run.observations,
        "shift_simulate": [f"{case}/{psf}" for case, psf in product(run.shift.cases, run.psfs)],
    }
    for stage in all_stages(run):
        yield from ((stage, f"{stage}/{item}".removesuffix("/")) for item in items.get(stage, [""]))


YOUNG = SCENE_DEFAULTS | SIMULATION_DEFAULTS  # keys that settings have only where they change something


def without_null(value):
    """Settings without nulls: a prior's fields and the systems of a stream are left out where there are none."""
    if isinstance(value, dict):
        return {
            key: without_null(entry)
            for key, entry in value.items()
            if entry is not None and (key not in YOUNG or entry != YOUNG[key])
        }
    return [without_null(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("overlays", OVERLAYS, ids="+".join)
def test_every_stage_finds_what_its_model_wants_and_nothing_else(overlays):
    run = overlaid(overlays)
    for stage, part in parts_of(run):
        if stage == "numbers":
            continue
        cut = stage_settings(run, part)
        model = TypeAdapter(READERS[stage][1]).validate_python(cut)
        assert without_null(canonical(model)) == without_null(cut), part


def test_a_streaming_training_too():
    run = validate(changed({"training": {"stream": True}}))
    cut = stage_settings(run, "train/vit")
    assert without_null(canonical(TrainSettings.model_validate(cut))) == without_null(cut)


def observed(**lens):
    return validate(changed({"observations": {"mine": {"image": "a.fits", **lens}}}))


def test_a_lens_of_the_user_too():
    delays = {"images": [[1, 0], [0, 1]], "days": [3], "errors": [0.5], "lens_redshift": 0.5, "source_redshift": 1.5}
    assert observed(lens_redshift=0.5).observations["mine"].source_redshift is None
    run = observed(psf=["p.fits"], quasar_images=4, delays=delays)
    cut = stage_settings(run, "observe/mine")
    model = ObserveStage.model_validate(cut)
    assert without_null(canonical(model)) == without_null(cut)
    assert model.lens.files == ["a.fits", "p.fits"] and model.lens.delays.images[1] == (0, 1)
    # a lens of one's own changes nothing of the paper but that it has a section of its own
    numbers = stage_settings(run, "numbers")
    assert numbers["config"].pop("real") == {"enabled": True}
    assert numbers == stage_settings(validate(changed({})), "numbers")
    off = validate(changed({"observations": {"mine": {"image": "a.fits"}}, "real": {"enabled": False}}))
    assert stage_settings(off, "numbers") == numbers


def test_what_is_published_of_a_lens_goes_to_the_table_and_changes_no_fit():
    known = {"theta_E": 1.2, "gamma": 2.0, "gamma_sigma": 0.1, "reference": "Somebody 2020"}
    plain, run = observed(), observed(published=known)
    assert stage_settings(plain, "observe/mine") == stage_settings(run, "observe/mine")
    assert stage_settings(plain, "predict_observed") == stage_settings(run, "predict_observed")
    assert stage_settings(run, "real_table") == {"published": {"mine": known}}
    assert stage_settings(plain, "real_table") == {"published": {}}
    assert TypeAdapter(ObservedImages).validate_python(stage_settings(run, "predict_observed")).lenses["mine"].images


def test_lenses_may_be_called_as_astronomers_call_them():
    names = ["J1251+2935", "WGD2038-4008", "SDSS_J1004.4"]
    run = validate(changed({"observations": {name: {"image": "a.fits"} for name in names}}))
    assert list(run.observations) == names and stage_settings(run, "observe/J1251+2935")["name"] == "J1251+2935"
    for wrong in ("-J12", "a/b", ".hidden", "two words"):
        with pytest.raises(LensvitError, match="is wrong"):
            validate(changed({"observations": {wrong: {"image": "a.fits"}}}))


@pytest.mark.parametrize(
    ("lens", "message"),
    [
        ({"image": ["a.fits", "b.fits"], "psf": ["1", "2", "3"]}, "psf: 3 files for 2 images"),
        ({"quasar_images": 5}, "quasar_images: 5 is wrong"),
        ({"pixel_scale": 0}, "pixel_scale: 0 is wrong"),
        ({"image": []}, "image"),
        ({"kernel": "p.fits"}, "observations.mine.kernel: no such key"),
        (
            {"delays": {"images": [[1, 0], [0, 1]], "days": [3, 4], "errors": [1, 1], "lens_redshift": 0.5,
                        "source_redshift": 1.5}},
            "days: 2 numbers for 2 images",
        ),
        (
            {"delays": {"images": [[1, 0], [0, 1]], "days": [3], "errors": [1], "lens_redshift": 1.5,
                        "source_redshift": 1.0}},
            "lens_redshift 1.5 is not below 1",
        ),
        ({"lens_redshift": 1.5, "source_redshift": 1.5}, "lens_redshift 1.5 is not below 1.5"),
        (
            {"delays": {"images": [[1, 0], [0, 1]], "days": [3], "errors": [1], "lens_redshift": 0.5,
                        "source_redshift": 1.0}, "lens_redshift": 0.5},
            "give them under delays",
        ),
    ],
)  # fmt: skip
def test_a_lens_of_the_user_that_cannot_be_fitted_is_said_before_any_job(lens, message):
    with pytest.raises(LensvitError, match=re.escape(message)):
        observed(**lens)


def test_the_numbers_are_of_the_whole_config():
    run = overlaid(("demo",))
    cut = stage_settings(run, "numbers")
    assert cut["scale"] == "reduced" and cut["config"]["shift"]["model"] == "resnet" and run.shift.model is None
    again = stage_settings(validate(cut["config"]), "numbers")
    assert again == cut


def test_the_models_are_those_that_the_stages_read():
    assert set(READERS) == set(all_stages(overlaid(()))) - {"numbers"}
    for command, kind in READERS.values():
        source = find_spec(STAGES[command].partition(":")[0]).origin
        name = "KernelSettings" if kind is KernelSettings else kind.__name__
        with open(source, encoding="utf-8") as file:
            assert re.search(rf"read_settings\(\s*\w+,\s*{name}\b", file.read()), (command, name)


def test_the_config_is_read_without_what_takes_seconds_to_import():
    slow = (
        "torch", "lightning_fabric", "transformers", "pandas", "scipy", "matplotlib", "astropy", "lenstronomy", "h5py"
    )  # fmt: skip
    code = (
        "import sys, pkgutil, importlib, lensvit.config as config\n"
        "for module in pkgutil.iter_modules(config.__path__, 'lensvit.config.'): importlib.import_module(module.name)\n"
        f"print(sorted(set(sys.modules) & set({slow!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "[]"


def training(*overlays):
    """Settings of the training of each model, with these overlays on the demo."""
    config = overlaid(("demo", *overlays))
    return {name: stage_settings(config, f"train/{name}") for name in config.models}


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


def test_the_networks_of_the_ablation_are_a_model_with_variants_and_seeds():
    config = ablation(variants={"raw": {"label": "raw", "changes": {"stretch": "asinh"}, "seeds": 1}})
    assert list(config.models) == ["vit", "resnet"]
    assert list(config.networks) == [
        "vit", "resnet", "resnet-seed-2", "resnet-raw-1", "resnet-paper-1", "resnet-paper-2",
    ]  # fmt: skip
    assert config.networks["resnet"] == config.models["resnet"]
    parts = {name: stage_settings(config, f"train/{name}") for name in config.networks}
    assert [parts[name]["seed"] for name in list(parts)[1:]] == [5, 6, 5, 5, 6]
    assert parts["resnet-raw-1"]["recipe"] == parts["resnet"]["recipe"] | {"stretch": "asinh"}
    assert parts["resnet-paper-2"]["recipe"] == parts["resnet"]["recipe"] | {
        "resize": "bilinear"
    }  # config.yaml's is it
    assert parts["resnet-seed-2"] == parts["resnet"] | {"seed": 6}
    groups = stage_settings(config, "ablation_table")["options"]
    assert [entry["networks"] for entry in groups] == [
        ["resnet", "resnet-seed-2"], ["resnet-raw-1"], ["resnet-paper-1", "resnet-paper-2"],
    ]  # fmt: skip
    assert [entry["variant"] for entry in groups] == [None, "raw", "paper"]


def test_a_models_own_seed_is_that_of_its_training_alone():
    config = validate(changed({"models": {"vit": {"seed": 3}}}))
    assert stage_settings(config, "train/vit")["seed"] == 3
    assert stage_settings(config, "train/resnet")["seed"] == config.seed
    assert stage_settings(config, "evaluate/vit")["seed"] == config.seed


def test_only_a_streaming_training_reads_the_simulation():
    assert "stream" not in stage_settings(validate(content()), "train/vit")
    config = validate(changed({"training": {"stream": True}}))
    options = stage_settings(config, "train/vit")["stream"]["options"]
    assert list(options) == sorted(config.psfs)
    for psf, entry in options.items():
        assert entry | {"engine": "lenstronomy"} == stage_settings(config, f"simulate/{psf}")


REFINEMENTS = {"refine/vit", "refine/resnet", "refine_prior"}


SHIFTED = {f"shift_simulate/{case}/{psf}" for case in content()["shift"]["cases"] for psf in content()["psfs"]}


def parts(config):
    return {
        part: stage_settings(config, part)
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
    before, after = parts(validate(content())), parts(validate(changed(changes)))
    assert {part for part in before if before[part] != after[part]} == expected


def test_a_case_of_the_shift_differs_from_the_run_in_nothing_else():
    config = validate(changed({"priors": {"gamma": {"sd": 0.1}}, "shift": {"systems": 60}}))
    ordinary = stage_settings(config, "simulate/hst_a")
    steep, noisy = (stage_settings(config, f"shift_simulate/{case}/hst_a") for case in ("steep", "noisy"))
    assert steep == ordinary | {"priors": {"gamma": {"mean": 2.6, "sd": 0.05}}}
    assert noisy == ordinary | {"scene": ordinary["scene"] | {"sigma_bkg_low": 8.0, "sigma_bkg_high": 12.0}}
    cameras = stage_settings(config, "shift_scores")["options"]
    systems = {psf: camera["systems"] for psf, camera in cameras.items()}
    assert systems == dict.fromkeys(config.psfs, 10) | {"keck_c": 200}  # of the PSF that is left out, all
    assert chunks(config.shift.shifted(config, "steep"), "hst_a", "test") == [("test-0000", 0, 10)]


def test_settings_are_canonical_whatever_the_spelling():
    one = validate(changed({"recipes": {"paper": {"learning_rate": 0.001, "batch_size": 20}}}))
    other = validate(changed({"recipes": {"paper": {"batch_size": 20.0, "learning_rate": "1e-3"}}}))
    assert repr(stage_settings(one, "train/vit")) == repr(stage_settings(other, "train/vit"))


def test_keys_younger_than_kept_runs_are_in_settings_only_where_they_change_something():
    """A release that was made before free scenes is still up to date."""
    free = {"scene": {"lens_light": "free"}, "simulation": {"light_samples": 3}}
    off = {name: {"enabled": False} for name in ("refine", "importance", "mcmc", "fermat", "shift")}
    for changes, expected in (({}, False), ({**free, **off}, True)):
        run = validate(changed(changes))
        for part in ("simulate/hst_a", "limit"):
            settings = stage_settings(run, part)
            assert ("lens_light" in settings["scene"]) == ("light_samples" in settings) == expected
            assert not {"bulge", "magnitudes"} & set(settings["scene"])
        config = stage_settings(run, "numbers")["config"]
        assert ("lens_light" in config["scene"]) == ("light_samples" in config["simulation"]) == expected
