"""The scale of the targets is read whole, or an error names the file."""

import json

import pytest

from lensvit.errors import LensvitError
from lensvit.io.scaler import read_scaler
from lensvit.parameters import TARGET_NAMES


def test_a_scaler_that_lacks_a_target_is_named(tmp_path):
    path, whole = (
        tmp_path / "scaler.json",
        {"mean": dict.fromkeys(TARGET_NAMES, 0.5), "sd": dict.fromkeys(TARGET_NAMES, 2)},
    )
    path.write_text(json.dumps(whole))
    assert read_scaler(path).mean["gamma"] == 0.5 and read_scaler(path).sd["e2"] == 2.0
    for part in whole:
        path.write_text(json.dumps(whole | {part: {"gamma": 1.0}}))
        with pytest.raises(
            LensvitError, match=rf"scaler\.json is truncated or broken: delete it .*lacks {part}\.theta_E"
        ):
            read_scaler(path)
