import re
import socket

import pytest
import yaml

from lensvit.doctor import slurm

TAKERS = [*slurm.ON_GPUS, *slurm.ON_GPUS_OF_SHIFT]
GPUS = "echo 'cpu* (null)'; echo 'gpu gpu:a100:4(S:0-1)'; echo 'gpu gpu:2'; echo 'parts gpu:1g.5gb:7,shard:4'"


def found(case):
    return {answer.what: answer for answer in slurm.slurm(case)}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, programs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "SECONDS", 5.0)


@pytest.fixture
def profile(tmp_path):
    def write(text):
        path = tmp_path / slurm.PROFILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def sent(*rules):
    """A profile that sends rules to the partition with GPUs."""
    return yaml.safe_dump({"set-resources": {rule: {"slurm_partition": "gpu"} for rule in rules}})


def test_no_slurm(case):
    assert found(case())["SLURM"].verdict == "right"
    answer = found(case(models={"vit": {"nodes": 2}}))["SLURM"]
    assert answer.stops and "models.vit has nodes above 1" in answer.said


def test_a_login_node(case, programs, profile):
    programs("sinfo", GPUS)
    profile(sent(*TAKERS))
    answers = found(case())
    assert answers["SLURM partitions"].said == "cpu*: no GPUs; gpu: a100, gpu; parts: 1g.5gb"
    assert answers["srun"].verdict == "unknown" and answers[str(slurm.PROFILE)].verdict == "right"
    assert slurm.is_login_node() and "host name" not in answers
    assert "srun" not in found(case(device="cpu"))


def test_slurm_that_gives_no_answer(case, programs):
    programs("sinfo", "echo Unable to contact slurm controller >&2; exit 1")
    answers = found(case())
    assert list(answers) == ["SLURM partitions"]
    assert answers["SLURM partitions"].verdict == "unknown" and "Unable to contact" in answers["SLURM partitions"].said
    assert not slurm.is_login_node()


def test_slurm_without_gpus(case, programs):
    programs("sinfo", "echo 'main* (null)'")
    assert found(case())["SLURM partitions"].stops
    assert found(case(device="cpu"))["SLURM partitions"].verdict == "right"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("set-resources: {train: {slurm_partition: gpus}}", "train asks for the partition gpus; sinfo shows cpu, gpu,"),
        ("default-resources: {slurm_partition: big}", "default-resources asks for the partition big"),
        ("default-resources: {mem_mb: 1}", "train goes to the partition cpu, which has no GPUs"),
        ("set-resources: {train: {slurm_partition: gpu, gpu_model: h100}}", "gpu_model: h100 .* has a100, gpu: name"),
        ("set-resources: {evaluate: {slurm_partition: cpu, gpu_model: a100}}", "has no GPUs"),
    ],
)
def test_a_profile_that_the_cluster_does_not_fit(case, programs, profile, text, said):
    programs("sinfo", GPUS)
    profile(text)
    answer = found(case())[str(slurm.PROFILE)]
    assert answer.stops and re.search(said, answer.said), answer.said


@pytest.mark.parametrize(
    "text",
    [
        "default-resources: {slurm_partition: gpu}",
        "{default-resources: {slurm_partition: 'cpu,gpu'}, set-resources: {train: {gpu_model: A100}}}",
        "{default-resources: {slurm_partition: gpu}, set-resources: {psf: {slurm_partition: cpu}}}",
        sent(*TAKERS),
    ],
)
def test_a_profile_that_fits(case, programs, profile, text):
    programs("sinfo", GPUS)
    profile(text)
    answer = found(case())[str(slurm.PROFILE)]
    assert answer.verdict == "right", answer.said


@pytest.mark.parametrize("rule", TAKERS)
def test_every_rule_that_takes_a_gpu_needs_a_partition_with_some(case, programs, profile, rule):
    programs("sinfo", GPUS)
    profile(sent(*(name for name in TAKERS if name != rule)))
    answer = found(case())[str(slurm.PROFILE)]
    assert answer.stops and f"{rule} goes to the partition cpu, which has no GPUs" in answer.said
    assert found(case(device="cpu"))[str(slurm.PROFILE)].verdict == "right"


def test_only_a_run_with_the_part_shift_has_its_rules(case, programs, profile):
    programs("sinfo", GPUS)
    profile(sent(*slurm.ON_GPUS))
    assert found(case())[str(slurm.PROFILE)].stops
    assert found(case(shift={"enabled": False}))[str(slurm.PROFILE)].verdict == "right"


@pytest.mark.parametrize(
    "text",
    ["default-resources: ['slurm_partition=gpu']", "set-resources: ['train:slurm_partition=gpu']"],
)
def test_a_profile_of_lists_is_not_judged(case, programs, profile, text):
    programs("sinfo", GPUS)
    profile(text)
    answer = found(case())[str(slurm.PROFILE)]
    assert answer.verdict == "unknown"
    assert answer.said == "default-resources or set-resources is a list, which is not read: write key: value"


def test_a_profile_with_keys_and_nothing_behind_them(case, programs, profile):
    programs("sinfo", GPUS)
    profile("default-resources:\nset-resources:\n")
    assert "train goes to the partition cpu" in found(case())[str(slurm.PROFILE)].said


def test_within_an_allocation_a_profile_does_not_stop_the_run(case, programs, profile, monkeypatch):
    programs("sinfo", GPUS)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for text in ("default-resources: {mem_mb: 1}", "default-resources: {slurm_partition: big}",
                 "default-resources: {slurm_partition: gpu, gpu_model: h100}"):  # fmt: skip
        profile(text)
        answer = found(case(device="gpu"))[str(slurm.PROFILE)]
        assert answer.verdict == "wrong" and not answer.stops


def test_a_profile_that_cannot_be_read(case, programs, profile):
    programs("sinfo", GPUS)
    assert found(case())[str(slurm.PROFILE)].verdict == "unknown"
    profile("[")
    assert found(case())[str(slurm.PROFILE)].verdict == "unknown"


@pytest.mark.parametrize(
    ("script", "verdict", "stops", "said"),
    [
        ("echo a line of a module; echo 4", "right", False, "sees 4"),
        ("echo 2", "wrong", False, "sees 2 GPUs, and models.vit asks for 4"),
        ("echo 0", "wrong", True, "no GPU"),
        ("echo execve: No such file >&2; exit 2", "wrong", False, "No such file"),
        ("echo nothing", "unknown", False, "does not say"),
        (None, "wrong", False, "there is no srun here; a model with nodes above 1 would need it"),
    ],
)
def test_what_srun_sees_in_an_allocation(case, programs, monkeypatch, script, verdict, stops, said):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    if script:
        programs("srun", script)
    answer = found(case(models={"vit": {"gpus": 4}}))["srun"]
    assert (answer.verdict, answer.stops) == (verdict, stops) and said in answer.said
    assert "srun" not in found(case(device="cpu"))


def test_a_model_over_nodes_needs_srun(case, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    answer = found(case(models={"vit": {"nodes": 2}}))["srun"]
    assert answer.stops and "there is no srun here; models.vit needs it" in answer.said


@pytest.mark.parametrize(
    ("address", "nodes", "verdict", "stops"),
    [("10.0.0.7", 2, "right", False), ("127.0.1.1", 2, "wrong", True), ("127.0.1.1", 1, "wrong", False)],
)
def test_the_name_of_this_node(case, programs, monkeypatch, address, nodes, verdict, stops):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for name in ("MASTER_ADDR", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "gethostbyname", lambda name: address)
    answer = found(case(device="cpu", models={"vit": {"nodes": nodes}}))["host name"]
    assert (answer.verdict, answer.stops) == (verdict, stops)
