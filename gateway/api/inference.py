"""The inference routes, as raw ASGI: nothing stands between the server and the pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.call import Call, Message, Receive, Send
from gateway.errors import ClientDisconnected, GatewayError, InternalError, UpstreamError
from gateway.pipeline import Pipeline
from gateway.protocol.request import Api
from gateway.telemetry.metrics import Metrics

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
        *,
        now: Callable[[], float],
        make_id: Callable[[], str],
    ) -> None:
        self._api: Api = api
        self._pipeline = pipeline
        self._metrics = metrics
        self._logger = logger
        self._now = now
        self._make_id = make_id

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; every error ends here."""
        call = Call(scope, receive, send, api=self._api, now=self._now, make_id=self._make_id)
        error: GatewayError | None = None
        try:
            await self._pipeline.run(call)
            call.ending = "done"
        except ClientDisconnected:
            call.ending = "disconnect"
            self._metrics.disconnected(call.model_label)
        except GatewayError as fault:
            error = fault
        except Exception as fault:
            fields = {"request_id": call.id, "model": call.model_label}
            self._logger.error("internal_error", exc_info=fault, extra={"fields": fields})
            error = InternalError(f"The gateway failed; its log tells why under {call.id}.")
        try:
            if error is not None:
                await self._fail(call, error)
        finally:
            self._account(call, error)

    async def _fail(self, call: Call, error: GatewayError) -> None:
        call.ending = error.code
        if not isinstance(error, UpstreamError):
            self._metrics.rejected(call.model_label, error.code)
        await call.fail(error)

    def _account(self, call: Call, error: GatewayError | None) -> None:
        seconds = call.elapsed()
        model = call.model_label
        status = _CLIENT_LEFT if call.ending == "disconnect" else call.status
        self._metrics.request_done(self._api, model, status, seconds)
        self._metrics.usage(model, call.usage)
        if call.streaming:
            self._metrics.stream_ended(model, call.ending or "unknown")
        fields = {
            "request_id": call.id,
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
        self._logger.info("request", extra={"fields": fields})
