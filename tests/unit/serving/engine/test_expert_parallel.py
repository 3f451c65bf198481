from types import SimpleNamespace
from typing import Any

import pytest
import torch

from serving.engine.executor import EXPERT_WORKER, adapt
from serving.engine.expert_parallel import held, localise, mend

IDS = torch.tensor([[0, 5], [7, 4], [2, 3]], dtype=torch.int32)
WEIGHTS = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
SECOND = torch.tensor([-1, -1, -1, -1, 0, 1, 2, 3], dtype=torch.int32)
FIRST = torch.tensor([0, 1, 2, 3, -1, -1, -1, -1], dtype=torch.int32)


def test_a_rank_keeps_its_own_experts_in_its_own_numbers() -> None:
    weights, ids = localise(WEIGHTS, IDS, SECOND)
    assert ids.tolist() == [[0, 1], [3, 0], [0, 0]]
    assert torch.equal(weights, torch.tensor([[0, 0.1], [0.6, 0.4], [0, 0]]))
    assert ids.dtype == torch.int32
    assert ids.is_contiguous()


class Experts:
    """What vLLM's class does, in a line: a weighted sum over the chosen of the given experts."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def _select_experts(self) -> tuple[torch.Tensor, torch.Tensor]:
        return WEIGHTS, IDS

    def apply(self, *, expert_map: torch.Tensor | None) -> torch.Tensor:
        weights, ids = self._select_experts()
        return (weights * self.values[ids.long()]).sum(dim=1)


def test_the_ranks_together_compute_what_one_would() -> None:
    class Mended(Experts):
        pass

    mend(Mended)
    mend(Mended)
    values = torch.arange(1.0, 9.0)
    whole = Mended(values).apply(expert_map=None)
    halves = Mended(values[:4]).apply(expert_map=FIRST) + Mended(values[4:]).apply(
        expert_map=SECOND
    )
    assert torch.allclose(whole, halves)
    assert torch.equal(whole, Experts(values).apply(expert_map=None))


def parallel(backend: str, ranks: int, expert: bool) -> Any:
    return SimpleNamespace(
        distributed_executor_backend=backend,
        world_size=ranks,
        enable_expert_parallel=expert,
        worker_cls="vllm.v1.worker.cpu_worker.CPUWorker",
    )


@pytest.mark.parametrize(
    ("given", "backend", "mended"),
    [
        (parallel("mp", 1, False), "uni", False),
        (parallel("mp", 2, False), "mp", False),
        (parallel("mp", 2, True), "mp", True),
        (parallel("ray", 1, False), "ray", False),
        (parallel("ray", 8, True), "ray", False),
    ],
)
def test_only_cpu_engines_are_changed(given: Any, backend: str, mended: bool) -> None:
    adapt(given)
    assert given.distributed_executor_backend == backend
    assert (given.worker_cls == EXPERT_WORKER) == mended


def test_the_worker_class_is_where_its_name_says() -> None:
    module, _, name = EXPERT_WORKER.rpartition(".")
    assert module == "serving.engine.expert_worker"
    assert name == "ExpertParallelWorker"


def test_what_a_rank_holds_is_read_from_its_first_expert_layer() -> None:
    config = SimpleNamespace(
        moe_parallel_config=SimpleNamespace(ep_rank=1), num_local_experts=4, num_experts=8
    )
    layers = [SimpleNamespace(), SimpleNamespace(moe_config=config)]
    assert held(SimpleNamespace(modules=lambda: layers)) == (1, 4, 8)
    with pytest.raises(ValueError, match="no experts"):
        held(SimpleNamespace(modules=lambda: layers[:1]))
