"""Which systems figure 1 shows."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lensvit.chapters.data.examples import choose_examples
from lensvit.errors import LensvitError

LABELS = {"hst_a": "HST", "hst_b": "HST", "keck_a": "Keck AO"}


def catalogue(psfs=tuple(LABELS), count=40):
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "id": [f"{psf}-{split}-{number:06d}" for number in range(count)],
                "split": split,
                "psf": psf,
                "theta_E": rng.normal(1.25, 0.3, count),
                "n_images": rng.choice([2, 4], count),
            }
        )
        for psf in psfs
        for split in ("train", "test")
    ]
    return pd.concat(parts, ignore_index=True)


def test_two_of_the_first_instrument_and_one_of_the_second():
    systems = catalogue()
    found = choose_examples(systems, [], LABELS, 7)
    assert [LABELS[psf] for psf in found["psf"]] == ["HST", "HST", "Keck AO"]
    assert set(found["psf"]) == set(LABELS)
    assert (found["split"] == "test").all() and (found["n_images"] == 4).all()
    low, high = systems.loc[systems["split"] == "test", "theta_E"].quantile([0.25, 0.75])
    assert found["theta_E"].between(low, high).all()


def test_the_seed_decides_and_the_order_of_the_catalogue_does_not():
    systems = catalogue()
    shuffled = systems.sample(frac=1, random_state=1)
    assert (
        choose_examples(systems, [], LABELS, 7)["id"].tolist()
        == choose_examples(shuffled, [], LABELS, 7)["id"].tolist()
    )
    assert len({tuple(choose_examples(systems, [], LABELS, seed)["id"]) for seed in range(6)}) > 1


def test_three_of_the_only_instrument_of_all_its_psfs():
    found = choose_examples(catalogue(("hst_a", "hst_b")), [], {"hst_a": "HST", "hst_b": "HST"}, 7)
    assert len(found) == 3 and found["id"].is_unique and set(found["psf"]) == {"hst_a", "hst_b"}


def test_doubles_where_there_are_no_quads():
    assert len(choose_examples(catalogue().assign(n_images=2), [], LABELS, 7)) == 3


def test_named_systems_in_their_order():
    names = ["keck_a-train-000003", "hst_a-test-000001"]
    assert choose_examples(catalogue(), names, LABELS, 7)["id"].tolist() == names


def test_an_unknown_name_is_named():
    with pytest.raises(LensvitError, match="hst_z-test-000001"):
        choose_examples(catalogue(), ["hst_a-test-000001", "hst_z-test-000001"], LABELS, 7)


def test_an_empty_test_split_is_said():
    systems = catalogue()
    with pytest.raises(LensvitError, match="test split is empty"):
        choose_examples(systems[systems["split"] == "train"], [], LABELS, 7)


def test_the_choice_needs_no_torch():
    code = "import sys, lensvit.chapters.data.examples; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
