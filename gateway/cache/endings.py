"""How a generation ended, as JSON for the followers at other workers. Pure."""

from __future__ import annotations

from dataclasses import asdict

import orjson

from gateway.errors import GatewayError, UpstreamError
from gateway.protocol.usage import Usage


def dump_ending(usage: Usage, error: GatewayError | None) -> bytes:
    """The usage of an answer, and the error that it ended with, if any."""
    fault = None
    if error is not None:
        fault = {
            "status": error.status,
            "type": error.type,
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "retry": error.retry,
            "retry_after_s": error.retry_after_s,
        }
    return orjson.dumps({"usage": asdict(usage), "error": fault})


def load_ending(data: bytes) -> tuple[Usage, GatewayError | None]:
    """From `dump_ending`. The error looks the same to a caller."""
    ending = orjson.loads(data)
    usage, fault = Usage(**ending["usage"]), ending["error"]
    if fault is None:
        return usage, None
    error = UpstreamError(
        fault["message"],
        param=fault["param"],
        code=fault["code"],
        retry_after_s=fault["retry_after_s"],
    )
    error.status, error.type, error.retry = fault["status"], fault["type"], fault["retry"]
    return usage, error
