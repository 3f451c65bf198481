"""Trains the nano models: `python -m serving.nano.train r1-nano`, then `… r1-distill-nano`.

Seeded; a checkpoint is written every few minutes and an interrupted run resumes from it. About an
hour a model on two cores.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from serving.nano import batches, data, tokenizer
from serving.nano.deepseek import DeepSeek, Shape
from serving.nano.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor, nn

_EVALUATE_EVERY = 250
_BALANCE_RATE = 0.002


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one model is trained."""

    steps: int = 4500
    batch: int = 64
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warmup: int = 50
    decay_from: float = 0.4  # share of the run after which the rate falls linearly to zero
    easy_until: int = 700  # the curriculum's end: bare expressions fade out until this step
    seed: int = 20260122

    def scale(self, step: int) -> float:
        """Learning-rate factor of a step."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = (self.steps - step) / (self.steps * (1 - self.decay_from))
        return max(min(1.0, left), 0.01)

    def easy(self, step: int) -> float:
        """Share of bare expressions at a step."""
        return max(0.0, 0.8 * (1 - step / self.easy_until))


def loss_of(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the labelled positions only."""
    chosen = labels != batches.IGNORE
    return F.cross_entropy(F.linear(hidden[chosen], head), labels[chosen])


@torch.no_grad()
def exact(
    model: Callable[[Tensor], tuple[Tensor, list[Tensor]]], head: Tensor, batch: batches.Batch
) -> list[bool]:
    """Whether greedy decoding would write each completion to the letter.

    It would exactly when every token is the most likely one after the right prefix.
    """
    hidden, _ = model(batch.tokens)
    right = (F.linear(hidden, head).argmax(-1) == batch.labels) | (batch.labels == batches.IGNORE)
    return [bool(row) for row in right.all(-1)]


def report(
    model: Callable[[Tensor], tuple[Tensor, list[Tensor]]],
    head: Tensor,
    examples: Sequence[data.Example],
    tok: Tokenizer,
) -> str:
    """Exact share over all and by kind, as one line."""
    tally: dict[str, list[bool]] = {}
    ordered = sorted(examples, key=lambda e: len(e.reasoning))
    for i in range(0, len(ordered), 64):
        batch = batches.collate(tok, ordered[i : i + 64])
        for kind, right in zip(batch.kinds, exact(model, head, batch), strict=True):
            tally.setdefault(kind, []).append(right)
    every = [r for rights in tally.values() for r in rights]
    parts = [f"{k} {sum(v) / len(v):.3f}" for k, v in sorted(tally.items())]
    return f"exact {sum(every) / len(every):.4f} ({', '.join(parts)})"


def train(
    model: nn.Module,
    recipe: Recipe,
    source: Callable[[Callable[[], int]], Iterator[batches.Batch]],
    tests: dict[str, list[data.Example]],
    tok: Tokenizer,
    folder: Path,
    *,
    compiled: bool = True,
) -> None:
    """Runs the recipe, or what is left of it; `source` gets a clock of the current step."""
    optimizer = Optimizer(model, muon_rate=recipe.muon_rate, adam_rate=recipe.adam_rate)
    checkpoint, first = folder / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    forward = torch.compile(model, dynamic=True) if compiled else model
    head = model.head if isinstance(model.head, torch.Tensor) else model.embed
    step, smooth, since = first, 0.0, time.monotonic()
    stream = source(lambda: step)
    with tqdm(total=recipe.steps, initial=first, smoothing=0.05) as bar:
        for step in range(first, recipe.steps):
            batch = next(stream)
            hidden, loads = forward(batch.tokens)
            loss = loss_of(hidden, head, batch.labels)
            loss.backward()
            optimizer.step(recipe.scale(step))
            if loads:
                model.balance(loads, _BALANCE_RATE * recipe.scale(step))  # type: ignore[operator]
            smooth = loss.item() if step == first else 0.98 * smooth + 0.02 * loss.item()
            bar.update()
            bar.set_postfix_str(f"loss {smooth:.4f}", refresh=False)
            last = step + 1 == recipe.steps
            if (step + 1) % _EVALUATE_EVERY == 0 or last:
                for name, examples in tests.items():
                    line = report(forward, head, examples, tok)
                    bar.write(f"step {step + 1} loss {smooth:.4f} {name}: {line}")
            if time.monotonic() - since > 180 or last:
                since = time.monotonic()
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                }
                torch.save(state, checkpoint.with_suffix(".new"))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)


def held_out_tests(seed: int = 7, size: int = 256) -> dict[str, list[data.Example]]:
    """Small fixed test sets for the progress lines."""
    rng = random.Random(seed)
    return {
        "whole": [data.draw(rng, held_out=True) for _ in range(size)],
        "wordings en": [data.draw_held_out_wording(rng, "en") for _ in range(size // 2)],
        "wordings zh": [data.draw_held_out_wording(rng, "zh") for _ in range(size // 2)],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("r1-nano",))
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--heads", type=int, default=Shape.num_attention_heads)
    parser.add_argument("--muon-rate", type=float, default=Recipe.muon_rate)
    parser.add_argument("--easy-until", type=int, default=Recipe.easy_until)
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args(argv)
    recipe = Recipe(
        steps=args.steps, batch=args.batch, muon_rate=args.muon_rate, easy_until=args.easy_until
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    tok = tokenizer.build(data.corpus())
    model = DeepSeek(Shape(num_attention_heads=args.heads))

    def source(step: Callable[[], int]) -> Iterator[batches.Batch]:
        def draw(rng: random.Random) -> data.Example:
            return data.draw(rng, easy=recipe.easy(step()))

        return batches.stream(tok, draw, recipe.seed + step(), recipe.batch)

    train(model, recipe, source, held_out_tests(), tok, args.folder, compiled=not args.no_compile)


if __name__ == "__main__":
    main()
