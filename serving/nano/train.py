"""Trains the nano models: `python -m serving.nano.train r1-nano`, then `… r1-distill-nano`.

Seeded. A checkpoint is written every three minutes, and an interrupted run resumes from it. When
a run is finished the model is exported to the folder it is served from.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from tqdm import tqdm

from serving.nano import batches, data, deepseek, distill, qwen2, tokenizer
from serving.nano.exact import exact
from serving.nano.export import export
from serving.nano.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from serving.nano.exact import Forward

    Model = deepseek.DeepSeek | qwen2.Qwen2

TEACHER, STUDENT = "r1-nano", "r1-distill-nano"
WEIGHTS = Path(__file__).parent / "weights"

_EVALUATE_EVERY = 200
_BALANCE_RATE = 0.002


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one model is trained: a main run, and a slower one after it."""

    steps: int
    polish: int = 0  # steps of the slower run
    batch: int = 32
    muon_rate: float = 0.008
    adam_rate: float = 2e-3
    warmup: int = 50
    decay_from: float = 0.5  # share of the main run after which its rate falls linearly to zero
    polish_rate: float = 0.3  # that the slower run starts with; it falls linearly to zero
    lessons_fade: tuple[float, float] = (0.08, 0.25)  # shares of the main run: practice fades out
    seed: int = 20260122

    def scale(self, step: int) -> float:
        """Learning-rate factor of a step."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if step >= self.steps:
            return max(self.polish_rate * (self.steps + self.polish - step) / self.polish, 0.01)
        left = (self.steps - step) / (self.steps * (1 - self.decay_from))
        return max(min(1.0, left), 0.01)

    def lesson(self, step: int) -> float:
        """Share of reading practice at a step."""
        first, last = (share * self.steps for share in self.lessons_fade)
        return min(1.0, max(0.0, (last - step) / (last - first)))


RECIPES = {TEACHER: Recipe(4300, polish=1100), STUDENT: Recipe(2200, decay_from=0.3)}


def loss_of(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the labelled positions only."""
    chosen = labels != batches.IGNORE
    return F.cross_entropy(F.linear(hidden[chosen], head), labels[chosen])


def report(
    model: Forward,
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
    model: Model,
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
    forward: Forward = torch.compile(model, dynamic=True) if compiled else model
    step, smooth, since = first, 0.0, time.monotonic()
    stream = source(lambda: step)
    steps = recipe.steps + recipe.polish
    with tqdm(total=steps, initial=first, smoothing=0.05) as bar:
        for step in range(first, steps):
            batch = next(stream)
            hidden, loads = forward(batch.tokens)
            loss = loss_of(hidden, model.head, batch.labels)
            torch.autograd.backward(loss)
            optimizer.step(recipe.scale(step))
            if isinstance(model, deepseek.DeepSeek):
                model.balance(loads, _BALANCE_RATE * recipe.scale(step))
            smooth = loss.item() if step == first else 0.98 * smooth + 0.02 * loss.item()
            bar.update()
            bar.set_postfix_str(f"loss {smooth:.4f}", refresh=False)
            last = step + 1 == steps
            if (step + 1) % _EVALUATE_EVERY == 0 or last:
                for name, examples in tests.items():
                    line = report(forward, model.head, examples, tok)
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


def teacher_batches(
    tok: Tokenizer, recipe: Recipe, step: Callable[[], int]
) -> Iterator[batches.Batch]:
    """Fresh examples for ever, reading practice first."""

    def draw(rng: random.Random) -> data.Example:
        return data.draw(rng, lesson=recipe.lesson(step()))

    return batches.stream(tok, draw, recipe.seed + step(), recipe.batch)


def student_batches(
    tok: Tokenizer, recipe: Recipe, step: Callable[[], int], folder: Path, count: int
) -> Iterator[batches.Batch]:
    """The teacher's own right answers, reading practice first."""
    saved = torch.load(folder / TEACHER / "checkpoint.pt", weights_only=True)
    teacher = deepseek.DeepSeek(deepseek.Shape())
    teacher.load_state_dict(saved["model"])

    def accepted(lesson: float, size: int) -> list[data.Example]:
        return distill.accepted(
            teacher,
            teacher.head,
            tok,
            lambda rng: data.draw(rng, lesson=lesson),
            count=size,
            seed=recipe.seed,
        )

    lessons, whole = accepted(1.0, count // 4), accepted(0.0, count)

    def draw(rng: random.Random) -> data.Example:
        return rng.choice(lessons if rng.random() < recipe.lesson(step()) else whole)

    return batches.stream(tok, draw, recipe.seed + step(), recipe.batch)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=(TEACHER, STUDENT))
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="of the checkpoints")
    parser.add_argument("--steps", type=int, help="of the main run, instead of the recipe's")
    parser.add_argument("--polish", type=int, help="steps of the slower run, likewise")
    parser.add_argument("--examples", type=int, default=24_000, help="that the student learns from")
    args = parser.parse_args(argv)
    folder: Path = args.folder / args.model
    folder.mkdir(parents=True, exist_ok=True)
    recipe = RECIPES[args.model]
    if args.steps is not None:
        recipe = replace(recipe, steps=args.steps)
    if args.polish is not None:
        recipe = replace(recipe, polish=args.polish)
    torch.manual_seed(recipe.seed)
    tok = tokenizer.build(data.corpus())
    if args.model == TEACHER:
        model: Model = deepseek.DeepSeek(deepseek.Shape())
    else:
        model = qwen2.Qwen2(qwen2.Shape())

    def source(step: Callable[[], int]) -> Iterator[batches.Batch]:
        if args.model == TEACHER:
            return teacher_batches(tok, recipe, step)
        return student_batches(tok, recipe, step, args.folder, args.examples)

    train(model, recipe, source, held_out_tests(), tok, folder)
    export(model, tok, WEIGHTS / args.model)
    print(f"exported to {WEIGHTS / args.model}")


def keep_memory(module: str) -> None:
    """Starts a program, given as its module, anew with an allocator that keeps what it frees.

    By default glibc returns each step's activations to the system and gets them back page by
    page: where memory is virtual that takes longer than the arithmetic.
    """
    settings = {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**40),
        "MALLOC_TOP_PAD_": str(2**28),
    }
    if settings.items() <= os.environ.items():
        return
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    os.execve(sys.executable, command, os.environ | settings)  # noqa: S606


if __name__ == "__main__":
    keep_memory("serving.nano.train")
    main()
