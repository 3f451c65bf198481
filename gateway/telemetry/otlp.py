"""Requests and attempts as OpenTelemetry's spans. Needs the extra `otel`.

The attributes are those of the semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/) and for HTTP, and the gateway's own `r1.…`.
Spans are made when what they tell of is over, so nothing is added to a request on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from gateway.call import Call
from gateway.errors import GatewayError
from gateway.protocol.request import Api, Asked
from gateway.protocol.usage import Usage
from gateway.upstream.visit import Visit

Value = str | bool | int | float

_OPERATIONS: Mapping[Api, str] = {
    "chat": "chat",
    "completions": "text_completion",
    "responses": "chat",
    "messages": "chat",
    "count_tokens": "count_tokens",
}
# What of a request's body the conventions have a name for. None of it is a text of the caller's.
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
# Span.flags: it is known whether the parent is in another process, and it is.
_REMOTE_PARENT = 0x300
_LOCAL_PARENT = 0x100


class OtlpSpans:
    """Makes spans of sampled traces and hands them to `send`."""

    def __init__(
        self,
        send: Callable[[Span], None],
        *,
        wall_ns: Callable[[], int],
        address: str,
        port: int,
    ) -> None:
        """Args: `wall_ns` gives nanoseconds since 1970; `address` and `port` are the API's."""
        self._send = send
        self._wall_ns = wall_ns
        self._address = address
        self._port = port

    def request(self, call: Call, status: int, error: GatewayError | None) -> None:
        """The span of a request, with an event at the first token of a stream."""
        trace = call.trace
        if not trace.sampled:
            return
        span = self._span(call, trace.span, trace.parent, 0.0)
        span.kind = Span.SPAN_KIND_SERVER
        if trace.parent is not None:
            span.flags |= _REMOTE_PARENT
        attributes: dict[str, Value] = {
            "http.request.method": "POST",
            "http.response.status_code": status,
            "server.address": self._address,
            "server.port": self._port,
            "r1.request_id": call.id,
            "r1.cache": call.cache_result,
            "r1.attempts": call.attempts,
            "r1.resumes": call.resumes,
        }
        if call.upstream is not None:
            attributes["gen_ai.provider.name"] = call.upstream.dialect.name
        if call.found:
            attributes["gen_ai.request.model"] = call.asked.model
            attributes["gen_ai.response.model"] = call.model.id
            attributes |= _parameters(call.asked) | _tokens(call.usage)
        if call.ending != "done":
            attributes["error.type"] = call.ending or "unknown"
        if error is not None and error.status >= 500:
            span.status.code = Status.STATUS_CODE_ERROR
        if call.first_token_s is not None:
            event = span.events.add(name="first_token")
            event.time_unix_nano = span.start_time_unix_nano + int(call.first_token_s * 1e9)
            attributes["gen_ai.response.time_to_first_chunk"] = call.first_token_s
        span.attributes.extend(_pairs(attributes))
        self._send(span)

    def attempt(self, call: Call, visit: Visit, began_s: float, outcome: str) -> None:
        """The span of an attempt, below its request's."""
        if not call.trace.sampled:
            return
        upstream = visit.upstream
        span = self._span(call, visit.span, call.trace.span, began_s)
        span.kind = Span.SPAN_KIND_CLIENT
        span.flags |= _LOCAL_PARENT
        url = urlsplit(upstream.url)
        attributes: dict[str, Value] = {
            "gen_ai.provider.name": upstream.dialect.name,
            "gen_ai.request.model": upstream.model,
            "http.request.method": "POST",
            "http.request.resend_count": visit.number - 1,
            "server.address": url.hostname or "",
            "server.port": url.port or (443 if url.scheme == "https" else 80),
            "r1.upstream": upstream.name,
        }
        attributes |= _parameters(call.asked)
        if visit.first_s is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = visit.first_s
        if outcome == "ok":
            attributes["http.response.status_code"] = 200
            attributes["gen_ai.response.model"] = upstream.model
            if visit.usage is not None:
                attributes |= _tokens(visit.usage)
        else:
            attributes["error.type"] = outcome
            if outcome not in ("cancelled", "rejected"):
                span.status.code = Status.STATUS_CODE_ERROR
        span.attributes.extend(_pairs(attributes))
        self._send(span)

    def _span(self, call: Call, own: str, parent: str | None, began_s: float) -> Span:
        """What all spans have; this one ends now."""
        operation, now = _OPERATIONS[call.api], self._wall_ns()
        return Span(
            trace_id=bytes.fromhex(call.trace.id),
            span_id=bytes.fromhex(own),
            parent_span_id=b"" if parent is None else bytes.fromhex(parent),
            trace_state=call.trace.state,
            flags=call.trace.flags,
            name=f"{operation} {call.model_label}",
            start_time_unix_nano=now - int((call.elapsed() - began_s) * 1e9),
            end_time_unix_nano=now,
            attributes=_pairs({"gen_ai.operation.name": operation}),
        )


def encode(spans: Iterable[Span], resource: Mapping[str, Value]) -> bytes:
    """The body of a call to a collector. `resource` tells who sends it."""
    scope = ScopeSpans(scope=InstrumentationScope(name="r1.gateway"), spans=spans)
    of_whom = Resource(attributes=_pairs(resource))
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=of_whom, scope_spans=[scope])]
    )
    body: bytes = request.SerializeToString()
    return body


def _parameters(asked: Asked) -> dict[str, Value]:
    """How an answer is asked for."""
    told: dict[str, Value] = {"gen_ai.request.stream": asked.stream}
    if asked.max_tokens is not None:
        told["gen_ai.request.max_tokens"] = asked.max_tokens
    for field, name in _PARAMETERS.items():
        value = asked.body.get(field)
        if isinstance(value, int | float):
            told[name] = value
    return told


def _tokens(usage: Usage) -> dict[str, Value]:
    return {
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.completion,
        "gen_ai.usage.cache_read.input_tokens": usage.cached,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }


def _pairs(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Value) -> AnyValue:
    # A bool is an int too, and ints of callers may have any size.
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return AnyValue(int_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(double_value=value)
