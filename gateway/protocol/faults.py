"""Errors in each API's own form: as a body, and as the last event of a stream. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.protocol import sse
from gateway.protocol.fields import Api

_ANTHROPIC_APIS = ("messages", "count_tokens")
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(error: GatewayError, api: Api, request_id: str) -> bytes:
    """The body of an answer that is an error."""
    if api in _ANTHROPIC_APIS:
        return orjson.dumps(_anthropic(error, request_id))
    return error.json()


def error_event(error: GatewayError, api: Api, request_id: str, sequence: int) -> bytes:
    """The event that ends a stream which could not be completed.

    `sequence` is the event's number in a response's stream. There the error is told twice: in the
    fields of that API's `error` event, and under `error`, which makes OpenAI's clients raise it.
    """
    if api in _ANTHROPIC_APIS:
        return sse.named_event("error", orjson.dumps(_anthropic(error, request_id)))
    if api == "responses":
        told = {"code": error.code, "message": error.message, "param": error.param}
        event = {"type": "error", "sequence_number": sequence, **told, **error.body()}
        return sse.named_event("error", orjson.dumps(event))
    return sse.event(error.json())


def _anthropic(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Anthropic's form, with our `code` and `param` added."""
    return {
        "type": "error",
        "error": {
            "type": _ANTHROPIC_TYPES.get(error.status, "api_error"),
            "message": error.message,
            "code": error.code,
            "param": error.param,
        },
        "request_id": request_id,
    }
