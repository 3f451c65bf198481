"""What must hold for engine arguments on any machine."""

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from serving.catalog import Catalog, Model
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.checks import layout_of
from serving.engine.memory import (
    GPU_MEMORY_UTILIZATION,
    Layout,
    kv_budget_bytes,
    kv_bytes_per_token_per_rank,
    weight_bytes_per_rank,
)
from serving.errors import DoesNotFit
from serving.hardware import Machine

CATALOG = tuple(Catalog.load())
REAL = [model for model in CATALOG if model.weights.path is None]
DISTILLS = [model for model in REAL if model.architecture.kind != "deepseek_v3"]
NODE = Machine.load("8xh200")
CPU = Machine.load("cpu")
SIZES = st.sampled_from([1, 2, 4, 8])


def node(gpus: int, memory_gib: float) -> Machine:
    """A node of `gpus` GPUs with `memory_gib` each."""
    assert NODE.gpu is not None
    memory = NODE.gpu.memory_gib.model_copy(update={"value": memory_gib})
    gpu = NODE.gpu.model_copy(update={"memory_gib": memory})
    return NODE.model_copy(update={"gpu": gpu, "gpus_per_node": gpus})


def plan(model: Model, machine: Machine, **overrides: Any) -> EngineArguments | None:
    """The arguments, or None where the model does not fit."""
    try:
        return engine_arguments(model, machine, overrides=overrides)
    except DoesNotFit:
        return None


@given(st.sampled_from(DISTILLS), SIZES, st.floats(8, 256))
def test_a_plan_never_exceeds_the_memory(model: Model, gpus: int, memory_gib: float) -> None:
    machine = node(gpus, memory_gib)
    found = plan(model, machine)
    assume(found is not None)
    assert found is not None
    layout = layout_of(found.kwargs)
    assert layout.devices <= gpus
    kv = found.kwargs["max_model_len"] * kv_bytes_per_token_per_rank(model, layout)
    used = weight_bytes_per_rank(model, layout) + kv
    assert used <= machine.memory_bytes * GPU_MEMORY_UTILIZATION


@given(st.sampled_from(DISTILLS), SIZES, st.floats(8, 256), st.floats(0, 128))
def test_more_memory_never_serves_less(
    model: Model, gpus: int, memory_gib: float, more_gib: float
) -> None:
    small = plan(model, node(gpus, memory_gib))
    large = plan(model, node(gpus, memory_gib + more_gib))
    assume(small is not None)
    assert small is not None
    assert large is not None
    # With more memory fewer GPUs may do; the context never shrinks.
    assert large.kwargs["max_model_len"] >= small.kwargs["max_model_len"]
    assert large.kwargs["tensor_parallel_size"] <= small.kwargs["tensor_parallel_size"]


@given(st.sampled_from(DISTILLS), SIZES, st.floats(8, 256))
def test_more_gpus_never_serve_less(model: Model, gpus: int, memory_gib: float) -> None:
    few, many = plan(model, node(gpus, memory_gib)), plan(model, node(8, memory_gib))
    assume(few is not None)
    assert few is not None
    assert many is not None
    assert many.kwargs["max_model_len"] >= few.kwargs["max_model_len"]


@given(st.sampled_from(CATALOG), SIZES, SIZES, st.sampled_from([1, 2]), st.booleans())
def test_ranks_together_hold_all_weights(
    model: Model, tensor: int, data: int, pipeline: int, expert: bool
) -> None:
    layout = Layout(tensor=tensor, pipeline=pipeline, data=data, expert=expert)
    whole = weight_bytes_per_rank(model, Layout())
    assert weight_bytes_per_rank(model, layout) * layout.devices >= whole
    assert weight_bytes_per_rank(model, layout) <= whole


@given(st.sampled_from(CATALOG), SIZES)
def test_splitting_never_makes_a_token_larger(model: Model, tensor: int) -> None:
    split = kv_bytes_per_token_per_rank(model, Layout(tensor=tensor))
    whole = kv_bytes_per_token_per_rank(model, Layout())
    assert whole <= split * tensor
    assert split <= whole
    if model.architecture.kind == "deepseek_v3":
        assert split == whole


@given(st.sampled_from(REAL), st.floats(0.1, 1.0), st.floats(0.1, 1.0))
def test_a_larger_share_leaves_more_for_the_cache(model: Model, one: float, two: float) -> None:
    low, high = sorted((one, two))
    budgets = [kv_budget_bytes(model, NODE, Layout(tensor=8), utilization=u) for u in (low, high)]
    assert budgets[0] <= budgets[1]


@given(
    st.sampled_from([model for model in CATALOG if model.weights.path is not None]),
    st.integers(16, 4096),
    st.integers(1, 64),
)
def test_a_nano_cache_holds_a_whole_request(
    model: Model, max_model_len: int, max_num_seqs: int
) -> None:
    found = plan(model, CPU, max_model_len=max_model_len, max_num_seqs=max_num_seqs)
    assert found is not None
    kwargs = found.kwargs
    per_token = kv_bytes_per_token_per_rank(model, Layout())
    assert kwargs["kv_cache_memory_bytes"] >= max_model_len * per_token
    assert (kwargs["max_model_len"], kwargs["max_num_seqs"]) == (max_model_len, max_num_seqs)
