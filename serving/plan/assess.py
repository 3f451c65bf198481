"""A candidate judged: does it fit, how many replicas does the load need, what do users see."""

from dataclasses import dataclass, replace

from serving.catalog.formats import is_gguf
from serving.catalog.model import Model
from serving.hardware import Machine
from serving.plan.adapt import hardware_figures, model_figures
from serving.plan.candidates import Candidate
from serving.plan.figures import HardwareFigures
from serving.plan.group import Group
from serving.plan.load import Load
from serving.plan.memory import MemoryMap, memory_map
from serving.plan.outlook import Outlook, outlook
from serving.plan.roofline import Factors
from serving.plan.targets import Target

HOST_BANDWIDTH = 50e9
"""Bytes a second of a workstation's memory, two channels of DDR4 or DDR5, where nothing is told."""
HOST_SHARE = 0.8
"""Of the host's memory that layers may take which the GPU has no room for."""
MOST_MACHINES = 64
LONGEST_SHARE = 0.99
"""Of all requests that the context has to hold."""


@dataclass(frozen=True)
class Assessment:
    """A candidate beside the load. Either `refused` says why it can't be, or it has a group."""

    candidate: Candidate
    memory: MemoryMap
    context: int = 0
    """Tokens of the longest prompt with its answer that it serves."""
    refused: str | None = None
    group: Group | None = None
    replicas: int = 0
    outlook: Outlook | None = None
    """Of one replica under its share of the load."""
    excess: float = float("inf")
    """The largest of predicted times over their limits; above 1 a target is missed."""
    missed: str | None = None
    """The target that is missed by most."""
    on_host: int = 0
    """Bytes of weights that lie in the host's memory beside the GPU's."""

    @property
    def gpus(self) -> int:
        """Of all replicas."""
        return self.replicas * self.candidate.layout.devices

    @property
    def met(self) -> bool:
        """Whether it serves the load within all targets."""
        return self.outlook is not None and self.excess <= 1


def assess(
    candidate: Candidate,
    model: Model,
    machine: Machine,
    load: Load,
    targets: tuple[Target, ...],
    factors: Factors,
    context: int,
) -> Assessment:
    """Judge a candidate.

    Args:
        candidate: of this model and machine.
        model: from the catalog, whatever build it is served from.
        machine: the shape; as many of them as it takes.
        load: of the whole deployment.
        targets: what users are owed.
        factors: efficiencies.
        context: tokens of prompt and answer that one request may have.
    """
    built = model.using(candidate.build)
    layout = candidate.layout
    memory = memory_map(
        built,
        machine,
        layout,
        cache_dtype=candidate.cache_dtype,
    )
    hardware = hardware_figures(machine)
    on_host = 0
    if memory.kv_tokens < context and is_gguf(built.weights.format):
        on_host = _beside(memory, machine, context)
        if on_host:
            memory = replace(
                memory,
                weights=memory.weights - on_host,
                kv_cache=memory.kv_cache + on_host - memory.short,
                short=0,
            )
            hardware = _slowed(hardware, memory.weights, on_host)
    if memory.kv_tokens < context:
        return Assessment(candidate, memory, refused=_why_short(memory, machine, context))
    group = Group(
        layout=layout,
        model=model_figures(built, cache_dtype=candidate.cache_dtype),
        hardware=hardware,
        factors=factors,
        drafts=candidate.drafts,
        max_num_seqs=candidate.max_num_seqs,
        max_batched_tokens=candidate.max_batched_tokens,
        kv_tokens=memory.kv_tokens,
    )
    found = Assessment(
        candidate,
        memory,
        min(model.context.served, memory.kv_tokens),
        group=group,
        on_host=on_host,
    )
    return _scaled(found, load, targets, machine)


def _scaled(
    found: Assessment, load: Load, targets: tuple[Target, ...], machine: Machine
) -> Assessment:
    """With the fewest replicas that serve the load within the targets, or come nearest to it."""
    most = max(1, machine.gpus // found.candidate.layout.devices) * MOST_MACHINES
    high = 1
    while high < most and not _with(found, high, load, targets).met:
        high *= 2
    high = min(high, most)
    best = _with(found, high, load, targets)
    if not best.met:
        return _enough(found, load, targets, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        tried = _with(found, middle, load, targets)
        if tried.met:
            high, best = middle, tried
        else:
            low = middle
    return best


def _enough(found: Assessment, load: Load, targets: tuple[Target, ...], most: int) -> Assessment:
    """No number of replicas meets the targets: as few as come within 2 % of the best there is."""
    best = _with(found, most, load, targets)
    if best.outlook is None:
        return replace(best, refused="random arrivals are more than any number of replicas serves")
    count = 1
    while count < most:
        tried = _with(found, count, load, targets)
        if tried.outlook is not None and tried.excess <= 1.02 * best.excess:
            return tried
        count *= 2
    return best


def _with(found: Assessment, replicas: int, load: Load, targets: tuple[Target, ...]) -> Assessment:
    if found.group is None:
        raise ValueError("a candidate that does not fit has no replicas")
    seen = outlook(found.group, share_of(load, replicas))
    if seen is None:
        return replace(found, replicas=replicas, missed="it can't keep up with the arrivals")
    worst = max(targets, key=lambda target: target.excess(seen), default=None)
    # Without targets a deployment keeps up if nobody waits for a place for long.
    excess = 0.0 if worst is None else worst.excess(seen)
    if worst is None and seen.place_wait_s > 1.0:
        excess = 1.0 + seen.place_wait_s
    missed = None
    if excess > 1:
        missed = "users wait for a place" if worst is None else _missed(worst, seen)
    return replace(found, replicas=replicas, outlook=seen, excess=excess, missed=missed)


def share_of(load: Load, replicas: int) -> Load:
    """What one of several replicas gets."""
    if load.users is not None:
        return replace(load, users=load.users / replicas)
    return replace(load, requests_per_s=(load.requests_per_s or 0.0) / replicas)


def _missed(target: Target, seen: Outlook) -> str:
    return f"{target} is missed: {target.reached(seen) * 1e3:,.0f} ms are predicted"


def _beside(memory: MemoryMap, machine: Machine, context: int) -> int:
    """Bytes of weights to put into the host's memory so that the context fits; 0 if they don't."""
    host = machine.host_memory_gib
    if host is None or machine.is_cpu:
        return 0
    lacking = memory.short + max(0, context * memory.kv_bytes_per_token - memory.kv_cache)
    room = int(host.value * 2**30 * HOST_SHARE)
    return lacking if lacking < min(room, memory.weights) else 0


def _slowed(hardware: HardwareFigures, on_gpu: int, on_host: int) -> HardwareFigures:
    """The bandwidth at which both parts of the weights are read one after the other."""
    seconds = on_gpu / hardware.bandwidth_bytes_s + on_host / HOST_BANDWIDTH
    return replace(hardware, bandwidth_bytes_s=(on_gpu + on_host) / seconds)


def _why_short(memory: MemoryMap, machine: Machine, context: int) -> str:
    place = "the computer" if machine.is_cpu else "a GPU"
    have = (memory.whole - memory.untouched - memory.engine) / 1e9
    weights = (memory.weights + memory.redundant) / 1e9
    if memory.short:
        return (
            f"the weights take {weights:,.1f} GB of {place}, which has {have:,.1f} GB for them "
            "and the KV cache"
        )
    return (
        f"beside {weights:,.1f} GB of weights {place} has room for {memory.kv_tokens:,} tokens of "
        f"KV cache, a request may have {context:,}"
    )
