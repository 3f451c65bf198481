"""The node's gauges, read when Prometheus asks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.telemetry.gpus import Gpu
from serving.telemetry.notes import Note


@dataclass(frozen=True, slots=True)
class Family:
    """Name, labels and meaning of a metric."""

    name: str
    labels: tuple[str, ...]
    help: str


GPU_UTILIZATION = Family(
    "r1_gpu_utilization_ratio", ("gpu",), "Share of time in which the GPU computed, 0 to 1"
)
GPU_MEMORY = Family("r1_gpu_memory_used_ratio", ("gpu",), "Share of the GPU's memory in use")
MEMORY = Family(
    "r1_memory_used_ratio", (), "Share of the node's memory, or of the container's limit, in use"
)
COLD_START = Family(
    "r1_cold_start_seconds",
    ("model", "phase"),
    "Seconds that each phase of the model's latest start on this node took",
)
COLD_START_BUDGET = Family(
    "r1_cold_start_budget_seconds",
    ("model", "phase"),
    "Seconds that each of these phases may take",
)
MAX_REPLICAS = Family(
    "r1_autoscaling_max_replicas",
    ("model",),
    "Replicas that the autoscaler may start; none where their number is fixed",
)
FAMILIES = (GPU_UTILIZATION, GPU_MEMORY, MEMORY, COLD_START, COLD_START_BUDGET, MAX_REPLICAS)


class NodeCollector(Collector):
    """Reads GPUs, memory and the notes of replicas."""

    def __init__(
        self,
        gpus: Callable[[], Iterable[Gpu]] | None,
        memory: Callable[[], float],
        notes: Callable[[], Iterable[Note]],
    ) -> None:
        """Args: the readers, each asked at each scrape; `gpus` is None where there are none."""
        self._gpus = gpus
        self._memory = memory
        self._notes = notes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return all gauges as they are now."""
        utilization, gpu_memory = _gauge(GPU_UTILIZATION), _gauge(GPU_MEMORY)
        for gpu in self._gpus() if self._gpus is not None else ():
            if gpu.utilization is not None:
                utilization.add_metric([gpu.index], gpu.utilization)
            if gpu.memory_used is not None:
                gpu_memory.add_metric([gpu.index], gpu.memory_used)
        memory = _gauge(MEMORY)
        memory.add_metric([], self._memory())
        yield from (utilization, gpu_memory, memory)
        yield from self._starts()

    def _starts(self) -> Iterator[GaugeMetricFamily]:
        cold_start, budget, most = map(_gauge, (COLD_START, COLD_START_BUDGET, MAX_REPLICAS))
        for note in self._notes():
            for phase, seconds in note.seconds.items():
                cold_start.add_metric([note.model, phase], seconds)
                if phase in note.allowed:
                    budget.add_metric([note.model, phase], note.allowed[phase])
            if note.max_replicas is not None:
                most.add_metric([note.model], note.max_replicas)
        yield from (cold_start, budget, most)


def _gauge(family: Family) -> GaugeMetricFamily:
    return GaugeMetricFamily(family.name, family.help, labels=family.labels)
