"""What makes two requests parts of one conversation. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

_LOOKED_AT = 1024
"""Characters of a text: conversations differ early, and long prompts must not cost time."""


def conversation(body: dict[str, Any], tenant: str) -> bytes | None:
    """16 bytes that all turns of a conversation share; None for a request without a text.

    They follow from how it begins: its tenant, the system prompt and the first message of the
    user, or the beginning of a plain prompt. Engines cache the KV of prompts by prefix, so the
    next turn is cheap where the last one was.
    """
    known = blake2b(tenant.encode(), digest_size=16)
    texts = list(_beginnings(body))
    for text in texts:
        known.update(b"\0" + text[:_LOOKED_AT].encode())
    return known.digest() if texts else None


def prefix(body: dict[str, Any], tenant: str) -> bytes | None:
    """16 bytes that all requests of a tenant share which begin with the same text: often a long
    system prompt, whose KV is cached where one of them was just now."""
    first = next(_beginnings(body), None)
    if first is None:
        return None
    known = blake2b(tenant.encode(), digest_size=16)
    known.update(b"\0" + str(body.get("model")).encode() + b"\0" + first[:_LOOKED_AT].encode())
    return known.digest()


def _beginnings(body: dict[str, Any]) -> Iterator[str]:
    for field in ("system", "instructions"):
        if body.get(field):
            yield _text(body[field])
    messages = body.get("messages") or body.get("input") or body.get("prompt")
    if isinstance(messages, str):
        yield messages
    if not isinstance(messages, list):
        return
    for message in messages:
        if not isinstance(message, dict):
            return  # the token ids or texts of a prompt
        yield _text(message.get("content"))
        if message.get("role") == "user":
            return


def _text(content: Any) -> str:
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
