"""Whether an FP8 KV cache gives the answers of a 16-bit one: the comparison that it waits for.

    python -m serving.engine.kv_parity --model M --reference URL --candidate URL \
        --prompts FILE --report report.json

Both URLs are vLLM's, ending in /v1, of one model and the same weights; the candidate runs with
`kv_cache_dtype=fp8`. The reference answers each prompt greedily, and both score what it wrote,
token by token: what the candidate would have chosen, and how its log-probabilities differ. An
application that names a report which passes gets the FP8 cache (`kv_parity`), no other does.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
from pydantic import Field, NonNegativeFloat, PositiveInt

from serving.documents import Strict, read_document
from serving.errors import DoesNotFit

FEWEST_TOKENS = 20_000
"""Below this a share of 99 % says little about answers of thousands of tokens."""
LEAST_SAME = 0.99
"""Share of tokens that both would choose."""
LARGEST_MEAN = 0.01
"""Mean absolute difference of log-probabilities, in nats; a tenth of a percent of perplexity is
0.001, and 16-bit engines with other batch sizes differ by about as much."""


class Report(Strict):
    """What a comparison found."""

    model: str
    weights: str
    """Folder or hub id, as both engines named them."""
    kv_cache_dtype: str
    tokens: PositiveInt
    """Compared tokens."""
    same: Annotated[float, Field(ge=0, le=1)]
    """Share of them that the candidate would have chosen too."""
    mean_difference: NonNegativeFloat
    """Mean absolute difference of their log-probabilities, in nats."""

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read a report.

        Raises:
            InvalidDocument: the file is missing or wrong.
        """
        return read_document(Path(path), cls)

    @property
    def faults(self) -> list[str]:
        """What keeps it from passing, each in words."""
        found = []
        if self.tokens < FEWEST_TOKENS:
            found.append(f"{self.tokens:,} tokens compared, {FEWEST_TOKENS:,} are needed")
        if self.same < LEAST_SAME:
            found.append(f"{self.same:.1%} of tokens the same, {LEAST_SAME:.0%} are needed")
        if self.mean_difference > LARGEST_MEAN:
            found.append(f"mean difference {self.mean_difference:.4f}, at most {LARGEST_MEAN}")
        return found

    def admit(self, model: str, weights: str) -> str:
        """The type that a model's cache may have.

        Raises:
            DoesNotFit: the report is about something else, or did not pass.
        """
        if (self.model, self.weights) != (model, weights):
            raise DoesNotFit(
                f"kv_parity: the report is about {self.model} from {self.weights}, not about "
                f"{model} from {weights}; compare that one"
            )
        if self.faults:
            raise DoesNotFit(
                f"kv_parity: {model} with {self.kv_cache_dtype} did not pass: "
                f"{'; '.join(self.faults)}; leave kv_parity out, the cache then has 16 bits"
            )
        return self.kv_cache_dtype


def check_cache(kwargs: Mapping[str, Any]) -> None:
    """Refuse an 8-bit cache that nobody compared.

    Raises:
        DoesNotFit: with the way to compare.
    """
    dtype = str(kwargs.get("kv_cache_dtype") or "")
    if dtype.startswith("fp8"):
        raise DoesNotFit(
            f"kv_cache_dtype {dtype} changes answers: compare them with those of 16 bits "
            "(python -m serving.engine.kv_parity) and name the report as kv_parity, or leave "
            "kv_cache_dtype out"
        )


@dataclass(frozen=True, slots=True)
class Scored:
    """One engine's view of the tokens of an answer."""

    chosen: tuple[bool, ...]
    """Whether it would have chosen the token."""
    logprobs: tuple[float, ...]


def scored(tokens: Sequence[int], logprobs: Sequence[dict[str, Any] | None]) -> Scored:
    """Read vLLM's `prompt_logprobs` of the last tokens of a prompt.

    Args:
        tokens: the answer's token ids, which end the prompt.
        logprobs: for each token of the prompt its id's entry, and that of the likeliest.
    """
    entries = [
        (entry or {})[str(token)]
        for token, entry in zip(tokens, logprobs[-len(tokens) :], strict=True)
    ]
    return Scored(
        tuple(entry["rank"] == 1 for entry in entries),
        tuple(float(entry["logprob"]) for entry in entries),
    )


def summarise(pairs: Sequence[tuple[Scored, Scored]]) -> tuple[int, float, float]:
    """Tokens compared, the share both would choose, and the mean difference in nats.

    Args:
        pairs: reference and candidate on the same answers.
    """
    same = [c for reference, candidate in pairs for c in candidate.chosen]
    differences = [
        abs(a - b)
        for reference, candidate in pairs
        for a, b in zip(reference.logprobs, candidate.logprobs, strict=True)
    ]
    count = len(same)
    return count, sum(same) / count, sum(differences) / count


async def compare(
    session: aiohttp.ClientSession,
    model: str,
    urls: tuple[str, str],
    prompts: Sequence[str],
    tokens: int,
) -> tuple[int, float, float]:
    """Let the reference answer and both score; see `summarise` for what is returned.

    Raises:
        aiohttp.ClientError: an engine does not answer, or not with 200.
    """
    gate = asyncio.Semaphore(8)

    async def call(url: str, body: dict[str, Any]) -> dict[str, Any]:
        async with gate, session.post(f"{url}/completions", json={"model": model, **body}) as reply:
            reply.raise_for_status()
            choice: dict[str, Any] = (await reply.json())["choices"][0]
            return choice

    async def both(prompt: str) -> tuple[Scored, Scored]:
        greedy = {"temperature": 0, "return_token_ids": True}
        answer = await call(urls[0], {"prompt": prompt, "max_tokens": tokens, **greedy})
        written = answer["token_ids"]
        again = {
            "prompt": [*answer["prompt_token_ids"], *written],
            "max_tokens": 1,
            "prompt_logprobs": 1,
        }
        views = await asyncio.gather(*(call(url, again) for url in urls))
        one, other = (scored(written, view["prompt_logprobs"]) for view in views)
        return one, other

    return summarise(await asyncio.gather(*map(both, prompts)))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and write the report; 0 if it passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="id that both serve")
    parser.add_argument("--weights", required=True, help="folder or hub id of the weights")
    parser.add_argument("--reference", required=True, help="URL of the engine with 16 bits")
    parser.add_argument("--candidate", required=True, help="URL of the engine with FP8")
    parser.add_argument("--prompts", required=True, type=Path, help="a prompt a line")
    parser.add_argument("--tokens", type=int, default=1024, help="longest answer compared")
    parser.add_argument("--report", required=True, type=Path)
    args = parser.parse_args(argv)
    prompts = [line for line in args.prompts.read_text("utf-8").splitlines() if line.strip()]

    async def run() -> tuple[int, float, float]:
        headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=30)
        async with aiohttp.ClientSession(headers=headers, timeout=limit) as session:
            urls = (args.reference, args.candidate)
            return await compare(session, args.model, urls, prompts, args.tokens)

    count, same, mean = asyncio.run(run())
    report = Report(
        model=args.model,
        weights=args.weights,
        kv_cache_dtype="fp8",
        tokens=count,
        same=same,
        mean_difference=mean,
    )
    args.report.write_text(json.dumps(report.model_dump(), indent=1) + "\n", encoding="utf-8")
    verdict = "; ".join(report.faults) or "passes"
    print(f"{count:,} tokens: {same:.2%} the same, mean difference {mean:.5f}: {verdict}")  # noqa: T201
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
