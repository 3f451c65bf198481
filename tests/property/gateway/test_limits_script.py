"""What the scripts do in a real Redis is what a plain model of the limits says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.keys import KeyRecord
from gateway.auth.terms import Terms
from gateway.limits import ledger as ledger_module
from gateway.limits.estimate import Guess
from gateway.limits.ledger import Ledger, Settlement, Spent
from gateway.limits.prices import NANO
from gateway.limits.standing import Standing
from gateway.store.once import NoWatcher
from gateway.store.redis import Store
from tests.contract.stack import RedisServer

LEASE_S = 30
# Just before a new month, so that some examples cross it.
START = datetime(2027, 2, 28, 23, 58, tzinfo=UTC).timestamp()


@dataclass
class Model:
    """The limits of one key, as simple as can be: lists of what happened."""

    terms: Terms
    requests: list[int] = field(default_factory=list)  # their seconds
    tokens: list[list[int]] = field(default_factory=list)  # [second, amount]
    live: dict[str, list[float]] = field(default_factory=dict)  # [end, usd, reasoning]
    spent: dict[str, int] = field(default_factory=dict)

    def budgets(self, now: float) -> list[tuple[str, int, int, int]]:
        """Name, what is left, and which of usd and reasoning it is of."""
        day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        terms, found = self.terms, []
        for name, period, most, what in (
            ("usd_per_day", day, terms.usd_per_day, 0),
            ("usd_per_month", day[:7], terms.usd_per_month, 0),
            ("reasoning_tokens_per_day", day, terms.reasoning_tokens_per_day, 1),
            ("reasoning_tokens_per_month", day[:7], terms.reasoning_tokens_per_month, 1),
        ):
            if most is not None:
                allowed = int(most * NANO) if what == 0 else int(most)
                left = allowed - self.spent.get(f"{what}{period}", 0)
                found.append((name, left, what, allowed))
        return found

    def reserve(self, name: str, now: float, tokens: int, usd: int, reasoning: int) -> str:
        """The verdict."""
        second = int(now)
        self.requests = [each for each in self.requests if each + 61 > second]
        self.tokens = [each for each in self.tokens if each[0] + 61 > second]
        wished = [0, 0]
        for budget, left, what, _ in self.budgets(now):
            if left <= 0:
                return budget
            wished[what] = (usd, reasoning)[what]
        self.live = {each: held for each, held in self.live.items() if held[0] > now}
        if self.terms.parallel is not None and len(self.live) >= self.terms.parallel:
            return "parallel"
        for _, left, what, _ in self.budgets(now):
            free = left - sum(held[1 + what] for held in self.live.values())
            if free <= 0:
                return "held"
            wished[what] = int(min(wished[what], free))
        if self.terms.rpm is not None and len(self.requests) >= self.terms.rpm:
            return "requests"
        if self.terms.tpm is not None:
            if sum(amount for _, amount in self.tokens) + tokens > self.terms.tpm:
                return "tokens"
            self.tokens.append([second, tokens])
        self.requests.append(second)
        self.live[name] = [now + LEASE_S, *wished]
        return "ok"

    def settle(self, name: str, now: float, at: int, reserved: int, used: Settlement) -> None:
        """What was really used."""
        self.live.pop(name, None)
        change = used.hit + used.miss + used.completion - reserved
        if self.terms.tpm is not None:
            if change > 0:
                self.tokens.append([int(now), change])
            elif at + 61 > int(now):
                self.tokens.append([at, change])
        day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        if self.terms.budgeted:
            for period in (day, day[:7]):
                for what, amount in ((0, used.usd), (1, used.reasoning)):
                    place = f"{what}{period}"
                    self.spent[place] = self.spent.get(place, 0) + amount


class Bench:
    """The real scripts in a real Redis, whose clock is set by the test."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.client = redis_client.Redis.from_url(server.url, decode_responses=True)
        self.runner = asyncio.Runner()
        self.store = Store(server.url, timeout_s=10, watcher=NoWatcher())
        self.ledger = Ledger(self.store, lease_s=LEASE_S, usage_days=4000)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def clock(self, now: float) -> None:
        second, rest = divmod(round(now * 1_000_000), 1_000_000)
        self.client.delete("clock")
        self.client.rpush("clock", second, rest)

    def close(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.client.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder)
    patch = pytest.MonkeyPatch()
    for name in ("RESERVE", "SETTLE", "RENEW", "SPENT"):
        script = getattr(ledger_module, name)
        assert "redis.call('TIME')" in script
        clock = script.replace("redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)")
        patch.setattr(ledger_module, name, clock)
    made = Bench(server)
    yield made
    made.close()
    patch.undo()
    server.end()


def maybe(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(low, high)


all_terms = st.builds(
    Terms,
    rpm=maybe(1, 5),
    tpm=maybe(50, 200),
    parallel=maybe(1, 3),
    usd_per_day=st.none() | st.sampled_from([0.000001, 0.000002]),
    usd_per_month=st.none() | st.just(0.000003),
    reasoning_tokens_per_day=maybe(10, 60),
    reasoning_tokens_per_month=maybe(20, 90),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.2, 1.0, 7.0, 20.0, 29.999, 61.0, 4000.0])),
        st.tuples(st.just("reserve"), st.integers(1, 80)),
        # Twice as often, so that limits are met.
        st.tuples(st.just("reserve"), st.integers(1, 40)),
        st.tuples(st.just("settle"), st.integers(0, 90)),
        st.tuples(st.just("renew"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(terms=all_terms, script=steps)
def test_every_interleaving(bench: Bench, terms: Terms, script: list[tuple[str, Any]]) -> None:
    bench.client.flushdb()
    key = KeyRecord("k", "n", "t", 0, "r1-…", None, terms)
    model, now, number = Model(terms), START, 0
    running: dict[str, tuple[int, int]] = {}
    bench.clock(now)
    for what, amount in script:
        if what == "wait":
            now += amount
            bench.clock(now)
        elif what == "reserve":
            name = f"r{(number := number + 1)}"
            usd, reasoning = amount * 20, amount // 2 + 1
            guess = Guess(1, amount, reasoning)
            # A wish is never above the limit itself.
            tokens = min(amount, terms.tpm or amount)
            standing: Standing = bench.run(bench.ledger.reserve(name, key, guess, tokens, usd))
            assert standing.verdict == model.reserve(name, now, tokens, usd, reasoning)
            if terms.rpm is not None:
                assert standing.requests == len(model.requests) <= terms.rpm
            if terms.tpm is not None:
                assert standing.tokens == sum(each for _, each in model.tokens)
            if standing.verdict == "ok":
                running[name] = (standing.second, tokens)
            elif standing.verdict in ("requests", "tokens"):
                assert 0 < standing.wait_s <= 61
        elif what == "settle" and running:
            name, (at, tokens) = running.popitem()
            used = Settlement(
                key="k",
                tenant="t",
                model="m",
                requests=1,
                completion=amount,
                reasoning=amount // 3,
                usd=amount * 10,
                reservation=name,
                second=at,
                tokens=tokens,
                counted=terms.tpm is not None,
                budgeted=terms.budgeted,
            )
            number += 1
            # Sent twice, as after a lost answer.
            for _ in range(2):
                assert bench.run(bench.ledger.settle("w", number, [used])) == [True]
            model.settle(name, now, at, tokens, used)
        elif what == "renew" and running:
            bench.run(bench.ledger.renew([("k", name) for name in running]))
            for held in (model.live[name] for name in running if name in model.live):
                if held[0] > now or terms.parallel is not None or terms.budgeted:
                    held[0] = now + LEASE_S
    check_spent(bench, model, now)


def check_spent(bench: Bench, model: Model, now: float) -> None:
    (spent,) = bench.run(bench.ledger.spent(["k"]))
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    wanted = [model.spent.get(f"{what}{period}", 0) for what in (0, 1) for period in (day, day[:7])]
    assert spent == Spent(*wanted)


@settings(max_examples=60)
@given(
    rpm=maybe(1, 4),
    tpm=st.none() | st.integers(30, 90),
    past=st.lists(
        st.tuples(st.sampled_from([0.1, 1.0, 5.5, 13.0]), st.integers(1, 30)), min_size=1
    ),
)
def test_a_refusal_says_when_there_is_room(
    bench: Bench, rpm: int | None, tpm: int | None, past: list[tuple[float, int]]
) -> None:
    bench.client.flushdb()
    key = KeyRecord("k", "n", "t", 0, "r1-…", None, Terms(rpm=rpm, tpm=tpm))
    now = START

    def ask(at: float, tokens: int) -> Standing:
        bench.clock(at)
        standing: Standing = bench.run(
            bench.ledger.reserve("r", key, Guess(1, tokens, 1), tokens, 0)
        )
        return standing

    for pause, tokens in past:
        now += pause
        standing = ask(now, tokens)
        while standing.verdict != "ok":
            now += standing.wait_s
            # A moment sooner there was no room for it.
            assert ask(now - 0.001, tokens).verdict == standing.verdict
            standing = ask(now + 0.001, tokens)


@pytest.mark.parametrize(
    ("terms", "verdict"),
    [(Terms(parallel=2), "parallel"), (Terms(reasoning_tokens_per_day=20), "held")],
    ids=["places", "budget"],
)
def test_what_a_dead_worker_held_is_free_after_its_lease(
    bench: Bench, terms: Terms, verdict: str
) -> None:
    bench.client.flushdb()
    key = KeyRecord("k", "n", "t", 0, "r1-…", None, terms)

    def ask(name: str, at: float) -> str:
        bench.clock(at)
        guess = Guess(1, 10, 10)
        standing: Standing = bench.run(bench.ledger.reserve(name, key, guess, 11, 0))
        return standing.verdict

    assert [ask("a", START), ask("b", START + 5), ask("c", START + 5)] == ["ok", "ok", verdict]
    bench.run(bench.ledger.renew([("k", "a")]))
    # The first was renewed by its worker, the second one's worker is dead; its lease began as late.
    assert ask("c", START + 5 + LEASE_S - 0.001) == verdict
    bench.run(bench.ledger.renew([("k", "a"), ("k", "gone")]))
    assert ask("c", START + 5 + LEASE_S) == "ok"
    assert ask("d", START + 5 + LEASE_S) == verdict


@settings(max_examples=40)
@given(day=st.integers(0, 40000), rest=st.integers(0, 86399))
def test_days_are_those_of_the_calendar(bench: Bench, day: int, rest: int) -> None:
    now = day * 86400 + rest
    key = KeyRecord("k", "n", "t", 0, "r1-…", None, Terms(rpm=1))
    bench.client.flushdb()
    bench.clock(now)
    standing = bench.run(bench.ledger.reserve("r", key, Guess(1, 1, 1), 1, 0))
    assert standing.day == datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


@pytest.mark.parametrize(
    "terms", [Terms(rpm=30), Terms(tpm=300), Terms(parallel=30)], ids=["rpm", "tpm", "parallel"]
)
def test_a_burst_passes_no_limit(bench: Bench, terms: Terms) -> None:
    bench.client.flushdb()
    bench.clock(START)
    key = KeyRecord("k", "n", "t", 0, "r1-…", None, terms)
    guess = Guess(1, 9, 1)

    async def burst() -> list[str]:
        # More at once than one store has connections, from two stores.
        other = Store(bench.url, timeout_s=10, watcher=NoWatcher())
        ledgers = (bench.ledger, Ledger(other, lease_s=LEASE_S, usage_days=1))
        asked = [
            ledgers[number % 2].reserve(f"r{number}", key, guess, guess.tokens, 0)
            for number in range(300)
        ]
        verdicts = [standing.verdict for standing in await asyncio.gather(*asked)]
        await other.close()
        return verdicts

    assert bench.run(burst()).count("ok") == 30
