"""The ways in which a model could be served on a machine: builds and layouts, not yet judged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from serving.catalog.architecture import DeepseekV3
from serving.catalog.builds import Build, Engine
from serving.catalog.formats import is_gguf
from serving.catalog.model import Model
from serving.engine.args import EngineArguments
from serving.engine.checks import layout_of
from serving.engine.memory import Layout
from serving.hardware import Machine

REDUNDANT_EXPERTS = 32
"""Copies of hot experts that DeepSeek keeps in its decode deployment (arXiv 2412.19437, 3.4.2)."""
SEQUENCES, LOCAL_SEQUENCES = 256, 8
"""Requests that decode together: of a rank of vLLM, and of llama.cpp."""
WIDE = {"float32", "bfloat16"}
SMALLEST_GROUP = 4
"""GPUs of the smallest group that a plan spreads experts over."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve."""

    build: str
    engine: Engine
    layout: Layout
    drafts: int = 0
    cache_dtype: str = "auto"
    max_num_seqs: int = SEQUENCES
    max_batched_tokens: int = 8192

    @property
    def name(self) -> str:
        """Short, for tables."""
        spread = [
            f"{letters}{size}"
            for letters, size in (
                ("TP", self.layout.tensor),
                ("PP", self.layout.pipeline),
                ("DP", self.layout.data),
            )
            if size > 1
        ]
        extras = ["EP"] if self.layout.expert else []
        extras += ["EPLB"] if self.layout.redundant else []
        extras += [f"MTP{self.drafts}"] if self.drafts else []
        extras += ["KV fp8"] if self.cache_dtype != "auto" else []
        extras += [self.engine] if self.engine != "vllm" else []
        return " ".join([self.build, "×".join(spread) or "single", *extras])

    @property
    def overrides(self) -> dict[str, Any]:
        """vLLM's arguments that make any profile this one."""
        found: dict[str, Any] = {
            "tensor_parallel_size": self.layout.tensor,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_batched_tokens,
        }
        if self.layout.pipeline > 1:
            found["pipeline_parallel_size"] = self.layout.pipeline
        if self.layout.data > 1:
            found["data_parallel_size"] = self.layout.data
        if self.layout.expert:
            found["enable_expert_parallel"] = True
        if self.drafts:
            found["speculative_config"] = {"method": "mtp", "num_speculative_tokens": self.drafts}
        else:
            found["speculative_config"] = None
        if self.layout.redundant:
            found["enable_eplb"] = True
            found["eplb_config"] = {"num_redundant_experts": self.layout.redundant}
        if self.cache_dtype != "auto":
            found["kv_cache_dtype"] = self.cache_dtype
        return found


def candidates(model: Model, machine: Machine, *, fp8_cache: bool = False) -> Iterator[Candidate]:
    """All ways to serve a model on a machine that are worth a calculation.

    Args:
        model: from the catalog.
        machine: the shape.
        fp8_cache: also with an FP8 KV cache, which wants a parity check of the answers first.
    """
    for build in model.builds:
        engine: Engine = "vllm" if "vllm" in build.engines else build.engines[0]
        if machine.is_cpu and engine == "vllm" and build.format not in WIDE:
            # vLLM's processors' kernels for narrow weights want AMX; llama.cpp's are for any.
            continue
        caches = ("auto", "fp8") if fp8_cache and engine == "vllm" else ("auto",)
        sequences = LOCAL_SEQUENCES if is_gguf(build.format) else SEQUENCES
        for layout in _layouts(model, machine, build):
            for draft in _drafts(machine, build, engine, layout):
                drafted = replace(layout, mtp=draft > 0)
                for cache in caches:
                    yield Candidate(build.id, engine, drafted, draft, cache, sequences)


def candidate_of(engine: EngineArguments) -> Candidate:
    """The way to serve that an engine's arguments are."""
    kwargs = engine.kwargs
    layout = layout_of(kwargs)
    return Candidate(
        build=engine.model.weights.id,
        engine="vllm",
        layout=layout,
        drafts=int(kwargs["speculative_config"]["num_speculative_tokens"]) if layout.mtp else 0,
        max_num_seqs=int(kwargs["max_num_seqs"]),
        max_batched_tokens=int(kwargs["max_num_batched_tokens"]),
    )


def _is_amd(machine: Machine) -> bool:
    """Neither drafts nor balanced experts are among what AMD's own recipes for R1 use."""
    return machine.gpu is not None and machine.gpu.vendor == "amd"


def _drafts(machine: Machine, build: Build, engine: Engine, layout: Layout) -> tuple[int, ...]:
    able = build.mtp != "absent" and engine == "vllm" and layout.pipeline == 1
    return (0, 1) if able and not _is_amd(machine) else (0,)


def _layouts(model: Model, machine: Machine, build: Build) -> Iterator[Layout]:
    if is_gguf(build.format):
        yield from _in_layers(machine)
    elif isinstance(model.architecture, DeepseekV3):
        amd = _is_amd(machine)
        yield from (
            each for each in _sparse(model.architecture, machine) if not (each.redundant and amd)
        )
    else:
        yield from _dense(model, machine)


def _dense(model: Model, machine: Machine) -> Iterator[Layout]:
    heads = model.architecture.num_attention_heads
    for tensor in (1, 2, 4, 8):
        if tensor <= max(1, machine.gpus_per_node) and heads % tensor == 0:
            yield Layout(tensor=tensor)


def _sparse(a: DeepseekV3, machine: Machine) -> Iterator[Layout]:
    node, ranks = max(1, machine.gpus_per_node), max(1, machine.gpus)
    if machine.nodes > 1:
        yield Layout(tensor=node, pipeline=machine.nodes, expert=True)
        yield Layout(tensor=node, pipeline=machine.nodes)
    for size in sorted({ranks, node, SMALLEST_GROUP, 1}):
        if size > ranks or (size == 1 and machine.gpus > 1):
            continue
        if size <= node:
            yield Layout(tensor=size, expert=size > 1)
            if size > 1:
                yield Layout(tensor=size)
        if size > 1 and a.n_routed_experts % size == 0:
            yield Layout(data=size, expert=True)
            if (a.n_routed_experts + REDUNDANT_EXPERTS) % size == 0:
                yield Layout(data=size, expert=True, redundant=REDUNDANT_EXPERTS)


def _in_layers(machine: Machine) -> Iterator[Layout]:
    """llama.cpp gives whole layers to each GPU of a node."""
    for stages in (1, 2, 4, 8):
        if stages <= max(1, machine.gpus_per_node):
            yield Layout(pipeline=stages)
