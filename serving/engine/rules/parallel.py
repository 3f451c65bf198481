"""Rules on how an engine is spread over devices."""

from typing import Any

from serving.engine.rules.case import Case, Rule

# vLLM asserts one of these where batches are overlapped in two halves (config/vllm.py).
OVERLAPPING = {"deepep_low_latency", "deepep_high_throughput", "nixl_ep"}
SLOW_LINK_GB_S = 100.0
"""Below it an all-reduce of each layer takes longer than the layer: PCI Express, not NVLink."""


def _size(case: Case, name: str) -> int:
    value: Any = case.kwargs.get(name, 1)
    return int(value)


def _slow_inside(case: Case) -> bool:
    link = case.machine.link_within_node_gb_s
    return link is not None and link.value < SLOW_LINK_GB_S and case.layout.tensor > 2


def _slow_across(case: Case) -> bool:
    inside, across = case.machine.link_within_node_gb_s, case.machine.link_between_nodes_gb_s
    if inside is None or across is None or case.layout.tensor <= case.machine.gpus_per_node:
        return False
    return across.value < inside.value


def _redundant(case: Case) -> int:
    return int((case.kwargs.get("eplb_config") or {}).get("num_redundant_experts", 0))


RULES = (
    Rule(
        "mtp-pipeline",
        "speculative_config, pipeline_parallel_size",
        "error",
        lambda case: case.layout.mtp and case.layout.pipeline > 1,
        "vLLM's prediction layer can't be split into pipeline stages, and pipeline_parallel_size "
        "is {case.layout.pipeline}; unset speculative_config or set pipeline_parallel_size to 1",
    ),
    Rule(
        "balance-without-experts",
        "enable_eplb, enable_expert_parallel",
        "error",
        lambda case: bool(case.kwargs.get("enable_eplb")) and not case.layout.expert,
        "enable_eplb balances experts over ranks, and enable_expert_parallel is off; set both or "
        "neither",
    ),
    Rule(
        "balance-on-one-rank",
        "enable_eplb, tensor_parallel_size, data_parallel_size",
        "error",
        lambda case: (
            bool(case.kwargs.get("enable_eplb")) and case.layout.tensor * case.layout.data == 1
        ),
        "enable_eplb needs experts on several ranks, and there is one; raise tensor_parallel_size "
        "or data_parallel_size, or unset it",
    ),
    Rule(
        "balance-on-cpu",
        "enable_eplb, machine",
        "error",
        lambda case: bool(case.kwargs.get("enable_eplb")) and case.machine.is_cpu,
        "vLLM balances experts on GPUs only; unset enable_eplb",
    ),
    Rule(
        "copies-without-balance",
        "eplb_config, enable_eplb",
        "error",
        lambda case: _redundant(case) > 0 and not case.kwargs.get("enable_eplb"),
        "eplb_config asks for redundant experts, and enable_eplb is off; set it or take the "
        "redundant experts out",
    ),
    Rule(
        "elastic-pipeline",
        "enable_elastic_ep, pipeline_parallel_size",
        "error",
        lambda case: bool(case.kwargs.get("enable_elastic_ep")) and case.layout.pipeline > 1,
        "elastic expert parallelism knows no pipeline stages, and pipeline_parallel_size is "
        "{case.layout.pipeline}; set it to 1",
    ),
    Rule(
        "elastic-without-balance",
        "enable_elastic_ep, enable_eplb",
        "error",
        lambda case: (
            bool(case.kwargs.get("enable_elastic_ep")) and not case.kwargs.get("enable_eplb")
        ),
        "enable_elastic_ep moves experts by their balance; set enable_eplb too",
    ),
    Rule(
        "prefill-context-data",
        "prefill_context_parallel_size, data_parallel_size",
        "error",
        lambda case: _size(case, "prefill_context_parallel_size") > 1 and case.layout.data > 1,
        "vLLM splits prompts over ranks or has data-parallel ranks, not both; set one of "
        "prefill_context_parallel_size and data_parallel_size to 1",
    ),
    Rule(
        "context-ranks",
        "decode_context_parallel_size, tensor_parallel_size",
        "error",
        lambda case: bool(case.layout.tensor % _size(case, "decode_context_parallel_size")),
        "decode_context_parallel_size takes its ranks from tensor_parallel_size "
        "{case.layout.tensor}, which it does not divide; give a divisor",
    ),
    Rule(
        "overlap-backend",
        "enable_dbo, all2all_backend",
        "error",
        lambda case: (
            bool(case.kwargs.get("enable_dbo"))
            and case.kwargs.get("all2all_backend") not in OVERLAPPING
        ),
        "enable_dbo overlaps two half batches only with all2all_backend deepep_low_latency, "
        "deepep_high_throughput or nixl_ep; set one of them (and install it) or unset enable_dbo",
    ),
    Rule(
        "all2all-gone",
        "all2all_backend",
        "warning",
        lambda case: case.kwargs.get("all2all_backend") in {"pplx", "naive"},
        "all2all_backend {case.kwargs[all2all_backend]} is gone from vLLM, which falls back to "
        "allgather_reducescatter; set what you mean",
    ),
    Rule(
        "dense-data-parallel",
        "data_parallel_size, model",
        "error",
        lambda case: case.layout.data > 1 and not case.sparse,
        "{case.model.id} has no experts to share, and vLLM refuses data-parallel ranks of such a "
        "model; leave data_parallel_size out and run replicas instead",
    ),
    Rule(
        "tensor-slow-link",
        "tensor_parallel_size, link_within_node_gb_s",
        "warning",
        _slow_inside,
        "tensor_parallel_size {case.layout.tensor} over {case.machine.link_within_node_gb_s.value} "
        "GB/s: two all-reduces a layer take longer than its arithmetic; prefer fewer ranks, "
        "4-bit weights, or pipeline_parallel_size",
    ),
    Rule(
        "tensor-across-nodes",
        "tensor_parallel_size, link_between_nodes_gb_s",
        "warning",
        _slow_across,
        "tensor_parallel_size {case.layout.tensor} is more than the {case.machine.gpus_per_node} "
        "GPUs of a node, so every layer waits for the network; keep it within the node and use "
        "pipeline_parallel_size or data_parallel_size between nodes",
    ),
)
