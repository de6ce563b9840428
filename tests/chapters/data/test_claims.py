"""What the paper says of the data set."""

import json

import pandas as pd

from lensvit.chapters.data.claims import numbers
from lensvit.chapters.quoting import Context
from lensvit.lensing.settings import Scene
from lensvit.parameters import NAMES, priors

SCENE = {
    "source_amp": 1.0, "source_e1": 0.0, "source_e2": 0.5, "lens_amp": 1.0, "quasar_amp": 2.0, "max_images": 4,
    "exposure": 1000.0, "sigma_bkg_low": 0.1, "sigma_bkg_high": 0.2,
}  # fmt: skip
CONFIG = {
    "scene": SCENE, "training": {"stream": False},
    "simulation": {"external_shear": True, "engine": "torch", "supersampling": 5},
    "priors": {"gamma": {"mean": 2.5, "sd": None}},
    "instruments": {"hst": {"label": "HST", "pixels": 20, "pixel_scale": 0.1}},
    "psfs": {"own": {"kind": "fits", "instrument": "hst", "path": "own.fits"}},
}  # fmt: skip


def test_the_numbers_of_the_paper(tmp_path):
    count = 400
    systems = pd.DataFrame({name: [1.0, 3.0] * (count // 2) for name in NAMES}).assign(
        split=["train"] * 390 + ["validation"] * 6 + ["test"] * 4, psf="own", redraws=[1] + [0] * (count - 1),
        n_images=[2] + [3] * 99 + [4] * 300,
    )  # fmt: skip
    measured = {"pixels": 11, "pixel_scale": 0.1, "fwhm": 0.2, "radii": [0.1], "enclosed": [0.5], "strehl": None}
    (tmp_path / "own.json").write_text(json.dumps(measured))
    found = numbers([tmp_path / "own.json"], Context(CONFIG, systems, [], {})).model_dump()
    dataset = found["dataset"]
    assert [dataset[key] for key in ("total", "train", "validation", "test", "redraws")] == [400, 390, 6, 4, 1]
    assert [entry["images"] for entry in dataset["multiplicity"]] == [3, 4]  # one in four hundred is not worth a word
    assert list(dataset)[-len(Scene.model_fields) :] == sorted(Scene.model_fields) and dataset["quasar_amp"] == 2.0
    assert dataset["engine"] == "torch"
    gamma = next(entry for entry in found["priors"] if entry["name"] == "gamma")
    assert (gamma["mean"], gamma["sd"]) == (2.5, priors({})["gamma"].sd)
    assert (gamma["sample_mean"], gamma["sample_sd"]) == (2.0, 1.0)
    assert found["psf_radii"] == [0.1] and found["psfs"][0]["settings"] == {} and found["psfs"][0]["train"] == 390
    assert found["instruments"] == [{"name": "hst", "label": "HST", "pixel_scale": 0.1, "pixels": 20}]
