"""One table of all systems; damaged and repeated files are named."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from lensvit.errors import LensvitError
from lensvit.io import files
from lensvit.io.tables import CATALOG
from lensvit.parameters import TARGET_NAMES
from lensvit.simulation.catalog import catalog


def write_chunk(folder, psf, split, first, count):
    """An image file as the simulation writes it, with random numbers for parameters."""
    path = folder / psf / f"{split}-{first // count:04d}.h5"
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng([first, *psf.encode(), *split.encode()])
    text = {"id": [f"{psf}-{split}-{i:06d}" for i in range(first, first + count)], "psf": psf, "split": split}
    text["chunk"] = path.stem
    with h5py.File(path, "w") as file:
        file["image"] = rng.normal(size=(count, 8, 8)).astype(np.float32)
        for name in CATALOG:
            if name in text:
                values = text[name] if name == "id" else [text[name]] * count
                file.create_dataset(f"systems/{name}", data=values, dtype=h5py.string_dtype())
            elif name in ("row", "n_images", "seed", "redraws"):
                file[f"systems/{name}"] = np.arange(count)
            else:
                file[f"systems/{name}"] = rng.normal(size=count)
    return path


@pytest.fixture
def chunks(tmp_path):
    return [
        write_chunk(tmp_path, psf, split, first, 5)
        for psf in ("hst", "keck")
        for split, first in (("train", 0), ("train", 5), ("test", 0))
    ]


def run(chunks, folder):
    catalog(list(chunks), folder / "catalog.parquet", folder / "scaler.json")
    return pd.read_parquet(folder / "catalog.parquet"), json.loads((folder / "scaler.json").read_text())


def test_all_systems_in_order_whatever_the_order_of_files(chunks, tmp_path):
    table, _ = run(chunks, tmp_path)
    first = (tmp_path / "catalog.parquet").read_bytes()
    assert tuple(table.columns) == CATALOG and len(table) == 30
    assert table.equals(table.sort_values(["psf", "split", "id"], ignore_index=True))
    assert files.manifest_path(tmp_path / "catalog.parquet").exists()
    run(reversed(chunks), tmp_path)
    assert (tmp_path / "catalog.parquet").read_bytes() == first


def test_a_row_points_at_its_image(chunks, tmp_path):
    table, _ = run(chunks, tmp_path)
    row = table[table["id"] == "keck-train-000007"].iloc[0]
    with h5py.File(tmp_path / row["psf"] / f"{row['chunk']}.h5") as file:
        assert file["systems/id"].asstr()[row["row"]] == "keck-train-000007"
        assert file["systems/gamma"][row["row"]] == row["gamma"]


def test_scaler_is_the_training_sets(chunks, tmp_path):
    table, scaler = run(chunks, tmp_path)
    training = table[table["split"] == "train"]
    assert list(scaler["mean"]) == list(scaler["sd"]) == list(TARGET_NAMES)
    for name in TARGET_NAMES:
        assert scaler["mean"][name] == pytest.approx(np.mean(training[name].to_numpy()))
        assert scaler["sd"][name] == pytest.approx(np.std(training[name].to_numpy()))


def test_a_truncated_file_is_named(chunks, tmp_path):
    content = chunks[3].read_bytes()
    for length in (len(content) // 2, 100, 0):
        chunks[3].write_bytes(content[:length])
        with pytest.raises(LensvitError, match=f"{chunks[3].name} is truncated or broken: delete it and run"):
            run(chunks, tmp_path)
    assert not (tmp_path / "catalog.parquet").exists()


def test_an_absent_file_is_named(chunks, tmp_path):
    chunks[0].unlink()
    with pytest.raises(LensvitError, match="there is no image file"):
        run(chunks, tmp_path)


def test_a_missing_column_is_named(chunks, tmp_path):
    with h5py.File(chunks[0], "a") as file:
        del file["systems/gamma"]
    with pytest.raises(LensvitError, match=r"delete it.*gamma"):
        run(chunks, tmp_path)


def test_fewer_systems_than_images(chunks, tmp_path):
    with h5py.File(chunks[0], "a") as file:
        del file["image"]
        file["image"] = np.zeros((4, 8, 8))
    with pytest.raises(LensvitError, match="4 images"):
        run(chunks, tmp_path)


def test_an_id_in_two_files(chunks, tmp_path):
    with pytest.raises(LensvitError, match="hst-train-000000 occurs in two"):
        run([*chunks, chunks[0]], tmp_path)


def test_no_training_system(chunks, tmp_path):
    with pytest.raises(LensvitError, match=r"data.train"):
        run([path for path in chunks if path.name.startswith("test")], tmp_path)
