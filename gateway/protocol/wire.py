"""Reading what a model server sends, and the faults in it. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import UpstreamFailed, UpstreamRejected

ENGINE_FIELDS = (
    "prompt_token_ids",
    "prompt_text",
    "kv_transfer_params",
    "ec_transfer_params",
    "metrics",
)
"""Fields of vLLM's answers that are not the caller's business."""


def read_chunk(data: bytes) -> dict[str, Any]:
    """An event of a stream. Raises UpstreamFailed or UpstreamRejected if it isn't one."""
    chunk = read_object(data)
    fault = chunk.get("error")
    if fault is not None:
        raise error_from(fault)
    if not isinstance(chunk.get("choices"), list):
        raise UpstreamFailed(
            "The model server sent an event without choices.", code="upstream_invalid"
        )
    return chunk


def error_from(fault: Any) -> UpstreamFailed | UpstreamRejected:
    """The error that an upstream's `error` object tells of.

    The text of a refusal (4xx) helps its caller and is passed on; the text of a fault inside
    the model server is not theirs to read.
    """
    if not isinstance(fault, dict):
        fault = {}
    code = fault.get("code")
    if isinstance(code, int) and 400 <= code < 500:
        return UpstreamRejected(
            str(fault.get("message") or "The model server refused the request."),
            param=fault.get("param") if isinstance(fault.get("param"), str) else None,
        )
    return UpstreamFailed("The model server failed while it worked on the answer.")


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises UpstreamFailed if it isn't one."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UpstreamFailed(
            "The model server's answer is not valid JSON.", code="upstream_invalid"
        ) from error
    if not isinstance(value, dict):
        raise UpstreamFailed(
            "The model server's answer is not a JSON object.", code="upstream_invalid"
        )
    return value


def drop(target: dict[str, Any], fields: tuple[str, ...]) -> None:
    """Remove fields, where they are there."""
    for field in fields:
        target.pop(field, None)


def head_of(chunk: dict[str, Any]) -> dict[str, Any]:
    """What all chunks of one answer begin with."""
    return {name: chunk[name] for name in ("id", "object", "created", "model") if name in chunk}
