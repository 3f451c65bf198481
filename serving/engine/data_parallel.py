"""Data parallelism with experts on CPU, which vLLM 0.29 starts and can't carry through.

Before each layer of experts the data-parallel ranks gather each other's tokens, of which every
rank has its own number, and afterwards each takes the sum of its own. vLLM's communicator on CPU
has neither of the two collectives (the base class raises NotImplementedError), and gloo knows
equal pieces only. So pieces are padded to the largest, and a sum is taken of all and cut.
"""

from collections.abc import Callable, Sequence
from typing import Any


def gather_uneven(
    piece: Any, sizes: Sequence[int], gather: Callable[[Any], Sequence[Any]]
) -> list[Any]:
    """Return every rank's piece.

    Args:
        piece: this rank's tensor; its first dimension is its entry of `sizes`.
        sizes: rows of each rank's tensor.
        gather: collects tensors of equal shape from all ranks, in their order.
    """
    padded = piece.new_zeros((max(sizes), *piece.shape[1:]))
    padded[: piece.shape[0]] = piece
    return [each[:size] for each, size in zip(gather(padded), sizes, strict=True)]


def own_rows(whole: Any, sizes: Sequence[int], rank: int) -> Any:
    """Cut this rank's rows out of a tensor that holds all ranks' rows one after the other."""
    first = sum(sizes[:rank])
    return whole[first : first + sizes[rank]]


def mend(communicator: type[Any]) -> None:
    """Give vLLM's communicator on CPU the two collectives; a second call does nothing."""
    if getattr(communicator, "_r1_uneven", False):
        return
    import torch
    import torch.distributed as dist

    def equal_pieces(self: Any, sizes: Sequence[int] | None, rows: int) -> Sequence[int]:
        return [rows] * self.world_size if sizes is None else sizes

    def all_gatherv(
        self: Any, input_: Any, dim: int = 0, sizes: Sequence[int] | None = None
    ) -> Any:
        if isinstance(input_, list):
            return [all_gatherv(self, each, dim, sizes) for each in input_]

        def gather(piece: Any) -> Sequence[Any]:
            pieces = [torch.empty_like(piece) for _ in range(self.world_size)]
            dist.all_gather(pieces, piece, group=self.device_group)
            return pieces

        rows = equal_pieces(self, sizes, input_.shape[0])
        return torch.cat(gather_uneven(input_, rows, gather))

    def reduce_scatterv(
        self: Any, input_: Any, dim: int = 0, sizes: Sequence[int] | None = None
    ) -> Any:
        total = input_.clone()
        dist.all_reduce(total, group=self.device_group)
        rows = equal_pieces(self, sizes, total.shape[0] // self.world_size)
        return own_rows(total, rows, self.rank_in_group).contiguous()

    vars_of: Any = communicator
    vars_of.all_gatherv = all_gatherv
    vars_of.reduce_scatterv = reduce_scatterv
    vars_of._r1_uneven = True
