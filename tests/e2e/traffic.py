"""The steady traffic beside a test that disturbs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from loadtests.steady.calls import Call
from loadtests.steady.report import Report
from loadtests.steady.traffic import Load, Traffic
from loadtests.streams import Target
from tests.e2e.playground import wait_until

LOAD = Load(long_callers=3, short_callers=2, long_tokens=400, timeout_s=300)
SETTLE_S = 180.0


class Watched:
    """Traffic that runs beside a test."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def report(self) -> Report:
        """What its callers saw until now."""
        return Report.of(self.traffic)


def known(target: Target, load: Load = LOAD) -> Traffic:
    """Traffic whose undisturbed answers were learned."""
    traffic = Traffic(target, load)
    asyncio.run(traffic.learn())
    return traffic


@contextmanager
def flowing(known: Traffic) -> Iterator[Watched]:
    """Traffic from before the block until all kinds of calls were answered well after it.

    Raises AssertionError if they are not within SETTLE_S.
    """
    traffic = replace(known, calls=[])
    watched = Watched(traffic)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=_run, args=(loop, traffic, stop), name="traffic")
    thread.start()
    try:
        _answered(traffic, lambda: traffic.calls, 1)
        yield watched
        before = len(traffic.calls)
        # Those that run now were disturbed; each caller begins another one behind it.
        _answered(traffic, lambda: traffic.calls[before:], 3)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
        print(watched.report().text())


def _run(loop: asyncio.AbstractEventLoop, traffic: Traffic, stop: asyncio.Event) -> None:
    loop.run_until_complete(traffic.run(stop))


def _answered(traffic: Traffic, calls: Callable[[], list[Call]], least: int) -> None:
    """Until each kind of question was answered so many times without a fault."""
    kinds = {question.kind for question in traffic.expected}

    def enough() -> bool:
        good = [call.question.kind for call in calls() if not traffic.faults(call)]
        return all(good.count(kind) >= least for kind in kinds)

    wait_until("every kind of question is answered well", enough, SETTLE_S)
