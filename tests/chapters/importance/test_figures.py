"""Figures of exact posteriors show one system by every method, and which methods are calibrated."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from lensvit.chapters.importance.coverage_figure import draw, figure9, of_laplace, of_samples, shared_systems
from lensvit.chapters.importance.figure import figure8
from lensvit.errors import LensvitError
from lensvit.figures import style
from lensvit.figures.panels import JOINT
from lensvit.io.tables import REFINED
from lensvit.parameters import NAMES, TARGET_COLUMNS, TARGET_NAMES
from lensvit.statistics import calibration
from tests.builders import filled
from tests.chapters.exact import write_exact

SYSTEMS, NARROW = 200, 0.6
IDS = [f"s{number}" for number in range(SYSTEMS)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Right exact posteriors, right but wide networks, and fits whose sigmas are too small."""
    folder, rng = tmp_path_factory.mktemp("exact"), np.random.default_rng(3)
    truth = rng.normal(size=(SYSTEMS, len(NAMES)))

    def right(scale, count):
        """Draws (count, n, 14) of Gaussians around means from which the truths scatter likewise."""
        mean = truth + scale * rng.normal(size=truth.shape)
        return mean, mean + scale * rng.normal(size=(count, *truth.shape))

    with h5py.File(folder / "vit.h5", "w") as file:
        file["id"], file["draws"] = IDS, right(1.0, 40)[1][..., TARGET_COLUMNS]
    systems = pd.DataFrame({"id": IDS, **{f"{name}_truth": truth[:, NAMES.index(name)] for name in TARGET_NAMES}})
    mean, samples = right(0.1, 300)
    certified = np.arange(SYSTEMS) % 10 > 0
    write_exact(folder / "importance.parquet", systems, samples.swapaxes(0, 1), certified)
    columns = {f"{name}_mean": mean[:, NAMES.index(name)] for name in TARGET_NAMES}
    columns |= {f"{name}_sigma": NARROW * 0.1 for name in TARGET_NAMES}
    fits = systems.assign(**columns, converged=np.arange(SYSTEMS) % 10 != 1)
    filled(fits, REFINED).to_parquet(folder / "refined.parquet")
    with h5py.File(folder / "refined.h5", "w") as file:
        file["id"], file["coordinates"] = IDS, mean
        file["covariance"] = np.tile(np.eye(len(NAMES)) * (NARROW * 0.1) ** 2, (SYSTEMS, 1, 1))
    (folder / "settings.yaml").write_text(yaml.safe_dump({"options": {"vit": "ViT"}}))
    return folder


def arguments(run, folder, name):
    outputs = [folder / f"{name}.{suffix}" for suffix in ("pdf", "png")]
    return run / "settings.yaml", run / "importance.parquet", [run / "vit.h5"], run / "refined.parquet", outputs


def test_all_methods_are_shown_on_the_same_systems(run):
    systems = shared_systems(run / "importance.parquet", run / "refined.parquet")
    assert len(systems) == 160 and not {"s0", "s1", "s10"} & set(systems.index)
    exact = of_samples(run / "importance.parquet", "samples", systems)
    network = of_samples(run / "vit.h5", "draws", systems)
    fit = of_laplace(run / "refined.parquet", systems)
    assert list(exact) == list(network) == list(fit) == [*TARGET_NAMES, JOINT]
    for name in exact:
        assert len(exact[name]) == len(network[name]) == len(fit[name]) == 160
        assert min(calibration.uniformity(exact[name]), calibration.uniformity(network[name])) > 1e-3
        assert calibration.uniformity(fit[name]) < 1e-3
    figure = draw({"vit": network, "refined": fit, "importance": exact}, 160, {})
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert len(panels) == 9
    for axes in panels.values():
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()[:3]}
        assert np.min(lines["refined"]) < -0.12 < np.min([lines["vit"], lines["importance"]])


def test_the_same_inputs_give_the_same_bytes(run, tmp_path):
    for attempt in ("one", "two"):
        figure9(*arguments(run, tmp_path / attempt, "figure9"))
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / which / f"figure9.{suffix}").read_bytes() for which in ("one", "two"))
        assert first == second and len(first) > 10_000


def test_one_certified_system_is_shown_by_every_method(run, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(style, "save", lambda figure, output: shown.append(figure))
    figure8(*arguments(run, tmp_path, "figure8"))
    labels = [text.get_text() for text in shown[0].legends[0].get_texts()]
    assert labels == ["ViT", "Exact posterior", "Refined (Laplace)", "Truth"]
    table = pd.read_parquet(run / "importance.parquet")
    (tmp_path / "importance.h5").write_bytes((run / "importance.h5").read_bytes())
    table.assign(certified=False, reason="few").to_parquet(tmp_path / "importance.parquet")
    settings, _, *others = arguments(run, tmp_path, "figure8")
    for function in (figure8, figure9):
        function(settings, tmp_path / "importance.parquet", *others)
    assert [text.get_text() for text in shown[1].legends[0].get_texts()] == ["ViT", "Truth"]
    assert "0 systems" in str(shown[2].subfigs[0]._suptitle.get_text())


def test_a_file_that_lacks_a_system_is_named(run, tmp_path):
    with h5py.File(tmp_path / "vit.h5", "w") as file:
        file["id"], file["draws"] = ["x"], np.zeros((40, 1, len(TARGET_NAMES)))
    changed = list(arguments(run, tmp_path, "figure"))
    changed[2] = [tmp_path / "vit.h5"]
    for function in (figure8, figure9):
        with pytest.raises(LensvitError, match="nothing of the system s"):
            function(*changed)
