"""Training on the fly: the systems of a larger data set, none twice, the same after a kill and in any process."""

import json
import pickle

import h5py
import numpy as np
import pytest
import torch
import yaml

from lensvit.bench.simulation import moffat
from lensvit.io import files, tables
from lensvit.io.settings import read_settings
from lensvit.jobs.parcels import Parcel
from lensvit.learning import stream as stage
from lensvit.learning.preprocessing import resize
from lensvit.learning.settings import TrainSettings
from lensvit.learning.trainer import Trainer
from lensvit.lensing.noise import variance
from lensvit.parameters import TARGET_NAMES
from lensvit.psf import kernel
from lensvit.simulation.simulate import simulate
from tests.learning.streams import CAMERAS, SCENE, STORED, options


@pytest.fixture
def systems(tiny_run, psfs, stream_settings, monkeypatch):
    """The stream of one of ``size`` processes, in small portions."""
    monkeypatch.setattr(stage, "PORTION", 32)
    rows = tables.read_catalog(tiny_run / "catalog.parquet").query("split == 'train'")

    def make(rank=0, size=1, **changes):
        choice = read_settings(stream_settings(**{"epochs": 2, "batch_size": 20, **changes}), TrainSettings)
        return stage.NewSystems(choice, psfs, rows["psf"], rank=rank, size=size)

    return make


# ---------------------------------------------------------------- which systems


def test_an_epoch_has_as_many_of_each_psf_as_are_stored_and_no_system_recurs(systems):
    made = systems(epochs=3)
    batches = [made.wanted(batch) for batch in range(made.steps * 3)]
    assert [len(batch) for batch in batches] == [20, 20, 20, 20, 16] * 3
    for epoch in range(3):
        shown = [system for batch in batches[5 * epoch : 5 * epoch + 5] for system in batch]
        first = STORED * (epoch + 1)
        assert sorted(shown) == [(name, index) for name in CAMERAS for index in range(first, first + STORED)]
    assert batches[0] != sorted(batches[0]) and {name for name, _ in batches[0]} == set(CAMERAS)


def test_no_seed_is_one_of_the_stored_systems(systems):
    cameras = systems().cameras
    for camera in cameras.values():
        stored = {camera.sampler.noise_seed(index) for index in range(STORED)}
        new = {camera.sampler.noise_seed(index) for index in range(STORED, 4 * STORED)}
        assert camera.sampler.id(STORED).startswith(f"{camera.settings.name}-train-") and len(new) == 3 * STORED
        assert not stored & new


def test_processes_share_a_batch_as_one_has_it(systems):
    whole, parts = systems(), [systems(rank=rank, size=3) for rank in range(3)]
    for batch in (0, 4, 9):
        found = [part.wanted(batch) for part in parts]
        assert [whole.wanted(batch)[rank::3] for rank in range(3)] == found


def test_a_process_without_a_share_goes_along(systems):
    assert systems(rank=1, size=2, batch_size=95).wanted(1) == systems(batch_size=95).wanted(1)


# ---------------------------------------------------------------- their images


@pytest.mark.parametrize("engine", ["lenstronomy", "torch"])
@pytest.mark.parametrize("name", CAMERAS)
def test_an_image_is_the_one_that_the_simulation_makes(systems, psfs, tmp_path, name, engine):
    settings = tmp_path / "simulate.yaml"
    settings.write_text(yaml.safe_dump(options(name) | {"engine": engine}))
    psf = next(path for path in psfs if path.stem == name)
    simulate(settings, psf, "train", STORED, 4, tmp_path / "more.h5")
    camera = systems().cameras[name]
    drawn = camera.draw([0, 1], [STORED + 3, STORED])  # in any company and order
    images, targets = camera.renderer.exposed(drawn.setup).numpy(), drawn.targets
    with h5py.File(tmp_path / "more.h5") as file:
        for row, found in zip((3, 0), images, strict=True):
            stored = file["image"][row]
            assert np.abs(found - stored).max() < 1e-6 * stored.max()
        values = [[file["systems"][target][row] for target in TARGET_NAMES] for row in (3, 0)]
        assert file["systems/sigma_bkg"][3] == camera.sampler.sigma_bkg(STORED + 3)
    assert targets.numpy() == pytest.approx(np.array(values), rel=1e-12)


def test_noise_has_the_variance_of_the_stored_images_noise(systems):
    camera = systems(brightness="per_pixel").cameras["hst_a"]  # 24 pixels: the resize changes nothing
    indices = list(range(STORED, STORED + 12))
    drawn, backwards = camera.draw([*range(12)], indices), camera.draw([*range(12)], indices[::-1])
    clean = camera.renderer.exposed(drawn.setup).numpy()
    noisy, _ = camera.photographed(drawn)
    again, _ = camera.photographed(backwards)
    assert torch.equal(noisy, again.flip(0))  # one realisation a system, in any company
    sigma = np.array([camera.sampler.sigma_bkg(index) for index in indices])[:, None, None]
    pulls = (noisy.numpy() - clean) / np.sqrt(variance(clean, sigma, SCENE["exposure"]))
    assert abs(pulls.mean()) < 5 / np.sqrt(pulls.size)
    assert pulls.std() == pytest.approx(1, abs=5 / np.sqrt(2 * pulls.size))
    assert abs(np.corrcoef(pulls.reshape(12, -1)) - np.eye(12)).max() < 0.25


def test_brightness_and_resize_are_the_recipes(systems):
    pixel, area = (systems(brightness=kind).cameras["keck_a"] for kind in ("per_pixel", "per_area"))
    one, other = (camera.photographed(camera.draw([0], [STORED]))[0] for camera in (pixel, area))
    assert torch.allclose(one * (0.05 / 0.125) ** 2, other)
    assert one.shape == (1, 24, 24)
    native = systems(brightness="per_pixel").cameras["keck_a"]
    native.size = 48
    image, _ = native.photographed(native.draw([0], [STORED]))
    assert torch.allclose(resize(image, 24, "area"), one, atol=1e-4)


# ---------------------------------------------------------------- batches


def test_batches_from_anywhere_are_the_same(systems):
    made = systems()
    whole = list(made.batches(0, workers=0))
    assert [len(images) for images, _ in whole] == [20, 20, 20, 20, 16] * 2
    rest = list(systems().batches(7, workers=0))
    for (image, target), (expected, truth) in zip(rest, whole[7:], strict=True):
        assert torch.equal(image, expected) and torch.equal(target, truth)


def test_what_is_rendered_as_for_a_gpu_is_the_same(systems):
    """Drawn apart, packed and opened again, each portion begun before the one before it is used."""
    made = systems(epochs=1)
    parcels = (pickle.loads(pickle.dumps(Parcel(systems(epochs=1).drawn(number)))) for number in range(len(made)))
    expected = systems(epochs=1).batches(0, workers=0)
    found = [batch for portion in made._rendered(parcels) for batch in portion]
    for (image, target), (same, truth) in zip(found, expected, strict=True):
        assert torch.equal(image, same) and torch.equal(target, truth)
    assert [camera.sampler.draw_count for camera in made.cameras.values()] == [STORED, STORED]


def test_a_system_whose_image_is_not_finite_is_drawn_again(systems, monkeypatch, capsys):
    """As often as it takes; the other systems stay as they are."""
    made, photographed = systems(epochs=1), stage.CameraStream.photographed
    others, truths = next(systems(epochs=1).batches(0, workers=0))
    camera, (name, index) = made.cameras["keck_a"], next(one for one in made.wanted(0) if one[0] == "keck_a")
    row = made.wanted(0).index((name, index))
    spoiled = torch.tensor(
        [camera.sampler.draw(index, attempt).parameters["theta_E"] for attempt in (0, 1)], dtype=torch.float64
    )

    def overflow(self, drawn):
        exposed, bad = self.renderer.exposed, torch.isin(drawn.targets[:, TARGET_NAMES.index("theta_E")], spoiled)

        def spoil(setup):
            images = exposed(setup)
            images[bad, 3, 4] = torch.inf
            return images

        with monkeypatch.context() as patch:
            patch.setattr(self.renderer, "exposed", spoil)
            return photographed(self, drawn)

    monkeypatch.setattr(stage.CameraStream, "photographed", overflow)
    images, targets = made[0][0]
    wanted = camera.sampler.draw(index, 2).parameters
    assert targets[row].tolist() == [wanted[target] for target in TARGET_NAMES]
    assert torch.isfinite(images).all() and not torch.equal(images[row], others[row])
    rest = torch.arange(len(images)) != row
    assert torch.equal(images[rest], others[rest]) and torch.equal(targets[rest], truths[rest])
    assert capsys.readouterr().out.count(f"{camera.sampler.id(index)}: drawn again, its image is not finite") == 2


@pytest.mark.slow
def test_processes_that_render_ahead_make_the_same(systems):
    alone, helped = systems(epochs=1), systems(epochs=1)
    assert alone.cameras  # which stay behind when the stream is sent
    pairs = zip(alone.batches(1, workers=0), helped.batches(1, workers=2), strict=True)
    for (image, target), (expected, truth) in pairs:
        assert torch.equal(image, expected) and torch.equal(target, truth)


# ---------------------------------------------------------------- training


def train(run, psfs, settings, folder):
    stage.train_streaming(
        settings, run / "catalog.parquet", run / "scaler.json", run / "images", psfs, folder / "model", folder / "state"
    )
    return folder / "model"


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [3, 8])
def test_a_run_that_breaks_off_goes_on_to_the_same_weights(
    tiny_run, psfs, stream_settings, tmp_path, monkeypatch, capsys, after
):
    """Five steps an epoch, portions of one or two: broken off in an epoch and in a portion."""
    monkeypatch.setattr(stage, "PORTION", 40)
    settings = stream_settings(epochs=2, batch_size=20)
    whole = train(tiny_run, psfs, settings, tmp_path / "whole")
    assert "training with 96 new systems an epoch" in capsys.readouterr().out
    assert json.loads((whole / "config.json").read_text())["systems_seen"] == 192
    monkeypatch.setattr("lensvit.learning.checkpoints.SECONDS", 0.0)
    step, count = Trainer.train_step, [0]

    def breaking(self, rows, number):
        count[0] += 1
        if count[0] > after:
            raise KilledError
        return step(self, rows, number)

    monkeypatch.setattr(Trainer, "train_step", breaking)
    with pytest.raises(KilledError):
        train(tiny_run, psfs, settings, tmp_path / "broken")
    monkeypatch.setattr(Trainer, "train_step", step)
    resumed = train(tiny_run, psfs, settings, tmp_path / "broken")
    assert "resumed from" in capsys.readouterr().out
    weights = "weights.safetensors"
    assert files.sha256(resumed / weights) == files.sha256(whole / weights)


def test_a_checkpoint_of_another_kernel_is_left_alone(tiny_run, psfs, stream_settings, tmp_path, capsys):
    settings = stream_settings(epochs=1)
    train(tiny_run, psfs, settings, tmp_path)
    kernel.write_kernel(psfs[0], kernel.Kernel(moffat(11, 0.25, 0.8), 0.25, 1.0), {})
    files.write_manifest(psfs[0])
    train(tiny_run, psfs, settings, tmp_path)
    assert "resumed" not in capsys.readouterr().out
    assert len(list((tmp_path / "state").iterdir())) == 2
