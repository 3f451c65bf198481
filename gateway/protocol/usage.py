"""What an answer cost, in tokens. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Usage:
    """Tokens of one answer; `reasoning` is a part of `completion`, `cached` of `prompt`."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0

    def read(self, usage: dict[str, Any]) -> None:
        """Take over the upstream's figures, except the reasoning tokens: those are counted."""
        self.prompt = usage.get("prompt_tokens") or 0
        self.completion = usage.get("completion_tokens") or 0
        details = usage.get("prompt_tokens_details") or {}
        self.cached = details.get("cached_tokens") or 0

    def take(self, usage: dict[str, Any]) -> None:
        """Take over all of a server's figures, where it has no token ids to count ourselves."""
        self.read(usage)
        self.cached = self.cached or usage.get("prompt_cache_hit_tokens") or 0
        details = usage.get("completion_tokens_details") or {}
        self.reasoning = details.get("reasoning_tokens") or 0


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
