"""Figure 1: attention lies over the right part of the sky."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.image import imread
from safetensors.torch import save_file

from lensvit.chapters.data import attention
from lensvit.chapters.data import figure as data_figure
from lensvit.errors import LensvitError
from lensvit.learning import architectures
from lensvit.learning.inputs import Inputs
from lensvit.learning.settings import Architecture, TrainedModel
from lensvit.parameters import TARGET_NAMES
from tests.networks import TINY_RESNET, TINY_VIT

NETWORKS = {
    "vit": {"library": "transformers", "architecture": "vit", "options": {**TINY_VIT, "patch_size": 4}},
    "cnn": {"library": "torchvision", "architecture": "ResNet", "options": TINY_RESNET},
}


@pytest.fixture
def settings(tmp_path):
    cameras = {"hst_a": ("HST", 24, 0.25), "keck_a": ("Keck AO", 48, 0.125)}
    keys = ("label", "pixels", "pixel_scale")
    options = {psf: dict(zip(keys, camera, strict=True)) for psf, camera in cameras.items()}
    path = tmp_path / "figure1.yaml"
    content = {"seed": 1, "examples": [], "model": "vit", "layer": -1, "options": options}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def trained(tmp_path, train_settings):
    """A function that writes an untrained network as models/{name}/."""

    def write(name):
        network = Architecture(weights="scratch", dropout=0.0, image_size=24, **NETWORKS[name])
        path = train_settings(brightness="per_pixel", stretch="asinh", noise="fixed", normalise="none")
        model = TrainedModel(
            network=network, recipe=yaml.safe_load(path.read_text())["recipe"], targets=list(TARGET_NAMES),
            scaler={"mean": {}, "sd": {}}, family="transformer", parameters=1, systems_seen=1, best_epoch=1,
            best_validation_mse=1.0, dropout_places=[],
        )  # fmt: skip
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        torch.manual_seed(0)
        built = architectures.build_network(network, 2 * len(TARGET_NAMES))
        save_file(built.state_dict(), folder / "weights.safetensors")
        (folder / "config.json").write_text(model.model_dump_json())
        return folder

    return write


def run(tiny_run, settings, output, weights=None):
    data_figure.figure1(settings, tiny_run / "catalog.parquet", tiny_run / "images", output, weights)


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(tiny_run, settings, trained, tmp_path):
    weights = trained("vit")
    for name in "ab":
        run(tiny_run, settings, [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"], weights)
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_without_attention_the_images_alone(tiny_run, settings, trained, tmp_path, capsys):
    run(tiny_run, settings, [tmp_path / "none.pdf"])
    run(tiny_run, settings, [tmp_path / "cnn.pdf"], trained("cnn"))
    assert "images alone" in capsys.readouterr().err
    assert (tmp_path / "none.pdf").read_bytes() == (tmp_path / "cnn.pdf").read_bytes()


def test_broken_weights_are_an_error_and_no_reason_for_images_alone(tiny_run, settings, trained, tmp_path):
    weights = trained("vit")
    (weights / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(LensvitError, match="weights"):
        run(tiny_run, settings, [tmp_path / "a.pdf"], weights)


def shown(pixels=24, scale=0.25):
    image = np.full((pixels, pixels), 0.1, np.float32)
    image[pixels * 5 // 6, pixels // 6] = 50.0  # at the left and the top
    return data_figure.Example(image, 0.1, scale, "HST", "hst_a")


def peak_on_patch(row, column, side=6, heads=12):
    """Attention (2, 1, heads, tokens, tokens) whose class token looks at one patch in the last layer."""
    tokens = side**2 + 1
    maps = np.full((2, 1, heads, tokens, tokens), 1 / tokens)
    maps[1, 0, :, 0, :] = 0.001
    maps[1, 0, :, 0, 1 + row * side + column] = 1 - 0.001 * (tokens - 1)
    return maps


@pytest.mark.parametrize(("row", "column"), [(5, 1), (0, 2), (2, 5)])
def test_a_patch_is_drawn_where_it_lies_on_the_sky(row, column):
    maps = attention.on_patches(peak_on_patch(row, column), -1)
    figure = data_figure.draw([shown()], maps)
    for axes in figure.axes[1:6]:
        (drawn,) = axes.images
        left, right, bottom, top = drawn.get_extent()
        assert (left, right, bottom, top) == (-3, 3, -3, 3) and drawn.origin == "lower"
        brightest = np.unravel_index(np.argmax(drawn.get_array()), (6, 6))
        y, x = (-3 + (index + 0.5) * 1.0 for index in brightest)  # patches of 1 arcsec
        assert (x, y) == (column - 2.5, row - 2.5)


def test_the_pixels_on_paper_agree_with_the_sky(tmp_path):
    """A look at the rendered figure: the star and the patch are both at the upper left."""
    figure = data_figure.draw([shown()], attention.on_patches(peak_on_patch(5, 1), -1))
    figure.savefig(tmp_path / "a.png", dpi=200)
    picture = imread(tmp_path / "a.png")[..., :3].sum(axis=-1)
    height, width = picture.shape
    for axes in figure.axes[:2]:
        box = axes.get_position()
        inner = picture[
            int((1 - box.y1 + 0.1 * box.height) * height) : int((1 - box.y0 - 0.25 * box.height) * height),
            int((box.x0 + 0.08 * box.width) * width) : int((box.x1 - 0.08 * box.width) * width),
        ]
        y, x = (float(np.mean(index)) for index in np.nonzero(inner > 0.8 * inner.max()))
        assert x < 0.4 * inner.shape[1] and y < 0.4 * inner.shape[0]


def test_maps_are_relative_to_an_even_spread():
    assert attention.on_patches(peak_on_patch(0, 0), 0) == pytest.approx(1.0)
    assert attention.on_patches(peak_on_patch(3, 4), -1).mean(axis=(2, 3)) == pytest.approx(1.0)


def test_an_impossible_layer_and_no_square_of_patches():
    with pytest.raises(LensvitError, match="2 layers"):
        attention.on_patches(peak_on_patch(0, 0), 2)
    with pytest.raises(attention.NoAttentionError, match="7 patches fill no square"):
        attention.on_patches(np.ones((1, 1, 2, 8, 8)), -1)


def test_titles_names_and_units():
    figure = data_figure.draw([shown(), shown(60, 0.1)], np.ones((2, 12, 6, 6)))
    panels = figure.axes[:12]
    assert [axes.get_title() for axes in panels[:6]] == [
        "Image", "Mean of heads", "Head #1", "Head #2", "Head #3", "Head #4",
    ]  # fmt: skip
    assert all("HST" in axes.get_ylabel() and "hst_a" in axes.get_ylabel() for axes in panels[::6])
    assert all("[arcsec]" in axes.get_xlabel() for axes in panels[6:])
    assert "[arcsec]" in panels[0].get_ylabel() and figure.axes[12].get_ylabel().startswith("Attention")
    assert figure.get_size_inches()[0] == 6.5


def test_fewer_heads_than_four():
    figure = data_figure.draw([shown()], np.ones((1, 2, 6, 6)))
    assert [axes.get_title() for axes in figure.axes[:4]] == ["Image", "Mean of heads", "Head #1", "Head #2"]


def test_the_example_is_the_systems_own_noisy_image(tiny_run, recipe):
    rows = pd.read_parquet(tiny_run / "catalog.parquet").query("split == 'test' and psf == 'hst_a'").head(1)
    seen = data_figure.example(rows.iloc[0], tiny_run / "images", {"hst_a": "HST"})
    network = Inputs(rows.reset_index(drop=True), tiny_run / "images", recipe(), 24).batch(torch.tensor([0]))
    assert seen.image == pytest.approx(network[0, 0].numpy(), abs=1e-5)
    assert seen.extent == (-3, 3, -3, 3) and seen.instrument == "HST"


def test_an_absent_image_is_named(tiny_run):
    row = pd.read_parquet(tiny_run / "catalog.parquet").iloc[0]
    with pytest.raises(LensvitError, match="no image file"):
        data_figure.example(row, tiny_run / "elsewhere", {})
