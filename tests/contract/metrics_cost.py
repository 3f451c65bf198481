"""What metrics cost a gateway at full load: `python -m tests.contract.metrics_cost`.

Two things cost. *Scrapes*: one gateway of one worker is kept busy by 32 callers, in turns with
scrapes and without; what its parent process, which answers scrapes, uses more of the CPU is theirs.
There are ten a second, because the system counts CPU time in hundredths of a second, and the cost
of one a second is told. *Counting*: the calls of the metrics that one request makes, and one token,
are repeated on a sheet like a worker's; their time is set against the CPU time of a whole request,
and of a token that comes alone, in the gateway. CPU time is the processes' own, so what else runs
on the machine matters little. Exit status 1 when both together are 1 % or more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import urllib.request
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import psutil
import uvloop

from gateway.protocol.usage import Usage
from gateway.telemetry.exposition import OPENMETRICS
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from loadtests.gateways import targets
from loadtests.gateways.loads import closed, paced
from loadtests.gateways.targets import Cores, Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BAR = 0.01
USERS = 32
STREAMS = 100
TOKENS = 200
ROOMY = {"capacity": 2048}
_EVERY_S = 0.1


@dataclass(frozen=True)
class Used:
    """CPU seconds of a gateway's parent and of its workers."""

    parent: float
    workers: float

    @staticmethod
    def by(target: Gateway) -> Used:
        """Until now."""
        parent = sum(psutil.Process(target.pid).cpu_times()[:2])
        return Used(parent, sum(sum(each.cpu_times()[:2]) for each in target.workers()))

    def since(self, before: Used) -> Used:
        """What was used in between."""
        return Used(self.parent - before.parent, self.workers - before.workers)


def scrape(target: Gateway) -> int:
    """One scrape as Prometheus makes it; the number of samples."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.admin}/metrics", headers={"accept": OPENMETRICS}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        lines = answer.read().splitlines()
    return sum(not line.startswith(b"#") for line in lines)


@dataclass(frozen=True)
class Run:
    """One load: CPU seconds, the time it took, answers or tokens, scrapes and samples of each."""

    used: Used
    seconds: float
    done: int
    scrapes: int = 0
    samples: int = 0


async def load(target: Gateway, seconds: float, *, scraped: bool) -> Run:
    """Keep it busy with short calls."""
    samples: list[int] = []

    async def scrapes() -> None:
        while True:
            samples.append(await asyncio.to_thread(scrape, target))
            await asyncio.sleep(_EVERY_S)

    before, began = Used.by(target), time.monotonic()
    beside = asyncio.create_task(scrapes()) if scraped else None
    answered = await closed(target.address, USERS, seconds)
    if beside is not None:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    took = time.monotonic() - began
    done = len(answered.answers) - answered.failed
    used = Used.by(target).since(before)
    return Run(used, took, done, len(samples), max(samples, default=0))


async def streams(target: Gateway) -> Run:
    """Streams whose tokens come one by one, as an engine sends them."""
    before, began = Used.by(target), time.monotonic()
    answered = await paced(target.address, STREAMS, 2.0, rate=20, tokens=TOKENS)
    done = (len(answered.answers) - answered.failed) * TOKENS
    return Run(Used.by(target).since(before), time.monotonic() - began, done)


def counting() -> tuple[float, float]:
    """CPU seconds of what one request counts, and of what one token does."""
    metrics = Metrics(Meter(Sheet(make_files())))
    usage = Usage(prompt=12, completion=16, reasoning=8, cached=0)

    def request() -> None:
        with metrics.working("m"):
            metrics.cache_asked("m", "bypass")
            metrics.attempt("m", "127.0.0.1:8000", "ok")
        metrics.request_done("chat", "m", 200, 0.012)
        metrics.usage("m", usage)
        # Reserving and settling: an answer of the store each.
        metrics.store_ok("keys")
        metrics.store_ok("keys")
        metrics.cost("m", "acme", 0.0)

    gaps = metrics.token_gaps("m")
    return _each(request), _each(lambda: gaps.observe(0.012, 1))


def _each(call: Callable[[], None], times: int = 50_000) -> float:
    def once() -> float:
        began = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - began) / times

    return min(once() for _ in range(5))


async def measure(args: argparse.Namespace) -> int:
    """All of it; the exit status."""
    quiet: list[Run] = []
    scraped: list[Run] = []
    with (
        targets.bench(Cores(frozenset({0}), frozenset({1}))) as bench,
        targets.r1(bench, bench.mock(), bench.redis(), batching=ROOMY) as target,
    ):
        await load(target, 2.0, scraped=True)
        for number in range(args.rounds):
            turns = (False, True) if number % 2 == 0 else (True, False)
            for turn in turns:
                run = await load(target, args.seconds, scraped=turn)
                (scraped if turn else quiet).append(run)
        flow = await streams(target)
    of_request, of_token = counting()
    return report(quiet, scraped, flow, of_request, of_token)


def report(
    quiet: Sequence[Run],
    scraped: Sequence[Run],
    flow: Run,
    of_request: float,
    of_token: float,
) -> int:
    """Print the figures; 1 if the bar was missed."""
    per_request = median(run.used.workers / run.done for run in quiet)
    idle = sum(run.used.parent for run in quiet) / sum(run.seconds for run in quiet)
    seconds = sum(run.seconds for run in scraped)
    busy = sum(run.used.parent for run in scraped) - idle * seconds
    per_scrape = max(0.0, busy) / sum(run.scrapes for run in scraped)
    per_token = flow.used.workers / flow.done
    # At full load a worker uses all of a core, so that a scrape a second takes this part of it;
    # where other programs take some of the core here, that is no reason to count less.
    scrapes, counts = per_scrape, of_request / per_request
    print(f"requests/s at full load: {median(run.done / run.seconds for run in quiet):.0f}")
    print(f"samples a scrape: {scraped[-1].samples}")
    print(f"a scrape: {1000 * per_scrape:.2f} ms of CPU; one a second is {100 * scrapes:.2f} %")
    print(f"counting: {1e6 * of_request:.2f} us of {1e6 * per_request:.0f} us a request,")
    print(f"  {100 * counts:.2f} %; {1e6 * of_token:.2f} us of {1e6 * per_token:.1f} us a token,")
    print(f"  {100 * of_token / per_token:.2f} %")
    print(f"together: {100 * (scrapes + counts):.2f} % (bar: below {100 * BAR:.0f} %)")
    return 0 if scrapes + counts < BAR else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    args = parser.parse_args(argv)
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the gateway, one for the load")
    os.sched_setaffinity(0, {1})
    return uvloop.run(measure(args))


if __name__ == "__main__":
    raise SystemExit(main())
