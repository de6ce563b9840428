"""The input pipeline against scipy's resize, plain noise statistics and the file's own pixels."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from lensvit.errors import LensvitError
from lensvit.io import images
from lensvit.learning import inputs as network_inputs
from lensvit.learning.inputs import Inputs
from lensvit.learning.preprocessing import IMAGENET_MEAN, IMAGENET_SD, resize, stretch
from lensvit.lensing.noise import noise, variance


@pytest.fixture
def rows(tiny_run):
    systems = pd.read_parquet(tiny_run / "catalog.parquet")
    return systems[systems["split"] == "test"].reset_index(drop=True)


def native(tiny_run, row):
    with h5py.File(tiny_run / "images" / row["psf"] / f"{row['chunk']}.h5") as file:
        return file["image"][row["row"]], file.attrs["pixel_scale"]


@pytest.mark.parametrize(("pixels", "size"), [(120, 224), (300, 224), (300, 60)])
def test_bilinear_is_scipys_zoom_of_order_1(pixels, size):
    image = np.random.default_rng(0).normal(size=(pixels, pixels)).astype(np.float32)
    expected = ndimage.zoom(image, size / pixels, order=1)
    found = resize(torch.as_tensor(image)[None], size, "bilinear")[0].numpy()
    assert found == pytest.approx(expected, abs=2e-4)  # torch rounds positions to float32


def test_area_is_the_mean_of_blocks():
    image = torch.randn(2, 60, 60)
    expected = image.view(2, 12, 5, 12, 5).mean((2, 4))
    assert torch.allclose(resize(image, 12, "area"), expected, atol=1e-6)


def test_every_row_of_the_split_is_its_own_noisy_image(tiny_run, rows, recipe):
    shuffled = rows.sample(frac=1, random_state=1).reset_index(drop=True)
    inputs = Inputs(shuffled, tiny_run / "images", recipe(), 12)
    batch = inputs.batch(torch.arange(len(shuffled)))
    assert batch.shape == (24, 3, 12, 12)
    for number, row in shuffled.iterrows():
        image, _ = native(tiny_run, row)
        noisy = torch.as_tensor(noise(image, row["sigma_bkg"], 1000.0, row["seed"]))
        assert torch.allclose(batch[number, 0], resize(noisy[None], 12, "area")[0], atol=1e-5)


def test_brightness_per_area_makes_cameras_alike(tiny_run, rows, recipe):
    inputs = Inputs(rows, tiny_run / "images", recipe(brightness="per_area"), 12)
    row = rows[rows["psf"] == "keck_a"].iloc[0]
    image, scale = native(tiny_run, row)
    expected = resize(torch.as_tensor(noise(image, row["sigma_bkg"], 1000.0, row["seed"]))[None], 12, "area")[0]
    found = inputs.batch(torch.tensor([row.name]))[0, 0]
    assert torch.allclose(found, expected * (0.05 / scale) ** 2, atol=1e-6)


@pytest.mark.parametrize(("how", "size"), [("area", 12), ("bilinear", 16), ("area", 20), ("graded", 12)])
def test_fresh_noise_has_the_mean_and_the_scatter_of_native_noise(tiny_run, rows, recipe, how, size):
    """Drawn on the small image where that is exact, at native resolution elsewhere."""
    few = rows.iloc[[0, 20]].reset_index(drop=True)
    inputs = Inputs(few, tiny_run / "images", recipe(resize=how, noise="fresh"), size, fresh=True)
    generator = torch.Generator().manual_seed(1)
    index = torch.tensor([0, 1])
    draws = torch.stack([inputs.batch(index, generator)[:, 0] for _ in range(1200)])  # (draws, 2, S, S)
    for number, row in few.iterrows():
        image, _ = native(tiny_run, row)
        image = torch.as_tensor(image)
        sd = variance(image, row["sigma_bkg"], 1000.0).sqrt()
        native_draws = resize(image + sd * torch.randn(1200, *image.shape, generator=generator), size, how)
        expected_sd = native_draws.std(0)
        error = (draws[:, number].mean(0) - resize(image[None], size, how)[0]) / (expected_sd / 1200**0.5)
        assert error.abs().max() < 5.0 and abs(error.std().item() - 1) < 0.3
        assert (draws[:, number].std(0) / expected_sd - 1).abs().max() < 0.13


def test_fresh_noise_follows_its_generator(tiny_run, rows, recipe):
    inputs = Inputs(rows, tiny_run / "images", recipe(noise="fresh"), 12, fresh=True)
    index = torch.arange(6)
    one, same, other = (inputs.batch(index, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(("fresh", "how", "size"), [(False, "area", 12), (True, "graded", 12), (True, "bilinear", 16)])
def test_images_are_the_same_in_whatever_pieces_they_are_read(tiny_run, rows, recipe, monkeypatch, fresh, how, size):
    def batch():
        shuffled = rows.sample(frac=1, random_state=1).reset_index(drop=True)
        inputs = Inputs(shuffled, tiny_run / "images", recipe(resize=how), size, fresh=fresh)
        return inputs.batch(torch.arange(len(rows)), torch.Generator().manual_seed(1)), inputs.bytes

    whole, size_of_whole = batch()
    monkeypatch.setattr(images, "PIECE", 3)
    monkeypatch.setattr(network_inputs, "AT_ONCE", 2)
    pieces, size_of_pieces = batch()
    assert torch.equal(whole, pieces) and size_of_whole == size_of_pieces


def test_the_stretches():
    image = torch.tensor([[[0.0, 1.0], [20.0, 1000.0]]])
    assert torch.equal(stretch(image, "raw"), image[:, None].expand(-1, 3, -1, -1))
    imagenet = stretch(image, "imagenet")
    assert imagenet[0, :, 0, 1] == pytest.approx((1 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_SD), rel=1e-5)
    three = stretch(image, "three")
    assert three.shape == (1, 3, 2, 2)
    assert three[0, :, 1, 0].tolist() == pytest.approx([np.arcsinh(20) / 2 - 0.5, np.arcsinh(1.0), 0.4], rel=1e-5)
    assert three[0, 2, 1, 1] == 8  # the peak of a quasar is clipped in the linear channel only
    assert torch.equal(stretch(image, "asinh")[:, 0], three[:, 0])


def test_a_truncated_image_file_is_named(tiny_run, rows, recipe, tmp_path):
    shutil.copytree(tiny_run / "images", tmp_path / "images")
    broken = tmp_path / "images" / "hst_a" / "test-0000.h5"
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(LensvitError, match=r"hst_a/test-0000.h5 is truncated or broken: delete it"):
        Inputs(rows, tmp_path / "images", recipe(), 12)
    broken.unlink()
    with pytest.raises(LensvitError, match=r"no image file .*test-0000.h5"):
        Inputs(rows, tmp_path / "images", recipe(), 12)


def test_images_stay_off_a_gpu_that_is_too_small(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * 10**9, 80 * 10**9))
    assert network_inputs._fits(4 * 10**9, "cuda:0")
    assert not network_inputs._fits(6 * 10**9, "cuda:0")
    assert network_inputs._fits(10**15, "cpu")


def test_the_log_says_how_many_images_lie_where(tiny_run, rows, recipe):
    inputs = Inputs(rows, tiny_run / "images", recipe(), 12)
    assert inputs.bytes == 24 * 12 * 12 * 4
    assert str(inputs) == "24 images, 0.00 GB, on cpu"
    inputs.device = "cuda:0"
    assert str(inputs).endswith("in the computer's memory, sent batch by batch")


@pytest.mark.parametrize("noise_kind", ["fixed", "fresh"])
def test_the_number_of_threads_changes_no_bit(tiny_run, rows, recipe, noise_kind, monkeypatch):
    def batch(threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        options = recipe(resize="bilinear", noise=noise_kind)
        inputs = Inputs(rows, tiny_run / "images", options, 16, fresh=noise_kind == "fresh")
        return inputs.batch(torch.arange(len(rows)), torch.Generator().manual_seed(1))

    assert torch.equal(batch(1), batch(3))


@pytest.mark.parametrize(
    ("fresh", "how", "size"), [(False, "area", 12), (True, "area", 12), (True, "graded", 12), (True, "bilinear", 16)]
)
def test_an_exposure_map_holds_for_the_images_of_its_camera(tiny_run, rows, recipe, tmp_path, fresh, how, size):
    """Noise that was drawn once, on the small image, and at native resolution, by threads or at once."""
    shutil.copytree(tiny_run / "images", tmp_path / "images")
    with h5py.File(tmp_path / "images/hst_a/test-0000.h5", "a") as file:
        side = file["image"].shape[-1]
        exposure_map = np.full((side, side), 0.25, np.float32)
        exposure_map[:, : side // 2] = 0
        file["exposure_map"] = exposure_map
    few = rows.groupby("psf").head(1).reset_index(drop=True)
    index, changes = torch.arange(len(few)), {"noise": "fresh"} if fresh else {}

    def drawn(folder):
        made = Inputs(few, folder / "images", recipe(resize=how, **changes), size, fresh=fresh)
        generators = [torch.Generator().manual_seed(seed) for seed in range(200 if fresh else 1)]
        return torch.stack([made.batch(index, generator)[:, 0] for generator in generators])

    draws, whole = drawn(tmp_path), drawn(tiny_run)
    for number, row in few.iterrows():
        if row["psf"] != "hst_a":
            assert torch.equal(draws[:, number], whole[:, number])
            continue
        assert (draws[:, number, :, : size // 2 - 1] == 0).all()
        ours, theirs = (part[:, number, :, size // 2 + 1 :] for part in (draws, whole))
        if fresh:
            assert (ours.std(0) / theirs.std(0)).median() == pytest.approx(2, rel=0.1)
        else:
            clean = resize(torch.as_tensor(native(tiny_run, row)[0])[None], size, how)[0, :, size // 2 + 1 :]
            torch.testing.assert_close(ours[0] - clean, 2 * (theirs[0] - clean), rtol=1e-3, atol=1e-3)
