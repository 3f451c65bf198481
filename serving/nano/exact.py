"""Whether a model, left to itself, would write an answer to the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from serving.nano import batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Forward = Callable[[Tensor], tuple[Tensor, list[Tensor]]]


@torch.no_grad()
def exact(model: Forward, head: Tensor, batch: batches.Batch) -> list[bool]:
    """Whether greedy decoding would write each completion of a batch.

    It would exactly when every token is the most likely one after the right prefix: one forward
    pass instead of a generation.
    """
    hidden, _ = model(batch.tokens)
    right = (F.linear(hidden, head).argmax(-1) == batch.labels) | (batch.labels == batches.IGNORE)
    return [bool(row) for row in right.all(-1)]
