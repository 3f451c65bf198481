"""Retries before the first byte, inside a budget of the whole fleet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.stack import (
    Gateway,
    RedisServer,
    Simulator,
    free_port,
    read_stream,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    """A store of its own: the budget of a model is shared by all who have the same store."""
    server = RedisServer(tmp_path)
    yield server
    if server.alive():
        server.end()


@pytest.fixture
def gateway(
    tmp_path: Path, store: RedisServer, pair: tuple[Simulator, Simulator]
) -> Iterator[Gateway]:
    process = retrying(tmp_path, store, [each.url for each in pair])
    yield process
    process.end()


def retrying(folder: Path, store: RedisServer, urls: list[str], **options: Any) -> Gateway:
    upstreams: list[dict[str, Any]] = [{"url": url} for url in urls]
    return Gateway(
        folder / "gw",
        store,
        upstreams,
        listen={"workers": 2},
        retry={"attempts": 4, "base_s": 0.01, **options},
    )


def attempts(gateway: Gateway) -> float:
    return gateway.value("r1_upstream_attempts_total")


def post_many(gateway: Gateway, count: int) -> list[Any]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: gateway.post(), range(count)))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 408}, {"status": 429}, {"fault": "die"}]
)
def test_another_server_is_asked(
    gateway: Gateway, pair: tuple[Simulator, Simulator], fault: dict[str, Any], streaming: bool
) -> None:
    pair[0].control(**fault)
    for _ in range(2):
        if streaming:
            with stream(gateway) as response:
                assert response.status_code == 200
                assert read_stream(response)[-1] == "[DONE]"
        else:
            assert gateway.post().status_code == 200


def test_what_can_not_be_continued_is_not_asked_twice_once_it_has_begun(
    gateway: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    for each in pair:
        each.control(fault="cut", step_s=0.001)
    with stream(gateway, n=2) as response:
        events = read_stream(response)
    assert "upstream_lost" in events[-1]
    assert attempts(gateway) == 1


def test_what_the_caller_has_to_mend_is_not_repeated(gateway: Gateway) -> None:
    long = [{"role": "user", "content": "x" * 5000}]
    assert gateway.post(messages=long).status_code == 400
    assert attempts(gateway) == 1


def test_five_in_a_hundred_failures_are_not_seen(
    gateway: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    for each in pair:
        each.control(status=500, share=0.05)
    statuses = [answer.status_code for answer in post_many(gateway, 1000)]
    assert statuses.count(200) >= 999
    assert 1000 < attempts(gateway) <= 1100


def test_where_everything_fails_the_load_grows_by_a_tenth_at_most(
    gateway: Gateway, pair: tuple[Simulator, Simulator]
) -> None:
    for each in pair:
        each.control(status=500)
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key)
    for _ in range(300):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(
                model="r1-nano", messages=[{"role": "user", "content": "hi"}]
            )
    # The client's own retries are off too: the answers tell it not to.
    assert gateway.value("r1_requests_total") == 300
    assert 300 < attempts(gateway) <= 330
    assert gateway.value("r1_retry_budget_ratio") < 0.1


def test_without_a_store_each_worker_has_a_budget_of_its_own(
    gateway: Gateway, pair: tuple[Simulator, Simulator], store: RedisServer
) -> None:
    assert {answer.status_code for answer in post_many(gateway, 20)} == {200}
    store.end()
    for each in pair:
        each.control(status=500)
    before = attempts(gateway)
    assert {answer.status_code for answer in post_many(gateway, 200)} == {502}
    # Two workers, each with a reserve.
    assert 200 < attempts(gateway) - before <= 220 * 1.08 + 2 * 5 - 20


def test_a_refused_connection_costs_nothing_beside_a_healthy_server(
    tmp_path: Path, store: RedisServer, pair: tuple[Simulator, Simulator]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    gateway = retrying(tmp_path, store, [nobody, pair[0].url], budget_ratio=0.0, budget_reserve=0.0)
    try:
        assert {answer.status_code for answer in post_many(gateway, 40)} == {200}
    finally:
        gateway.end()


def test_a_short_pause_is_waited_for_and_a_long_one_passed_on(
    tmp_path: Path, store: RedisServer, pair: tuple[Simulator, Simulator]
) -> None:
    (engine, _) = pair
    gateway = retrying(tmp_path, store, [engine.url])
    try:
        engine.control(status=429, retry_after="60")
        answer = gateway.post()
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        assert answer.headers["x-should-retry"] == "true"
        assert attempts(gateway) == 1
        engine.control(status=429, retry_after="1")
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            waiting = pool.submit(gateway.post)
            wait_for(lambda: attempts(gateway) == 2, "the first attempt")
            engine.control(status=0)
            assert waiting.result().status_code == 200
            assert time.monotonic() - began >= 1.0
        assert waiting.result().headers["x-r1-attempts"] == "2"
    finally:
        gateway.end()
