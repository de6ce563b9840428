"""Figure 1: attention lies over the right part of the sky."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.image import imread
from safetensors.torch import save_file

from lensvit.chapters.data import attention, claims
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


def run(tiny_run, settings, output, weights=None, table=None):
    data_figure.figure1(settings, tiny_run / "catalog.parquet", tiny_run / "images", output, weights, table)


@pytest.mark.slow
def test_files_are_made_and_repeat_byte_for_byte(tiny_run, settings, trained, tmp_path):
    weights = trained("vit")
    for name in "ab":
        output = [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"]
        run(tiny_run, settings, output, weights, tmp_path / f"{name}.csv")
    rows = pd.read_csv(tmp_path / "a.csv")
    test = pd.read_parquet(tiny_run / "catalog.parquet")["split"] == "test"
    assert set(rows["systems"]) == {test.sum()} and set(rows["patches"]) == {36}
    for suffix in ("pdf", "png", "csv"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_without_attention_the_images_alone(tiny_run, settings, trained, tmp_path, capsys):
    run(tiny_run, settings, [tmp_path / "none.pdf"])
    run(tiny_run, settings, [tmp_path / "cnn.pdf"], trained("cnn"), tmp_path / "cnn.csv")
    assert list(pd.read_csv(tmp_path / "cnn.csv")) == list(attention.COLUMNS)
    assert claims.attention(tmp_path / "cnn.csv", -1) is None
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
    """Attention of two layers whose class token looks at one patch in the last layer, all heads alike."""
    tokens = side**2 + 1
    weight = np.full((2, 1, heads, tokens, tokens), 1 / tokens)
    weight[1, 0, :, 0, :] = 0.001
    weight[1, 0, :, 0, 1 + row * side + column] = 1 - 0.001 * (tokens - 1)
    return attention.Attention(weight[:, :, :, 0], attention.rollout(weight))


def even(count, heads):
    maps = np.full((count, heads, 6, 6), 1 / 36)
    return attention.Maps(maps, maps[:, 0], maps[:, 0])


@pytest.mark.parametrize(("row", "column"), [(5, 1), (0, 2), (2, 5)])
def test_a_patch_is_drawn_where_it_lies_on_the_sky(row, column):
    figure = data_figure.draw([shown()], attention.maps_of(peak_on_patch(row, column), -1, False))
    drawn_on = [axes for axes in figure.axes[1:] if axes.images and axes.get_label() != "<colorbar>"]
    assert len(drawn_on) == 6
    for axes in drawn_on:
        (drawn,) = axes.images
        left, right, bottom, top = drawn.get_extent()
        assert (left, right, bottom, top) == (-3, 3, -3, 3) and drawn.origin == "lower"
        brightest = np.unravel_index(np.argmax(drawn.get_array()), (6, 6))
        y, x = (-3 + (index + 0.5) * 1.0 for index in brightest)  # patches of 1 arcsec
        assert (x, y) == (column - 2.5, row - 2.5)


def test_the_pixels_on_paper_agree_with_the_sky(tmp_path):
    """A look at the rendered figure: the star and the patch are both at the upper left."""
    figure = data_figure.draw([shown()], attention.maps_of(peak_on_patch(5, 1), -1, False))
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


@pytest.mark.parametrize("is_graded", [False, True])
def test_maps_are_shares_of_the_weight_of_all_patches(is_graded):
    maps = attention.maps_of(peak_on_patch(3, 4), -1, is_graded)
    expected = (1 - 0.036) / (1 - 0.001)
    for part in (maps.heads, maps.mean):
        assert part.max(axis=(-2, -1)) == pytest.approx(expected)
    if not is_graded:
        assert maps.heads.sum(axis=(-2, -1)) == pytest.approx(1) == maps.rollout.sum()


def test_the_number_in_a_panel_is_the_share_of_the_strongest_patch():
    figure = data_figure.draw([shown()], attention.maps_of(peak_on_patch(3, 4), -1, False))
    said = [text.get_text() for axes in figure.axes[1:] for text in axes.texts]
    assert said[1:] == ["96%", "1: 96%", "2: 96%", "3: 96%", "4: 96%"]


def test_an_impossible_layer_and_no_square_of_patches():
    with pytest.raises(LensvitError, match="2 layers"):
        attention.maps_of(peak_on_patch(0, 0), 2, False)
    with pytest.raises(attention.NoAttentionError, match="7 patches fill no square"):
        attention.maps_of(attention.Attention(np.ones((1, 1, 2, 8)), np.ones((1, 8))), -1, False)


def test_titles_names_and_units():
    figure = data_figure.draw([shown(), shown(60, 0.1)], even(2, 12))
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [
        "Image", "Rollout, all layers", "Mean of the heads", "Heads 1 to 4",
    ]  # fmt: skip
    left = [axes for axes in figure.axes if "arcsec" in axes.get_ylabel()]
    assert len(left) == 2 and all("HST" in axes.get_ylabel() and "hst_a" in axes.get_ylabel() for axes in left)
    assert sum("[arcsec]" in axes.get_xlabel() for axes in figure.axes) == 3
    assert figure.axes[-1].get_ylabel().startswith("Share of the weight")
    assert figure.get_size_inches()[0] == 6.5


@pytest.mark.parametrize(("heads", "title"), [(1, "Head 1"), (2, "Heads 1 to 2")])
def test_fewer_heads_than_four(heads, title):
    figure = data_figure.draw([shown()], even(1, heads))
    assert [axes.get_title() for axes in figure.axes[:4]][3] == title
    assert len([text for axes in figure.axes for text in axes.texts if ": " in text.get_text()]) == heads


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
