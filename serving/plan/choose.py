"""Which of the assessed ways is best, and in one sentence each why the others are not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serving.catalog.formats import FACTS, Format
from serving.catalog.model import Model
from serving.hardware import Machine
from serving.plan.assess import Assessment

FEW_BITS: frozenset[Format] = frozenset(
    {"w4a16_gptq", "w4a16_awq", "nvfp4", "gguf_q4_k_m", "gguf_q5_k_m"}
)
"""Formats of 4 or 5 bits, which cost some of the answers' quality: taken only where the others
don't fit or don't meet the targets."""

Accept = Callable[[Assessment], str | None]
"""Why the engine would refuse this way, None if it takes it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A way that was not chosen."""

    name: str
    why: str


def choose(
    found: Iterable[Assessment], model: Model, machine: Machine, accept: Accept
) -> tuple[Assessment | None, list[Lost]]:
    """The best of the ways that fit and that the engine accepts, and why each other one lost."""
    ranked = sorted(found, key=lambda each: _rank(each, model, machine))
    best: Assessment | None = None
    lost = []
    for each in ranked:
        refusal = each.refused
        if refusal is None and best is None:
            refusal = accept(each)
            if refusal is None:
                best = each
                continue
        lost.append(Lost(each.candidate.name, refusal or _behind(each, best, model, machine)))
    return best, lost


def few_bits(each: Assessment, model: Model) -> bool:
    """Whether the build has so few bits a weight that answers suffer."""
    return model.using(each.candidate.build).weights.format in FEW_BITS


def widened(each: Assessment, model: Model, machine: Machine) -> bool:
    """Whether the hardware lacks the type that the build computes in and works in a wider one."""
    wanted = FACTS[model.using(each.candidate.build).weights.format].compute
    narrow = wanted in {"fp4", "fp8", "int8"}
    return narrow and (machine.gpu is None or machine.gpu.tflops.of(wanted) is None)


def machines(each: Assessment, machine: Machine) -> int:
    """Machines that the replicas take; a replica lies on one, or takes several whole ones."""
    if machine.is_cpu:
        return each.replicas
    together = max(1, machine.gpus // each.candidate.layout.devices)
    return -(-each.replicas // together)


def _rank(each: Assessment, model: Model, machine: Machine) -> tuple[Any, ...]:
    seen = each.outlook
    if each.refused is not None or seen is None:
        return (2,)
    return (
        not each.met,
        each.on_host,
        few_bits(each, model),
        # A target that no way meets is to be missed by little.
        0.0 if each.met else round(each.excess, 1),
        each.candidate.engine != "vllm",
        widened(each, model, machine),
        machines(each, machine),
        each.context < model.context.served,
        each.gpus,
        each.candidate.build != model.builds[0].id,
        each.candidate.cache_dtype != "auto",
        seen.state.tpot_s,
    )


def _behind(each: Assessment, best: Assessment | None, model: Model, machine: Machine) -> str:
    """The first thing in which a way is behind the best one."""
    seen = each.outlook
    if best is None or best.outlook is None or seen is None:
        return each.missed or "it can't serve the load"
    if each.missed and not best.missed:
        return each.missed
    if each.on_host and not best.on_host:
        return f"{each.on_host / 1e9:,.1f} GB of its weights would lie in the host's slow memory"
    if few_bits(each, model) and not few_bits(best, model):
        return "weights of so few bits cost quality, and wider ones serve the load too"
    if each.missed and each.excess > best.excess:
        return each.missed
    if each.candidate.engine != "vllm" and best.candidate.engine == "vllm":
        return f"served by {each.candidate.engine}, which r1 does not start itself"
    if widened(each, model, machine) and not widened(best, model, machine):
        return "the hardware does not compute in the type of these weights"
    mine, its = machines(each, machine), machines(best, machine)
    if mine > its:
        return f"takes {mine} machines, {its} are enough"
    if each.context < min(best.context, model.context.served):
        return f"has room for {each.context:,} tokens of context, not for {best.context:,}"
    if each.gpus > best.gpus:
        return f"takes {each.gpus} GPUs, {best.gpus} are enough"
    original = model.builds[0].id
    if each.candidate.build != original == best.candidate.build:
        return "the weights as they were trained serve the load too"
    if each.candidate.cache_dtype != best.candidate.cache_dtype:
        return "an FP8 cache is not needed"
    fast, slow = 1 / best.outlook.state.tpot_s, 1 / seen.state.tpot_s
    return f"{slow:,.1f} tokens/s a user, the chosen way gives {fast:,.1f}"


def without_twins(lost: Sequence[Lost], most: int) -> list[Lost]:
    """At most `most` of them, one for each reason, for a table."""
    seen: dict[str, Lost] = {}
    for each in lost:
        build = each.name.partition(" ")[0]
        key = f"{build} {each.why.split(',')[0][:48]}"
        if key in seen:
            seen[key] = replace(seen[key], name=f"{build} …")
        else:
            seen[key] = each
    return list(seen.values())[:most]
