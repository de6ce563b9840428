"""A tiny run made without snakemake: two cameras, structured images whose targets can be learned."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.figures import style
from lensvit.io.files import write_manifest
from lensvit.learning.settings import InputRecipe
from lensvit.parameters import NAMES, priors
from lensvit.simulation.catalog import catalog
from tests import legible
from tests.networks import TINY_RESNET, TINY_VIT

LONGEST = ("tests/workflow/", "tests/learning/", "tests/test_broken_inputs.py", "")  # which begin first


def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that no worker ends long after the others."""
    items.sort(key=lambda item: [item.nodeid.startswith(name) for name in LONGEST].index(True))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which a run on one core does without
def pytest_xdist_make_scheduler(config, log):
    """Tests that share what they set up go to one worker: those of a file, and all that run snakemake."""
    from xdist.scheduler import LoadScopeScheduling

    class BySetup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return LONGEST[0] if nodeid.startswith(LONGEST[0]) else nodeid.partition("::")[0]

    return BySetup(config, log)


@pytest.fixture(autouse=True)
def _legible(monkeypatch):
    """Whatever figure a test writes keeps to the common style."""
    save = style.save

    def checked(figure, outputs):
        save(figure, outputs)
        if figure.axes:
            assert legible.faults(figure) == []

    monkeypatch.setattr(style, "save", checked)


CAMERAS = {"hst_a": (24, 0.25), "keck_a": (48, 0.125)}
COUNTS = {"train": 96, "validation": 24, "test": 24}


def _image(system, pixels, scale):
    """A Gaussian blob with the system's centre, size and ellipticity: [counts/s per pixel]."""
    axis = (np.arange(pixels) - (pixels - 1) / 2) * scale
    x, y = np.meshgrid(axis - 20 * system["center_x"], axis - 20 * system["center_y"])
    radius = x**2 * (1 + system["e1"]) + y**2 * (1 - system["e1"]) + 2 * system["e2"] * x * y
    return 400 * scale**2 * np.exp(-radius / system["theta_E"] ** 2)


@pytest.fixture
def one_thread():
    """On a busy machine two threads wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def space_camera():
    """PSF, renderer, six systems and their noise-free images."""
    from lensvit.lensing.lens_equation import solve
    from lensvit.lensing.renderer import BatchedRenderer
    from lensvit.lensing.system import System
    from tests.builders import SCENE, SPACE, SPACE_SEEDS, draw_parameters, space_psf

    psf = space_psf(31)
    drawn = [draw_parameters(seed) for seed in SPACE_SEEDS]
    systems = [System(parameters, solve(parameters).brightest(4)) for parameters in drawn]
    renderer = BatchedRenderer(SPACE.pixels, SPACE.pixel_scale, psf.native, SCENE)
    return psf, renderer, systems, renderer.render(systems)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Folder with images/, catalog.parquet and scaler.json."""
    folder = tmp_path_factory.mktemp("run")
    files = []
    for psf, (pixels, scale) in CAMERAS.items():
        for split, count in COUNTS.items():
            files.append(folder / "images" / psf / f"{split}-0000.h5")
            _write_chunk(files[-1], psf, split, count // 2, pixels, scale)
    catalog(files, folder / "catalog.parquet", folder / "scaler.json")
    return folder


def _write_chunk(path, psf, split, count, pixels, scale):
    rng = np.random.default_rng(len(psf) * 100 + len(split))
    rows = [{name: prior.draw(rng) for name, prior in priors({}).items()} for _ in range(count)]
    systems = pd.DataFrame(rows, columns=NAMES).assign(
        id=[f"{psf}-{split}-{index:06d}" for index in range(count)],
        split=split,
        psf=psf,
        chunk=path.stem,
        row=np.arange(count),
        n_images=4,
        sigma_bkg=rng.uniform(0.04, 0.5, count),
        seed=rng.integers(1 << 40, size=count),
        redraws=0,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image"] = np.array([_image(row, pixels, scale) for row in rows], np.float32)
        for name, column in systems.items():
            file[f"systems/{name}"] = column.to_list()
        file.attrs.update(pixel_scale=scale, exposure=1000.0)
    write_manifest(path)


NETWORKS = {
    "vit": {
        "library": "transformers",
        "architecture": "vit",
        "options": {**TINY_VIT, "patch_size": 6},
    },
    "resnet": {
        "library": "torchvision",
        "architecture": "ResNet",
        "options": TINY_RESNET,
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_networks():
    """Settings of two networks that train in a second."""
    return NETWORKS


@pytest.fixture
def train_settings(tmp_path):
    """Write the settings of the training stage for a tiny network; other keywords change the recipe."""

    def write(network="vit", name="settings.yaml", posterior="diagonal", **changes):
        recipe = {
            "resize": "area", "brightness": "per_area", "stretch": "three", "noise": "fresh", "optimizer": "adamw",
            "learning_rate": 2e-3, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.01, "clip_norm": 5.0,
            "batch_size": 16, "epochs": 4, "criterion": "mse", "precision": "32-true", "compile": False,
            "normalise": "pixel", "symmetries": "source", "symmetries_until": 1.0, "average": 0.9,
        }  # fmt: skip
        content = {
            "seed": 5,
            "network": {
                **NETWORKS[network], "weights": "scratch", "dropout": 0.1, "attention_dropout": 0.0, "pool_grid": 1,
                "image_size": 24, "posterior": posterior,
            },
            "recipe": {**recipe, **changes},
        }  # fmt: skip
        path = tmp_path / name
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def recipe():
    """A recipe as the input pipeline reads it; keywords change it."""

    def make(**changes):
        fields = {"resize": "area", "brightness": "per_pixel", "stretch": "raw", "noise": "fixed"}
        return InputRecipe(**{**fields, **changes})

    return make
