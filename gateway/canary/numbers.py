"""The canary's prompt, and the log-probabilities that a replica gives for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROMPT = "What is 7+5? It is 12, because"
"""Thirty characters: at most 31 tokens for any tokenizer, that of single bytes included."""
TOKENS = 16
"""Of the answer."""
_ALTERNATIVES = 5
_ID = "token_id:"


class NoNumbers(ValueError):
    """An answer without the log-probabilities that were asked for."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Natural logarithms of probabilities.

    `prompt`: of each token of the prompt but the first, given those before it. `tokens`: the greedy
    answer's ids. `tops`: for each of these the likeliest tokens at its place, itself included.
    """

    prompt: tuple[float, ...]
    tokens: tuple[int, ...]
    tops: tuple[Mapping[int, float], ...]

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        tops = [{str(token): value for token, value in each.items()} for each in self.tops]
        return {"prompt": list(self.prompt), "tokens": list(self.tokens), "tops": tops}

    @staticmethod
    def load(told: dict[str, Any]) -> Numbers:
        """From JSON. Raises NoNumbers."""
        try:
            numbers = Numbers(
                tuple(map(float, told["prompt"])),
                tuple(map(int, told["tokens"])),
                tuple({int(i): float(value) for i, value in each.items()} for each in told["tops"]),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise NoNumbers("not in the form of `dump`") from error
        pairs = zip(numbers.tokens, numbers.tops, strict=False)
        if len(numbers.tokens) != len(numbers.tops) or any(t not in top for t, top in pairs):
            raise NoNumbers("a token without its own number")
        return numbers


NOTHING = Numbers((), (), ())
"""Of a replica that answers and has no numbers: far from everything, itself included."""


def question(model: str) -> dict[str, Any]:
    """The body for /v1/completions; `model` is its name at the replica.

    Asking for the prompt's numbers also keeps vLLM from taking any of it from its prefix cache:
    all is computed each time.
    """
    return {
        "model": model,
        "prompt": PROMPT,
        "max_tokens": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": _ALTERNATIVES,
        "prompt_logprobs": 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }


def read(answer: dict[str, Any]) -> Numbers:
    """The numbers in an answer to `question`. Raises NoNumbers."""
    try:
        choice = answer["choices"][0]
        _, *rest = choice["prompt_logprobs"]
        ids = choice["prompt_token_ids"]
        prompt = [each[str(token)]["logprob"] for token, each in zip(ids[1:], rest, strict=True)]
        told = choice["logprobs"]
        tops = [
            {_token(name): value for name, value in top.items()} | {token: own}
            for token, own, top in zip(
                choice["token_ids"], told["token_logprobs"], told["top_logprobs"], strict=True
            )
        ]
        return Numbers.load({"prompt": prompt, "tokens": choice["token_ids"], "tops": tops})
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise NoNumbers("the answer has not the numbers that were asked for") from error


def _token(name: str) -> int:
    return int(name.removeprefix(_ID))
