"""Turns examples into padded batches of token ids."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import torch

from serving.nano import data
from serving.nano.tokenizer import PAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

IGNORE = -100
_MULTIPLE = 8  # lengths are rounded up, so that few different shapes occur


class Batch(NamedTuple):
    """`tokens` [B, S] and the `labels` [B, S] of the next token; the prompt's are IGNORE."""

    tokens: Tensor
    labels: Tensor
    kinds: list[str]


def collate(tokenizer: Tokenizer, examples: Sequence[data.Example]) -> Batch:
    """Encodes and pads; the loss counts the completion only."""
    prompts = tokenizer.encode_batch([e.prompt for e in examples], add_special_tokens=False)
    completions = tokenizer.encode_batch([e.completion for e in examples], add_special_tokens=False)
    rows = [(p.ids, c.ids) for p, c in zip(prompts, completions, strict=True)]
    length = max(len(p) + len(c) for p, c in rows) - 1
    length += -length % _MULTIPLE
    tokens = torch.full((len(rows), length), tokenizer.encode(PAD).ids[0])
    labels = torch.full((len(rows), length), IGNORE)
    for i, (p, c) in enumerate(rows):
        whole = torch.tensor(p + c)
        tokens[i, : len(whole) - 1] = whole[:-1]
        labels[i, len(p) - 1 : len(whole) - 1] = whole[len(p) :]
    return Batch(tokens, labels, [e.kind for e in examples])


def stream(
    tokenizer: Tokenizer, draw: Callable[[random.Random], data.Example], seed: int, size: int
) -> Iterator[Batch]:
    """Endless batches of `size` examples, grouped by length within pools to save padding."""
    rng = random.Random(seed)
    while True:
        pool = [draw(rng) for _ in range(size * 8)]
        pool.sort(key=lambda e: len(e.reasoning) + len(e.question) * 0.5 + rng.random() * 12)
        batches = [pool[i : i + size] for i in range(0, len(pool), size)]
        rng.shuffle(batches)
        for batch in batches:
            yield collate(tokenizer, batch)
