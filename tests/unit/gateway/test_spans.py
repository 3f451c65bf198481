"""Requests and attempts as OpenTelemetry's spans."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from gateway.call import Call, Message
from gateway.errors import GatewayError, InternalError, ModelNotFound
from gateway.protocol.request import Api, Asked
from gateway.protocol.usage import Usage
from gateway.telemetry.otlp import OtlpSpans
from gateway.telemetry.trace import Trace

TRACE = Trace("a" * 32, "b" * 16, parent="c" * 16, flags=1, state="v=1")
UPSTREAM: Any = SimpleNamespace(
    name="vendor", url="https://api.example.com/v1", model="m-0", dialect=SimpleNamespace(name="x")
)
MODEL: Any = SimpleNamespace(id="m")


class Bench:
    """A call that has been going on for two seconds, and the spans it left."""

    def __init__(self, trace: Trace = TRACE, api: Api = "chat") -> None:
        self.spans: list[Span] = []
        self.maker = OtlpSpans(
            self.spans.append, wall_ns=lambda: 10_000_000_000, address="gateway", port=8080
        )
        clock = iter([0.0])
        self.call = Call(
            {"headers": []},
            self.nothing,
            self.ignore,
            api=api,
            now=lambda: next(clock, 2.0),
            make_id=lambda: "x",
            trace=trace,
        )
        body = {"temperature": 0.5, "seed": 2**70, "top_p": "wrong", "user": "secret"}
        self.call.asked = Asked(api, b"", body, "m", True, False, False, False, 9)

    async def nothing(self) -> Message:
        raise AssertionError("nothing is read")

    async def ignore(self, message: Message) -> None:
        raise AssertionError("nothing is sent")

    def request(self, ending: str, status: int, error: GatewayError | None = None) -> Span:
        self.call.ending = ending
        self.maker.request(self.call, status, error)
        return self.spans[-1]

    def attempt(self, outcome: str) -> Span:
        usage = Usage(prompt=7, completion=5, reasoning=3, cached=2)
        visit: Any = SimpleNamespace(
            upstream=UPSTREAM, span="d" * 16, number=3, first_s=0.25, usage=usage
        )
        self.maker.attempt(self.call, visit, 0.5, outcome)
        return self.spans[-1]


def values(span: Span) -> dict[str, Any]:
    pairs = span.attributes
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def test_a_request_that_failed_before_its_model_was_known() -> None:
    span = Bench().request("model_not_found", 404, ModelNotFound("No such model."))
    assert span.name == "chat unknown"
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE.id, TRACE.span)
    assert (span.parent_span_id.hex(), span.trace_state) == (TRACE.parent, "v=1")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (8_000_000_000, 10_000_000_000)
    told = values(span)
    assert (told["error.type"], told["http.response.status_code"]) == ("model_not_found", 404)
    assert not {name for name in told if name.startswith("gen_ai.request")}
    # The caller's to mend, so no error of the gateway's.
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert not span.events


def test_a_fault_of_the_gateway_and_a_caller_who_left() -> None:
    failed = Bench().request("internal_error", 500, InternalError("It failed."))
    assert failed.status.code == Status.STATUS_CODE_ERROR
    left = Bench().request("disconnect", 499)
    assert (values(left)["error.type"], left.status.code) == (
        "disconnect",
        Status.STATUS_CODE_UNSET,
    )


def test_a_trace_that_began_here_has_no_parent() -> None:
    span = Bench(Trace("a" * 32, "b" * 16, flags=1)).request("done", 200)
    assert span.parent_span_id == b""
    assert span.flags == 1
    assert "error.type" not in values(span)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("ok", Status.STATUS_CODE_UNSET),
        ("cancelled", Status.STATUS_CODE_UNSET),
        ("rejected", Status.STATUS_CODE_UNSET),
        ("lost", Status.STATUS_CODE_ERROR),
    ],
)
def test_attempts(outcome: str, code: int) -> None:
    span = Bench(api="completions").attempt(outcome)
    told = values(span)
    assert (span.parent_span_id.hex(), span.span_id.hex()) == (TRACE.span, "d" * 16)
    assert span.start_time_unix_nano == 8_500_000_000
    assert told["gen_ai.operation.name"] == "text_completion"
    assert (told["server.address"], told["server.port"]) == ("api.example.com", 443)
    assert told["http.request.resend_count"] == 2
    assert told.get("error.type") == (None if outcome == "ok" else outcome)
    assert span.status.code == code
    assert told["gen_ai.request.stream"] is True
    assert (told["gen_ai.request.max_tokens"], told["gen_ai.request.temperature"]) == (9, 0.5)
    # Too large for an integer of the protocol, and no number at all.
    assert told["gen_ai.request.seed"] == 2.0**70
    assert "gen_ai.request.top_p" not in told
    assert told["gen_ai.response.time_to_first_chunk"] == 0.25
    tokens = {name: value for name, value in told.items() if name.startswith("gen_ai.usage")}
    assert tokens == (
        {
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cache_read.input_tokens": 2,
            "gen_ai.usage.reasoning.output_tokens": 3,
        }
        if outcome == "ok"
        else {}
    )


def test_the_names_are_those_of_the_semantic_conventions() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI")}
    bench = Bench()
    bench.call.model, bench.call.upstream = MODEL, UPSTREAM
    bench.call.first_token_s = 0.5
    told = {*values(bench.request("done", 200)), *values(bench.attempt("ok"))}
    used = {name for name in told if name.startswith("gen_ai.")}
    assert len(used) >= 12
    assert used <= known
    # What the conventions have given up.
    assert not used & {"gen_ai.system", "gen_ai.usage.prompt_tokens"}


def test_what_is_not_sampled_makes_no_span() -> None:
    bench = Bench(Trace("a" * 32, "b" * 16))
    with pytest.raises(IndexError):
        bench.request("done", 200)
    with pytest.raises(IndexError):
        bench.attempt("ok")
    assert bench.spans == []
