"""The metrics of four workers together: exact, bounded, and right when a worker dies."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, get_args

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics

from gateway import errors
from gateway.auth.manage import create_key
from gateway.errors import GatewayError
from gateway.protocol.request import Api
from tests.contract.keyed import PRICES, bearer
from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    read_stream,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)
WORKERS = 4
BEATS_S = 30.0
"""Far more than a second, for a machine that is busy."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("store"))
    yield server
    server.end()


@pytest.fixture(scope="module")
def four(
    tmp_path_factory: pytest.TempPathFactory,
    store: RedisServer,
    engines: tuple[Simulator, Simulator],
) -> Iterator[Gateway]:
    process = Gateway(
        tmp_path_factory.mktemp("four") / "gw",
        store,
        [{"url": each.url} for each in engines],
        listen={"workers": WORKERS},
        model={"prices": PRICES},
        retry={"attempts": 3, "base_s": 0.01},
        # Requests of one text go to whoever is free: both servers get some.
        pool={"affinity": False},
    )
    wait_for(lambda: process.value("r1_upstream_up") == len(engines), "both servers")
    yield process
    assert process.end() == 0


class Since:
    """How much the metrics have grown since this was made."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._before = gateway.samples()

    def __call__(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(
            value - self._before.get((sample, given), 0.0)
            for (sample, given), value in self._gateway.samples().items()
            if sample == name and wanted <= given
        )


def counts(gateway: Gateway) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All metrics but the one that changes while nothing happens."""
    beat = ("r1_worker_beat_timestamp_seconds", frozenset[tuple[str, str]]())
    samples = gateway.samples()
    assert time.time() - samples.pop(beat) < BEATS_S
    return samples


def served(gateway: Gateway) -> set[int]:
    return {event["process"] for event in gateway.events("request")}


def usage_of_stream(gateway: Gateway) -> dict[str, Any]:
    with stream(gateway, stream_options={"include_usage": True}) as response:
        usage: dict[str, Any] = json.loads(read_stream(response)[-2])["usage"]
        return usage


def test_all_workers_together_count_each_thing_once(
    four: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    grown = Since(four)
    usages: list[dict[str, Any]] = []
    refused = 0
    with ThreadPoolExecutor(8) as crowd:
        while refused == 0 or len(served(four)) < WORKERS:
            streams = [crowd.submit(usage_of_stream, four) for _ in range(20)]
            wholes = [crowd.submit(four.post) for _ in range(20)]
            wrong = [crowd.submit(four.post, model="no-such-model") for _ in range(5)]
            usages += [each.result() for each in streams]
            usages += [each.result().json()["usage"] for each in wholes]
            assert {each.result().status_code for each in wrong} == {404}
            refused += len(wrong)
    done = len(usages)
    # A caller has its answer before it is counted.
    wait_for(lambda: grown("r1_requests_total") == done + refused, "all to be counted")
    assert counts(four) == counts(four), "two looks without requests between must be equal"

    def total(*path: str) -> float:
        found: list[Any] = list(usages)
        for name in path:
            found = [each[name] for each in found]
        return float(sum(found))

    assert grown("r1_requests_total", api="chat", model="r1-nano", code="200") == done
    assert grown("r1_requests_total", model="unknown", code="404") == refused
    assert grown("r1_requests_total") == done + refused
    assert grown("r1_request_duration_seconds_count", model="r1-nano") == done
    assert grown("r1_rejections_total", reason="model_not_found") == refused
    assert grown("r1_upstream_attempts_total", outcome="ok") == done
    assert grown("r1_upstream_attempts_total") == done
    assert grown("r1_time_to_first_token_seconds_count", cache="bypass") == done / 2
    assert grown("r1_time_to_first_token_seconds_count", prompt_bucket="2k") == done / 2
    assert grown("r1_time_to_first_content_seconds_count") == done / 2
    assert grown("r1_stream_endings_total", reason="done") == done / 2
    assert grown("r1_tokens_total", kind="prompt") == total("prompt_tokens")
    assert grown("r1_tokens_total", kind="completion") == total("completion_tokens")
    cached = total("prompt_tokens_details", "cached_tokens")
    assert grown("r1_tokens_total", kind="cached") == cached
    reasoning = total("completion_tokens_details", "reasoning_tokens")
    assert grown("r1_tokens_total", kind="reasoning") == reasoning == done * len("7+5=12")
    # 18 tokens a stream: 17 times between two of them, however many came together.
    assert grown("r1_inter_token_latency_seconds_count") == done / 2 * 17
    millions = (
        (total("prompt_tokens") - cached) * PRICES["input_miss"]
        + cached * PRICES["input_hit"]
        + total("completion_tokens") * PRICES["output"]
    )
    usd = pytest.approx(millions / 1e6)
    wait_for(lambda: grown("r1_cost_usd_total", model="r1-nano", tenant="acme") == usd, "the cost")
    assert four.value("r1_inflight_requests") == 0


class Watch:
    """Looks at the metrics again and again, for series that should only grow and don't."""

    def __init__(self, gateway: Gateway) -> None:
        self.fallen: set[str] = set()
        self._gateway = gateway
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        last = self._gateway.samples()
        while not self._over.wait(0.05):
            now = self._gateway.samples()
            for (name, labels), value in last.items():
                grows = name.endswith(("_total", "_bucket", "_count", "_sum"))
                if grows and now.get((name, labels), 0.0) < value:
                    self.fallen.add(name)
            last = now


def test_a_worker_that_dies_takes_no_count_with_it_and_leaves_nothing_in_flight(
    four: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    for each in pair:
        each.control(step_s=0.02, content="x" * 3000)
    with ExitStack() as streams, Watch(four) as watch:
        running = [streams.enter_context(stream(four)) for _ in range(4 * WORKERS)]
        assert four.value("r1_inflight_requests") == len(running)
        victim, *others = four.worker_pids()
        os.kill(victim, signal.SIGKILL)
        for each in pair:
            each.reset()
        endings = []
        for response in running:
            with suppress(httpx.RemoteProtocolError):
                endings.append(read_stream(response)[-1])
        assert set(endings) == {"[DONE]"}
        wait_for(lambda: four.value("r1_inflight_requests") == 0, "nothing to be in flight")
        wait_for(lambda: len(set(four.worker_pids()) - set(others)) == 1, "another worker")
        wait_for(lambda: len(four.events("worker_ready")) == WORKERS + 1, "it to serve")
        assert four.value("r1_upstream_up") == len(pair)
    assert watch.fallen == set()


def test_what_all_workers_see_alike_is_not_added_up(
    four: Gateway, pair: tuple[Simulator, Simulator], store: RedisServer
) -> None:
    sick = pair[1].url.removeprefix("http://")
    pair[1].control(status=500)
    with ThreadPoolExecutor(8) as crowd:

        def opened() -> bool:
            answers = list(crowd.map(lambda _: four.post(), range(20)))
            assert {answer.status_code for answer in answers} <= {200, 502}
            return four.value("r1_breaker_state", upstream=sick) > 0

        wait_for(opened, "the breaker")
    assert four.value("r1_breaker_state", upstream=sick) in (1, 2)
    assert four.value("r1_upstream_up", upstream=sick) == 1
    assert 0 <= four.value("r1_retry_budget_ratio", model="r1-nano") <= 1
    pair[1].control(status=0, fault="ill")
    wait_for(lambda: four.value("r1_upstream_up", upstream=sick) == 0, "all to find it ill")
    # Each worker fails at the store, then one after the other finds it well again.
    store.child.send_signal(signal.SIGSTOP)
    try:
        made = [four.post(model="deepseek-r1") for _ in range(2)]
        wait_for(lambda: four.value("r1_store_degraded") == 1, "the store to be missed")
        assert {answer.status_code for answer in made} == {200}
    finally:
        store.child.send_signal(signal.SIGCONT)

    def well() -> bool:
        assert four.post().status_code == 200
        return four.value("r1_store_degraded") == 0

    wait_for(well, "all workers to find the store well")


def test_no_caller_makes_new_labels(four: Gateway, pair: tuple[Simulator, Simulator]) -> None:
    for number in range(10):
        four.post(model=f"model-{number}")
        four.post(temperature=99 + number)
        HTTP.post(f"{four.url}/v1/{number}", json=chat(), headers=four.headers)
        HTTP.request("BREW", f"{four.url}/v1/chat/completions", headers=four.headers)
        HTTP.post(four.url + "/v1/chat/completions", json=chat(), headers=bearer(f"r1-{number}"))
    for status in (400, 401, 404, 418, 429, 451, 500, 503, 599):
        for each in pair:
            each.control(status=status)
        four.post()
    for each in pair:
        each.reset()
    keys = [
        create_key(four.redis.url, four.pepper_file, name="k", tenant=f"tenant-{number}").key
        for number in range(60)
    ]

    def answered(key: str) -> bool:
        url = four.url + "/v1/chat/completions"
        return HTTP.post(url, json=chat(), headers=bearer(key), timeout=30).status_code == 200

    with ThreadPoolExecutor(8) as crowd:
        wait_for(lambda: all(list(crowd.map(answered, keys[:4]))), "the breakers to close")
        assert all(crowd.map(answered, keys))
    wait_for(lambda: four.value("r1_cost_usd_total", tenant="other") > 0, "the last tenants")
    labels: dict[str, set[str]] = {}
    for name, given in four.samples():
        for label, value in given:
            labels.setdefault(label if label != "reason" else f"{name}.reason", set()).add(value)
    tree = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.code for each in tree if issubclass(each, GatewayError)}
    statuses = {each.status for each in tree if issubclass(each, GatewayError)}
    assert labels["model"] == {"r1-nano", "unknown"}
    assert labels["api"] <= set(get_args(Api))
    assert labels["code"] <= {"200", "499", *map(str, statuses)}
    assert labels["upstream"] == {each.url.removeprefix("http://") for each in pair}
    assert labels["r1_rejections_total.reason"] <= codes
    assert labels["r1_auth_failures_total.reason"] <= {"malformed", "unknown", "store"}
    # 50 at most have a name; the rest are together.
    assert len(labels["tenant"]) <= 51


def test_prometheus_gets_openmetrics_when_it_asks_for_it(four: Gateway) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    answer = HTTP.get(four.admin_url + "/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    parse: Any = openmetrics.text_string_to_metric_families
    assert "r1_requests" in {family.name for family in parse(answer.text)}
    assert "r1_requests_total{" in answer.text
    plain = HTTP.get(four.admin_url + "/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert four.key not in plain.text
