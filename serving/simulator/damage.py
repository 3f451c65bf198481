"""How a simulated engine's faults look on the wire."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from aiohttp import web

from serving.simulator.wire import BROKEN, DONE, refusal

if TYPE_CHECKING:
    from serving.simulator.faults import Controls

FOREVER_S = 86_400.0


async def strike(http: web.Request, response: web.StreamResponse, fault: str) -> bool:
    """Do what the fault does to a stream; True if that is the stream's end."""
    if fault in ("first-error", "error"):
        await response.write(BROKEN + DONE)
        return True
    if fault == "cut":
        return True
    if fault == "reset":
        reset(http)
        return True
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "stall":
        await asyncio.sleep(FOREVER_S)
    if fault == "nonsense":
        await response.write(b"data: {nonsense\n\n")
    if fault == "mangled":
        await response.write(b"\xff\xff\xff")
    return False


def failed(controls: Controls) -> web.Response:
    """The error status that the controls ask for."""
    headers = {"retry-after": controls.retry_after} if controls.retry_after else {}
    body = refusal("secret internals", "InternalServerError", controls.status)
    return web.json_response(body, status=controls.status, headers=headers)


def reset(http: web.Request) -> None:
    """Reset the connection."""
    if http.transport is not None:
        # uvloop's transports are no subclass of asyncio's, but have all its methods.
        http.transport.abort()
