"""Fitting `max_tokens` into the context, without asking the tokenizer where possible. Pure.

vLLM refuses a request whose prompt and `max_tokens` together exceed the context. The exact
number that fits is `context - prompt tokens`; counting the prompt costs a call. Three cases:

- an upper bound of the prompt's tokens shows that it fits: nothing to do (the common case);
- `max_tokens` alone fills the context, so it can't fit: a chat request is sent without it,
  for then vLLM's own rule is "what remains of the context", which is the exact answer;
- else the upstream's tokenizer counts, and the exact number is set.
"""

from __future__ import annotations

import enum
from typing import Any

from gateway.protocol.conversation import TEXT_PARTS

# The markers that a chat template writes around a message, in tokens, and what it writes once
# (BOS, a default system prompt, a date line, the opened think block): generous bounds.
_TOKENS_PER_MESSAGE = 16
_TOKENS_ONCE = 256
# Normalising Unicode (NFC) can lengthen text, at most to three times its UTF-8 bytes.
_NFC_EXPANSION = 3

# Fields through which a template may write text that isn't in the messages.
_WRITES_MORE = ("tools", "documents", "chat_template_kwargs", "chat_template", "functions")


class Fit(enum.Enum):
    """What to do with max_tokens."""

    KEEP = "keep"
    DROP = "drop"
    COUNT = "count"


def prompt_token_bound(raw: bytes, body: dict[str, Any]) -> int | None:
    """An upper bound of the prompt's tokens, None when there is no cheap one.

    `raw` is the request's JSON. Byte-level tokenizers give at most one token a byte, and the
    JSON of a text is never shorter than its UTF-8 bytes.
    """
    if any(body.get(field) for field in _WRITES_MORE):
        return None
    size = len(raw) if raw.isascii() else len(raw) * _NFC_EXPANSION
    messages = body.get("messages") or body.get("input")
    if not isinstance(messages, list):
        return size + _TOKENS_ONCE
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and any(_is_not_text(part) for part in content):
            return None
    return size + _TOKENS_PER_MESSAGE * len(messages) + _TOKENS_ONCE


def decide(max_tokens: int, bound: int | None, context: int, *, may_drop: bool) -> Fit:
    """Whether `max_tokens` fits. `may_drop`: without it the upstream fills the context."""
    if may_drop and max_tokens >= context:
        return Fit.DROP
    if bound is not None and bound + max_tokens <= context:
        return Fit.KEEP
    return Fit.COUNT


def largest(max_tokens: int, prompt_tokens: int, context: int) -> int:
    """The largest number of answer tokens ≤ `max_tokens` that fits; ≤ 0 if none does."""
    return min(max_tokens, context - prompt_tokens)


def _is_not_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") not in TEXT_PARTS
