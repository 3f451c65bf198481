"""What Ray Data's processor is given for a model, a machine and a profile."""

import json
from typing import Any

import pytest

from serving.batch.processor import Job, piece_length, usual_profile
from serving.catalog import Catalog
from serving.engine.args import engine_arguments
from serving.errors import DoesNotFit
from serving.hardware import Machine


def job(
    model: str,
    hardware: str,
    profile: str = "default",
    *,
    lines: int = 100,
    engines: int | None = None,
    address: str | None = None,
    **overrides: Any,
) -> Job:
    found = engine_arguments(
        Catalog.load().resolve(model),
        Machine.load(hardware),
        profile,
        overrides=overrides,
        cpus=[0, 1],
    )
    return Job.of(found, lines=lines, engines=engines, address=address)


def test_a_nano_model_on_a_computer_takes_no_gpu() -> None:
    found = job("r1-nano", "cpu")
    assert found.gpus == 0
    assert found.processor["placement_group_config"] == {"bundles": [{"CPU": 1}]}
    assert found.processor["concurrency"] == (1, 1)
    assert found.processor["accelerator_type"] is None
    assert found.engine["distributed_executor_backend"] == "uni"
    assert found.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert found.environment["HF_HUB_OFFLINE"] == "1"


def test_ranks_on_a_computer_are_processes_and_experts_get_their_worker() -> None:
    found = job("r1-nano", "cpu", "tp2-ep")
    assert found.engine["distributed_executor_backend"] == "mp"
    assert found.engine["worker_cls"].endswith("ExpertParallelWorker")
    assert found.environment["VLLM_CPU_OMP_THREADS_BIND"] == "0|1"


@pytest.mark.parametrize(("profile", "tensor", "data"), [("latency", 8, 1), ("throughput", 1, 8)])
def test_r1_takes_the_eight_gpus_of_its_node(profile: str, tensor: int, data: int) -> None:
    found = job("deepseek-r1", "8xh200", profile)
    assert found.source == "deepseek-ai/DeepSeek-R1"
    assert found.engine["tensor_parallel_size"] == tensor
    assert found.engine.get("data_parallel_size", 1) == data
    assert found.engine["reasoning_parser"] == "deepseek_r1"
    assert found.gpus == 8
    assert found.processor["placement_group_config"]["bundles"] == [{"CPU": 1, "GPU": 1}] * 8
    # In one node an actor with all its GPUs, in one process each.
    assert found.engine["distributed_executor_backend"] == "mp"
    sequences = found.engine["max_num_seqs"] * data
    assert found.processor["max_concurrent_batches"] == sequences * 1.25


def test_a_distill_stands_on_a_node_as_often_as_it_fits() -> None:
    found = job("deepseek-r1:7b", "8xh200")
    assert found.processor["concurrency"] == (8, 8)
    assert found.gpus == 8
    assert found.engine["distributed_executor_backend"] == "uni"
    assert job("deepseek-r1:7b", "8xh200", engines=2).gpus == 2
    with pytest.raises(DoesNotFit, match="room for 8 engine"):
        job("deepseek-r1:7b", "8xh200", engines=9)


def test_several_nodes_need_a_cluster() -> None:
    with pytest.raises(DoesNotFit, match="--ray-address"):
        job("deepseek-r1", "2x8xh100")
    found = job("deepseek-r1", "2x8xh100", address="head:6379")
    assert found.engine["distributed_executor_backend"] == "ray"
    assert len(found.processor["placement_group_config"]["bundles"]) == 16
    assert found.processor["accelerator_type"] == "H100"
    with pytest.raises(DoesNotFit, match="data-parallel group"):
        job(
            "deepseek-r1",
            "2x8xh100",
            address="head:6379",
            data_parallel_size=2,
            pipeline_parallel_size=1,
        )


def test_a_batch_goes_for_throughput_where_it_can() -> None:
    def usual(model: str, hardware: str) -> str:
        return usual_profile(Catalog.load().resolve(model), Machine.load(hardware))

    assert usual("deepseek-r1", "8xh200") == usual("deepseek-r1:7b", "8xh200") == "throughput"
    assert usual("deepseek-r1", "2x8xh100") == usual("r1-nano", "cpu") == "default"


def test_pieces_are_a_line_each_until_there_are_many() -> None:
    assert [piece_length(n) for n in (1, 2000, 3999, 4000, 10**6)] == [1, 1, 1, 2, 16]
    found = job("r1-nano", "cpu", lines=32_000)
    assert found.processor["batch_size"] == 16
    assert found.processor["max_concurrent_batches"] == 3


def test_a_job_goes_through_json() -> None:
    found = job("deepseek-r1", "8xh200")
    again = Job(**json.loads(json.dumps(found.document())))
    assert again.document() == json.loads(json.dumps(found.document()))
