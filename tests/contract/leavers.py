"""Callers who leave at random moments, and what is left of them.

python -m tests.contract.leavers [CALLS]
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.contract.stack import Gateway, RedisServer, Simulator, chat, wait_for


async def leave(gateway: Gateway, count: int, at_once: int = 50) -> None:
    """`count` calls, each left after a random time of up to 0.2 s."""
    places = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            async with places:
                try:
                    async with asyncio.timeout(random.random() * 0.2):
                        async with session.post(
                            gateway.url + "/v1/chat/completions",
                            json=chat(stream=random.random() < 0.7),
                            headers=gateway.headers,
                        ) as response:
                            await response.read()
                except TimeoutError:
                    return

        await asyncio.gather(*(call() for _ in range(count)))


def main() -> int:
    """Command line: prints what was measured."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engines = [Simulator(folder), Simulator(folder)]
        redis = RedisServer(folder)
        urls = [{"url": each.url} for each in engines]
        spread = {"affinity": False}
        gateway = Gateway(folder / "gateway", redis, urls, listen={"workers": 2}, pool=spread)
        try:
            for each in engines:
                each.control(step_s=0.01)
            asyncio.run(leave(gateway, calls))
            left = time.monotonic()
            wait_for(lambda: not any(each.seen()["running"] for each in engines), "engines' end")
            print(f"engines idle after the last caller left: {time.monotonic() - left:.2f} s")
            wait_for(lambda: gateway.value("r1_inflight_requests") == 0, "the gauge")
            print(f"calls: {calls}, of which left: {gateway.value('r1_disconnects_total'):.0f}")
            print(f"requests in flight: {gateway.value('r1_inflight_requests'):.0f}")
        finally:
            for process in (gateway, redis, *engines):
                process.end()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
