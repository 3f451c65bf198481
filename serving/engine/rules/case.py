"""What the rules look at, and what they find."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serving.catalog.architecture import DeepseekV3
from serving.catalog.builds import Build
from serving.catalog.formats import FACTS, is_gguf
from serving.catalog.model import Model
from serving.engine.checks import layout_of
from serving.engine.memory import GPU_MEMORY_UTILIZATION, Layout
from serving.hardware import Gpu, Machine

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Case:
    """One engine before it is started."""

    model: Model
    machine: Machine
    kwargs: Mapping[str, Any]
    """Its arguments, with all overrides laid over them."""
    source: str
    """Folder or hub id of the weights."""
    environ: Mapping[str, str]
    """Environment variables that its processes will have."""
    version: str
    """vLLM's."""

    @property
    def build(self) -> Build:
        """The build that is served."""
        return self.model.weights

    @property
    def layout(self) -> Layout:
        """How the engine is spread over devices."""
        return layout_of(self.kwargs)

    @property
    def gpu(self) -> Gpu | None:
        """The accelerator, None on processors."""
        return self.machine.gpu

    @property
    def device(self) -> str:
        """What computes, for a sentence."""
        return "the processor" if self.machine.gpu is None else self.machine.gpu.name

    @property
    def capability(self) -> tuple[int, int] | None:
        """The compute capability; None where there is none to look at."""
        return None if self.machine.gpu is None else self.machine.gpu.capability

    @property
    def share(self) -> float:
        """The part of a GPU's memory that the engine takes."""
        return float(self.kwargs.get("gpu_memory_utilization", GPU_MEMORY_UTILIZATION))

    @property
    def sparse(self) -> bool:
        """Whether the model has experts, and with them latent attention."""
        return isinstance(self.model.architecture, DeepseekV3)

    @property
    def latent_on_cpu(self) -> bool:
        """Whether vLLM's CPU kernels for latent attention are used."""
        return self.sparse and self.machine.is_cpu

    @property
    def published(self) -> bool:
        """Whether the weights are the build's own files, not somebody's in the same format."""
        return self.source == str(self.build.path or self.build.hub or self.build.ollama)

    @property
    def known(self) -> bool:
        """Whether the weights are in the build's format; `quantization` says they are not."""
        return self.kwargs.get("quantization") is None

    @property
    def family(self) -> str:
        """The format without its variant: fp8, int8, int4, fp4, gguf, or plain if not known."""
        if not self.known:
            return "plain"
        name = self.build.format
        families = {"fp8": "fp8", "w8a8": "int8", "w4a16": "int4", "nvfp4": "fp4"}
        return "gguf" if is_gguf(name) else families.get(name.partition("_")[0], "plain")

    @property
    def other_builds(self) -> str:
        """The model's other builds that vLLM reads, for a sentence."""
        names = [each.id for each in self.model.builds if "vllm" in each.engines]
        names = [name for name in names if name != self.build.id]
        return "build " + " or ".join(names) if names else "weights in another format"

    @property
    def group(self) -> int:
        """Columns that share a scale."""
        return self.build.group or FACTS[self.build.format].group

    @property
    def cut(self) -> int | None:
        """Width of a slice that holds no whole number of groups; None where all do."""
        return _cut(self, self.layout.tensor) if self.known else None

    @property
    def largest_tensor(self) -> int:
        """The most ranks up to the given that cut no group."""
        heads = self.model.architecture.num_attention_heads
        ranks = range(self.layout.tensor, 0, -1)
        return next(n for n in ranks if heads % n == 0 and _cut(self, n) is None)

    def newer_than(self, version: str | None) -> bool:
        """Whether a release is newer than this vLLM."""
        return version is not None and _numbers(version) > _numbers(self.version)


@dataclass(frozen=True, slots=True)
class Rule:
    """One known bad combination."""

    id: str
    looks_at: str
    """The names that the combination is made of."""
    severity: Severity
    """An error refuses: the engine would not start or would answer wrongly. A warning tells."""
    when: Callable[[Case], bool]
    sentence: str
    """What is wrong and the mend; `{case}` gives values."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a case breaks."""

    rule: str
    severity: Severity
    sentence: str


def judge(case: Case, rules: tuple[Rule, ...]) -> tuple[Finding, ...]:
    """The findings of all rules on a case, errors first."""
    found = [
        Finding(rule.id, rule.severity, rule.sentence.format(case=case))
        for rule in rules
        if rule.when(case)
    ]
    return tuple(sorted(found, key=lambda each: each.severity != "error"))


def _cut(case: Case, tensor: int) -> int | None:
    """Tensor parallelism slices these matrices along the columns that share scales."""
    a, build = case.model.architecture, case.build
    widths = {"dense": [a.intermediate_size]}
    if isinstance(a, DeepseekV3):
        widths["attention"] = [a.num_attention_heads * a.v_head_dim]
        widths["dense"].append(a.n_shared_experts * a.moe_intermediate_size)
        widths["routed"] = [] if case.layout.expert else [a.moe_intermediate_size]
    else:
        widths["attention"] = [a.num_attention_heads * a.head_dim]
    slices = [w // tensor for place in build.quantised for w in widths.get(place, ())]
    return next((each for each in slices if tensor > 1 and each % case.group), None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])
