"""A replica that answers with wrong numbers and status 200 is found, left alone and taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from tests.contract.canaries import canary, checks, drifts, ejected
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, wait_for

pytestmark = pytest.mark.timeout(240)

FAST = {"interval_s": 1, "doubt_s": 0.2, "timeout_s": 5}
Start = Callable[..., Gateway]


@pytest.fixture(scope="module")
def three(folder: Path) -> Iterator[list[Simulator]]:
    made = [Simulator(folder) for _ in range(3)]
    yield made
    for each in made:
        each.end()


@pytest.fixture
def engines(three: list[Simulator]) -> list[Simulator]:
    for each in three:
        each.reset()
    return three


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A gateway of two workers with a Redis of its own, whose canary is in a hurry."""
    redis = RedisServer(tmp_path)
    running: list[Gateway] = []

    def begin(engines: list[Simulator], **given: Any) -> Gateway:
        gateway = Gateway(
            tmp_path / f"gw-{len(running)}",
            redis,
            [{"url": each.url} for each in engines],
            **{"listen": {"workers": 2}, "canary": FAST, **given},
        )
        running.append(gateway)
        wait_for(lambda: gateway.value("r1_upstream_up") == len(engines), "all servers")
        return gateway

    yield begin
    for each in running:
        assert each.end() == 0
    redis.end()


def name(engine: Simulator) -> str:
    return engine.url.removeprefix("http://")


def callers(engine: Simulator) -> int:
    """Requests that somebody else than the canary made."""
    return sum("x-r1-own" not in each for each in engine.seen()["headers"])


def test_of_three_the_one_with_other_numbers_is_ejected_and_taken_back(
    start: Start, engines: list[Simulator]
) -> None:
    gateway = start(engines)
    wait_for(lambda: checks(gateway, "right") >= 6, "two rounds in health")
    assert ejected(gateway) == set()
    bad, *good = engines
    bad.control(drift=2.0)
    wait_for(lambda: ejected(gateway) == {name(bad)}, "the one that computes wrongly to be ejected")
    assert drifts(gateway)[name(bad)] == pytest.approx(2.0)
    (event,) = gateway.events("canary_ejected")
    assert (event["upstream"], event["level"]) == (name(bad), "error")
    # All workers know it by their next look, which comes with the next round at the latest.
    seen = checks(gateway, "wrong")
    wait_for(lambda: checks(gateway, "wrong") >= seen + 2, "more rounds")
    before = callers(bad)
    for number in range(20):
        answer = gateway.post(messages=[{"role": "user", "content": f"{number}?"}])
        assert answer.status_code == 200
    assert callers(bad) == before
    assert sum(map(callers, good)) >= 20
    bad.control(drift=0.0)
    wait_for(lambda: ejected(gateway) == set(), "it to be taken back")
    assert gateway.events("canary_mended")

    def asked_again() -> bool:
        for number in range(20):
            gateway.post(messages=[{"role": "user", "content": f"{number}?"}])
        return callers(bad) > before

    wait_for(asked_again, "a caller's request to come to it")


def test_a_round_asks_each_once_with_the_engine_key_and_costs_no_tenant_anything(
    tmp_path: Path,
) -> None:
    key = tmp_path / "engine.key"
    key.write_text("engine-secret")
    redis = RedisServer(tmp_path)
    guarded = Simulator(tmp_path, "--key-file", str(key))
    gateway = Gateway(
        tmp_path / "gw",
        redis,
        [{"url": guarded.url, "key_file": str(key)}],
        canary={"interval_s": 3600},
        listen={"workers": 2},
    )
    try:
        wait_for(lambda: checks(gateway, "alone") == 1, "the first round")
        (asked,) = guarded.seen()["seen"]
        (headers,) = guarded.seen()["headers"]
        assert headers["authorization"] == "Bearer engine-secret"
        assert len(asked["prompt"]) <= 31
        assert (asked["max_tokens"], asked["temperature"]) == (16, 0)
        for metric in ("r1_requests_total", "r1_tokens_total", "r1_arrival_rate"):
            assert gateway.value(metric) == 0
    finally:
        assert gateway.end() == 0
        guarded.end()
        redis.end()


def test_two_that_differ_are_told_apart_by_a_record_alone(
    start: Start, engines: list[Simulator]
) -> None:
    pair = engines[:2]
    gateway = start(pair)
    wait_for(lambda: checks(gateway, "right") >= 2, "a round in health")
    status, told = canary(gateway, "record", "r1-nano")
    assert (status, "drift 0.000000 nats" in told) == (0, True), told
    pair[1].control(drift=1.0)
    wait_for(lambda: ejected(gateway) == {name(pair[1])}, "the wrong one to be ejected")
    status, told = canary(gateway, "show")
    assert (status, "EJECTED" in told) == (1, True), told
    # What does not agree is not recorded.
    status, told = canary(gateway, "record", "r1-nano")
    assert (status, "don't agree" in told) == (1, True), told
    # And with no record left nobody can say which of them is right.
    with redis_client.Redis.from_url(gateway.redis.url) as store:
        store.delete("r1:canary:r1-nano")
    wait_for(lambda: checks(gateway, "disputed") >= 2, "a round without a record")
    wait_for(lambda: ejected(gateway) == set(), "both to be asked")
    status, told = canary(gateway, "record", "no-such-model")
    assert (status, "r1-nano" in told) == (1, True), told


def test_where_all_are_wrong_nobody_is_asked(start: Start, engines: list[Simulator]) -> None:
    gateway = start(engines[:1])
    assert canary(gateway, "record", "r1-nano")[0] == 0
    engines[0].control(drift=1.0)
    wait_for(lambda: ejected(gateway) == {name(engines[0])}, "the only one to be ejected")

    def refused() -> Any:
        answer = gateway.post()
        return answer if answer.status_code == 503 else None

    answer = wait_for(refused, "a refusal")
    assert answer.json()["error"]["code"] == "upstream_unavailable"
    assert "retry-after" in answer.headers


def test_watching_ejects_nobody_and_off_asks_nobody(start: Start, engines: list[Simulator]) -> None:
    gateway = start(engines, canary={**FAST, "mode": "watch"})
    engines[0].control(drift=1.0)
    wait_for(lambda: ejected(gateway) == {name(engines[0])}, "what would be ejected")
    before = callers(engines[0])

    def asked() -> bool:
        for number in range(20):
            gateway.post(messages=[{"role": "user", "content": f"{number}?"}])
        return callers(engines[0]) > before

    wait_for(asked, "a caller's request to come to it all the same")
    # A model's own setting goes before the general one.
    quiet = start(engines, model={"canary": {"mode": "off"}}, listen={"workers": 1})
    assert quiet.value("r1_canary_checks_total") == 0
    answer = HTTP.get(
        quiet.admin_url + "/admin/canary", headers={"authorization": f"Bearer {quiet.admin_key}"}
    )
    assert answer.json() == {"object": "list", "data": []}


def test_one_that_does_not_answer_is_not_called_wrong(
    start: Start, engines: list[Simulator]
) -> None:
    engines[0].control(fault="hang")
    gateway = start(engines, canary={**FAST, "timeout_s": 0.5})
    wait_for(lambda: checks(gateway, "failed") >= 2, "rounds without its answer")
    wait_for(lambda: checks(gateway, "right") >= 4, "the others' rounds")
    assert ejected(gateway) == set()
    assert checks(gateway, "wrong") == 0


def test_one_that_breaks_on_its_own_numbers_is_wrong_where_others_have_theirs(
    start: Start, engines: list[Simulator]
) -> None:
    gateway = start(engines)
    wait_for(lambda: checks(gateway, "right") >= 3, "a round in health")
    # Damage that makes all numbers not a number is an error of the server's, but only for those
    # who ask for numbers; callers would get answers.
    engines[2].control(fault="garbage")
    wait_for(lambda: ejected(gateway) == {name(engines[2])}, "the broken one to be ejected")
    # Where none has numbers it is more likely that their kind of engine can't give any.
    for each in engines:
        each.control(fault="garbage")
    failed = checks(gateway, "failed")
    wait_for(lambda: checks(gateway, "failed") >= failed + 6, "rounds without numbers")
    assert ejected(gateway) == {name(engines[2])}
