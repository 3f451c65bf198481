"""Which profiles a model has on a machine, and what each of them makes of an engine."""

from typing import Any

import pytest

from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.memory import Layout, weight_bytes_per_rank
from serving.engine.profiles import profiles_for
from serving.hardware import Machine

CATALOG = Catalog.load()
GB = 1_000_000_000


def names(model: str, machine: str) -> list[str]:
    return [p.name for p in profiles_for(CATALOG.resolve(model), Machine.load(machine))]


def engine(machine: str, profile: str = "default", **given: Any) -> EngineArguments:
    return engine_arguments(CATALOG.resolve("deepseek-r1"), Machine.load(machine), profile, **given)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("8xh200", ["latency", "throughput", "compact"]),
        ("8xh20-141", ["latency", "throughput", "compact"]),
        ("8xh100", ["compact", "latency", "throughput"]),
        ("8xa100-80", ["compact", "latency", "throughput"]),
        ("2x8xh100", ["two-node", "two-node-throughput"]),
        ("2x8xh20-96", ["two-node", "two-node-throughput"]),
        ("4x8xh200", ["throughput"]),
        ("8xmi300x", ["latency", "throughput"]),
        ("4xb200", ["latency", "throughput"]),
        ("8xb200", ["latency", "throughput"]),
        ("gb200-nvl72", ["throughput"]),
        ("4xa10", []),
        ("1xh200", []),
        ("cpu-server", []),
    ],
)
def test_the_whole_models_profiles_by_machine(machine: str, expected: list[str]) -> None:
    assert names("deepseek-r1", machine) == expected


def test_a_model_without_a_build_has_no_profile_for_it() -> None:
    assert names("deepseek-r1-zero", "8xh100") == ["latency", "throughput"]
    # In FP8 instead of FP4, which needs all eight.
    assert names("deepseek-r1-zero", "8xb200") == ["latency", "throughput"]
    assert names("deepseek-r1-zero", "4xb200") == []


@pytest.mark.parametrize(
    ("machine", "profile", "sizes", "copies"),
    [
        ("8xh200", "latency", (8, 1, 1), None),
        ("8xh200", "throughput", (1, 1, 8), 32),
        ("2x8xh100", "two-node", (8, 2, 1), None),
        ("2x8xh100", "two-node-throughput", (1, 1, 16), 32),
        ("4x8xh200", "throughput", (1, 1, 32), 32),
        ("18x8xh800", "throughput", (1, 1, 144), 32),
        ("8xh100", "compact", (8, 1, 1), None),
        ("8xmi300x", "latency", (8, 1, 1), None),
        ("8xmi300x", "throughput", (1, 1, 8), None),
        ("4xb200", "latency", (4, 1, 1), None),
        ("8xb200", "throughput", (1, 1, 8), 32),
    ],
)
def test_the_layout_of_each(
    machine: str, profile: str, sizes: tuple[int, int, int], copies: int | None
) -> None:
    found = engine(machine, profile)
    kwargs = found.kwargs
    named = [kwargs.get(f"{each}_parallel_size", 1) for each in ("tensor", "pipeline", "data")]
    assert tuple(named) == sizes
    assert kwargs.get("enable_expert_parallel", False) == (profile != "compact")
    assert kwargs.get("enable_eplb", False) == (copies is not None)
    assert kwargs.get("eplb_config", {}).get("num_redundant_experts") == copies
    assert found.devices == Machine.load(machine).gpus


@pytest.mark.parametrize(
    ("machine", "profile", "build", "drafts"),
    [
        ("8xh200", "latency", "fp8", 1),
        ("8xh200", "throughput", "fp8", 0),
        ("8xb200", "latency", "nvfp4", 1),
        ("8xmi300x", "latency", "fp8", 0),
        ("8xh100", "compact", "w4a16", 0),
    ],
)
def test_the_weights_and_drafts_of_each(
    machine: str, profile: str, build: str, drafts: int
) -> None:
    found = engine(machine, profile)
    assert found.model.weights.id == build
    assert found.source == found.model.weights.hub
    drafted = found.kwargs.get("speculative_config", {}).get("num_speculative_tokens", 0)
    assert drafted == drafts


def test_amds_kernels_are_switched_on_there_and_only_there() -> None:
    wanted = {
        "VLLM_ROCM_USE_AITER": "1",
        "VLLM_ROCM_USE_AITER_MOE": "1",
        "SAFETENSORS_FAST_GPU": "1",
    }
    assert wanted.items() <= engine("8xmi300x").env.items()
    assert not wanted.keys() & engine("8xh200").env.keys()


def test_no_profile_shrinks_the_cache_to_8_bits() -> None:
    for machine in ("8xh200", "8xb200", "8xmi300x", "8xh100", "2x8xh100"):
        for profile in names("deepseek-r1", machine):
            if (machine, profile) in {("8xh100", "latency"), ("8xh100", "throughput")}:
                continue  # the weights don't fit
            assert "kv_cache_dtype" not in engine(machine, profile).kwargs


def test_copies_of_experts_are_paid_for_in_memory() -> None:
    model = CATALOG.resolve("deepseek-r1")
    plain = Layout(tensor=1, data=8, expert=True)
    copied = Layout(tensor=1, data=8, expert=True, redundant=32)
    more = weight_bytes_per_rank(model, copied) - weight_bytes_per_rank(model, plain)
    # Four copies on each of eight ranks, 2.55 GB of FP8 weights each.
    assert more / GB == pytest.approx(4 * 2.55, rel=0.01)


def test_balancing_can_be_switched_off() -> None:
    found = engine("8xh200", "throughput", overrides={"enable_eplb": False, "eplb_config": None})
    assert found.kwargs["enable_eplb"] is False
    assert "eplb_config" not in found.kwargs


def test_distills_spread_wider_for_latency_and_scale_to_none_on_demand() -> None:
    machine = Machine.load("8xh100")
    for name in ("deepseek-r1:7b", "deepseek-r1:14b", "deepseek-r1:32b", "deepseek-r1:70b"):
        model = CATALOG.resolve(name)
        by_profile = {
            p.name: engine_arguments(model, machine, p.name) for p in profiles_for(model, machine)
        }
        assert list(by_profile) == ["default", "latency", "throughput", "compact", "on-demand"]
        assert by_profile["latency"].devices == 2 * by_profile["default"].devices
        assert by_profile["compact"].devices <= by_profile["default"].devices
        assert by_profile["compact"].model.weights.format == "w4a16_gptq"
        paces = {key: each.profile.pace for key, each in by_profile.items()}
        assert all(pace is not None for pace in paces.values())
        on_demand = paces["on-demand"]
        assert on_demand is not None
        assert on_demand.least == 0
