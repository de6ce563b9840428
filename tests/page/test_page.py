"""The stage ``page`` on a small made run."""

import base64
import json
import re
import struct

import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.errors import LensvitError
from lensvit.io.files import manifest_path, sha256
from lensvit.page import page as stage
from lensvit.page.pictures import geometry
from lensvit.page.settings import PageSettings
from lensvit.parameters import TARGET_NAMES
from tests.page.conftest import CERTIFIED, FITTED, page_settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def text(made_page):
    return made_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(text):
    return json.loads(re.search(r'id="page-data">(.*?)</script>', text, re.DOTALL)[1])


def floats(block, width):
    return np.frombuffer(base64.b64decode(block), "<f4").reshape(-1, width)


def test_it_is_a_large_file_with_a_manifest(made_page):
    assert manifest_path(made_page).read_text().split()[0] == sha256(made_page)


def test_nothing_is_fetched_from_elsewhere(text):
    assert not re.search(r'(?:src|href)="(?!data:|#|paper/paper\.pdf|figures/)', text)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(styles) == 1 and not re.search(r"url\((?!data:)|@import", styles[0])


def test_what_the_run_calls_its_things_ends_no_element(text, data):
    assert [entry["label"] for entry in data["trainings"]] == ["ViT </script><b>", "ResNet", "resnet-seed-2"]
    assert "ViT </script>" not in text and "<b>" not in text.partition('id="page-data"')[2].partition("</script>")[0]


def test_every_test_system_is_there_with_its_truth(data, made_run):
    systems = data["systems"]
    assert systems["id"] == list(made_run.systems["id"]) and len(systems["id"]) == 24
    truth = made_run.systems[list(TARGET_NAMES)].to_numpy()
    np.testing.assert_allclose(floats(systems["truth"], 8), truth, rtol=1e-6, atol=1e-12)
    assert [data["psfs"][place]["name"] for place in systems["psf"]] == list(made_run.systems["psf"])


def test_errors_of_each_method_are_those_of_its_table(data, made_run):
    truth = floats(data["systems"]["truth"], 8)
    for method in data["methods"]:
        block = data["systems"]["blocks"][method["key"]]
        values, rows = floats(block["values"], 44), block["rows"]
        assert len(values) == len(rows) and (values[:, 8:16] > 0).all() and (np.abs(values[:, 16:]) <= 1).all()
        if method["key"] == "refined":
            assert rows == list(range(FITTED))
            errors = (values[:, :8] - truth[rows]) / values[:, 8:16]
            np.testing.assert_allclose(errors[:2].mean(1), [0.5, 5.0], rtol=1e-2)
        if method["network"]:
            table = pd.read_parquet(made_run.folder / f"predictions/{method['key']}.parquet")
            np.testing.assert_allclose(values[:, 8], table["theta_E_sigma"], rtol=1e-6)
            assert values[:, 16].mean() < -0.9  # of the first two targets
    assert [method["key"] for method in data["methods"]] == ["vit", "resnet", "refined", "importance", "limit"]
    assert [method["errors"] for method in data["methods"]] == [True, True, True, True, False]


def test_it_says_which_systems_were_tried_and_what_came_of_them(data):
    states = data["systems"]["states"]
    assert states["refined"] == [True] * FITTED + [False] * 2 + [None] * 8
    assert states["importance"] == [True] * CERTIFIED + ["few"] * 7 + [None] * 8


def test_every_system_has_a_picture_and_those_with_a_fit_a_model(text, data):
    places = data["systems"]["picture"]
    assert [has for _, _, has in places] == [1] * FITTED + [0] * 10
    sheets = re.findall(r'id="sheet-(\d+)">([^<]+)<', text)
    assert [int(number) for number, _ in sheets] == sorted({number for number, _, _ in places})
    for number, sheet in sheets:
        width, height = struct.unpack(">II", base64.b64decode(sheet)[16:24])
        mine = [(place, has, psf) for (other, place, has), psf in zip(places, data["systems"]["psf"], strict=True)
                if other == int(number)]  # fmt: skip
        side = data["psfs"][mine[0][2]]["side"]
        assert width == side and height == side * sum(3 if has else 1 for _, has, _ in mine)


def test_the_figures_have_alternative_texts_and_captions(text):
    found = re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)"', text)
    assert len(found) == 2 and found[0].startswith("Figure 2: Predictions against the truth")
    assert text.count("<figcaption>") == 2 and 'href="figures/figure10.pdf"' in text


def test_table_1_has_its_errors_and_buttons_where_there_is_something_behind_a_number(text):
    assert "0.1554(64)" in text and "0.1232" in text
    assert 'data-column="vit" data-row="overall"' in text and 'data-column="published_vit"' not in text


def test_behind_a_number_are_the_jobs_of_its_column(data):
    origins = data["origins"]
    jobs = [job["rule"] for job in origins["jobs"]]
    assert jobs == ["table", "evaluate", "evaluate", "catalog", "simulate"]
    column = origins["columns"]["vit"]
    assert column["files"] == ["results/made/predictions/vit.parquet"]
    assert [origins["jobs"][place]["command"] for place in column["jobs"]] == [
        "lensvit evaluate --model vit", "lensvit catalog <b>", "lensvit simulate"
    ]  # fmt: skip
    assert origins["columns"]["published_vit"] == {"files": [], "jobs": []}


def test_durations_are_added_up_and_one_that_is_being_written_is_left_out(made_run):
    found = stage.durations(made_run.arguments["benchmarks"])
    assert found == [
        {"stage": "train", "jobs": 2, "seconds": 300.0, "memory": 512.0},
        {"stage": "table", "jobs": 1, "seconds": 1.0, "memory": 512.0},
    ]
    assert stage.durations(made_run.folder / "nowhere") == []


def test_a_run_without_fits_chains_and_records_has_a_page_too(made_run, tmp_path):
    left_out = ("refined", "importance", "limit")
    given = {name: value for name, value in made_run.arguments.items() if name not in left_out}
    output = tmp_path / "index.html"
    stage.page(**given | {"runs": tmp_path / "none", "benchmarks": tmp_path / "none"}, output=output)
    text = output.read_text(encoding="utf-8")
    assert "There are no models" in text and "records of this run are not there" in text
    assert "filter-exact" not in text.partition("<script")[0] and "benchmarks of this run are not there" in text


def test_a_run_of_free_scenes_has_a_page_without_models(made_run, tmp_path):
    """Their models have amplitudes that only a fit knows."""
    known = yaml.safe_load(page_settings())
    (tmp_path / "page.yaml").write_text(page_settings(scene=known["scene"] | {"lens_light": "free"}))
    output = tmp_path / "index.html"
    stage.page(**made_run.arguments | {"settings": tmp_path / "page.yaml"}, output=output)
    text = output.read_text(encoding="utf-8")
    assert "There are no models, since those of free scenes" in text and "have a model and a residual" not in text


def test_fewer_systems_are_shown_where_there_are_too_many_and_the_page_says_so(made_run, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "MOST_SYSTEMS", 6)
    output = tmp_path / "index.html"
    stage.page(**made_run.arguments, output=output)
    text = output.read_text(encoding="utf-8")
    assert "6 of the 24 test systems" in re.sub(r"\s+", " ", text)
    systems = json.loads(re.search(r'id="page-data">(.*?)</script>', text, re.DOTALL)[1])["systems"]
    assert len(systems["id"]) == 6 and len({name.partition("-")[0] for name in systems["id"]}) == 2  # of both cameras


def test_fewer_models_are_shown_where_pictures_have_too_many_pixels(made_run, monkeypatch):
    settings = PageSettings.model_validate(yaml.safe_load(page_settings()))
    rows = made_run.systems
    sides = {name: geometry(camera.pixels, camera.pixel_scale).side for name, camera in settings.cameras.items()}
    noisy = sum(sides[psf] ** 2 for psf in rows["psf"])
    assert len(stage.modelled(rows, rows, settings)) == 24
    monkeypatch.setattr(stage, "MOST_PIXELS", 2 * noisy)
    some = stage.modelled(rows, rows, settings)
    assert len(some) == 12
    pixels = noisy + 2 * sum(sides[psf] ** 2 for name, psf in zip(rows["id"], rows["psf"], strict=True) if name in some)
    assert pixels == pytest.approx(2 * noisy, rel=0.1)


def test_a_figure_without_a_caption_is_one_line(made_run, tmp_path):
    (tmp_path / "table1.rst").write_text("A table.")
    with pytest.raises(LensvitError, match=r"there is no file .*figure2\.rst"):
        stage.page(**made_run.arguments | {"captions": tmp_path}, output=tmp_path / "index.html")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("numbers", b'{"run": {}}', "numbers.json.*lacks 'columns'"),
        ("coverage", b"model,state\n", "coverage.csv.*lacks the column"),
        ("figures", b"\x89PNG\r\n\x1a\nhalf", "figure2.png is truncated or broken"),
        ("models", b"{}", "config.json is truncated or broken"),
        ("draws", b"", "vit.h5 is truncated or broken"),
    ],
)
def test_a_broken_input_is_one_line(made_run, tmp_path, name, content, words):
    given = dict(made_run.arguments)
    many = isinstance(given[name], list)
    path = tmp_path / (given[name][0] if many else given[name]).name
    path.write_bytes(content)
    given[name] = [path, *given[name][1:]] if many else path
    with pytest.raises(LensvitError, match=words) as error:
        stage.page(**given, output=tmp_path / "index.html")
    assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "index.html").exists()
