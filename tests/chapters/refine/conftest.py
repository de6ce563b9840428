import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.io.tables import CATALOG, PREDICTIONS
from lensvit.parameters import NAMES, TARGET_NAMES
from lensvit.psf import kernel
from tests.builders import NETWORK_ERRORS, SCENE, SPACE, filled, light
from tests.chapters.refine.makers import SIGMA, start


@pytest.fixture(scope="package")
def run(space_camera, tmp_path_factory):
    """A run's files: a catalogue, images, a PSF, settings and draws."""
    folder = tmp_path_factory.mktemp("refine")
    known, _, systems, images = space_camera
    count = len(systems)
    kernel.write_kernel(folder / "hst.fits", known, {})
    (folder / "images" / "hst").mkdir(parents=True)
    with h5py.File(folder / "images" / "hst" / "test-0000.h5", "w") as file:
        file["image"] = images
        file.attrs.update(pixel_scale=SPACE.pixel_scale, exposure=SCENE.exposure)
    table = pd.DataFrame([system.parameters for system in systems])[list(NAMES)].assign(
        id=[f"hst-test-{index:06d}" for index in range(count)], split="test", psf="hst", chunk="test-0000",
        row=np.arange(count), n_images=[len(system.quasar_images) for system in systems], sigma_bkg=SIGMA,
        seed=np.arange(count),
    )  # fmt: skip
    filled(table, CATALOG).to_parquet(folder / "catalog.parquet")
    rng = np.random.default_rng(4)
    targets = table[list(TARGET_NAMES)].to_numpy()
    mean = targets + NETWORK_ERRORS * rng.normal(size=targets.shape)
    with h5py.File(folder / "vit.h5", "w") as file:
        file["id"] = list(table["id"])
        file["draws"] = (mean + NETWORK_ERRORS * rng.normal(size=(50, *mean.shape))).astype("f4")
    columns = {f"{name}_mean": mean[:, index] for index, name in enumerate(TARGET_NAMES)}
    columns |= {f"{name}_truth": targets[:, index] for index, name in enumerate(TARGET_NAMES)}
    (folder / "predictions").mkdir()
    network = filled(pd.DataFrame({"id": table["id"], **columns}), PREDICTIONS)
    network.to_parquet(folder / "predictions" / "vit.parquet")
    settings = {
        "seed": 1, "systems": None, "starts": 8, "max_iterations": 60, "priors": {}, "external_shear": True,
        "scene": light(SCENE), "supersampling": 1,
        "options": {"hst": {"name": "hst", "pixels": SPACE.pixels, "pixel_scale": SPACE.pixel_scale}},
    }  # fmt: skip
    (folder / "refine.yaml").write_text(yaml.safe_dump(settings))
    start(folder, "vit", draws=folder / "vit.h5")
    return folder
