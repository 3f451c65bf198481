"""Timing, limits and cold start of a simulated engine as the plan predicts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.catalog import Catalog
from serving.engine.args import engine_arguments
from serving.engine.checks import layout_of
from serving.engine.cold_start import budget
from serving.hardware import Machine
from serving.plan.adapt import hardware_figures, model_figures
from serving.plan.calibration import CALIBRATED
from serving.plan.group import Group
from serving.plan.memory import memory_map
from serving.plan.roofline import Work
from serving.simulator.scheduler import Limits
from serving.weights.source import Folder

if TYPE_CHECKING:
    from serving.simulator.timing import Step


@dataclass(frozen=True)
class PlannedTiming:
    """The plan's roofline; `slow` is a factor on every step."""

    group: Group
    slow: float = 1.0
    off: bool = False

    def seconds(self, steps: Sequence[Step]) -> float:
        """Duration of a step, one part for each data-parallel rank."""
        ranks = len(steps)
        decoding = sum(step.decoding for step in steps)
        context = sum(step.context for step in steps)
        prefill = sum(step.prefill for step in steps)
        peak = max(step.prefill for step in steps)
        work = Work(
            decoding / ranks,
            context / max(1, decoding),
            prefill / ranks,
            # A prompt's part attends to what was computed of it before, which a step doesn't tell.
            peak,
            peak,
        )
        return self.slow * self.group.seconds(work)


@dataclass(frozen=True)
class Planned:
    """An engine of the catalog on a machine, for the simulator."""

    group: Group
    context: int
    cold_start_s: float

    def timing(self, slow: float = 1.0) -> PlannedTiming:
        """What steps cost; `slow` is a factor on all of them."""
        return PlannedTiming(self.group, slow)

    @property
    def limits(self) -> Limits:
        """vLLM's limits, with the most tokens that a step can yield."""
        group = self.group
        return Limits(
            int(group.max_num_seqs), int(group.max_batched_tokens), tokens_per_step=1 + group.drafts
        )


def planned(model: str, hardware: str, profile: str, build: str | None = None) -> Planned:
    """What the profile of a model on a machine is predicted to do.

    Raises:
        ServingError: no such model, machine, profile or build, or they don't fit together.
    """
    served, machine = Catalog.load().resolve(model), Machine.load(hardware)
    if build is not None:
        served = served.using(build)
    engine = engine_arguments(served, machine, profile)
    served, kwargs = engine.model, engine.kwargs
    layout = layout_of(kwargs)
    cache = kwargs.get("kv_cache_dtype", "auto")
    memory = memory_map(served, machine, layout, cache_dtype=cache)
    drafts = kwargs.get("speculative_config") or {}
    group = Group(
        layout=layout,
        model=model_figures(served, cache_dtype=cache),
        hardware=hardware_figures(machine),
        factors=CALIBRATED,
        drafts=int(drafts.get("num_speculative_tokens", 0)),
        max_num_seqs=int(kwargs["max_num_seqs"]),
        max_batched_tokens=int(kwargs["max_num_batched_tokens"]),
        kv_tokens=memory.kv_tokens,
    )
    folder = Folder(Path())
    start = budget(folder, served.weight_bytes.total, gpu=not machine.is_cpu, cached=True)
    return Planned(group, int(kwargs["max_model_len"]), sum(start.values()))
