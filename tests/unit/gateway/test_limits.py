"""Limits: the stage around a request, settlements on their way, and what callers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.auth.keys import KeyRecord
from gateway.auth.terms import Terms
from gateway.call import Call, Message
from gateway.errors import RateLimited
from gateway.limits.estimate import Estimates, Guess
from gateway.limits.hold import KeyLimits
from gateway.limits.leases import Leases
from gateway.limits.ledger import Settlement
from gateway.limits.settler import Settler
from gateway.limits.standing import Standing
from gateway.model_settings import ModelSettings
from gateway.protocol.request import Api, parse
from gateway.protocol.usage import Usage
from gateway.store.redis import StoreDown
from gateway.telemetry.tenants import OTHER

KEY = KeyRecord("key_1", "shop", "acme", 0, "r1-abcd…")
SETTINGS = ModelSettings.model_validate(
    {
        "id": "r1-nano",
        "prices": {"input_miss": 1.0, "input_hit": 0.5, "output": 2.0},
        "upstreams": [{"url": "http://127.0.0.1:1"}],
    }
)
MODEL: Any = SimpleNamespace(id=SETTINGS.id, settings=SETTINGS)


class FakeLedger:
    """A ledger that answers what the test says and remembers what it was asked."""

    def __init__(self) -> None:
        self.verdicts: list[str] = []
        self.reserved: list[tuple[str, Guess, int, int]] = []
        self.batches: list[tuple[int, list[Settlement]]] = []
        self.renewed: list[list[tuple[str, str]]] = []
        self.down = False
        self.lost_answers = 0
        self.named = True
        self.gate: asyncio.Event | None = None

    async def reserve(
        self, reservation: str, key: KeyRecord, guess: Guess, tokens: int, usd: int
    ) -> Standing:
        self.reserved.append((reservation, guess, tokens, usd))
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise StoreDown("down")
        return Standing(self.verdicts.pop(0) if self.verdicts else "ok", 77, requests=1)

    async def settle(self, worker: str, number: int, batch: Sequence[Settlement]) -> list[bool]:
        if self.down:
            raise StoreDown("down")
        self.batches.append((number, list(batch)))
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreDown("timeout")
        return [self.named] * len(batch)

    async def renew(self, running: Sequence[tuple[str, str]]) -> None:
        self.renewed.append(list(running))


class FakeMetrics:
    def __init__(self) -> None:
        self.costs: list[tuple[str, str, float]] = []
        self.failed: list[str] = []

    def cost(self, model: str, tenant: str, usd: float) -> None:
        self.costs.append((model, tenant, usd))

    def store_failed(self, store: str, operation: str) -> None:
        self.failed.append(operation)


class Bench:
    """The stage with fakes around it."""

    def __init__(self) -> None:
        self.ledger, self.metrics = FakeLedger(), FakeMetrics()
        self.pauses: list[float] = []
        ledger: Any = self.ledger
        metrics: Any = self.metrics
        self.settler = Settler(ledger, metrics, "w", self.pause, most=3)
        self.leases = Leases(ledger, self.pause, lease_s=30)
        self.limits = KeyLimits(
            ledger,
            self.settler,
            self.leases,
            Estimates(),
            make_id=lambda: f"id{len(self.ledger.reserved)}",
            sleep=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def settled(self) -> list[Settlement]:
        await self.settler.flush(1.0)
        return [each for _, batch in self.ledger.batches for each in batch]


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to pass")


def call(terms: Terms | None = None, api: Api = "chat") -> Call:
    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        raise AssertionError("nothing is sent")

    made = Call({"headers": []}, receive, send, api=api, now=lambda: 0.0, make_id=lambda: "request")
    made.key = KEY if terms is None else replace(KEY, terms=terms)
    raw = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":50}'
    made.asked = parse(raw, api, max_depth=8)
    made.model = MODEL
    return made


async def test_a_key_without_limits_asks_nothing_before_its_answer() -> None:
    bench, one = Bench(), call()
    async with bench.limits.hold(one):
        assert bench.ledger.reserved == []
        one.usage = Usage(prompt=10, completion=7, reasoning=3, cached=4)
    assert await bench.settled() == [
        Settlement(
            key="key_1",
            tenant="acme",
            model="r1-nano",
            requests=1,
            hit=4,
            miss=6,
            completion=7,
            reasoning=3,
            usd=6 * 1000 + 4 * 500 + 7 * 2000,
        )
    ]
    assert one.notes == []
    ((model, tenant, usd),) = bench.metrics.costs
    assert (model, tenant, round(usd, 9)) == ("r1-nano", "acme", 0.000022)


async def test_what_was_reserved_goes_back_with_what_was_used() -> None:
    bench, one = Bench(), call(Terms(tpm=1000, usd_per_day=1.0))
    async with bench.limits.hold(one):
        assert bench.leases._running == {"id0": "key_1"}
        one.usage = Usage(prompt=10, completion=7)
    (guessed,) = bench.ledger.reserved
    assert guessed[1].answer == 50, "at most max_tokens"
    assert guessed[2] == guessed[1].tokens
    (settled,) = await bench.settled()
    assert (settled.reservation, settled.second, settled.tokens) == ("id0", 77, guessed[2])
    assert (settled.counted, settled.budgeted) == (True, True)
    assert bench.leases._running == {}
    # The next guess is what this one took.
    async with bench.limits.hold(call(Terms(tpm=1000))):
        assert bench.ledger.reserved[1][1] == Guess(prompt=10, answer=7, reasoning=1)


@pytest.mark.parametrize("result", ["hit", "stale", "coalesced"])
async def test_an_answer_from_the_cache_costs_nothing(result: str) -> None:
    bench, one = Bench(), call(Terms(rpm=5, tpm=1000, usd_per_day=1.0))
    async with bench.limits.hold(one):
        one.cache_result = result
        one.usage = Usage(prompt=10, completion=7, reasoning=3)
    (settled,) = await bench.settled()
    assert (settled.requests, settled.cached) == (1, 1)
    assert (settled.hit, settled.miss, settled.completion, settled.reasoning) == (0, 0, 0, 0)
    assert settled.usd == 0


async def test_counting_a_prompts_tokens_takes_none() -> None:
    bench, one = Bench(), call(Terms(rpm=5, tpm=1000), api="count_tokens")
    async with bench.limits.hold(one):
        assert bench.ledger.reserved[0][1:3] == (Guess(0, 0, 0), 0)
    (settled,) = await bench.settled()
    assert (settled.requests, settled.tokens) == (1, 0)
    # An answer of no tokens teaches nothing.
    async with bench.limits.hold(call(Terms(tpm=1000))):
        assert bench.ledger.reserved[1][1].answer == 50


async def test_a_failure_is_charged_what_was_generated() -> None:
    bench, one = Bench(), call(Terms(tpm=1000))
    one.usage = Usage(prompt=10, completion=2)
    with pytest.raises(ZeroDivisionError):
        async with bench.limits.hold(one):
            raise ZeroDivisionError
    (settled,) = await bench.settled()
    assert (settled.miss, settled.completion) == (10, 2)
    # Half an answer teaches nothing.
    async with bench.limits.hold(call(Terms(tpm=1000))):
        assert bench.ledger.reserved[1][1].answer == 50


async def test_without_a_store_everyone_passes() -> None:
    bench, one = Bench(), call(Terms(rpm=1))
    bench.ledger.down = True
    async with bench.limits.hold(one):
        one.usage = Usage(prompt=1, completion=1)
    bench.ledger.down = False
    (settled,) = await bench.settled()
    # It may have been reserved all the same, so its lease is given back.
    assert (settled.reservation, settled.tokens, settled.requests) == ("id0", 0, 1)


async def test_who_leaves_while_the_store_is_asked_holds_nothing() -> None:
    bench = Bench()
    bench.ledger.gate = asyncio.Event()

    async def work() -> None:
        async with bench.limits.hold(call(Terms(parallel=1))):
            raise AssertionError("it was let in")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (settled,) = await bench.settled()
    assert (settled.reservation, settled.requests) == ("id0", 0)


async def test_a_place_that_is_being_given_back_is_waited_for() -> None:
    bench = Bench()
    bench.ledger.verdicts = ["parallel", "parallel", "ok"]
    async with bench.limits.hold(call(Terms(parallel=1))):
        pass
    assert sum(bench.pauses) == pytest.approx(0.1)
    bench.ledger.verdicts = ["parallel"] * 3
    with pytest.raises(RateLimited):
        async with bench.limits.hold(call(Terms(parallel=1))):
            raise AssertionError("it was let in")
    assert len(await bench.settled()) == 1


async def test_a_batch_goes_again_under_its_number_until_it_is_taken() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.settler.run())
    bench.ledger.lost_answers = 2
    bench.settler.add(Settlement("k", "t", "m", usd=5))
    await until(lambda: len(bench.metrics.costs) == 1)
    bench.settler.add(Settlement("k", "t2", "m", usd=6))
    await until(lambda: len(bench.metrics.costs) == 2)
    running.cancel()
    numbers = [(number, len(batch)) for number, batch in bench.ledger.batches]
    assert numbers == [(1, 1), (1, 1), (1, 1), (2, 1)]
    assert [each for each in bench.pauses if each > 0.1] == [0.5, 0.5]


async def test_settlements_that_wait_are_bounded() -> None:
    bench = Bench()
    for _ in range(5):
        bench.settler.add(Settlement("k", "t", "m"))
    assert bench.metrics.failed == ["settle_dropped"] * 2
    bench.ledger.down = True
    await bench.settler.flush(0.2)
    bench.ledger.down = False
    assert len(await bench.settled()) == 3


async def test_tenants_that_have_a_label_are_bounded() -> None:
    bench = Bench()
    for number in range(60):
        bench.settler.add(Settlement("k", f"t{number}", "m", usd=1))
        await bench.settler.flush(1.0)
    labels = [tenant for _, tenant, _ in bench.metrics.costs]
    assert labels == [f"t{number}" for number in range(50)] + [OTHER] * 10
    small = Bench()
    small.ledger.named = False
    small.settler.add(Settlement("k", "small", "m", usd=1))
    await small.settler.flush(1.0)
    assert small.metrics.costs[0][1] == OTHER


async def test_leases_are_renewed_while_requests_run() -> None:
    bench = Bench()
    bench.leases.add("r1", "key_1")
    bench.leases.add("r2", "key_2")
    bench.leases.drop("r1")
    running = asyncio.create_task(bench.leases.run())
    await until(lambda: len(bench.ledger.renewed) == 2)
    running.cancel()
    assert bench.ledger.renewed[0] == [("key_2", "r2")]
    assert bench.pauses[0] == 10
