"""Compares what an engine serves with transformers on the same weights.

`python -m serving.nano.parity FOLDER --model r1-nano --url …/v1`: greedy answers to held-out
questions, token by token: the log-probability of each served token against transformers' own for
the same prefix, and whether transformers would have chosen the same token. On trained weights,
because random ones hide wrong arithmetic (a broken rotation looks like any other noise).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from openai import AsyncOpenAI
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from serving.nano import data

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 250


@dataclass(frozen=True)
class Served:
    """One greedy answer: its prompt and its tokens with their log-probabilities."""

    prompt: list[int]
    tokens: list[int]
    logprobs: list[float]


@dataclass(frozen=True)
class Parity:
    """The comparison over all prompts."""

    prompts: int
    tokens: int
    largest: float
    """Largest absolute difference of a served token's log-probability."""
    identical: float
    """Share of prompts whose greedy text is the same, 0 to 1."""

    def __str__(self) -> str:
        return (
            f"{self.prompts} prompts, {self.tokens} tokens: largest difference of log-probability "
            f"{self.largest:.2e}, greedy text identical for {self.identical:.4f}"
        )


async def serve(
    client: AsyncOpenAI, model: str, prompts: Sequence[list[int]], concurrency: int = 8
) -> list[Served]:
    """Greedy answers with token ids and log-probabilities, from vLLM's completions route."""
    gate = asyncio.Semaphore(concurrency)

    async def ask(prompt: list[int]) -> Served:
        async with gate:
            answer = await client.completions.create(
                model=model,
                prompt=prompt,
                max_tokens=_LONGEST,
                temperature=0.0,
                logprobs=1,
                extra_body={"return_token_ids": True},
            )
        choice: Any = answer.choices[0]
        return Served(prompt, choice.token_ids, choice.logprobs.token_logprobs)

    return list(await asyncio.gather(*map(ask, prompts)))


@torch.no_grad()
def compare(folder: Path, served: Sequence[Served]) -> Parity:
    """Scores every served token with transformers in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    largest, same, tokens = 0.0, 0, 0
    for each in served:
        ids = torch.tensor([each.prompt + each.tokens])
        logprobs = model(ids).logits[0, len(each.prompt) - 1 : -1].log_softmax(-1)
        chosen = torch.tensor(each.tokens)
        own = logprobs.gather(-1, chosen[:, None])[:, 0]
        largest = max(largest, float((own - torch.tensor(each.logprobs)).abs().max()))
        same += bool((logprobs.argmax(-1) == chosen).all())
        tokens += len(each.tokens)
    return Parity(len(served), tokens, largest, same / len(served))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if the difference is at most 1e-3 and 99 % of the texts are identical."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the weights that are served")
    parser.add_argument("--model", required=True, help="the name it is served under")
    parser.add_argument("--url", required=True, help="ends in /v1")
    parser.add_argument("--count", type=int, default=200)
    args = parser.parse_args(argv)
    tokenizer = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    rng = random.Random(11)
    prompts = [
        tokenizer.encode(data.draw(rng, held_out=True).prompt).ids for _ in range(args.count)
    ]

    async def ask() -> list[Served]:
        key = os.environ.get("OPENAI_API_KEY", "none")
        async with AsyncOpenAI(base_url=args.url, api_key=key, max_retries=0) as client:
            return await serve(client, args.model, prompts)

    parity = compare(args.folder, asyncio.run(ask()))
    print(parity)
    return 0 if parity.largest <= 1e-3 and parity.identical >= 0.99 else 1


if __name__ == "__main__":
    raise SystemExit(main())
