"""What a config has tried before the first job: all networks and users' PSFs, once, and nothing that nothing uses."""

import copy
import json

import numpy as np
import pytest
from astropy.io import fits

from lensvit.config import early
from lensvit.config.run import _merge, validate
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.workflow import checks
from tests.config.configs import changed
from tests.networks import TINY_RESNET, TINY_VIT

VIT = {**TINY_VIT, "patch_size": 10}
SMALL = {
    "device": "cpu",
    "models": {
        "vit": {"architecture": "vit", "weights": "scratch", "image_size": 60, "options": VIT},
        "resnet": {"architecture": "ResNet", "weights": "scratch", "image_size": 32, "options": TINY_RESNET},
    },
}


ANSWERS = {}  # to what other tests have asked


def small(**changes):
    """The config with two networks that are quickly built, and with changes."""
    merged = changed(copy.deepcopy(SMALL))
    _merge(merged, changes)
    return validate(merged)


def small_model(name, **changes):
    return small(models={name: changes})


def refused(run, tmp_path):
    """The lines that the run is refused with, by checks in this process."""
    with pytest.raises(LensvitError) as caught:
        early.check_early(run, print, tmp_path / "checked")
    return str(caught.value).splitlines()


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch, tmp_path):
    """What is asked for is tried here, so that torch is imported once, in a folder without files."""

    def answer(one):
        if isinstance(one, checks.PsfCheck):
            return checks.answer(one)
        known = one.model_dump_json()
        if known not in ANSWERS:
            ANSWERS[known] = checks.answer(one)
        return ANSWERS[known]

    monkeypatch.setattr(checks, "ask", lambda wanted: [answer(one) for one in wanted])
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ("resnet", {"architecture": "resnet17"}, ["torchvision", "no classifier 'resnet17'"]),
        ("vit", {"architecture": "vitt"}, ["no model type 'vitt'"]),
        ("vit", {"options": {"patchsize": 8}}, ["no options patchsize"]),
        ("resnet", {"options": {"wide": 3}}, ["cannot build ResNet", "wide"]),
        ("vit", {"options": {"patch_size": 70}}, ["60 pixels", "70 x 70"]),
        ("vit", {"options": {"hidden_dropout_prob": 0.3}}, ["hidden_dropout_prob", "leave it out"]),
        ("vit", {"pool_grid": 2}, ["pool_grid: 1"]),
        ("resnet", {"attention_dropout": 0.1}, ["attention_dropout: 0"]),
        ("vit", {"weights": "pretrained"}, ["no pretrained weights called 'vit'"]),
        ("resnet", {"weights": "pretraind"}, ["no file or folder pretraind", "Three ways on"]),
        ("resnet", {"weights": "pretrained"}, ["no pretrained weights of ResNet", "weights: scratch"]),
    ],
)
def test_a_network_that_cannot_be_is_one_line(model, changes, words, tmp_path):
    lines = refused(small_model(model, **changes), tmp_path)
    assert len(lines) == 1 and lines[0].startswith(f"config: models.{model}: ")
    assert all(word in lines[0] for word in words), lines[0]


def test_pretrained_weights_are_not_downloaded_and_their_size_is_known(tmp_path):
    hub = {"architecture": "google/vit-base-patch16-224", "weights": "pretrained", "options": {}}
    lines = refused(small_model("vit", **hub, image_size=128), tmp_path)
    assert lines == [
        "config: models.vit: the weights of google/vit-base-patch16-224 take images of 224 pixels: set image_size: 224"
    ]


def test_what_cannot_be_known_here_is_said_and_not_refused(tmp_path, capsys):
    run = small_model("vit", architecture="nobody/has-this", weights="pretrained", options={})
    early.check_early(run, print, tmp_path / "checked")
    assert (
        "models.vit cannot be checked before its job: nobody/has-this is not in the hub's cache"
        in capsys.readouterr().out
    )


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    lines = refused(small(models={name: {"architecture": "gone", "options": {}} for name in SMALL["models"]}), tmp_path)
    assert [line.split(":")[1] for line in lines] == [" models.vit", " models.resnet"]


# ---------------------------------------------------------------- figure 1


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"attention_layer": 2}, ["models.vit", "2 layers", "figures.attention_layer 2", "0 to 1"]),
        ({"attention_layer": -3}, ["models.vit", "figures.attention_layer -3"]),
        ({"attention_model": "resnet"}, ["models.resnet", "no attention maps", "figures.attention_model"]),
    ],
)
def test_attention_that_is_not_there_is_one_line(figures, words, tmp_path):
    lines = refused(small(figures=figures), tmp_path)
    assert len(lines) == 1 and all(word in lines[0] for word in words), lines


@pytest.mark.parametrize("figures", [{"attention_layer": 1}, {"attention_layer": -2}, {"attention_model": None}])
def test_attention_that_is_there_passes(figures, tmp_path):
    early.check_early(small(figures=figures), print, tmp_path / "checked")


# ---------------------------------------------------------------- a batch of one


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # 101 = 5 x 20 + 1
        ({"data": {"train": 101}}, ["data.train makes 101 images in batches of 20", "batch_size"]),
        ({"models": {"resnet": {"changes": {"batch_size": 1}}}}, ["data.train makes 27000 images in batches of 1"]),
        # 6 PSFs: without one of them 121 - 20 remain
        ({"data": {"train": 121}, "models": {"resnet": {"changes": {"batch_size": 50}}}}, ["data.train without shift"]),
        ({"models": {"resnet": {"nodes": 13, "changes": {"batch_size": 25}}}}, ["on 13 nodes"]),
        ({"data": {"test": 201}, "evaluation": {"batch_norm": "batch"}}, ["data.test makes 201", "batch_norm: frozen"]),
    ],
)
def test_a_batch_of_one_image_with_batch_normalisation_is_one_line(changes, words, tmp_path):
    lines = refused(small(**changes), tmp_path)
    assert len(lines) == 1 and lines[0].startswith("config: models.resnet: ResNet cannot take one image alone")
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"train": 102}},
        {"data": {"test": 201}},  # batch normalisation keeps to the training's statistics
        {"data": {"train": 101}, "models": {"resnet": {"image_size": 64}}},  # its last maps are 2 x 2 pixels
        {"data": {"train": 101}, "device": "gpu", "models": {"resnet": {"gpus": 2}}},  # normalised over both
        {"data": {"train": 101}, "models": {"resnet": None}, "shift": {"model": "vit"}},  # no batch normalisation
    ],
)
def test_a_batch_of_one_image_that_is_no_trouble_passes(changes, tmp_path):
    early.check_early(small(**changes), print, tmp_path / "checked")


# ---------------------------------------------------------------- what is tried at all


def test_all_networks_of_the_run_are_tried_and_no_others():
    variants = {"train": True, "seeds": 1, "models": {"resnet": ["raw"]}}
    assert list(early.wanted(small(ablation=variants))) == ["models.vit", "models.resnet", "models.resnet-raw-1"]
    off = {"enabled": False, "train": True, "models": {"resnet": ["raw"]}}
    assert list(early.wanted(small(ablation=off, models={"vit": None}, figures={"attention_model": None}))) == [
        "models.resnet"
    ]


def test_weights_of_a_network_that_is_trained_are_not_asked_for(tmp_path):
    run = small_model("resnet", weights="gone.pth")
    assert len(refused(run, tmp_path)) == 1
    folder = tmp_path / "results/paper/models/resnet"
    folder.mkdir(parents=True)
    settings = stage_settings(run, "train/resnet")["network"]
    (folder / "config.json").write_text(json.dumps({"network": settings}))
    early.check_early(run, print, tmp_path / "checked")
    assert len(refused(small_model("resnet", weights="gone_too.pth"), tmp_path)) == 1


# ---------------------------------------------------------------- PSFs of files


def star(path, side=31):
    offset = np.arange(side) - side // 2
    image = np.exp(-(offset**2 + offset[:, None] ** 2) / 4.0)
    fits.PrimaryHDU(image, fits.Header({"PIXSCALE": 0.05})).writeto(path, overwrite=True)


def test_a_users_psf_is_read_once_and_again_when_it_changes(tmp_path, capsys):
    run = small(psfs={"mine": {"kind": "fits", "instrument": "hst", "path": "mine.fits"}})
    star(tmp_path / "mine.fits")
    for said in (True, False):
        early.check_early(run, print, tmp_path / "checked")
        assert ("psfs.mine" in capsys.readouterr().out) == said
    star(tmp_path / "mine.fits", side=30)
    (line,) = refused(run, tmp_path)
    assert line.startswith("config: psfs.mine: PSF mine.fits: ") and "the side must be odd" in line
    (tmp_path / "mine.fits").write_bytes(b"no FITS")
    assert "cannot be read as FITS" in refused(run, tmp_path)[0]
    (tmp_path / "mine.fits").unlink()
    assert "there is no such file" in refused(run, tmp_path)[0]


def test_a_file_of_a_lens_that_is_not_there_is_one_line(tmp_path):
    (tmp_path / "lens.fits").touch()
    lens = {"image": str(tmp_path / "lens.fits"), "psf": str(tmp_path / "star.fits")}
    run = small(observations={"mine": lens})
    (line,) = refused(run, tmp_path)
    assert line == f"config: observations.mine: there is no file {tmp_path / 'star.fits'}"
    (tmp_path / "star.fits").touch()
    early.check_early(run, print, tmp_path / "checked")
