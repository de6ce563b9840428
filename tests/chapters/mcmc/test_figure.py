"""Figure 5 shows what there is: all methods, or the networks alone where no chain has converged."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.mcmc.figure import figure5, from_pixels, read_chain
from lensvit.chapters.mcmc.table import CHAINS
from lensvit.errors import LensvitError
from lensvit.figures.corner import draw, read_exact, read_laplace
from lensvit.io.tables import REFINED
from lensvit.parameters import NAMES, TARGET_NAMES
from tests.builders import filled
from tests.chapters.exact import write_exact

TRUTH = np.linspace(0.5, 1.5, len(TARGET_NAMES))


@pytest.fixture
def run(tmp_path):
    """Two systems, of which the second has a converged chain; draws; a refined estimate of both."""
    rng, ids = np.random.default_rng(1), ["a", "b"]
    rows = [{"id": name, "start": start, "converged": name == "b"} for name in ids for start in ("prior", "network")]
    truths = {f"{name}_truth": value for name, value in zip(TARGET_NAMES, TRUTH, strict=True)}
    table = pd.DataFrame(rows).assign(**truths)
    filled(table.assign(reason=np.where(table["converged"], "", "short")), CHAINS).to_parquet(tmp_path / "mcmc.parquet")
    samples = rng.normal(size=(4, 60, len(NAMES))) * 0.01
    samples[..., : len(TARGET_NAMES)] += TRUTH
    with h5py.File(tmp_path / "mcmc.h5", "w") as file:
        file["id"], file["samples"] = [row["id"] for row in rows], samples
    with h5py.File(tmp_path / "vit.h5", "w") as file:
        file["id"], file["draws"] = ids, TRUTH + rng.normal(size=(40, 2, len(TARGET_NAMES)))
    filled(pd.DataFrame({"id": ids, "converged": [False, True]}), REFINED).to_parquet(tmp_path / "refined.parquet")
    with h5py.File(tmp_path / "refined.h5", "w") as file:
        file["id"], file["coordinates"] = ids, samples[:2, 0]
        file["covariance"] = np.tile(np.eye(len(NAMES)) * 1e-4, (2, 1, 1))
    systems = pd.DataFrame({"id": ids, "instrument": "hst", **truths})
    write_exact(tmp_path / "importance.parquet", systems, samples[2:] + 1e-3, [False, True])
    (tmp_path / "figure5.yaml").write_text(yaml.safe_dump({"options": {"vit": "ViT"}}))
    return tmp_path


def test_the_same_inputs_give_the_same_bytes(run):
    for name in ("one", "two"):
        outputs = [run / name / f"figure5.{suffix}" for suffix in ("pdf", "png")]
        figure5(
            run / "figure5.yaml",
            run / "mcmc.parquet",
            [run / "vit.h5"],
            outputs,
            run / "refined.parquet",
            run / "importance.parquet",
        )
    for suffix in ("pdf", "png"):
        first, second = ((run / name / f"figure5.{suffix}").read_bytes() for name in ("one", "two"))
        assert first == second and len(first) > 10_000


def test_the_chain_of_the_network_is_shown(run):
    row, samples = read_chain(run / "mcmc.parquet")
    assert (row["id"], row["start"]) == ("b", "network")
    with h5py.File(run / "mcmc.h5") as file:
        np.testing.assert_array_equal(samples, file["samples"][3, :, : len(TARGET_NAMES)])


def test_panels_reach_as_far_as_their_method(run):
    rng = np.random.default_rng(2)
    networks = {name: TRUTH + sigma * rng.normal(size=(500, len(TRUTH))) for name, sigma in (("vit", 1), ("resnet", 2))}
    samples = TRUTH + 0.01 * rng.normal(size=(300, len(TRUTH)))
    exact = read_exact(run / "importance.parquet", "b")
    shown = from_pixels(samples, exact, read_laplace(run / "refined.parquet", "b"))
    figure = draw(TRUTH, networks, shown, {})
    panels = np.array(figure.axes).reshape(len(TRUTH), len(TRUTH))
    for mean, axis in ((TRUTH[1], panels[1, 0].get_ylim()), (TRUTH[0], panels[1, 0].get_xlim())):
        assert axis[0] < mean - 4 and mean + 4 < axis[1]
    assert len(panels[1, 0].patches) == 4 and len(panels[0, 1].patches) == 6  # two ellipses of each method
    offset = (exact.mean(0) - samples.mean(0)) / samples.std(0, ddof=1)
    assert panels[0, 1].patches[2].center == pytest.approx(offset[[1, 0]])
    assert panels[0, 1].get_xlim() == (-4.2, 4.2)
    assert [text.get_text() for text in figure.legends[0].get_texts()][-3:] == [
        "Exact posterior", "Refined (Laplace)", "Truth",
    ]  # fmt: skip


def test_without_a_converged_chain_the_networks_stand_alone(run):
    table = pd.read_parquet(run / "mcmc.parquet").assign(converged=False, reason="short")
    table.to_parquet(run / "mcmc.parquet")
    row, samples = read_chain(run / "mcmc.parquet")
    assert row["id"] == "a" and samples is None and read_laplace(run / "refined.parquet", "a") is None
    assert read_exact(run / "importance.parquet", "a") is None and from_pixels(None, np.ones((3, 8)), None) == []
    figure = draw(TRUTH, {"vit": TRUTH + np.random.default_rng(3).normal(size=(50, len(TRUTH)))}, [], {})
    assert not figure.axes[1].axison and figure.axes[len(TRUTH)].axison


def test_the_file_beside_a_table_is_named(run):
    for name in ("refined", "importance", "mcmc"):
        with h5py.File(run / f"{name}.h5", "a") as file:
            file["id"][:] = [f"x{row}" for row in range(len(file["id"]))]
    for read in (read_laplace, read_exact):
        name = {read_laplace: "refined", read_exact: "importance"}[read]
        with pytest.raises(LensvitError, match=rf"{name}.h5 has nothing of the system b"):
            read(run / f"{name}.parquet", "b")
    with pytest.raises(LensvitError, match=r"mcmc.h5 is .* \(it has other systems than the table beside it\)"):
        read_chain(run / "mcmc.parquet")


def test_files_that_are_not_there(run):
    arguments = run / "figure5.yaml", run / "mcmc.parquet"
    with pytest.raises(LensvitError, match="there is no file"):
        figure5(*arguments, [run / "absent.h5"], [run / "f.pdf"])
    with h5py.File(run / "vit.h5", "a") as file:
        del file["id"]
        file["id"] = ["x", "y"]
    with pytest.raises(LensvitError, match="nothing of the system b"):
        figure5(*arguments, [run / "vit.h5"], [run / "f.pdf"])
