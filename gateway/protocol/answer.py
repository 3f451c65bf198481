"""Turning vLLM's whole (not streamed) answers into those that the gateway gives. Pure.

The changes are those of `gateway.protocol.chat_stream` and `gateway.protocol.text_stream`.
"""

from __future__ import annotations

import orjson

from gateway.errors import UpstreamFailed
from gateway.protocol.reasoning import count
from gateway.protocol.repetition import mark, translate_ending
from gateway.protocol.request import Asked
from gateway.protocol.usage import Usage, token_count, with_cache_counts, with_reasoning
from gateway.protocol.wire import ENGINE_FIELDS, drop, read_object


def translate_body(
    data: bytes, asked: Asked, model: str, think_end: int | None
) -> tuple[bytes, Usage]:
    """A whole (not streamed) answer. Raises UpstreamFailed if it isn't one."""
    body = read_object(data)
    if not isinstance(body.get("choices"), list):
        raise UpstreamFailed("The model server's answer has no choices.", code="upstream_invalid")
    body["model"] = model
    if not asked.token_ids:
        drop(body, ENGINE_FIELDS)
    if body.get("prompt_logprobs", 0) is None:
        del body["prompt_logprobs"]
    usage = Usage()
    reported = body.get("usage")
    if isinstance(reported, dict):
        usage.read(reported)
    for choice in body["choices"]:
        ids = choice.get("token_ids")
        message = choice.get("message")
        if isinstance(message, dict):
            reasoning = message.pop("reasoning", None)
            if reasoning is not None and not asked.thinks:
                message["content"] = reasoning + (message.get("content") or "")
                reasoning = None
            if asked.heard is not None:
                asked.heard.said(ids or (), reasoning, message.get("content"))
            if reasoning is not None and ids is not None and think_end is not None:
                usage.reasoning += count(ids, think_end)
            elif reasoning is not None and isinstance(reported, dict):
                details = reported.get("completion_tokens_details") or {}
                usage.reasoning = token_count(details.get("reasoning_tokens"))
            message["reasoning_content"] = reasoning if asked.reasoning else None
            if reasoning is not None and not asked.reasoning:
                choice["logprobs"] = None
        elif asked.heard is not None:
            asked.heard.said(ids or (), choice.get("text"))
        translate_ending(choice)
        if asked.heard is not None and asked.heard.loops:
            mark(choice)
        if not asked.token_ids:
            drop(choice, ("token_ids", "prompt_token_ids", "routed_experts"))
    if isinstance(reported, dict):
        with_cache_counts(reported)
        if asked.api == "chat":
            with_reasoning(reported, usage.reasoning)
    return orjson.dumps(body), usage
