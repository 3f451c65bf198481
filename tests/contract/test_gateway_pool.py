"""How requests are spread over a model's servers, and what becomes of a bad one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.stack import Gateway, RedisServer, Simulator, wait_for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[list[Simulator]]:
    made = [Simulator(folder) for _ in range(3)]
    yield made
    for each in made:
        each.end()


@pytest.fixture
def three(engines: list[Simulator]) -> list[Simulator]:
    for each in engines:
        each.reset()
    return engines


def balancing(folder: Path, redis: RedisServer, servers: list[Simulator], **pool: Any) -> Gateway:
    upstreams: list[dict[str, Any]] = [{"url": each.url} for each in servers]
    gateway = Gateway(
        folder / "gw",
        redis,
        upstreams,
        listen={"workers": 2},
        retry={"attempts": 3, "base_s": 0.01},
        pool=pool,
    )
    wait_for(lambda: gateway.value("r1_upstream_up") == len(servers), "all servers")
    return gateway


def say(gateway: Gateway, text: str, **body: Any) -> httpx.Response:
    return gateway.post(messages=[{"role": "user", "content": text}], **body)


def talk(gateway: Gateway, count: int) -> set[int]:
    """So many conversations of one turn; the statuses."""
    with ThreadPoolExecutor(4) as crowd:
        answers = crowd.map(lambda number: say(gateway, f"{number}?"), range(count))
        return {answer.status_code for answer in answers}


def asked(servers: list[Simulator]) -> list[int]:
    return [len(each.seen()["seen"]) for each in servers]


def test_a_conversation_stays_at_one_server_until_that_is_overloaded(
    tmp_path: Path, redis: RedisServer, three: list[Simulator]
) -> None:
    gateway = balancing(tmp_path, redis, three)
    try:
        messages = [{"role": "system", "content": "Be brief."}]
        for turn in range(12):
            messages.append({"role": "user", "content": f"And {turn}?"})
            assert gateway.post(messages=messages).status_code == 200
            messages.append({"role": "assistant", "content": "12"})
        # Both workers, each turn over a connection of its own.
        assert sorted(asked(three)) == [0, 0, 12]
        talk(gateway, 60)
        assert min(asked(three)) > 0
        for each in three:
            each.reset()
            each.control(fault="hang")
        with ThreadPoolExecutor(24) as crowd:
            waiting = [crowd.submit(say, gateway, "The same?") for _ in range(24)]
            wait_for(lambda: sum(asked(three)) == 24, "all to be asked")
            # Two workers let one server have four each, or 1.25 times its share.
            assert max(asked(three)) <= 12
            assert min(asked(three)) > 0
            gateway.end(signal.SIGKILL)
        assert all(isinstance(each.exception(), httpx.TransportError) for each in waiting)
    finally:
        gateway.end()


def test_a_bad_server_gets_less_than_a_hundredth_within_ten_seconds(
    tmp_path: Path, redis: RedisServer, three: list[Simulator]
) -> None:
    gateway = balancing(tmp_path, redis, three)
    bad = three[0]
    try:
        assert talk(gateway, 100) == {200}
        bad.reset()
        bad.control(status=500)
        began = time.monotonic()
        while time.monotonic() < began + 10:
            assert talk(gateway, 20) == {200}
        before = asked(three)[0]
        assert talk(gateway, 1000) == {200}
        assert asked(three)[0] - before < 10
        # Its health is good all the while: only the attempts tell.
        assert gateway.value("r1_upstream_up") == 3
        assert gateway.value("r1_breaker_state", upstream=f"127.0.0.1:{bad.port}") == 2
    finally:
        gateway.end()


def test_one_that_is_mended_comes_back(
    tmp_path: Path, redis: RedisServer, three: list[Simulator]
) -> None:
    gateway = balancing(tmp_path, redis, three, open_s=0.1, longest_open_s=0.5, slow_start_s=0.1)
    bad = three[0]
    name = f"127.0.0.1:{bad.port}"

    def breaker(state: int) -> bool:
        talk(gateway, 10)
        return gateway.value("r1_breaker_state", upstream=name) == state

    try:
        bad.control(status=500)
        wait_for(lambda: breaker(2), "the breaker to open")
        before = asked(three)[0]
        wait_for(lambda: talk(gateway, 10) and asked(three)[0] > before, "another try")
        bad.control(status=0)
        wait_for(lambda: breaker(0), "the breaker to close")
        assert gateway.value("r1_upstream_attempts_total", upstream=name, outcome="ok") > 0
    finally:
        gateway.end()


def test_the_last_server_is_never_left_alone(
    tmp_path: Path, redis: RedisServer, three: list[Simulator]
) -> None:
    (engine, *_) = three
    gateway = balancing(tmp_path, redis, [engine])
    try:
        engine.control(status=500)
        assert talk(gateway, 40) == {502}
        assert asked(three)[0] >= 40
        assert gateway.value("r1_breaker_state") == 0
        engine.control(status=0)
        assert talk(gateway, 4) == {200}
    finally:
        gateway.end()
