"""The errors that stand for what goes wrong between the gateway and a model server."""

from __future__ import annotations

import math
from typing import Any

import orjson

from gateway.errors import (
    ContextLengthExceeded,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamLost,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.http.client import Unreachable
from gateway.http.wire import Broken, NotHttp, Response

_ERROR_BODY_BYTES = 64 * 1024
_INVALID = "upstream_invalid"
# How vLLM and DeepSeek say that a prompt is too long, and how Ollama does.
_OVERLONG = ("maximum context length", "input length exceeds the context length")


UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised when the parts of an answer have other types than they should."""


def unreadable() -> UpstreamFailed:
    """The error for something that isn't an answer."""
    return UpstreamFailed("The model server sent something that isn't an answer.", code=_INVALID)


def compressed() -> UpstreamFailed:
    """The error for an answer with a `content-encoding`, which was not asked for."""
    return UpstreamFailed("The model server compressed its answer, unasked.", code=_INVALID)


def overlong(most: int) -> UpstreamFailed:
    """The error for an answer of more than `most` bytes."""
    return UpstreamFailed(f"The model server's answer is longer than {most} bytes.", code=_INVALID)


def lost() -> UpstreamLost:
    """The error for an answer that broke off."""
    return UpstreamLost("The connection to the model server was lost in the middle of the answer.")


def connection_fault(error: Exception) -> UpstreamError:
    """The error for a request that got no answer at all."""
    if isinstance(error, Unreachable):
        if error.late:
            return UpstreamUnavailable("The model server could not be reached in time.")
        return UpstreamUnavailable("The model server can't be reached.")
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("The model server took too long to answer.")
    if isinstance(error, Broken):
        return UpstreamLost("The model server closed the connection without an answer.")
    return UpstreamFailed("The model server's answer is not valid HTTP.")


async def status_fault(response: Response) -> UpstreamError:
    """The error that stands for an answer with another status than 200."""
    status = response.status
    if status in (429, 503):
        return UpstreamBusy(
            "The model is busy or not ready at the moment; try again shortly.",
            status=status,
            retry_after_s=_retry_after(response.headers.get("retry-after")),
        )
    if status in (400, 422, 413):
        return _refusal(await _fault_object(response))
    if status in (408, 504):
        return UpstreamTimeout("The model server gave up waiting for its own answer.")
    if status in (401, 402, 403):
        return UpstreamFailed(
            "The model server does not accept the gateway's engine key, or it is used up.",
            code="upstream_auth",
        )
    if status == 404:
        return UpstreamFailed(
            "The model server does not serve this model.", code="upstream_no_model"
        )
    return UpstreamFailed(f"The model server failed with status {status}.")


def _refusal(fault: dict[str, Any]) -> UpstreamError:
    message = str(fault.get("message") or "The model server refused the request as wrong.")
    param = fault.get("param") if isinstance(fault.get("param"), str) else None
    if fault.get("type") == "exceed_context_size_error" or any(
        words in message for words in _OVERLONG
    ):
        error = UpstreamRejected(message, param=param, code=ContextLengthExceeded.code)
        return error
    return UpstreamRejected(message, param=param)


async def _fault_object(response: Response) -> dict[str, Any]:
    data = b""
    try:
        while len(data) < _ERROR_BODY_BYTES and (piece := await response.piece()):
            data += piece
        body = orjson.loads(data)
    except (Broken, NotHttp, orjson.JSONDecodeError):
        return {}
    fault = body.get("error", body) if isinstance(body, dict) else {}
    if isinstance(fault, str):
        return {"message": fault}
    return fault if isinstance(fault, dict) else {}


def _retry_after(value: str | None) -> float | None:
    try:
        seconds = math.nan if value is None else float(value)
    except ValueError:
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), 3600.0)
