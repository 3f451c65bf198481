"""The errors that stand for what goes wrong between the gateway and a model server."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
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

_ERROR_BODY_BYTES = 64 * 1024
# How vLLM and DeepSeek say that a prompt is too long, and how Ollama does.
_OVERLONG = ("maximum context length", "input length exceeds the context length")


def lost() -> UpstreamLost:
    """The error for an answer that broke off."""
    return UpstreamLost("The connection to the model server was lost in the middle of the answer.")


def connection_fault(error: Exception) -> UpstreamError:
    """The error for a request that got no answer at all."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamUnavailable("The model server could not be reached in time.")
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return UpstreamTimeout("The model server took too long to answer.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnavailable("The model server can't be reached.")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return UpstreamLost("The model server closed the connection without an answer.")
    return UpstreamFailed("The model server's answer is not valid HTTP.")


async def status_fault(response: aiohttp.ClientResponse) -> UpstreamError:
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


async def _fault_object(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        data = await response.content.read(_ERROR_BODY_BYTES)
        body = orjson.loads(data)
    except (aiohttp.ClientError, OSError, orjson.JSONDecodeError):
        return {}
    fault = body.get("error", body) if isinstance(body, dict) else {}
    if isinstance(fault, str):
        return {"message": fault}
    return fault if isinstance(fault, dict) else {}


def _retry_after(value: str | None) -> float | None:
    try:
        return None if value is None else min(max(float(value), 0.0), 3600.0)
    except ValueError:
        return None
