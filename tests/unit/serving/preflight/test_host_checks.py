"""What is told of a machine, with one thing wrong at a time."""

from dataclasses import replace
from typing import Any

import pytest

from serving.preflight.host_facts import Rdma, Weights
from tests.unit.serving.preflight.right import (
    DISTILL,
    GIB,
    NANO,
    R1,
    R1_TWO_NODES,
    case_of,
    gpu_of,
    host_of,
    on_machine,
    told,
    wrong,
)


def test_a_right_machine_has_nothing_to_mend() -> None:
    case = case_of(ports={"api": 8080})
    assert wrong(on_machine(case, host_of(case))) == []


def test_a_machine_without_gpus_is_right_for_the_nano_models() -> None:
    case = case_of(NANO)
    host = host_of(case, gpus=None, gpu_problem="no driver", driver=None, rdma=(), open_files=20000)
    assert wrong(on_machine(case, host)) == []


@pytest.mark.parametrize(
    ("check", "changes", "sentence"),
    [
        ("gpu-count", {"gpus": None, "gpu_problem": "no driver"}, "no driver"),
        ("gpu-count", {"gpus": (gpu_of(0), gpu_of(1))}, "2 GPUs, but 8"),
        ("gpu-product", {"gpus": (gpu_of(name="NVIDIA H20"),) * 8}, "NVIDIA H20"),
        ("gpu-memory", {"gpus": (gpu_of(memory_bytes=70 * GIB),) * 8}, "70 GiB, 8xh200 means"),
        ("gpu-memory", {"gpus": (gpu_of(free_bytes=9 * GIB),) * 8}, "9 GiB are free"),
        ("gpu-sliced", {"gpus": (gpu_of(sliced=True),) * 8}, "MIG"),
        ("gpu-health", {"gpus": (gpu_of(uncorrected_errors=3),) * 8}, "could not be corrected"),
        ("driver", {"driver": "570.86.15"}, "driver 570.86.15"),
        ("driver", {"driver": "?"}, "can't be read"),
        ("interconnect", {"gpus": (gpu_of(links=0),) * 8}, "no NVLink"),
        ("interconnect", {"gpus": (gpu_of(fabric_ready=False),) * 8}, "fabric"),
        ("nccl", {"environment": {"NCCL_P2P_DISABLE": "1"}}, "host memory"),
        ("nccl", {"environment": {"NCCL_SOCKET_IFNAME": "ib"}}, "none of eth0, lo"),
        ("engine-settings", {"environment": {"VLLM_SERVER_DEV_MODE": "1"}}, "routes are open"),
        ("host-memory", {"memory_bytes": 32 * GIB}, "32 GiB, but 58"),
        ("host-memory", {"available_bytes": 32 * GIB}, "32 GiB are free"),
        ("host-memory", {"memory_bytes": None}, "can't be looked at"),
        ("shm", {"shm_bytes": 64 * 1024**2}, "64 MiB are free"),
        ("shm", {"shm_bytes": None}, "can't be looked at"),
        ("open-files", {"open_files": 1024}, "1024 for each"),
        ("open-files", {"open_files": None}, "can't be looked at"),
        ("versions", {"packages": {"ray": "2.60.0", "torch": "2.13.0"}}, "not installed"),
        (
            "versions",
            {"packages": {"ray": "2.60.0", "torch": "2.12.0+cu130", "vllm": "0.29.0"}},
            "made for 2.13.0",
        ),
        ("compiler", {"compiler": False}, "no C++ compiler"),
        ("ports", {"ports": None}, "can't be looked at"),
    ],
)
def test_one_thing_wrong(check: str, changes: dict[str, Any], sentence: str) -> None:
    case = case_of()
    findings = on_machine(case, host_of(case, **changes))
    assert {name for _, name in told(findings)} == {check}
    found = next(each for each in findings if each.id == check and each.mend)
    assert sentence in found.found


def test_gpus_that_others_hold_are_only_mentioned_where_the_rest_suffices() -> None:
    case = case_of(DISTILL)
    gpus = (gpu_of(0, free_bytes=GIB), *(gpu_of(index) for index in range(1, 8)))
    findings = on_machine(case, host_of(case, gpus=gpus))
    assert told(findings) == set()
    held = next(each for each in findings if each.id == "gpu-memory")
    assert (held.severity, held.subject) == ("info", "GPU 0")


def test_gpus_without_a_name_are_not_judged_by_it() -> None:
    case = case_of()
    gpus = tuple(gpu_of(index, name="AMD GPU") for index in range(8))
    assert told(on_machine(case, host_of(case, gpus=gpus))) == set()


def test_ports_that_are_taken_are_named_with_their_owner() -> None:
    case = case_of(ports={"api": 8080, "serve": 8000})
    findings = on_machine(case, host_of(case, ports={8080: "process 7 (nginx)", 8000: ""}))
    taken = [each for each in findings if each.id == "ports"]
    assert [(each.subject, each.found) for each in taken] == [
        ("api", "port 8080 is taken by process 7 (nginx)"),
        ("serve", "port 8000 is taken by another process"),
    ]


def weights_of(**changes: Any) -> dict[str, Weights]:
    """Nothing of DeepSeek-R1 is there yet."""
    nothing = Weights("/cache", problem="there is no such folder", free_bytes=2000 * GIB)
    return {"deepseek-r1": replace(nothing, **changes)}


def test_weights_that_have_to_be_fetched_are_mentioned() -> None:
    case = case_of()
    findings = on_machine(case, host_of(case, weights=weights_of()))
    assert told(findings) == set()
    found = next(each.found for each in findings if each.id == "weights")
    assert found == "641 GiB of deepseek-ai/DeepSeek-R1@main will be fetched at the first start"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"free_bytes": 100 * GIB}, {("error", "disk")}),
        ({"free_bytes": 100 * GIB, "bytes": 600 * GIB}, set()),
        ({"free_bytes": 100 * GIB, "droppable_bytes": 600 * GIB}, {("warning", "disk")}),
        ({"limit_bytes": 100 * GIB}, {("error", "disk")}),
        ({"limit_bytes": 700 * GIB}, set()),
        ({"free_bytes": None}, {("warning", "disk")}),
    ],
)
def test_weights_that_have_to_be_fetched_need_room(
    changes: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    case = case_of()
    findings = on_machine(case, host_of(case, weights=weights_of(**changes)))
    assert told(findings) == expected


def test_a_folder_whose_weights_are_not_whole() -> None:
    case = case_of(NANO)
    there = Weights("/w", problem="config.json: missing")
    findings = on_machine(case, host_of(case, weights={"r1-nano": there}))
    assert told(findings) == {("error", "weights")}
    found = next(each.found for each in findings if each.id == "weights")
    assert found == "/w is not whole: config.json: missing"


def test_a_token_is_needed_for_gated_weights() -> None:
    case = case_of()
    demand = case.demands[0]
    licence = demand.model.licence.model_copy(update={"gated": True})
    gated = replace(demand, model=demand.model.model_copy(update={"licence": licence}))
    case = replace(case, demands=(gated,))
    assert told(on_machine(case, host_of(case))) == {("error", "hub-token")}
    assert told(on_machine(case, host_of(case, hub_token=True))) == set()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"rdma": (Rdma("mlx5_0", active=False),)}, {("error", "interconnect")}),
        ({"rdma": ()}, {("error", "interconnect")}),
        ({"locked_bytes": 65536}, {("error", "locked-memory")}),
        ({"locked_bytes": None}, {("warning", "locked-memory")}),
        ({"environment": {"NCCL_IB_DISABLE": "1"}}, {("error", "nccl")}),
        ({"environment": {"NCCL_IB_HCA": "mlx5_1"}}, {("error", "nccl")}),
        ({"environment": {"NCCL_IB_HCA": "mlx5"}}, set()),
    ],
)
def test_a_machine_that_is_one_of_two(
    changes: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    case = case_of(R1_TWO_NODES)
    h100s = tuple(
        gpu_of(index, name="NVIDIA H100 80GB HBM3", memory_bytes=80 * GIB, free_bytes=79 * GIB)
        for index in range(8)
    )
    assert told(on_machine(case, host_of(case, gpus=h100s, **changes))) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (frozenset({"sse4_2"}), {("error", "processor")}),
        (frozenset({"avx2"}), set()),
        (None, {("warning", "processor")}),
    ],
)
def test_engines_on_processors_need_their_instructions(
    flags: frozenset[str] | None, expected: set[tuple[str, str]]
) -> None:
    case = case_of(NANO)
    assert told(on_machine(case, host_of(case, cpu_flags=flags))) == expected
    arm = host_of(case, cpu_flags=frozenset(), architecture="aarch64")
    assert told(on_machine(case, arm)) == set()


def test_replicas_add_up() -> None:
    case = case_of({**R1, "replicas": 2})
    assert told(on_machine(case, host_of(case))) == {("error", "gpu-count")}
