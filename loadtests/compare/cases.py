"""The cases: each is a load on one server, and the figures that it gives."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from loadtests.compare.samples import Figure
from loadtests.compare.servers import Setup
from loadtests.gateways.loads import Load, closed, paced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loadtests.compare.servers import Running

LONG_PROMPT = "word " * 8000
"""About 8k tokens: a short common word with its space is one."""
HOT = 50
"""Questions that are asked again and again."""
PACE, TOKENS = 20, 160
"""Of a long stream: tokens a second, and in all."""
ARRIVING_S = 5.0
SLOW_MS = 500
USERS = 32


@dataclass(frozen=True)
class Turn:
    """One server's turn."""

    running: Running
    upstreams: tuple[int, ...]
    seconds: float

    def cpu_seconds(self) -> float:
        """What the server took so far; 0 for none."""
        return self.running.target.cpu_seconds() if self.running.target else 0.0

    def asked(self) -> int:
        """Completions that all upstreams were asked for so far."""
        return sum(_count(port) for port in self.upstreams)


@dataclass(frozen=True)
class Outcome:
    """What a turn gave. `overran`: it took so much longer than it should that once is enough."""

    figures: dict[str, float]
    overran: bool = False


@dataclass(frozen=True)
class Case:
    """A load, and what is measured of it."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    run: Callable[[Turn], Awaitable[Outcome]]
    setup: Setup = field(default_factory=Setup)


def _count(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=10) as answer:
        return int(answer.read())


ONE_P50 = Figure("one_p50", "1 user p50 ms", "less", 2)
ONE_P99 = Figure("one_p99", "1 user p99 ms", "less", 2)
CALLS = Figure("calls", f"{USERS} users, calls/s", "more")
P50 = Figure("p50", f"{USERS} users p50 ms", "less", 1)
P99 = Figure("p99", f"{USERS} users p99 ms", "less", 1)
CPU = Figure("cpu", "gateway's CPU ms a call", "less", 2)
CPU_TOKENS = Figure("cpu", "gateway's CPU s for 1,000 tokens", "less", 3)
FAILED = Figure("failed", "failed %", "less", 1)
REACHED = Figure("reached", "upstreams' calls for 100", "less", 1)
TTFT_P50 = Figure("ttft_p50", "TTFT p50 ms", "less", 1)
TTFT_P99 = Figure("ttft_p99", "TTFT p99 ms", "less", 1)
LATE_P99 = Figure("late_p99", "tokens late p99 ms", "less", 1)


def _of(load: Load, names: tuple[Figure, ...], values: list[float]) -> dict[str, float]:
    parts = {"p50": 0.5, "p99": 0.99}
    return {
        figure.name: load.share(parts[figure.name[-3:]], values) * 1000
        for figure in names
        if values
    }


def _failed(*loads: Load) -> float:
    answers = sum(len(load.answers) for load in loads)
    return 100 * sum(load.failed for load in loads) / max(1, answers)


def _cpu(turn: Turn, before: float, units: float) -> dict[str, float]:
    """CPU time a unit, unless there is no gateway."""
    if turn.running.target is None or not units:
        return {}
    return {"cpu": (turn.cpu_seconds() - before) / units}


def _good(load: Load) -> list[float]:
    return [answer.seconds for answer in load.answers if answer.complete and answer.status == 200]


async def short(turn: Turn, *, text: str = "") -> Outcome:
    """Whole answers of 16 tokens: one user alone, then many."""

    def ask(user: int, number: int) -> str:
        return f"question {user} {number} {text}"

    addresses = turn.running.addresses
    one = await closed(addresses, 1, turn.seconds / 2, text=ask)
    before = turn.cpu_seconds()
    many = await closed(addresses, USERS, turn.seconds, text=ask)
    cpu = _cpu(turn, before, len(many.answers) / 1000)
    alone = _of(one, (ONE_P50, ONE_P99), _good(one))
    calls = {"calls": many.per_second, "failed": _failed(one, many)}
    return Outcome(alone | calls | cpu)


async def hot(turn: Turn) -> Outcome:
    """The same few questions at temperature 0, each of which was answered once before."""

    def ask(user: int, number: int) -> str:
        return f"question {(user + number) % HOT}"

    addresses = turn.running.addresses
    await closed(addresses, HOT, 0.1, text=ask, temperature=0)
    asked = turn.asked()
    one = await closed(addresses, 1, turn.seconds / 2, text=ask, temperature=0)
    before = turn.cpu_seconds()
    many = await closed(addresses, USERS, turn.seconds, text=ask, temperature=0)
    cpu = _cpu(turn, before, len(many.answers) / 1000)
    reached = 100 * (turn.asked() - asked) / max(1, len(one.answers) + len(many.answers))
    calls = {"calls": many.per_second, "reached": reached, "failed": _failed(one, many)}
    return Outcome(_of(one, (ONE_P50,), _good(one)) | calls | cpu)


async def mixed(turn: Turn) -> Outcome:
    """Many users at upstreams of which some are bad."""
    asked, before = turn.asked(), turn.cpu_seconds()
    many = await closed(turn.running.addresses, USERS, turn.seconds)
    cpu = _cpu(turn, before, len(many.answers) / 1000)
    attempts = 100 * (turn.asked() - asked) / max(1, len(many.answers))
    calls = {"calls": many.per_second, "reached": attempts, "failed": _failed(many)}
    return Outcome(_of(many, (P50, P99), _good(many)) | calls | cpu)


async def streams(turn: Turn, *, count: int) -> Outcome:
    """Long streams at a reader's pace, all at once."""
    before = turn.cpu_seconds()
    (address,) = turn.running.addresses
    load = await paced(address, count, ARRIVING_S, rate=PACE, tokens=TOKENS)
    ttft = [answer.ttft for answer in load.answers if answer.first]
    late = [each for answer in load.answers for each in answer.late]
    figures = _of(load, (TTFT_P50, TTFT_P99), ttft) | _of(load, (LATE_P99,), late)
    figures |= {"failed": _failed(load)} | _cpu(turn, before, len(late) / 1000)
    return Outcome(figures, load.seconds > 2 * (ARRIVING_S + TOKENS / PACE))


_GOOD: tuple[str, ...] = ()
_FAILING = ("--failing",)
_SLOW = ("--delay-ms", str(SLOW_MS))
_STREAMED = (TTFT_P50, TTFT_P99, LATE_P99, CPU_TOKENS, FAILED)
_MIXED = (CALLS, P50, P99, REACHED, CPU, FAILED)

CASES = (
    Case(
        "short",
        "Short calls: answers of 16 tokens, not streamed",
        (ONE_P50, ONE_P99, CALLS, CPU, FAILED),
        short,
    ),
    Case(
        "8k",
        "Prompts of 8k tokens, not streamed",
        (ONE_P50, ONE_P99, CALLS, CPU, FAILED),
        partial(short, text=LONG_PROMPT),
    ),
    Case(
        "cache",
        f"Cache hits: {HOT} questions again and again, temperature 0",
        (ONE_P50, CALLS, REACHED, CPU, FAILED),
        hot,
        Setup(cache=True),
    ),
    Case(
        "auth",
        "Short calls with keys and limits, and open",
        (ONE_P50, ONE_P99, CALLS, CPU, FAILED),
        short,
        Setup(doors=(True, False)),
    ),
    Case(
        "streams-500",
        f"500 streams of {PACE} tokens/s, {TOKENS} tokens each",
        _STREAMED,
        partial(streams, count=500),
    ),
    Case(
        "streams-1000",
        f"1,000 streams of {PACE} tokens/s, {TOKENS} tokens each",
        _STREAMED,
        partial(streams, count=1000),
    ),
    Case(
        "failing",
        "Two of four upstreams answer 500 to everything, though their health looks good",
        _MIXED,
        mixed,
        Setup((_GOOD, _FAILING, _GOOD, _FAILING)),
    ),
    Case(
        "slow",
        f"One of four upstreams answers {SLOW_MS} ms late",
        _MIXED,
        mixed,
        Setup((_GOOD, _GOOD, _SLOW, _GOOD)),
    ),
)
