"""What an answer cost, in tokens. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MOST_TOKENS = 2**40


@dataclass(slots=True)
class Usage:
    """Tokens of one answer; `reasoning` is a part of `completion`, `cached` of `prompt`."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0

    def read(self, usage: dict[str, Any]) -> None:
        """Take over the upstream's figures, except the reasoning tokens: those are counted."""
        self.prompt = token_count(usage.get("prompt_tokens"))
        self.completion = token_count(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details") or {}
        self.cached = token_count(details.get("cached_tokens"))

    def told(self) -> dict[str, Any]:
        """In OpenAI's form, without the reasoning tokens."""
        return {
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + self.completion,
            "completion_tokens": self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }

    def take(self, usage: dict[str, Any]) -> None:
        """Take over all of a server's figures, where it has no token ids to count ourselves."""
        self.read(usage)
        self.cached = self.cached or token_count(usage.get("prompt_cache_hit_tokens"))
        details = usage.get("completion_tokens_details") or {}
        self.reasoning = token_count(details.get("reasoning_tokens"))


def token_count(reported: Any) -> int:
    """A figure of a model server's usage; 0 where there is none. Raises ValueError.

    What is no count would get into budgets: a negative one as a gift.
    """
    if reported is None:
        return 0
    if type(reported) is not int or not 0 <= reported < _MOST_TOKENS:
        raise ValueError("no count of tokens")
    return reported


def with_reasoning(usage: dict[str, Any], reasoning: int) -> None:
    """Write the counted reasoning tokens into a usage object, in place."""
    details = usage.get("completion_tokens_details")
    if not isinstance(details, dict):
        details = {}
        usage["completion_tokens_details"] = details
    details["reasoning_tokens"] = reasoning


def with_cache_counts(usage: dict[str, Any]) -> None:
    """Write DeepSeek's two fields into a usage object, in place: prompt tokens found and not."""
    details = usage.get("prompt_tokens_details")
    hit = (details.get("cached_tokens") or 0) if isinstance(details, dict) else 0
    usage["prompt_cache_hit_tokens"] = hit
    usage["prompt_cache_miss_tokens"] = max(0, (usage.get("prompt_tokens") or 0) - hit)


def estimated_reasoning(completion: int, reasoning_chars: int, all_chars: int) -> int:
    """Reasoning tokens of an answer whose token ids aren't known: by its share of the text."""
    return completion * reasoning_chars // all_chars if all_chars else 0
