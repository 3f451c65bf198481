"""Places at replicas: windows over all workers and gateways, the queue, and who is sent away."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

from tests.contract.keyed import bearer, code, make
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

WINDOW = 4
STRICT = {"mode": "strict", "low_window": WINDOW, "high_window": WINDOW}
# Answers of 100 tokens, which take a second.
SLOW = {"max_tokens": 100, "ignore_eos": True}
STEP_S = 0.01


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("places"))
    yield server
    if server.alive():
        server.end()


@pytest.fixture
def opened(
    tmp_path: Path, store: RedisServer, pair: tuple[Simulator, Simulator]
) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways in front of the first engine (or of `urls`), and ends them."""
    running: list[Gateway] = []

    def start(*, urls: list[str] | None = None, workers: int = 1, **options: Any) -> Gateway:
        for each in pair:
            each.control(step_s=STEP_S)
        given: list[dict[str, Any]] = [{"url": url} for url in urls or [pair[0].url]]
        batching = options.pop("batching", STRICT)
        gateway = Gateway(
            tmp_path / f"gw{len(running)}",
            options.pop("store", store),
            given,
            listen={"workers": workers},
            model={"batching": batching},
            pool={"affinity": False},
            **options,
        )
        running.append(gateway)
        return gateway

    yield start
    for gateway in running:
        gateway.end()


def ask(gateway: Gateway, key: str | None = None, timeout_s: float = 60, **body: Any) -> Any:
    return HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(**{**SLOW, **body}),
        headers=bearer(key or gateway.key),
        timeout=timeout_s,
    )


@contextmanager
def crowd(
    gateway: Gateway, count: int, key: str | None = None, **body: Any
) -> Iterator[list[httpx.Response]]:
    """So many calls beside what happens inside; all are answered at its end."""
    answers: list[httpx.Response] = []
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(ask, gateway, key, **body) for _ in range(count)]
        yield answers
        answers += [each.result() for each in asked]


def waiting(gateway: Gateway) -> float:
    return gateway.value("r1_queue_depth")


def test_all_workers_of_all_gateways_keep_one_window(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    first = opened(workers=2)
    second = opened(workers=2, like=first)
    with crowd(first, 12) as one, crowd(second, 12) as other:
        wait_for(lambda: waiting(first) + waiting(second) >= 8, "a queue")
        running = []
        while waiting(first) + waiting(second) > 0:
            running.append(pair[0].seen()["running"])
    # A place that comes free is filled at once, by whichever worker somebody waits in.
    assert median(running) == WINDOW
    assert {each.status_code for each in one + other} == {200}
    assert pair[0].seen()["most"] == WINDOW
    samples = first.samples()
    waits = ("r1_queue_wait_seconds_count", frozenset({("model", "r1-nano"), ("class", "normal")}))
    assert samples[waits] >= 1
    assert first.value("r1_batch_window", model="r1-nano") == WINDOW
    wait_for(lambda: waiting(first) + waiting(second) == 0, "an empty queue")
    wait_for(lambda: first.value("r1_batch_size") == 0, "no places in use")
    # All that were spread share the places: each gateway had its part of them.
    shares = Counter(body["messages"][0]["content"] for body in pair[0].seen()["seen"])
    assert shares.total() == 24


def test_a_window_counts_for_each_replica(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    gateway = opened(urls=[each.url for each in pair], workers=2)
    with crowd(gateway, 16) as answers:
        wait_for(lambda: sum(each.seen()["running"] for each in pair) == 2 * WINDOW, "both full")
    assert {each.status_code for each in answers} == {200}
    assert [each.seen()["most"] for each in pair] == [WINDOW, WINDOW]


def test_a_free_replica_is_asked_at_once(opened: Callable[..., Gateway]) -> None:
    gateway = opened(workers=2)
    for _ in range(10):
        assert ask(gateway, max_tokens=1).status_code == 200
    waited = gateway.value("r1_queue_wait_seconds_sum")
    # A place that is not at hand is asked for, but nobody has to end for it.
    assert waited < 10 * 100 * STEP_S * 0.2


def test_a_key_with_a_flood_delays_itself_alone(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    gateway = opened()
    other = make(gateway, "other")
    with crowd(gateway, 20) as flood:
        wait_for(lambda: waiting(gateway) >= 16, "the flood")
        before = pair[0].seen()
        begun = len(before["seen"])
        assert ask(gateway, other.key, max_tokens=1).status_code == 200
        # Of all those who waited at most one round went before it.
        assert len(pair[0].seen()["seen"]) - begun <= WINDOW + 2
    assert {each.status_code for each in flood} == {200}


def test_who_would_wait_in_vain_is_told_when_to_come_back(
    opened: Callable[..., Gateway],
) -> None:
    gateway = opened(batching={**STRICT, "longest_wait_s": 30, "interval_s": 0.1})
    # How fast places come free has to be known.
    with crowd(gateway, 12, max_tokens=50):
        pass
    with crowd(gateway, 12, max_tokens=200):
        wait_for(lambda: waiting(gateway) >= 8, "a queue")
        began = time.perf_counter()
        refused = HTTP.post(
            gateway.url + "/v1/chat/completions",
            json=chat(**SLOW),
            headers={**gateway.headers, "x-request-timeout": "0.2"},
            timeout=30,
        )
        took = time.perf_counter() - began
    assert refused.status_code in (429, 503)
    assert code(refused) == "overloaded"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-should-retry"] == "true"
    # At once: not after the time that it had.
    assert took < 0.2
    assert gateway.value("r1_rejections_total", reason="queue_deadline") == 1


def test_a_full_queue_turns_away_those_who_fill_it(opened: Callable[..., Gateway]) -> None:
    gateway = opened(batching={**STRICT, "queue": 6})
    other = make(gateway, "other")
    with crowd(gateway, 16) as flood:
        wait_for(lambda: waiting(gateway) == 6, "a full queue")
        wait_for(lambda: gateway.value("r1_rejections_total") >= 6, "those turned away")
        assert ask(gateway, other.key, max_tokens=1).status_code == 200
    refused = [each for each in flood if each.status_code != 200]
    assert {code(each) for each in refused} == {"overloaded"}
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    # One of them made room for the other key, which was told so.
    assert 429 in {each.status_code for each in refused}
    assert len(flood) - len(refused) >= WINDOW + 5
    assert gateway.value("r1_rejections_total", reason="queue_full") == len(refused)


def test_nobody_waits_longer_than_allowed(opened: Callable[..., Gateway]) -> None:
    gateway = opened(batching={**STRICT, "longest_wait_s": 0.3})
    with crowd(gateway, WINDOW, max_tokens=300) as answers:
        wait_for(lambda: gateway.value("r1_inflight_requests") == WINDOW, "all places taken")
        wait_for(lambda: len(gateway.events("request")) == 0, "nobody answered")
        refused = ask(gateway)
        assert refused.status_code == 503
        assert code(refused) == "overloaded"
    assert {each.status_code for each in answers} == {200}
    assert gateway.value("r1_rejections_total", reason="queue_wait") == 1


def test_callers_who_leave_the_queue_are_not_asked_for(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    gateway = opened()
    with crowd(gateway, WINDOW, max_tokens=200):
        wait_for(lambda: pair[0].seen()["running"] == WINDOW, "all places taken")
        with pytest.raises(httpx.ReadTimeout):
            ask(gateway, timeout_s=0.2)
        wait_for(lambda: waiting(gateway) == 0, "the caller out of the queue")
    assert ask(gateway, max_tokens=1).status_code == 200
    assert len(pair[0].seen()["seen"]) == WINDOW + 1


def test_the_places_of_a_dead_worker_come_back(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    first = opened()
    second = opened(like=first)
    stop = threading.Event()

    def hold() -> None:
        with stream(first, max_tokens=3000, ignore_eos=True) as response:
            try:
                read_stream(response)
            except httpx.HTTPError:
                stop.set()

    holders = [threading.Thread(target=hold) for _ in range(WINDOW)]
    for each in holders:
        each.start()
    wait_for(lambda: pair[0].seen()["running"] == WINDOW, "all places taken")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(ask, second, max_tokens=1)
        wait_for(lambda: waiting(second) == 1, "one who waits")
        first.end(signal.SIGKILL)
        assert late.result().status_code == 200
    for each in holders:
        each.join()
    assert stop.is_set()


@pytest.fixture
def lost_store(tmp_path: Path) -> Iterator[RedisServer]:
    """One that the test ends."""
    server = RedisServer(tmp_path)
    yield server
    if server.alive():
        server.end()


def test_without_the_store_each_worker_goes_by_its_part(
    opened: Callable[..., Gateway],
    lost_store: RedisServer,
    pair: tuple[Simulator, Simulator],
) -> None:
    gateway = opened(workers=2, store=lost_store)
    with crowd(gateway, 8):
        wait_for(lambda: waiting(gateway) > 0, "a queue")
    lost_store.end()
    pair[0].reset()
    pair[0].control(step_s=STEP_S)
    with crowd(gateway, 12, max_tokens=50) as answers:
        pass
    assert {each.status_code for each in answers} == {200}
    # What one holds of the shared window may meet the other's part of it, once.
    assert pair[0].seen()["most"] <= WINDOW + 2


def test_the_window_grows_where_users_have_their_tokens_in_time(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    auto = {"mode": "auto", "low_window": 2, "interval_s": 0.1, "itl_s": 20 * STEP_S}
    gateway = opened(workers=2, batching=auto)
    asked = {"max_tokens": 200, "ignore_eos": True}

    def listen(_: int) -> int:
        with stream(gateway, **asked) as response:
            return len(read_stream(response))

    with ThreadPoolExecutor(16) as pool:
        lengths = list(pool.map(listen, range(32)))
    assert min(lengths) > 100
    # 10 ms is a twentieth of the target, whatever the batch: all of them have a place.
    assert pair[0].seen()["most"] == 16
    assert gateway.value("r1_batch_window", model="r1-nano") >= 16


def test_the_window_shrinks_where_tokens_come_late(
    opened: Callable[..., Gateway], pair: tuple[Simulator, Simulator]
) -> None:
    auto = {"mode": "auto", "low_qps": 0, "low_window": 2, "high_qps": 0.001, "high_window": 16,
            "interval_s": 0.1, "itl_s": STEP_S / 2}  # fmt: skip
    gateway = opened(batching=auto)
    least = threading.Event()

    def listen(_: int) -> None:
        for _ in range(50):
            if not least.is_set():
                with stream(gateway, max_tokens=200, ignore_eos=True) as response:
                    read_stream(response)

    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(listen, number) for number in range(16)]
        try:
            # By the rate of requests alone it would be the largest now.
            wait_for(lambda: gateway.value("r1_requests_total") >= 16, "as many as callers", 60)
            wait_for(
                lambda: gateway.value("r1_batch_window", model="r1-nano") < 5, "a small one", 60
            )
            # Who comes doesn't take the places of those who leave.
            wait_for(lambda: pair[0].seen()["running"] < 5, "as small a batch")
        finally:
            least.set()
        for each in asked:
            each.result()
