"""Traces: W3C trace context in and out, and spans at an OpenTelemetry collector."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    free_port,
    read_stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """An OTLP/HTTP collector that keeps what it gets; it answers `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.calls = 0
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                collector.calls += 1
                if collector.status == 200:
                    collector.bodies.append(body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self, trace: str) -> list[Span]:
        """Those of one trace, in the order of their beginning."""
        found = [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.trace_id.hex() == trace
        ]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, span.kind))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.end()


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory,
    engines: tuple[Simulator, Simulator],
    collector: Collector,
) -> Iterator[Gateway]:
    """With a store of its own: what other tests retried is taken from a model's budget."""
    place = tmp_path_factory.mktemp("traced")
    redis = RedisServer(place)
    process = Gateway(
        place / "gw",
        redis,
        [{"url": each.url} for each in engines],
        model={
            "cache": {"mode": "deterministic", "ttl_s": 0.3, "stale_s": 600},
            "hedge": {"after_s": 0.05, "max_tokens": 50},
        },
        retry={"attempts": 3, "base_s": 0.01},
        telemetry={"otlp_endpoint": collector.url},
    )
    wait_for(lambda: process.value("r1_upstream_up") == 2, "both servers")
    yield process
    assert process.end() == 0
    redis.end()


def call(gateway: Gateway, headers: dict[str, str] | None = None, **body: Any) -> dict[str, str]:
    """One call; the headers of its answer."""
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(**body),
        headers={**gateway.headers, **(headers or {})},
        timeout=30,
    )
    if body.get("stream"):
        assert read_stream(answer)[-1] == "[DONE]"
    assert answer.status_code == 200
    return dict(answer.headers)


def told(*engines: Simulator) -> list[list[str]]:
    """The parts of each `traceparent` that model servers got."""
    return [
        headers["traceparent"].split("-") for each in engines for headers in each.seen()["headers"]
    ]


def values(span: Span) -> dict[str, Any]:
    pairs = span.attributes
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


def test_a_trace_goes_on_to_the_model_server_and_its_state_with_it(
    traced: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": state, "baggage": "who=me"}
    identity = call(traced, headers)["x-request-id"]
    (got,) = [got for each in pair for got in each.seen()["headers"]]
    version, trace, span, flags = got["traceparent"].split("-")
    assert (version, trace, flags, got["tracestate"]) == ("00", TRACE, "01", state)
    assert span != PARENT
    assert "baggage" not in got
    lines = wait_for(
        lambda: [each for each in traced.events("request") if each["request_id"] == identity],
        "the log",
    )
    assert lines[0]["trace_id"] == TRACE


@pytest.mark.parametrize("parent", [None, f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01"])
def test_a_request_without_a_valid_trace_gets_one(
    traced: Gateway, pair: tuple[Simulator, Simulator], parent: str | None
) -> None:
    call(traced, {} if parent is None else {"traceparent": parent, "tracestate": "a=1"})
    call(traced)
    one, other = told(*pair)
    assert one[1] != other[1]
    assert TRACE not in (one[1], other[1])
    assert all("tracestate" not in got for each in pair for got in each.seen()["headers"])


def test_spans_show_a_request_its_attempts_and_its_first_token(
    traced: Gateway, pair: tuple[Simulator, Simulator], collector: Collector
) -> None:
    trace, secret = "a" * 32, "my cat is called Nebuchadnezzar"
    sick, well = pair
    sick.control(status=500)
    well.control(step_s=0.01)
    body = {"messages": [{"role": "user", "content": secret}], "stream": True}
    for number in range(1, 20):
        # The one that fails is asked first by half of all conversations.
        call(traced, {"traceparent": f"00-{trace}-{number:016x}-01"}, **body, user=str(number))
        body["messages"] = [{"role": "user", "content": f"{secret} {number}"}]
        if told(sick):
            break
    parent = f"{number:016x}"

    def whole() -> list[Span]:
        spans = collector.spans(trace)
        roots = [span for span in spans if span.parent_span_id.hex() == parent]
        mine = [span for span in spans if roots and span.parent_span_id == roots[0].span_id]
        return [*roots, *mine] if len(mine) == 2 else []

    root, first, second = wait_for(whole, "the spans")
    assert (root.kind, first.kind, second.kind) == (
        Span.SPAN_KIND_SERVER,
        Span.SPAN_KIND_CLIENT,
        Span.SPAN_KIND_CLIENT,
    )
    # What the model servers were told is what the attempts are called.
    assert told(sick)[-1][1:3] == [trace, first.span_id.hex()]
    assert told(well)[-1][1:3] == [trace, second.span_id.hex()]
    assert root.start_time_unix_nano <= first.start_time_unix_nano <= first.end_time_unix_nano
    assert first.end_time_unix_nano <= second.start_time_unix_nano + 1_000_000
    asked = values(root)
    assert root.name == "chat r1-nano"
    assert asked["gen_ai.operation.name"] == "chat"
    assert asked["gen_ai.request.model"] == "deepseek-r1"
    assert asked["gen_ai.response.model"] == "r1-nano"
    assert asked["gen_ai.provider.name"] == "vllm"
    assert asked["gen_ai.usage.output_tokens"] == 18
    assert int(asked["gen_ai.usage.input_tokens"]) >= len(secret.split())
    assert asked["http.response.status_code"] == 200
    assert asked["server.port"] == traced.port
    assert "error.type" not in asked
    assert [event.name for event in root.events] == ["first_token"]
    assert root.start_time_unix_nano < root.events[0].time_unix_nano < root.end_time_unix_nano
    failed, worked = values(first), values(second)
    assert (failed["error.type"], first.status.code) == ("failed", Status.STATUS_CODE_ERROR)
    assert (failed["server.port"], failed["http.request.resend_count"]) == (sick.port, 0)
    assert (worked["server.port"], worked["http.request.resend_count"]) == (well.port, 1)
    assert worked["http.response.status_code"] == 200
    assert second.status.code == Status.STATUS_CODE_UNSET
    assert worked["gen_ai.response.model"] == "r1-nano"
    for span in (asked, worked):
        assert span["gen_ai.request.stream"] is True
        assert span["gen_ai.usage.output_tokens"] == 18
        assert span["gen_ai.response.time_to_first_chunk"] > 0
    assert "gen_ai.usage.output_tokens" not in failed
    for private in (secret, traced.key):
        assert not any(private.encode() in each for each in collector.bodies)


def test_what_a_caller_does_not_want_recorded_is_not(
    traced: Gateway, pair: tuple[Simulator, Simulator], collector: Collector
) -> None:
    quiet, loud = "b" * 32, "c" * 32
    call(traced, {"traceparent": f"00-{quiet}-{PARENT}-00"})
    call(traced, {"traceparent": f"00-{loud}-{PARENT}-01"})
    assert sorted((each[1], each[3]) for each in told(*pair)) == [(quiet, "00"), (loud, "01")]
    wait_for(lambda: len(collector.spans(loud)) == 2, "the spans of the other")
    assert collector.spans(quiet) == []


def test_what_goes_on_behind_and_beside_a_request_is_of_its_trace(
    traced: Gateway, pair: tuple[Simulator, Simulator], collector: Collector
) -> None:
    behind, beside = "d" * 32, "e" * 32
    call(traced, temperature=0)

    def stale() -> bool:
        headers = {"traceparent": f"00-{behind}-{PARENT}-01"}
        return call(traced, headers, temperature=0)["x-r1-cache"] == "stale"

    wait_for(stale, "the kept answer to be stale")
    wait_for(lambda: [each for each in told(*pair) if each[1] == behind], "the answer made anew")
    wait_for(lambda: len(collector.spans(behind)) >= 2, "its spans")
    for each in pair:
        each.control(first_token_s=0.5)
    call(traced, {"traceparent": f"00-{beside}-{PARENT}-01"}, max_tokens=20)
    asked = [each for each in told(*pair) if each[1] == beside]
    assert len({span for _, _, span, _ in asked}) == 2
    spans = wait_for(
        lambda: found if len(found := collector.spans(beside)) == 3 else None, "three spans"
    )
    assert sorted(values(span).get("error.type", "") for span in spans) == ["", "", "cancelled"]


def test_a_collector_that_is_away_costs_nothing_and_a_line_in_the_log(
    traced: Gateway, pair: tuple[Simulator, Simulator], collector: Collector
) -> None:
    late = "f" * 32
    collector.status, calls = 503, collector.calls
    try:
        call(traced, {"traceparent": f"00-{late}-{PARENT}-01"})
        wait_for(lambda: collector.calls > calls, "a try")
        wait_for(lambda: traced.events("spans_waiting"), "the log")
    finally:
        collector.status = 200
    wait_for(lambda: len(collector.spans(late)) == 2, "the spans")
    (back,) = wait_for(lambda: traced.events("spans_sent"), "the log")
    assert back["lost"] == 0


def test_latency_histograms_point_to_recorded_traces_where_the_scraper_can_read_it(
    traced: Gateway, pair: tuple[Simulator, Simulator], collector: Collector
) -> None:
    recorded, quiet = "1" * 32, "2" * 32
    for each in pair:
        each.control(step_s=0.01)
    for trace, flag in ((recorded, "01"), (quiet, "00")):
        call(traced, {"traceparent": f"00-{trace}-{PARENT}-{flag}"}, stream=True)
    scraped = HTTP.get(
        traced.admin_url + "/metrics",
        headers={"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"},
        timeout=10,
    )
    assert scraped.headers["content-type"].startswith("application/openmetrics-text")
    parse: Any = text_string_to_metric_families
    exemplars = [
        (family.name, sample.exemplar)
        for family in parse(scraped.text)
        for sample in family.samples
        if sample.exemplar
    ]
    pointing = {name for name, each in exemplars if each.labels["trace_id"] == recorded}
    assert pointing == {
        "r1_request_duration_seconds",
        "r1_time_to_first_token_seconds",
        "r1_time_to_first_content_seconds",
        "r1_inter_token_latency_seconds",
    }
    assert not any(each.labels["trace_id"] == quiet for _, each in exemplars)
    # What an exemplar points to is there to be looked at.
    spans = wait_for(lambda: collector.spans(recorded), "the spans")
    assert {each.labels["span_id"] for _, each in exemplars} >= {spans[0].span_id.hex()}
    plain = HTTP.get(traced.admin_url + "/metrics", timeout=10)
    assert recorded not in plain.text
    assert list(prometheus(plain.text))


def test_without_a_collector_nothing_that_begins_here_is_recorded(
    gateway: Gateway, shared_vllm: Simulator
) -> None:
    shared_vllm.reset()
    for _ in range(5):
        call(gateway)
    call(gateway, {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    flags = [each[3] for each in told(shared_vllm)]
    assert flags == ["00"] * 5 + ["01"]


def test_without_a_collector_there_is_nothing_to_wait_for(
    tmp_path_factory: pytest.TempPathFactory,
    redis: RedisServer,
    pair: tuple[Simulator, Simulator],
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    gateway = Gateway(
        tmp_path_factory.mktemp("alone") / "gw",
        redis,
        [{"url": pair[0].url}],
        telemetry={"otlp_endpoint": nobody, "sample_ratio": 0.0},
    )
    call(gateway, {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    call(gateway)
    wait_for(lambda: gateway.events("spans_waiting"), "the log")
    # What begins here is not recorded, by the configuration.
    assert sorted(each[3] for each in told(pair[0])) == ["00", "01"]
    assert gateway.end() == 0
    assert not gateway.events("internal_error")
