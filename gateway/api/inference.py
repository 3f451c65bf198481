"""The inference routes, as raw ASGI: nothing stands between the server and the pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from gateway.call import Call, Message, Receive, Send
from gateway.errors import (
    ClientDisconnected,
    GatewayError,
    InternalError,
    UpstreamError,
    UpstreamFailed,
)
from gateway.in_flight import InFlight
from gateway.pipeline import Pipeline
from gateway.protocol.request import Api
from gateway.telemetry import first_token
from gateway.telemetry.logs import fault
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.spans import Tracing

_CLIENT_LEFT = 499
"""Status in metrics and logs for a caller who left before the answer's end."""


class InferenceRoute:
    """One inference route: runs the pipeline, tells of errors, counts and logs."""

    def __init__(
        self,
        api: Api,
        pipeline: Pipeline,
        metrics: Metrics,
        logger: logging.Logger,
        tracing: Tracing,
        in_flight: InFlight,
        *,
        now: Callable[[], float],
        make_id: Callable[[], str],
        log_prompts: bool = False,
    ) -> None:
        self._api: Api = api
        self._pipeline = pipeline
        self._metrics = metrics
        self._logger = logger
        self._in_flight = in_flight
        self._now = now
        self._make_id = make_id
        self._tracing = tracing
        self._log_prompts = log_prompts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; every error ends here."""
        call = Call(
            scope,
            receive,
            send,
            api=self._api,
            now=self._now,
            make_id=self._make_id,
            trace=self._tracing.follow(scope["headers"]),
        )
        error: GatewayError | None = None
        try:
            self._in_flight.enter(call)
            await self._pipeline.run(call)
            call.ending = call.stopped or "done"
        except ClientDisconnected:
            call.ending = "disconnect"
            self._metrics.disconnected(call.model_label)
        except GatewayError as refusal:
            error = refusal
        except asyncio.CancelledError:
            error = self._in_flight.cut()
        except Exception as bug:
            fields = {**call.names(), "model": call.model_label}
            self._logger.error("internal_error", exc_info=bug, extra={"fields": fields})
            error = InternalError(f"The gateway failed; its log tells why under {call.id}.")
        finally:
            self._in_flight.leave(call)
        try:
            if error is not None:
                await self._fail(call, error)
        finally:
            self._account(call, error)
            # Its traceback leads to this frame, and so would keep the call, and with that the
            # connection, until the next collection of garbage.
            error = None

    async def _fail(self, call: Call, error: GatewayError) -> None:
        call.ending = error.code
        if not isinstance(error, UpstreamError):
            self._metrics.rejected(call.model_label, error.code)
        await call.fail(error)

    def _account(self, call: Call, error: GatewayError | None) -> None:
        seconds = call.elapsed()
        model = call.model_label
        status = _CLIENT_LEFT if call.ending == "disconnect" else call.status
        self._metrics.request_done(self._api, model, status, seconds, call.trace.pointer)
        self._metrics.usage(model, call.usage)
        first_token.over(call, self._metrics)
        if call.streaming:
            self._metrics.stream_ended(model, call.ending or "unknown")
        fields: dict[str, Any] = {
            **call.names(),
            "api": self._api,
            "model": model,
            "status": status,
            "ending": call.ending,
            "seconds": round(seconds, 4),
            "stream": call.streaming,
            "attempts": call.attempts,
            "cache": call.cache_result,
            "resumes": call.resumes,
            "prompt_tokens": call.usage.prompt,
            "completion_tokens": call.usage.completion,
            "reasoning_tokens": call.usage.reasoning,
        }
        if call.first_token_s is not None:
            fields["first_token_s"] = round(call.first_token_s, 4)
        if call.key is not None:
            fields["key_id"] = call.key.id
            fields["tenant"] = call.key.tenant
        if call.upstream is not None:
            fields["upstream"] = call.upstream.name
        if error is not None:
            fields["code"] = error.code
            if isinstance(error, UpstreamFailed) and error.__cause__ is not None:
                fields["fault"] = fault(error.__cause__)
        self._logger.info("request", extra={"fields": fields})
        self._tracing.spans.request(call, status, error)
        if self._log_prompts and call.body is not None:
            told = {**call.names(), "body": call.body.decode(errors="replace")}
            self._logger.info("prompt", extra={"fields": told})
