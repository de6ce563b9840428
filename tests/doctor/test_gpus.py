import os
import warnings

import pytest
import torch

from lensvit.doctor import gpus as looks
from lensvit.jobs import devices

SMI = """case "$*" in
*query-gpu*) echo "GPU-A, {driver}, 20000"; echo "GPU-B, {driver}, [N/A]";;
*) {apps};;
esac"""


def smi(programs, driver="580.65.06", apps="true"):
    programs("nvidia-smi", SMI.format(driver=driver, apps=apps))


def one(look, case):
    (answer,) = look(case)
    return answer


def test_torch_for_cuda_and_for_none(case, gpus):
    gpus()
    assert "built for CUDA 13.2" in one(looks.libraries, case()).said
    gpus(cuda=None)
    assert one(looks.libraries, case(device="cpu")).verdict == "right"
    answer = one(looks.libraries, case())
    assert answer.stops and "not built for CUDA: install one that is" in answer.said


@pytest.mark.parametrize(
    ("driver", "cuda", "seen", "verdict", "stops"),
    [
        ("580.65.06", "13.2", ("A", "B"), "right", False),
        ("535.104.05", "13.2", (), "wrong", True),
        ("535.104.05", "12.6", ("A",), "right", False),
        ("535.104.05", "13.2", ("A",), "right", False),  # a package of compatibility
        ("[N/A]", "13.2", (), "unknown", False),
        ("580.65.06", "99.1", ("A",), "unknown", False),
        ("580.65.06", None, (), "unknown", False),
    ],
)
def test_the_driver(case, gpus, programs, driver, cuda, seen, verdict, stops):
    gpus(*seen, cuda=cuda)
    smi(programs, driver)
    answer = one(looks.driver, case())
    assert (answer.verdict, answer.stops) == (verdict, stops)
    if stops:
        assert "needs 580 or newer: renew the driver, or install torch for an older CUDA" in answer.said


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "there is no nvidia-smi here"),
        ("echo NVIDIA-SMI has failed >&2; exit 9", "nvidia-smi ends with status 9 (NVIDIA-SMI has failed)"),
        ("exec /bin/sleep 20", "no answer within"),
        ("echo No devices were found", "nvidia-smi shows no GPU"),
    ],
)
def test_a_driver_that_does_not_tell(case, gpus, programs, monkeypatch, script, said):
    gpus()
    monkeypatch.setattr(looks, "SECONDS", 0.5)
    if script:
        programs("nvidia-smi", script)
    answer = one(looks.driver, case())
    assert answer.verdict == "unknown" and said in answer.said
    assert not one(looks.driver, case(device="cpu")).stops


def test_each_card_has_a_line(case, gpus, programs):
    gpus("A", "B")
    smi(programs)
    first, second = looks.cards(case())
    assert first.said == "a card, 80.0 GB of memory, 20.0 in use, compute capability 9.0"
    assert second.verdict == "right" and "0.0 in use" in second.said
    gpus("A", major=7)
    assert "no bfloat16: set precision: 32-true" in one(looks.cards, case()).said


@pytest.mark.parametrize(
    ("device", "recipes", "evaluation", "verdict"),
    [
        ("gpu", "auto", "32-true", "wrong"),
        ("gpu", "32-true", "auto", "wrong"),
        ("gpu", "32-true", "32-true", "right"),
        ("cpu", "bf16-mixed", "bf16-mixed", "right"),
    ],
)
def test_a_card_without_bfloat16_for_what_wants_it(case, gpus, programs, device, recipes, evaluation, verdict):
    gpus("A", major=7)
    precision = {name: {"precision": recipes} for name in ("paper", "improved")}
    answer = one(looks.cards, case(device=device, recipes=precision, evaluation={"precision": evaluation}))
    assert answer.verdict == verdict


def test_gpus_without_nvidia_smi(case, gpus, programs):
    gpus("A")  # as in a container
    answer = one(looks.driver, case())
    assert answer.verdict == "right" and answer.said == "there is no nvidia-smi here; torch sees GPUs all the same"


def test_no_gpu(case, gpus, programs, root):
    gpus()
    answer = one(looks.device, case())
    assert answer.stops and "torch sees no GPU here" in answer.said
    answer = one(looks.device, case(device="cpu"))
    assert answer.verdict == "right" and "device: gpu would stop here" in answer.said
    programs("sinfo", "echo 'gpu* gpu:4'")
    answer = one(looks.device, case())
    assert answer.verdict == "unknown" and "srun --gpus=1" in answer.said
    programs("sinfo", "exit 1")
    assert one(looks.device, case()).stops


def test_which_gpus_are_taken(case, gpus, programs, monkeypatch, tmp_path):
    gpus("A", "B", "C")
    smi(programs)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2,3")
    answer = one(looks.device, case())
    assert answer.verdict == "right" and "takes GPU 0" in answer.said and "is '1,2,3'" in answer.said
    with devices.free_slots(["A"], 1, tmp_path):
        answer = one(looks.device, case())
        assert "GPU 0 is taken by process" in answer.said and "takes GPU 1" in answer.said
        answer = one(looks.device, case(models={"vit": {"gpus": 3}}))
        assert answer.verdict == "wrong" and "waits until 3 are free" in answer.said and not answer.stops
    answer = one(looks.device, case(models={"vit": {"gpus": 4}}))
    assert answer.stops and "models.vit asks for 4: lower its gpus" in answer.said
    answer = one(looks.device, case(device="cpu", models={"vit": {"gpus": 4}}))
    assert not answer.stops


def test_what_computes_on_a_gpu_without_a_lock_is_named(case, gpus, programs):
    gpus("A")
    own = f"echo 'GPU-A, {os.getpid()}, python, 300'"
    smi(programs, apps=f"{own}; echo 'GPU-A, 77, python, 30000'; echo 'GPU-B, 78, x, 1'; echo nonsense")
    answer = one(looks.device, case())
    assert answer.verdict == "wrong" and not answer.stops
    assert "where process 77 (python, 30000 MB) computes too" in answer.said
    smi(programs, apps=own)
    assert one(looks.device, case()).verdict == "right"


def test_what_a_scheduler_has_given(case, gpus, programs, monkeypatch, tmp_path):
    gpus("A")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with devices.free_slots(["A"], 1, tmp_path):
        assert "takes those that the scheduler has given" in one(looks.device, case()).said


def test_a_warning_of_torch_is_no_line_of_its_own(case, gpus, programs, monkeypatch, recwarn):
    gpus()

    def warn():
        warnings.warn("the driver is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warn)
    one(looks.device, case())
    assert not recwarn.list
