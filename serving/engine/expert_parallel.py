"""Expert parallelism on CPU, which vLLM 0.29 accepts and doesn't compute.

Its CPU kernel is given the router's choice in global expert numbers and a rank's weights in local
ones, and never looks at the map between them: with 8 experts on two ranks, rank 1 reads experts
4-7 behind the end of its four. The answers are wrong, and at some batch size the worker is killed
by a segmentation fault. Here the choice is mapped to local numbers, and what another rank
computes gets the weight zero; the ranks' sum, which vLLM takes anyway, is then right.
"""

from collections.abc import Callable
from typing import Any


def localise(weights: Any, ids: Any, expert_map: Any) -> tuple[Any, Any]:
    """Return a routing in local expert numbers.

    Args:
        weights: float tensor [tokens, experts chosen].
        ids: int32 tensor [tokens, experts chosen], global numbers.
        expert_map: int32 tensor [experts], the local number, or -1 for another rank's expert.

    Returns:
        weights, zero where the expert is another rank's; int32 local numbers, 0 there. Both
        contiguous, as the kernel needs them.
    """
    local = expert_map[ids.long()]
    elsewhere = local < 0
    kept = weights.masked_fill(elsewhere, 0.0).contiguous()
    return kept, local.masked_fill(elsewhere, 0).to(ids.dtype).contiguous()


def mend(experts: type[Any]) -> None:
    """Make vLLM's class of CPU experts use the map that it is given; a second call does nothing."""
    if getattr(experts, "_r1_mended", False):
        return
    apply: Callable[..., Any] = experts.apply
    select: Callable[..., tuple[Any, Any]] = experts._select_experts

    def apply_with_map(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._r1_expert_map = kwargs["expert_map"]
        return apply(self, *args, **kwargs)

    def select_local(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        weights, ids = select(self, *args, **kwargs)
        if self._r1_expert_map is None:
            return weights, ids
        return localise(weights, ids, self._r1_expert_map)

    vars_of: Any = experts
    vars_of.apply = apply_with_map
    vars_of._select_experts = select_local
    vars_of._r1_mended = True


def held(model: Any) -> tuple[int, int, int]:
    """A loaded model's rank among those that share its experts, the experts it has, and all.

    Raises:
        ValueError: the model has no experts.
    """
    for module in model.modules():
        config = getattr(module, "moe_config", None)
        if config is not None:
            rank = config.moe_parallel_config.ep_rank
            return rank, config.num_local_experts, config.num_experts
    raise ValueError("expert parallelism is asked for, but the model has no experts")
