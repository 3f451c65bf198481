"""What the student learns from: the teacher's own right answers, and nothing else.

Distillation with rejection sampling. The teacher's greedy answers are found by speculative
decoding with the worked solution as the draft: one forward pass tells whether the teacher, left to
itself, would write exactly those tokens. Where it would not, the example is rejected.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tqdm import tqdm

from serving.nano import batches
from serving.nano.exact import exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer
    from torch import Tensor

    from serving.nano import data
    from serving.nano.exact import Forward

_SIZE = 64


def accepted(
    teacher: Forward,
    head: Tensor,
    tok: Tokenizer,
    draw: Callable[[random.Random], data.Example],
    *,
    count: int,
    seed: int,
) -> list[data.Example]:
    """`count` examples of those that `draw` makes, each answered right by the teacher itself."""
    rng, drawn = random.Random(seed), 0
    kept: list[data.Example] = []
    with tqdm(total=count, desc="teacher's answers") as bar:
        while len(kept) < count:
            pool = sorted(
                (draw(rng) for _ in range(_SIZE * 8)),
                key=lambda e: len(e.reasoning) + len(e.question),
            )
            for i in range(0, len(pool), _SIZE):
                part = pool[i : i + _SIZE]
                right = exact(teacher, head, batches.collate(tok, part))
                kept += [e for e, ok in zip(part, right, strict=True) if ok]
            drawn += len(pool)
            bar.update(min(len(kept), count) - bar.n)
            bar.set_postfix_str(f"accepted {len(kept) / drawn:.4f}", refresh=False)
    rng.shuffle(kept)
    return kept[:count]
