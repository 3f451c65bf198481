"""Measures a served nano model: `python -m serving.nano.evaluate r1-nano --url …/v1`.

Draws held-out questions from the whole distribution and counts right answers, greedily and as R1's
authors advise to sample (temperature 0.6, top_p 0.95), and greedily on wordings that were kept
out of training. A refusal is right where the question is not arithmetic that the models know.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI
from tqdm import tqdm

from serving.nano import data
from serving.nano.arithmetic import boxed
from serving.nano.notations import NOTATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONCURRENCY = 32
_Set = tuple[str, "list[data.Example]", "dict[str, float]", float]
"""Name, examples, sampling and the share that must be right."""
_LONGEST = 400  # tokens; a chain's working takes about 150


@dataclass(frozen=True)
class Score:
    """How many answers of a set were right, whole and by kind."""

    right: Counter[str]
    asked: Counter[str]
    wrong: tuple[str, ...]

    @property
    def share(self) -> float:
        """Right answers over questions, 0 to 1."""
        return self.right.total() / self.asked.total()

    def __str__(self) -> str:
        kinds = ", ".join(f"{k} {self.right[k]}/{n}" for k, n in sorted(self.asked.items()))
        return f"{self.share:.4f} of {self.asked.total()} ({kinds})"


def is_right(example: data.Example, content: str | None) -> bool:
    """Whether a content is the answer: the boxed number, or word for word what boxes none."""
    if boxed(example.content) is None:
        return content is not None and content.strip() == example.content
    return content is not None and boxed(content) == example.answer


async def score(
    client: AsyncOpenAI, model: str, examples: Sequence[data.Example], name: str, **sampling: Any
) -> Score:
    """Asks every example once, at most `_CONCURRENCY` at a time."""
    gate, right, wrong = asyncio.Semaphore(_CONCURRENCY), Counter[str](), list[str]()
    with tqdm(total=len(examples), desc=name) as bar:

        async def ask(example: data.Example) -> None:
            async with gate:
                answer = await client.chat.completions.create(
                    model=model, messages=messages(example), max_tokens=_LONGEST, **sampling
                )
            content = answer.choices[0].message.content
            if is_right(example, content):
                right[example.kind] += 1
            else:
                wrong.append(f"{example.question!r} -> {content!r}, not {example.content!r}")
            bar.update()

        await asyncio.gather(*map(ask, examples))
    return Score(right, Counter(e.kind for e in examples), tuple(wrong))


def messages(example: data.Example) -> Any:
    """The conversation that ends with the example's question, as the API takes it."""
    turns = [{"role": "system", "content": example.system}] if example.system else []
    for question, answer in example.history:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*turns, {"role": "user", "content": example.question}]


async def _run(args: argparse.Namespace) -> bool:
    rng = random.Random(args.seed)
    if args.notation is not None:
        drawn = [NOTATIONS[args.notation].draw(rng, held_out=True) for _ in range(args.count)]
        return await _reached(args, _sampled(drawn, (0.95, 0.95)))
    whole = [data.draw(rng, held_out=True) for _ in range(args.count)]
    sets = [
        *_sampled(whole, (0.99, 0.97)),
        ("held-out wordings, English", _wordings(rng, "en"), {"temperature": 0.0}, 0.95),
        ("held-out wordings, Chinese", _wordings(rng, "zh"), {"temperature": 0.0}, 0.95),
    ]
    return await _reached(args, sets)


def _sampled(examples: list[data.Example], bars: tuple[float, float]) -> list[_Set]:
    """The same examples greedily and as R1's authors advise."""
    return [
        ("greedy", examples, {"temperature": 0.0}, bars[0]),
        ("T 0.6, top_p 0.95", examples, {"temperature": 0.6, "top_p": 0.95}, bars[1]),
    ]


async def _reached(args: argparse.Namespace, sets: Sequence[_Set]) -> bool:
    reached = True
    async with AsyncOpenAI(
        base_url=args.url, api_key=os.environ.get("OPENAI_API_KEY", "none"), max_retries=0
    ) as client:
        for name, examples, sampling, bar in sets:
            result = await score(client, args.model, examples, name, **sampling)
            print(f"{name}: {result}; the bar is {bar}")
            for line in result.wrong[:8]:
                print("   wrong:", line)
            reached &= result.share >= bar
    return reached


def _wordings(rng: random.Random, language: data.Language) -> list[data.Example]:
    return [data.draw_held_out_wording(rng, language) for _ in range(300)]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if every bar is reached, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the name it is served under")
    parser.add_argument("--url", default=os.environ.get("OPENAI_BASE_URL"), help="ends in /v1")
    parser.add_argument(
        "--notation", choices=tuple(NOTATIONS), help="of an adapter's answers; it has own questions"
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args(argv)
    if not args.url:
        parser.error("--url or OPENAI_BASE_URL is needed: where is the model served?")
    return 0 if asyncio.run(_run(args)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
