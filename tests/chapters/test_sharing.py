"""What all stages that several jobs share refuse before they compute anything."""

import inspect
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from lensvit import cli
from lensvit.config.run import load
from lensvit.config.stages import stage_settings
from lensvit.errors import LensvitError
from lensvit.io.tables import CATALOG
from tests.builders import filled

ROOT = Path(__file__).parents[2]
SHARED = [name for name in cli.STAGES if "chunks" in inspect.signature(cli._function(cli.STAGES[name])).parameters]
PARTS = {"refine": "refine/vit"}


@pytest.fixture
def call(tmp_path):
    """Calls a stage with the smoke run's settings, on two test systems and one to train with; no other file exists."""
    run = load(ROOT / "config.yaml", ROOT / "runs/smoke.yaml")

    def call(stage, psf="hst_a", **options):
        table = pd.DataFrame({"id": ["a", "b", "c"], "split": ["test", "test", "train"], "psf": ["hst_a", psf, psf]})
        table["chunk"] = [f"{split}-0000" for split in table["split"]]
        filled(table, CATALOG).to_parquet(tmp_path / "catalog.parquet")
        content = stage_settings(run, PARTS.get(stage, stage))
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(content))))
        given = {"settings": tmp_path / "settings.yaml", "catalog": tmp_path / "catalog.parquet"}
        function = cli._function(cli.STAGES[stage])
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in given and parameter.default is parameter.empty:
                given[name] = [] if "list" in str(parameter.annotation) else tmp_path / "absent"
        with pytest.raises(LensvitError) as caught:
            function(**given, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return call


def test_they_are_known():
    assert SHARED == ["limit", "refine", "importance"]


@pytest.mark.parametrize("stage", SHARED)
@pytest.mark.parametrize("chunk", ["nonsense/x", "hst_a/train-0000", "hst_a"])
def test_an_image_file_without_test_systems_is_refused(call, stage, chunk):
    said = call(stage, chunks=["hst_a/test-0000", chunk])
    assert said.startswith(f"--chunks {chunk}: no test system")
    assert "no kernel of the PSF hst_a" in call(stage, chunks=["hst_a/test-0000"])


@pytest.mark.parametrize("stage", [*SHARED, "mcmc"])
def test_a_psf_that_the_settings_do_not_know_is_named(call, stage):
    assert "systems of the PSF nobodys, and the settings have no camera of it" in call(stage, psf="nobodys")
