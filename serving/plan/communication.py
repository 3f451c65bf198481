"""What GPUs spend on telling each other: all-reduce of tensor, all-to-all of expert parallelism."""

import math

from serving.plan.figures import HardwareFigures, ModelFigures

ALL_REDUCE_SHARE = 0.8
"""Of a link's bandwidth that large all-reduces reach: nccl-tests on 8 × H100 give a bus bandwidth
of 350 to 370 GB/s of 450 (NVIDIA's nccl-tests, PERFORMANCE.md and published logs)."""
ALL_TO_ALL_SHARE = 0.9
"""Of a link's bandwidth that expert dispatch and combine reach: DeepEP's README gives 153 to 158
of 160 GB/s by NVLink and 43 to 47 of 50 GB/s by InfiniBand."""
WITHIN_LATENCY_S = 10e-6
BETWEEN_LATENCY_S = 40e-6
"""Of one small collective in a node and between nodes: nccl-tests' small sizes."""
HIDDEN_SHARE = 0.6
"""Of the shorter of computing and expert exchange that overlapping two half batches hides. SGLang
reports 27 to 35 % more prefill from it on H100 (lmsys.org, large-scale EP, May 2025)."""
ACTIVATION_BYTES = 2
DISPATCH_BYTES = 1
"""Hidden states travel as bfloat16; dispatch to experts as FP8 where both sides compute in it."""


def all_reduce_s(
    tokens: float, ranks: int, model: ModelFigures, hardware: HardwareFigures
) -> float:
    """Seconds of a step's all-reduces: two in each layer, of every token's hidden state.

    A ring moves 2 (n - 1) / n of the data over each link (Patarasuk and Yuan, 2009).
    """
    if ranks == 1:
        return 0.0
    link, latency = hardware.link_within_bytes_s, WITHIN_LATENCY_S
    if ranks > hardware.gpus_per_node:
        link, latency = hardware.link_between_bytes_s * hardware.gpus_per_node, BETWEEN_LATENCY_S
    size = tokens * model.hidden * ACTIVATION_BYTES * 2 * (ranks - 1) / ranks
    return 2 * model.layers * (latency + size / (link * ALL_REDUCE_SHARE))


def all_to_all_s(
    tokens: float,
    ranks: int,
    model: ModelFigures,
    hardware: HardwareFigures,
    *,
    prefill_share: float,
) -> float:
    """Seconds of a step's expert exchange, for `tokens` on each of `ranks` ranks.

    Between nodes a decode step sends a token to each of its experts; a prefill sends it once to
    each node that has some, and from there over the node's own links (DeepEP's two kinds of
    kernels), to at most four nodes where routing is limited to four groups.
    """
    if ranks == 1:
        return 0.0
    width = hardware.link_within_bytes_s
    size = model.hidden * (DISPATCH_BYTES + ACTIVATION_BYTES)
    local = min(ranks, hardware.gpus_per_node)
    nodes = math.ceil(ranks / hardware.gpus_per_node)
    copies = model.chosen * (local - 1) / ranks
    within = copies * size / width
    if nodes > 1:
        remote = model.chosen * (1 - local / ranks)
        once = min(_nodes_touched(model.chosen, nodes), MOST_NODES) * (1 - 1 / nodes)
        sent = prefill_share * min(once, remote) + (1 - prefill_share) * remote
        within += sent * size / hardware.link_between_bytes_s
    latency = 2 * (BETWEEN_LATENCY_S if nodes > 1 else WITHIN_LATENCY_S)
    return model.sparse_layers * (latency + tokens * within / ALL_TO_ALL_SHARE)


MOST_NODES = 4
"""Nodes that a token's experts lie on, by group-limited routing (arXiv 2412.19437, 2.1.2)."""


def _nodes_touched(chosen: int, nodes: int) -> float:
    """Nodes that hold at least one of a token's experts, on average."""
    return nodes * (1 - (1 - 1 / nodes) ** chosen)
