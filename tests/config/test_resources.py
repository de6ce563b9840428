"""What trainings ask a machine for."""

import pytest

from lensvit.config.resources import DRAWING, PROCESS, check_gpus, training_memory
from lensvit.config.run import validate
from lensvit.errors import LensvitError
from tests.config.configs import changed, content

IMAGES = 27_000 * 224**2 * 4 / 1e6  # MB of the paper's training images at the input's side
VALIDATION = IMAGES / 9


SIDES = {name: camera["pixels"] for name, camera in content()["instruments"].items()}
SMALL = {name: {"image_size": 40, "recipe": "improved"} for name in ("vit", "resnet")}


def trained_by(gpus=1, nodes=1, device="gpu", recipe="paper", **more):
    network = {"gpus": gpus, "nodes": nodes, "recipe": recipe}
    paper = {"data": {"train": 27_000, "validation": 3_000}, "device": device, "models": {"vit": network}}
    return validate(changed({**paper, **more}))


@pytest.mark.parametrize("gpus", [1, 4])
@pytest.mark.parametrize("nodes", [1, 2])
def test_memory_of_a_node_grows_with_its_processes(gpus, nodes):
    asked = training_memory(trained_by(gpus, nodes), "vit")
    assert asked == pytest.approx(gpus * (PROCESS["gpu"] + IMAGES + VALIDATION), abs=1 + gpus)


def test_memory_is_that_of_the_images_as_they_are_kept():
    fixed = training_memory(trained_by(device="cpu", gpus=4), "vit")  # of which a CPU has no use
    assert fixed == pytest.approx(PROCESS["cpu"] + IMAGES + VALIDATION, abs=2)
    # fresh noise on images that are no multiple of the input: kept as simulated, three PSFs of each camera
    fresh = training_memory(trained_by(recipe="improved"), "vit")
    native = 27_000 * (SIDES["hst"] ** 2 + SIDES["keck"] ** 2) / 2 * 4 / 1e6
    assert fresh == pytest.approx(PROCESS["gpu"] + native + VALIDATION, abs=2)
    # in whole blocks: an image of the input's side, and its variance
    blocks = trained_by(recipe="improved", recipes={"improved": {"resize": "graded"}}, models=SMALL)
    assert training_memory(blocks, "vit") == pytest.approx(
        PROCESS["gpu"] + (2 * 27_000 + 3_000) * 40**2 * 4 / 1e6, abs=2
    )
    streamed = training_memory(trained_by(training={"stream": True}), "vit")
    assert streamed == pytest.approx(PROCESS["gpu"] + VALIDATION + DRAWING, abs=2)


@pytest.mark.parametrize(("gpus", "nodes", "drawing"), [(1, 1, 1), (4, 1, 1), (4, 2, 4), (1, 2, 1)])
def test_processes_that_draw_ahead_are_as_many_as_threads(gpus, nodes, drawing):
    asked = training_memory(trained_by(gpus, nodes, training={"stream": True}), "vit")
    assert asked == pytest.approx(gpus * (PROCESS["gpu"] + VALIDATION) + drawing * DRAWING, abs=1 + gpus)


@pytest.mark.parametrize(("gpus", "nodes", "bound"), [(4, 1, 1), (2, 2, 3)])
def test_more_gpus_than_snakemake_may_use_are_refused(gpus, nodes, bound):
    run = trained_by(gpus, nodes)
    with pytest.raises(LensvitError, match=rf"models.vit is trained by 4 GPUs.* {bound} at once: --resources gpu=4"):
        check_gpus(run, bound)
    check_gpus(run, 4)
    check_gpus(run, None)
    check_gpus(trained_by(gpus, nodes, device="cpu"), bound)
