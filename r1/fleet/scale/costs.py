"""What a gateway's worker pays for its choices as the fleet grows: processor time, measured.

    python -m r1.fleet.scale.costs [--replicas N…]

A question is a place chosen, taken and given back while three quarters of all places are in use.
Windows are what a worker pays twice a second for all replicas, whether anybody asks or not: places
traded, and as the first of all workers the windows set. Time passes at 1.5 questions a second and
replica, so the last column is the part of one core that all of it takes with one worker; with more
of them the questions are shared, the windows are not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.batching.board import OwnBoard
from gateway.batching.guest import Guest
from gateway.batching.lane import Lane
from gateway.batching_settings import Batching
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.settings import PoolSettings
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.upstream.pool import make_model
from r1.fleet.clock import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.upstream.visit import Visit

_WINDOW, _USED, _RATE = 64, 48, 1.5
_QUESTIONS = 400
_QUIET_S = 10.0
_FOR_EVER_S = 1e6


async def _measure(replicas: int) -> tuple[float, float]:
    """Seconds of processor time a question, and a second of keeping the windows."""
    loop, chance = asyncio.get_running_loop(), random.Random(1)
    metrics = Metrics(Meter(Sheet(make_files())))
    urls = [f"http://10.0.{number // 256}.{number % 256}:30000" for number in range(replicas)]
    model = make_model(
        ModelSettings(id="m", upstreams=tuple(UpstreamSettings(url=url) for url in urls)),
        lambda upstream: None,
        PoolSettings(),
        metrics,
        now=loop.time,
        draw=chance.random,
    )
    settings = Batching(low_window=_WINDOW, high_window=_WINDOW, capacity=_WINDOW)
    lane = Lane("m", model.pool, settings, OwnBoard(1), metrics, name="m", workers=1)
    running = loop.create_task(lane.run())

    async def enter() -> Visit:
        guest = Guest("t", "k", "normal", chance.randbytes(16), lambda: None, _FOR_EVER_S)
        return await lane.enter(guest)

    def decode() -> None:
        for stand in lane.ground.stands.values():
            for _ in range(10):
                stand.gap(chance.uniform(0.5, 2.0), 40)

    inside = deque([await enter() for _ in range(_USED * replicas)])
    decode()
    await asyncio.sleep(5.0)
    began = time.process_time()
    for _ in range(int(_QUIET_S / settings.interval_s)):
        decode()
        await asyncio.sleep(settings.interval_s)
    windows_s = (time.process_time() - began) / _QUIET_S
    began, virtual = time.process_time(), loop.time()
    for _ in range(_QUESTIONS):
        inside.append(await enter())
        inside.popleft().end(worked=True)
        await asyncio.sleep(1.0 / _RATE / replicas)
    spent_s = time.process_time() - began - windows_s * (loop.time() - virtual)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return max(0.0, spent_s) / _QUESTIONS, windows_s


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m r1.fleet.scale.costs", description=__doc__)
    parser.add_argument("--replicas", type=int, nargs="+", default=[8, 32, 128])
    args = parser.parse_args(argv)
    print("| replicas | questions/s | µs a question | windows, ms a second | of one core |")
    print("|---|---|---|---|---|")
    for replicas in args.replicas:
        question_s, windows_s = run(_measure(replicas))
        core = question_s * _RATE * replicas + windows_s
        print(
            f"| {replicas} | {_RATE * replicas:g} | {question_s * 1e6:.0f} "
            f"| {windows_s * 1e3:.1f} | {core:.1%} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
